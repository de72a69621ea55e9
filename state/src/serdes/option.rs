//! `Option`: null as `None`.

use std::sync::Arc;

use super::{DefaultSerde, Serde, SerdeRef};
use crate::error::SerdeError;

struct Nullable<T>(SerdeRef<T>);

impl<T> Serde<Option<T>> for Nullable<T> {
    fn encode(&self, value: &Option<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match value {
            Some(value) => self.0.encode(value, out),
            None => Ok(()),
        }
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Option<T>, SerdeError> {
        bytes.map(|bytes| self.0.decode(Some(bytes))).transpose()
    }

    fn decode_into(&self, bytes: Option<&[u8]>, slot: &mut Option<Option<T>>) -> Result<(), SerdeError> {
        match bytes {
            Some(_) => self.0.decode_into(bytes, slot.get_or_insert_default()),
            None => {
                *slot = Some(None);
                Ok(())
            }
        }
    }

    fn is_null(&self, value: &Option<T>) -> bool {
        value.as_ref().is_none_or(|value| self.0.is_null(value))
    }

    fn unhashed_suffix(&self) -> usize {
        self.0.unhashed_suffix()
    }
}

/// What `inner` reads and writes, or null.
pub fn option<T: 'static>(inner: SerdeRef<T>) -> SerdeRef<Option<T>> {
    Arc::new(Nullable(inner))
}

impl<T: DefaultSerde> DefaultSerde for Option<T> {
    fn serde() -> SerdeRef<Self> {
        option(T::serde())
    }
}
