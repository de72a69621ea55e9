//! Records that cannot be decoded: fail, skip, or send to a dead-letter topic (KIP-1034).

use std::sync::Arc;

use bytes::Bytes;
use millstream_operators::error::ProcessError;
use millstream_state::model::{RecordMeta, Timestamp};

use super::{DEAD_LETTERS, Task, TaskError};

/// What to do with a record whose key or value cannot be decoded (`deserialization.exception.handler`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeserializationHandler {
    /// Stop with an error that names the record. The record is not lost: its offset is not committed.
    #[default]
    Fail,
    /// Go on with the next record, count it and log it.
    Skip,
    /// Write the record as it is to this topic, with the error in its headers, in the same transaction; then go on.
    DeadLetter(Arc<str>),
}

impl Task {
    /// Decides about the head of an input that could not be processed; the head is taken away if it is to be skipped.
    pub(super) fn refuse(&mut self, index: usize, timestamp: Timestamp, error: ProcessError) -> Result<(), TaskError> {
        if !matches!(error, ProcessError::Decode { .. }) || self.rules.undecodable == DeserializationHandler::Fail {
            return Err(self.record_error(index, error));
        }
        let input = &mut self.inputs[index];
        let Some(record) = input.record() else { return Ok(()) };
        let partition = &input.partition;
        match &self.rules.undecodable {
            DeserializationHandler::DeadLetter(topic) => {
                tracing::warn!(
                    task = %self.id, topic = %partition.topic, partition = partition.partition, offset = %record.offset,
                    "record goes to the dead-letter topic {topic}: {error}"
                );
                let mut headers = record.headers.clone();
                let text = |text: String| Some(Bytes::from(text.into_bytes()));
                headers.add("__streams.errors.exception", text("DecodeError".to_owned()));
                headers.add("__streams.errors.message", text(error.to_string()));
                headers.add("__streams.errors.topic", text(partition.topic.to_string()));
                headers.add("__streams.errors.partition", text(partition.partition.to_string()));
                headers.add("__streams.errors.offset", text(record.offset.to_string()));
                let meta = RecordMeta { target: DEAD_LETTERS, partition: None, timestamp: Some(record.timestamp) };
                self.cx.outputs.append(meta, &headers, record.key, record.value);
            }
            _ => tracing::warn!(
                task = %self.id, topic = %partition.topic, partition = partition.partition, offset = %record.offset,
                "record skipped: {error}"
            ),
        }
        input.advance(timestamp);
        self.counts.undecodable += 1;
        self.touched = true;
        Ok(())
    }
}
