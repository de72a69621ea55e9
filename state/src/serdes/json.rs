//! JSON of any `serde` type.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DefaultSerde, Serde, SerdeRef, present};
use crate::error::SerdeError;

/// A value that is written as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

struct JsonSerde<T>(PhantomData<fn() -> T>);

impl<T> JsonSerde<T> {
    const EXPECTED: &'static str = "JSON of the expected shape";
}

impl<T: Serialize + DeserializeOwned> Serde<T> for JsonSerde<T> {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(|error| SerdeError::new(Self::EXPECTED, error.to_string()))
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let bytes = present(Self::EXPECTED, bytes)?;
        serde_json::from_slice(bytes)
            .map_err(|error| SerdeError::new(Self::EXPECTED, format!("{} ({error})", std::any::type_name::<T>())))
    }
}

struct Wrapped<T>(JsonSerde<T>);

impl<T: Serialize + DeserializeOwned> Serde<Json<T>> for Wrapped<T> {
    fn encode(&self, value: &Json<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.encode(&value.0, out)
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Json<T>, SerdeError> {
        self.0.decode(bytes).map(Json)
    }
}

/// `T` as JSON, without the wrapper [`Json`].
pub fn json<T: Serialize + DeserializeOwned + 'static>() -> SerdeRef<T> {
    Arc::new(JsonSerde(PhantomData))
}

impl<T: Serialize + DeserializeOwned + 'static> DefaultSerde for Json<T> {
    fn serde() -> SerdeRef<Self> {
        Arc::new(Wrapped(JsonSerde(PhantomData)))
    }
}
