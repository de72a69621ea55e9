//! What is committed beside an offset: partition time, the times operators observed, and which commit it was.
//!
//! The format is Kafka Streams' `TopicPartitionMetadata` (base64 of: magic 2, partition time (8), then a count (4) and
//! per operator its name's length (4), name, time (8)), so that either can go on from the other's offsets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_state::model::Timestamp;

/// The longest metadata a broker takes by default (`offset.metadata.max.bytes`).
pub const MAX_LEN: usize = 4096;

const MAGIC: u8 = 2;
const MAGIC_WITHOUT_OPERATORS: u8 = 1;
/// The name under which the commit's id stands among the operators' times.
const COMMIT: &str = "millstream.commit";

/// The metadata of one committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// The largest timestamp processed from this partition.
    pub partition_time: Timestamp,
    /// The times that single operators of the task have observed, by operator name.
    pub operator_times: Vec<(String, Timestamp)>,
    /// Which commit this was; tells a transaction of unknown outcome.
    pub commit: Option<i64>,
}

impl Default for OffsetMetadata {
    fn default() -> Self {
        Self { partition_time: Timestamp::UNKNOWN, operator_times: Vec::new(), commit: None }
    }
}

impl OffsetMetadata {
    /// The text to commit.
    pub fn encode(&self) -> String {
        let mut bytes = vec![MAGIC];
        bytes.extend(self.partition_time.millis().to_be_bytes());
        let entries = self
            .operator_times
            .iter()
            .map(|(name, time)| (name.as_str(), time.millis()))
            .chain(self.commit.map(|commit| (COMMIT, commit)));
        let count = self.operator_times.len() + usize::from(self.commit.is_some());
        if count > 0 {
            bytes.extend((count as u32).to_be_bytes());
            for (name, time) in entries {
                bytes.extend((name.len() as u32).to_be_bytes());
                bytes.extend(name.as_bytes());
                bytes.extend(time.to_be_bytes());
            }
        }
        STANDARD.encode(bytes)
    }

    /// Reads committed text. Text of another writer is no error: it gives what it says, or the default.
    pub fn decode(text: &str) -> Self {
        STANDARD.decode(text).ok().and_then(|bytes| Self::read(&bytes)).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let magic = take(&mut rest, 1)?[0];
        if magic != MAGIC && magic != MAGIC_WITHOUT_OPERATORS {
            return None;
        }
        let partition_time = Timestamp::from_millis(i64::from_be_bytes(take(&mut rest, 8)?.try_into().ok()?));
        let mut metadata = Self { partition_time, ..Self::default() };
        if magic == MAGIC && !rest.is_empty() {
            let count = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
            for _ in 0..count {
                let len = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?) as usize;
                let name = std::str::from_utf8(take(&mut rest, len)?).ok()?;
                let value = i64::from_be_bytes(take(&mut rest, 8)?.try_into().ok()?);
                if name == COMMIT {
                    metadata.commit = Some(value);
                } else {
                    metadata.operator_times.push((name.to_owned(), Timestamp::from_millis(value)));
                }
            }
        }
        Some(metadata)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back_as_committed() {
        let metadata = OffsetMetadata {
            partition_time: Timestamp::from_millis(1_357_034_400_000),
            operator_times: vec![("KSTREAM-AGGREGATE-0000000003".into(), Timestamp::from_millis(17))],
            commit: Some(-5),
        };
        assert_eq!(OffsetMetadata::decode(&metadata.encode()), metadata);
    }

    #[test]
    fn text_of_another_writer_is_no_error() {
        for text in ["", "not base64!", "AAAA", "Ag=="] {
            assert_eq!(OffsetMetadata::decode(text), OffsetMetadata::default());
        }
    }

    #[test]
    fn metadata_of_kafka_streams_before_operator_times_is_read() {
        let mut bytes = vec![1u8];
        bytes.extend(42i64.to_be_bytes());
        let metadata = OffsetMetadata::decode(&STANDARD.encode(bytes));
        assert_eq!(metadata.partition_time, Timestamp::from_millis(42));
        assert_eq!(metadata.commit, None);
    }
}
