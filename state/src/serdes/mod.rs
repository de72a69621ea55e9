//! How typed keys and values become bytes, and back.
//!
//! Whether a null is possible is part of the type: `String` refuses a null, `Option<String>` takes it as `None`.

use std::sync::Arc;

use crate::error::SerdeError;

/// Encodes and decodes one type (Kafka's `Serde`).
///
/// A serde must be deterministic for keys: equal keys must give equal bytes, because stores and partitions go by bytes.
pub trait Serde<T>: Send + Sync {
    /// Appends the bytes of `value`. Not called for a null.
    ///
    /// # Errors
    /// If the value has no encoding.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Reads a value; `None` is Kafka's null.
    ///
    /// # Errors
    /// If the bytes are not of this type, or null where the type has none.
    fn decode(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError>;

    /// Reads a value into a slot that may hold an older one, whose memory can be used again.
    ///
    /// # Errors
    /// As [`Serde::decode`]; the slot's content is then unspecified.
    fn decode_into(&self, bytes: Option<&[u8]>, slot: &mut Option<T>) -> Result<(), SerdeError> {
        *slot = Some(self.decode(bytes)?);
        Ok(())
    }

    /// Whether this value is written as a null.
    fn is_null(&self, _value: &T) -> bool {
        false
    }
}

/// A shared serde.
pub type SerdeRef<T> = Arc<dyn Serde<T>>;

/// Types that have a serde without being asked: those of Kafka's own serializers, `Option` of them, and the wrappers
/// [`Json`](crate::serdes::Json) and [`Bincode`](crate::serdes::Bincode).
pub trait DefaultSerde: Sized + 'static {
    /// The serde of this type.
    fn serde() -> SerdeRef<Self>;
}
