//! Between a store's value and the record in its changelog.
//!
//! ```text
//!  timestamped store:  value = timestamp (8) | v     record = (key, v) with that timestamp
//!  plain store:        value = v                     record = (key, v) with the time of the record that caused it
//! ```
//! A null deletes in both; keys are the same bytes on both sides.

use crate::model::Timestamp;

/// The bytes before the value in a timestamped store.
pub const TIMESTAMP_BYTES: usize = 8;

/// Appends a timestamped store's value.
pub fn push_timestamped(out: &mut Vec<u8>, timestamp: Timestamp, value: &[u8]) {
    out.reserve(TIMESTAMP_BYTES + value.len());
    out.extend_from_slice(&timestamp.millis().to_be_bytes());
    out.extend_from_slice(value);
}

/// Takes a timestamped store's value apart; `None` if it is too short to be one.
pub fn split_timestamped(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (timestamp, value) = bytes.split_first_chunk::<TIMESTAMP_BYTES>()?;
    Some((Timestamp::from_millis(i64::from_be_bytes(*timestamp)), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timestamped_value_comes_apart_into_its_parts(time: i64, value: Vec<u8>) {
            let mut bytes = Vec::new();
            push_timestamped(&mut bytes, Timestamp::from_millis(time), &value);
            prop_assert_eq!(split_timestamped(&bytes), Some((Timestamp::from_millis(time), &value[..])));
        }
    }

    #[test]
    fn a_value_that_is_too_short_is_refused() {
        assert_eq!(split_timestamped(&[0; 7]), None);
    }
}
