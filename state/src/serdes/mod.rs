//! How typed keys and values become bytes, and back.
//!
//! Whether a null is possible is part of the type: `String` refuses a null, `Option<String>` takes it as `None`.

mod bincode;
pub(crate) mod buffered;
mod json;
mod option;
mod primitive;
#[cfg(test)]
mod tests;
mod windowed;

use std::sync::Arc;

pub use self::bincode::{Bincode, bincode};
pub use self::json::{Json, json};
pub use self::option::option;
pub use self::primitive::{bool, byte_vec, bytes, f32, f64, i16, i32, i64, string, u32, u64, unit, uuid};
pub use self::windowed::{session_windowed, time_windowed};

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

    /// How many bytes at the end of an encoded key are left out of the hash that gives its partition when a stream is
    /// written to a topic. Windowed keys leave out their times: all windows of a key share a partition.
    fn unhashed_suffix(&self) -> usize {
        0
    }
}

/// A shared serde.
pub type SerdeRef<T> = Arc<dyn Serde<T>>;

/// Types that have a serde without being asked: those of Kafka's own serializers, `Option` of them, and the wrappers
/// [`Json`] and [`Bincode`].
pub trait DefaultSerde: Sized + 'static {
    /// The serde of this type.
    fn serde() -> SerdeRef<Self>;
}

/// The bytes, unless they are null.
fn present<'a>(expected: &'static str, bytes: Option<&'a [u8]>) -> Result<&'a [u8], SerdeError> {
    bytes.ok_or_else(|| SerdeError::new(expected, "found null"))
}

/// Exactly `N` bytes.
fn fixed<const N: usize>(expected: &'static str, bytes: Option<&[u8]>) -> Result<[u8; N], SerdeError> {
    let bytes = present(expected, bytes)?;
    bytes.try_into().map_err(|_| SerdeError::new(expected, format!("found {} bytes", bytes.len())))
}
