//! Turns the values of the vectors into bytes and back, by the types that the files declare.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// A declared type of a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Long,
    Int,
    Bytes,
    /// A string in a time window of this size.
    TimeWindowed(i64),
    /// A string in a session.
    SessionWindowed,
}

impl Type {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "string" => Self::String,
            "long" => Self::Long,
            "int" => Self::Int,
            "bytes" => Self::Bytes,
            "session-windowed<string>" => Self::SessionWindowed,
            _ => {
                let size = text
                    .strip_prefix("time-windowed<string>(size ")
                    .and_then(|rest| rest.strip_suffix(" ms)"))
                    .ok_or_else(|| anyhow!("{text:?} is not a type that vectors have"))?;
                Self::TimeWindowed(size.parse().with_context(|| format!("window size in {text:?}"))?)
            }
        })
    }

    /// The bytes of `value`; `None` for null.
    pub(crate) fn encode(self, value: &Value) -> Result<Option<Vec<u8>>> {
        if value.is_null() {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::String => text(value)?.as_bytes().to_vec(),
            Self::Long => number(value)?.to_be_bytes().to_vec(),
            Self::Int => i32::try_from(number(value)?)?.to_be_bytes().to_vec(),
            Self::Bytes => unhex(text(&value["hex"])?)?,
            Self::TimeWindowed(_) => {
                [text(&value["key"])?.as_bytes(), &number(&value["start"])?.to_be_bytes()].concat()
            }
            Self::SessionWindowed => [
                text(&value["key"])?.as_bytes(),
                &number(&value["end"])?.to_be_bytes(),
                &number(&value["start"])?.to_be_bytes(),
            ]
            .concat(),
        }))
    }

    /// The value of these bytes as the vectors write it; bytes that are not of the type come out as hexadecimal.
    pub(crate) fn decode(self, bytes: Option<&[u8]>) -> Value {
        let Some(bytes) = bytes else { return Value::Null };
        self.decode_present(bytes).unwrap_or_else(|| json!({ "hex": hex(bytes) }))
    }

    fn decode_present(self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::String => Some(json!(std::str::from_utf8(bytes).ok()?)),
            Self::Long => Some(json!(i64::from_be_bytes(bytes.try_into().ok()?))),
            Self::Int => Some(json!(i32::from_be_bytes(bytes.try_into().ok()?))),
            Self::Bytes => None,
            Self::TimeWindowed(size) => {
                let (key, start) = bytes.split_last_chunk::<8>()?;
                let start = i64::from_be_bytes(*start);
                let end = start.saturating_add(size);
                Some(json!({ "key": std::str::from_utf8(key).ok()?, "start": start, "end": end }))
            }
            Self::SessionWindowed => {
                let (rest, start) = bytes.split_last_chunk::<8>()?;
                let (key, end) = rest.split_last_chunk::<8>()?;
                let (start, end) = (i64::from_be_bytes(*start), i64::from_be_bytes(*end));
                Some(json!({ "key": std::str::from_utf8(key).ok()?, "start": start, "end": end }))
            }
        }
    }

    /// The type that a value in a store listing must have been written with: those lists carry no types.
    pub(crate) fn of_stored(value: &Value) -> Self {
        match value {
            Value::Number(_) => Self::Long,
            Value::Object(_) => Self::Bytes,
            _ => Self::String,
        }
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| anyhow!("{value} is not a string"))
}

fn number(value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| anyhow!("{value} is not a number of 64 bits"))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hexadecimal text.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        bail!("{text:?} is not hexadecimal");
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).with_context(|| format!("{text:?} is not hexadecimal")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_come_back_from_their_bytes() {
        let windowed = json!({ "key": "a", "start": 10, "end": 30 });
        for (name, value) in [
            ("string", json!("é")),
            ("long", json!(i64::MIN)),
            ("int", json!(-7)),
            ("bytes", json!({ "hex": "00ff" })),
            ("time-windowed<string>(size 20 ms)", windowed.clone()),
            ("session-windowed<string>", windowed),
            ("string", Value::Null),
        ] {
            let of_type = Type::parse(name).unwrap();
            let bytes = of_type.encode(&value).unwrap();
            assert_eq!(of_type.decode(bytes.as_deref()), value, "{name}");
        }
    }

    #[test]
    fn bytes_that_are_not_of_the_type_are_shown_as_they_are() {
        assert_eq!(Type::Long.decode(Some(&[1, 2])), json!({ "hex": "0102" }));
    }
}
