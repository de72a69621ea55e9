//! What a grouped table sends through its repartition topic: the new value of a row in its group, the old one, or both.
//!
//! ```text
//!  old value | 0        new value | 1        length of the new value (zig-zag varint) | new value | old value | 2
//! ```
//! Kafka Streams' `ChangedSerializer`. Its flags 3 to 5 (with another byte that says whether the change is the latest) are
//! read, and like there never written.

use std::sync::Arc;

use millstream_state::error::SerdeError;
use millstream_state::serdes::{Serde, SerdeRef};

/// A change of one row of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<V> {
    pub(crate) new: Option<V>,
    pub(crate) old: Option<V>,
}

/// The serde of changes over that of values.
pub(crate) fn change<V: 'static>(inner: SerdeRef<V>) -> SerdeRef<Change<V>> {
    Arc::new(ChangeSerde(inner))
}

struct ChangeSerde<V>(SerdeRef<V>);

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;
/// The distance to the flags with a byte that says whether the change is the latest.
const FLAGGED: u8 = 3;

impl<V: 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn encode(&self, change: &Change<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let mut bytes = Vec::new();
                self.0.encode(new, &mut bytes)?;
                push_varint(out, bytes.len());
                out.extend_from_slice(&bytes);
                self.0.encode(old, out)?;
                out.push(BOTH);
            }
            (Some(new), None) => {
                self.0.encode(new, out)?;
                out.push(NEW);
            }
            (None, Some(old)) => {
                self.0.encode(old, out)?;
                out.push(OLD);
            }
            (None, None) => return Err(SerdeError::new("a change of a table", "neither a new value nor an old one")),
        }
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Change<V>, SerdeError> {
        let bad = |found: String| SerdeError::new("a change of a table (values and a flag)", found);
        let (flag, rest) = bytes.and_then(<[u8]>::split_last).ok_or_else(|| bad("nothing".into()))?;
        let (flag, rest) = match flag.checked_sub(FLAGGED) {
            Some(flag) => (flag, rest.split_last().ok_or_else(|| bad("a flag alone".into()))?.1),
            None => (*flag, rest),
        };
        let value = |bytes: &[u8]| self.0.decode(Some(bytes)).map(Some);
        match flag {
            OLD => Ok(Change { new: None, old: value(rest)? }),
            NEW => Ok(Change { new: value(rest)?, old: None }),
            BOTH => {
                let (new, old) = split_varint(rest).ok_or_else(|| bad("a length that is not one".into()))?;
                Ok(Change { new: value(new)?, old: value(old)? })
            }
            other => Err(bad(format!("the flag {other}"))),
        }
    }
}

fn push_varint(out: &mut Vec<u8>, length: usize) {
    // Zig-zag of a number that is not negative.
    let mut rest = (length as u64) << 1;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The bytes whose length stands before them, and what comes after.
fn split_varint(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut number, mut shift) = (0u64, 0);
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let length = usize::try_from(number >> 1).ok().filter(|_| number & 1 == 0)?;
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use millstream_state::serdes::DefaultSerde;

    use super::*;

    fn round_trip(new: Option<&str>, old: Option<&str>) -> Vec<u8> {
        let serde = change(String::serde());
        let sent = Change { new: new.map(str::to_owned), old: old.map(str::to_owned) };
        let mut bytes = Vec::new();
        serde.encode(&sent, &mut bytes).unwrap();
        assert_eq!(serde.decode(Some(&bytes)).unwrap(), sent);
        bytes
    }

    #[test]
    fn changes_have_the_bytes_of_kafka_streams() {
        assert_eq!(round_trip(Some("c"), None), [0x63, 1]);
        assert_eq!(round_trip(None, Some("b")), [0x62, 0]);
        assert_eq!(round_trip(Some("c"), Some("b")), [2, 0x63, 0x62, 2]);
        assert_eq!(round_trip(Some(&"x".repeat(100)), Some(""))[..2], [0xc8, 1]);
    }

    #[test]
    fn flags_that_say_whether_a_change_is_the_latest_are_understood() {
        let serde = change(String::serde());
        let read = serde.decode(Some(&[0x63, 1, 4])).unwrap();
        assert_eq!(read, Change { new: Some("c".to_owned()), old: None });
        assert!(serde.decode(Some(&[9])).is_err() && serde.decode(Some(&[])).is_err() && serde.decode(None).is_err());
        assert!(serde.decode(Some(&[0x7f, 0x63, 2])).is_err());
    }
}
