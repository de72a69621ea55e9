//! Records that cannot be decoded: fail, skip, or send to a dead-letter topic (KIP-1034).

use std::sync::Arc;

use millstream_operators::context::Refusal;
use millstream_operators::error::ProcessError;
use millstream_state::model::{RecordMeta, Timestamp};

use super::dead_letter::DeadLetter;
use super::{DEAD_LETTERS, REFUSED, Task, TaskError};

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

/// What to do with a record that the program's own code has refused: a `try_` operator's function or a processor answered
/// an error (`processing.exception.handler`).
///
/// The record is dropped at the node that refused it; what other nodes have made of it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProcessingHandler {
    /// Stop with an error that names the record. The record is not lost: its offset is not committed.
    #[default]
    Fail,
    /// Go on, count it and log it.
    Skip,
    /// Write the input record that it came of to this topic, with the error in its headers, in the same transaction;
    /// then go on. Key and value are null if the record was held back in a cache meanwhile, or there was none.
    DeadLetter(Arc<str>),
}

impl Task {
    /// Deals with what the program's code has refused while the head of `input` was processed, or without one.
    pub(super) fn bury_refused(&mut self, input: Option<usize>) {
        for refusal in std::mem::take(&mut self.cx.refused) {
            self.counts.refused += 1;
            self.touched = true;
            let Refusal { node, record, error } = refusal;
            let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
            tracing::warn!(task = %self.id, %topic, partition, %offset, "{node} has refused a record: {error}");
            if !matches!(self.rules.refused, ProcessingHandler::DeadLetter(_)) {
                continue;
            }
            let (exception, node) = ("ProcessingError", Some(&*node));
            let letter = DeadLetter { exception, message: &error, node, topic, partition, offset };
            let headers = letter.headers(&record.headers);
            let meta = RecordMeta { target: REFUSED, partition: None, timestamp: Some(record.timestamp) };
            let head = input.and_then(|input| self.inputs[input].record()).filter(|head| head.offset == offset);
            let (key, value) = head.map_or((None, None), |head| (head.key, head.value));
            self.cx.outputs.append(meta, &headers, key, value);
        }
    }

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
                let (topic, partition, offset) = (&partition.topic, partition.partition, record.offset);
                let letter =
                    DeadLetter { exception: "DecodeError", message: &error, node: None, topic, partition, offset };
                let headers = letter.headers(record.headers);
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
