//! User code that panics: fail, replace, skip, or send the record to a dead-letter topic.
//!
//! ```text
//!  panic on a record ──► condemned; the transaction is rolled back ──► when it comes again it is set aside before anybody
//!                                                                     sees it: it has had no effect at all
//! ```

use std::sync::Arc;

use millstream_state::model::{Offset, RecordMeta, Timestamp, TopicPartition};

use super::dead_letter::DeadLetter;
use super::{PANICKED, Task, TaskError};

/// What to do when user code panics (`StreamsUncaughtExceptionHandler` in Kafka Streams).
///
/// Whatever is chosen, nothing of the transaction in which it happened is committed, and operators and their record caches
/// are made anew: what a panic left half done is never seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PanicHandler {
    /// Stop the instance with an error that names the record. The record is not lost: its offset is not committed.
    #[default]
    Fail,
    /// Make the worker's operators anew and process again from the last commit (`REPLACE_THREAD`): for what fails by
    /// chance. After `attempts` times without a commit in between the instance stops.
    Replace {
        /// How often in a row.
        attempts: u32,
    },
    /// Process the others again without the record, count it and log it. The record has no effect.
    Skip,
    /// The same, and write the record as it came to this topic, with the error in its headers, in the same transaction.
    DeadLetter(Arc<str>),
}

/// A record that must not be processed again.
struct Condemned {
    input: usize,
    offset: Offset,
    error: String,
}

/// What is known about where a panic happens, and about the records it has happened on.
#[derive(Default)]
pub(crate) struct Panics {
    condemned: Vec<Condemned>,
    /// Whether the caches are flushed after each record, to find the one that makes a flush fail.
    careful: bool,
    /// The input whose head is being processed.
    looking_at: Option<usize>,
    /// The record whose effects are being flushed.
    flushing: Option<(TopicPartition, Offset)>,
}

impl Panics {
    /// The head of this input is taken up; `None` if what follows has to do with no record.
    pub(super) fn look_at(&mut self, input: Option<usize>) {
        self.looking_at = input;
        self.flushing = None;
    }

    /// Whether any record must not be processed again.
    pub(super) fn any(&self) -> bool {
        !self.condemned.is_empty()
    }
}

impl Task {
    /// The error of a panic in the middle of what this task was doing.
    pub fn panicked(&self, message: String) -> TaskError {
        let at = self.panics.flushing.clone().or_else(|| self.head(self.panics.looking_at?));
        TaskError::Panicked { task: self.id, at, message }
    }

    /// What is known, to be given to the task that goes on in place of this one.
    pub(crate) fn take_panics(&mut self) -> Panics {
        self.panics.look_at(None);
        std::mem::take(&mut self.panics)
    }

    /// Takes up what is known.
    pub(crate) fn set_panics(&mut self, panics: Panics) {
        self.panics = panics;
    }

    fn head(&self, input: usize) -> Option<(TopicPartition, Offset)> {
        let input = self.inputs.get(input)?;
        Some((input.partition.clone(), input.record()?.offset))
    }

    /// From now on the record at fault is set aside when it comes; what is done so far must be rewound. Without a record
    /// to blame the cause is looked for: the caches are flushed after each record until the next commit. Answers `false`
    /// if that has been tried.
    pub fn condemn(&mut self, error: &TaskError) -> bool {
        let TaskError::Panicked { at: Some((partition, offset)), .. } = error else {
            return !std::mem::replace(&mut self.panics.careful, true);
        };
        let Some(input) = self.inputs.iter().position(|input| input.partition == *partition) else { return false };
        self.panics.condemned.push(Condemned { input, offset: *offset, error: error.to_string() });
        true
    }

    /// Sets the head of the input aside if it is condemned.
    pub(super) fn execute(&mut self, index: usize) -> bool {
        let input = &mut self.inputs[index];
        let Some(record) = input.record() else { return false };
        let meant = |condemned: &&Condemned| condemned.input == index && condemned.offset == record.offset;
        // It stays condemned until it is behind us for good.
        let Some(Condemned { error, .. }) = self.panics.condemned.iter().find(meant) else { return false };
        let (topic, partition, offset) = (&input.partition.topic, input.partition.partition, record.offset);
        if let PanicHandler::DeadLetter(to) = &self.rules.panics {
            tracing::warn!(task = %self.id, %topic, partition, %offset, "record goes to the dead-letter topic {to}: {error}");
            let letter = DeadLetter { exception: "Panic", message: error, node: None, topic, partition, offset };
            let headers = letter.headers(record.headers);
            let meta = RecordMeta { target: PANICKED, partition: None, timestamp: Some(record.timestamp) };
            self.cx.outputs.append(meta, &headers, record.key, record.value);
        } else {
            tracing::warn!(task = %self.id, %topic, partition, %offset, "record skipped: {error}");
        }
        input.advance(Timestamp::UNKNOWN);
        self.counts.panicked += 1;
        self.touched = true;
        true
    }

    /// Forgets the condemned records that are behind us for good.
    pub(super) fn pardon(&mut self) {
        let inputs = &self.inputs;
        self.panics.condemned.retain(|record| record.offset.number() >= inputs[record.input].position.number());
        self.panics.careful = false;
    }

    /// The record to blame for what fails until [`Task::flush_for`]; `None` if nobody looks for one.
    pub(super) fn suspect(&self, input: usize) -> Option<(TopicPartition, Offset)> {
        if self.panics.careful { self.head(input) } else { None }
    }

    /// Flushes the caches right after a record, so that what fails can be laid to it.
    pub(super) fn flush_for(&mut self, suspect: (TopicPartition, Offset)) -> Result<(), TaskError> {
        self.panics.flushing = Some(suspect);
        self.flush()?;
        self.panics.flushing = None;
        Ok(())
    }
}
