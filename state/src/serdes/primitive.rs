//! Text, bytes and numbers, as Kafka's own serializers write them.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{DefaultSerde, Serde, SerdeRef, fixed, present};
use crate::error::SerdeError;

struct Text;
const TEXT: &str = "a string (UTF-8)";

impl Text {
    fn check(bytes: Option<&[u8]>) -> Result<&str, SerdeError> {
        let bytes = present(TEXT, bytes)?;
        std::str::from_utf8(bytes).map_err(|error| SerdeError::new(TEXT, error.to_string()))
    }
}

impl Serde<String> for Text {
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        Self::check(bytes).map(str::to_owned)
    }

    fn decode_into(&self, bytes: Option<&[u8]>, slot: &mut Option<String>) -> Result<(), SerdeError> {
        let text = Self::check(bytes)?;
        let slot = slot.get_or_insert_default();
        slot.clear();
        slot.push_str(text);
        Ok(())
    }
}

struct Raw;
const RAW: &str = "bytes";

impl Serde<Vec<u8>> for Raw {
    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Vec<u8>, SerdeError> {
        present(RAW, bytes).map(<[u8]>::to_vec)
    }

    fn decode_into(&self, bytes: Option<&[u8]>, slot: &mut Option<Vec<u8>>) -> Result<(), SerdeError> {
        let bytes = present(RAW, bytes)?;
        let slot = slot.get_or_insert_default();
        slot.clear();
        slot.extend_from_slice(bytes);
        Ok(())
    }
}

impl Serde<Bytes> for Raw {
    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Bytes, SerdeError> {
        present(RAW, bytes).map(Bytes::copy_from_slice)
    }
}

struct Number;

macro_rules! numbers {
    ($($type:ident $expected:literal $doc:literal)*) => {$(
        impl Serde<$type> for Number {
            fn encode(&self, value: &$type, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            fn decode(&self, bytes: Option<&[u8]>) -> Result<$type, SerdeError> {
                Ok($type::from_be_bytes(fixed($expected, bytes)?))
            }
        }

        impl DefaultSerde for $type {
            fn serde() -> SerdeRef<Self> {
                Arc::new(Number)
            }
        }

        #[doc = $doc]
        pub fn $type() -> SerdeRef<$type> {
            $type::serde()
        }
    )*};
}

numbers! {
    i16 "i16 (2 bytes big-endian)" "16-bit integers: 2 bytes big-endian (Kafka's `ShortSerializer`)."
    i32 "i32 (4 bytes big-endian)" "32-bit integers: 4 bytes big-endian (Kafka's `IntegerSerializer`)."
    i64 "i64 (8 bytes big-endian)" "64-bit integers: 8 bytes big-endian (Kafka's `LongSerializer`)."
    u32 "u32 (4 bytes big-endian)" "Unsigned 32-bit integers: 4 bytes big-endian."
    u64 "u64 (8 bytes big-endian)" "Unsigned 64-bit integers: 8 bytes big-endian."
    f32 "f32 (4 bytes big-endian)" "Single-precision numbers: 4 bytes big-endian (Kafka's `FloatSerializer`)."
    f64 "f64 (8 bytes big-endian)" "Double-precision numbers: 8 bytes big-endian (Kafka's `DoubleSerializer`)."
}

struct Flag;
const FLAG: &str = "bool (1 byte, 0 or 1)";

impl Serde<bool> for Flag {
    fn encode(&self, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<bool, SerdeError> {
        match fixed::<1>(FLAG, bytes)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(SerdeError::new(FLAG, format!("found byte {other}"))),
        }
    }
}

struct UuidText;
const UUID: &str = "a UUID (36 characters with hyphens)";

impl Serde<Uuid> for UuidText {
    fn encode(&self, value: &Uuid, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let mut text = Uuid::encode_buffer();
        out.extend_from_slice(value.hyphenated().encode_lower(&mut text).as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Uuid, SerdeError> {
        let text = fixed::<36>(UUID, bytes)?;
        Uuid::try_parse_ascii(&text).map_err(|error| SerdeError::new(UUID, error.to_string()))
    }
}

struct Null;

impl Serde<()> for Null {
    fn encode(&self, _value: &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<(), SerdeError> {
        match bytes {
            None => Ok(()),
            Some(bytes) => Err(SerdeError::new("null", format!("found {} bytes", bytes.len()))),
        }
    }

    fn is_null(&self, _value: &()) -> bool {
        true
    }
}

macro_rules! plain {
    ($($name:ident $type:ty = $serde:ident $doc:literal)*) => {$(
        impl DefaultSerde for $type {
            fn serde() -> SerdeRef<Self> {
                Arc::new($serde)
            }
        }

        #[doc = $doc]
        pub fn $name() -> SerdeRef<$type> {
            <$type>::serde()
        }
    )*};
}

plain! {
    string String = Text "Text as UTF-8 (Kafka's `StringSerializer`)."
    byte_vec Vec<u8> = Raw "Bytes as they are (Kafka's `ByteArraySerializer`)."
    bytes Bytes = Raw "Bytes as they are, shared when cloned (Kafka's `BytesSerializer`)."
    bool bool = Flag "One byte, 0 or 1 (Kafka's `BooleanSerializer`)."
    uuid Uuid = UuidText "A UUID as its text (Kafka's `UUIDSerializer`)."
    unit () = Null "Nothing: always null (Kafka's `VoidSerializer`)."
}
