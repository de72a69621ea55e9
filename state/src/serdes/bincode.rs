//! Compact binary encoding of any `serde` type, with a version byte in front.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use ::bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DefaultSerde, Serde, SerdeRef, present};
use crate::error::SerdeError;

/// The version this crate writes: bincode 2, standard configuration.
const VERSION: u8 = 1;
/// No value is larger: a corrupt length must not make the decoder ask for all memory.
const MAX_BYTES: usize = 64 << 20;
const EXPECTED: &str = "bincode (version byte 1, then bincode 2 in its standard configuration)";

/// A value that is written with bincode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bincode<T>(pub T);

impl<T> Deref for Bincode<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Bincode<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_BYTES>> {
    standard().with_limit::<MAX_BYTES>()
}

struct BincodeSerde<T>(PhantomData<fn() -> T>);

impl<T: Serialize + DeserializeOwned> Serde<T> for BincodeSerde<T> {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(VERSION);
        ::bincode::serde::encode_into_std_write(value, out, config())
            .map(drop)
            .map_err(|error| SerdeError::new(EXPECTED, error.to_string()))
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let refuse = |reason: String| SerdeError::new(EXPECTED, reason);
        let body = match present(EXPECTED, bytes)?.split_first() {
            Some((&VERSION, body)) => body,
            Some((version, _)) => return Err(refuse(format!("found version byte {version}"))),
            None => return Err(refuse("found no bytes".into())),
        };
        let (value, read) = ::bincode::serde::decode_from_slice(body, config())
            .map_err(|error| refuse(format!("{} ({error})", std::any::type_name::<T>())))?;
        if read < body.len() {
            return Err(refuse(format!("{} bytes follow the value", body.len() - read)));
        }
        Ok(value)
    }
}

struct Wrapped<T>(BincodeSerde<T>);

impl<T: Serialize + DeserializeOwned> Serde<Bincode<T>> for Wrapped<T> {
    fn encode(&self, value: &Bincode<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.encode(&value.0, out)
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Bincode<T>, SerdeError> {
        self.0.decode(bytes).map(Bincode)
    }
}

/// `T` with bincode, without the wrapper [`Bincode`].
pub fn bincode<T: Serialize + DeserializeOwned + 'static>() -> SerdeRef<T> {
    Arc::new(BincodeSerde(PhantomData))
}

impl<T: Serialize + DeserializeOwned + 'static> DefaultSerde for Bincode<T> {
    fn serde() -> SerdeRef<Self> {
        Arc::new(Wrapped(BincodeSerde(PhantomData)))
    }
}
