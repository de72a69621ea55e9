//! Processors that cannot change the key, so that nothing below has to be repartitioned.

use std::marker::PhantomData;
use std::time::Duration;

use millstream_state::error::BoxError;
use millstream_state::model::{Headers, Timestamp};

use super::context::{StoreScope, sealed};
use super::timers::{Punctuation, Timer};
use super::{Outcome, Processor, ProcessorContext, RecordMetadata};
use crate::context::Context;
use crate::push::Record;

/// A record whose key stays as it is (Kafka Streams' `FixedKeyRecord`). It comes from the stream and from nowhere else:
///
/// ```compile_fail
/// # use millstream_operators::processor::FixedKeyRecord;
/// # fn rekeyed<'a>(record: FixedKeyRecord<'a, String, String>, other: &'a String) {
/// let changed = record.with_key(other);
/// # }
/// ```
#[derive(Debug)]
pub struct FixedKeyRecord<'a, K, V> {
    record: Record<'a, K, V>,
}

impl<K, V> Clone for FixedKeyRecord<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for FixedKeyRecord<'_, K, V> {}

impl<'a, K, V> FixedKeyRecord<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &'a K {
        self.record.key
    }

    /// The value.
    pub fn value(&self) -> &'a V {
        self.record.value
    }

    /// The record's time.
    pub fn timestamp(&self) -> Timestamp {
        self.record.timestamp
    }

    /// The record's headers.
    pub fn headers(&self) -> &'a Headers {
        self.record.headers
    }

    /// The same record with another value.
    pub fn with_value<U>(self, value: &'a U) -> FixedKeyRecord<'a, K, U> {
        FixedKeyRecord { record: self.record.with_value(value) }
    }

    /// The same record with another time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { record: self.record.with_timestamp(timestamp) }
    }

    /// The same record with other headers.
    pub fn with_headers(self, headers: &'a Headers) -> Self {
        Self { record: self.record.with_headers(headers) }
    }
}

/// The context of a processor that cannot change the key (Kafka Streams' `FixedKeyProcessorContext`).
pub struct FixedKeyContext<'a, 'b, K, U>(&'a mut ProcessorContext<'b, K, U>);

impl<K, U> sealed::Sealed for FixedKeyContext<'_, '_, K, U> {
    fn context(&mut self) -> &mut Context {
        self.0.cx
    }
}
impl<K, U> StoreScope for FixedKeyContext<'_, '_, K, U> {}

impl<K, U> FixedKeyContext<'_, '_, K, U> {
    /// As [`ProcessorContext::forward`].
    ///
    /// # Errors
    /// If a node below fails; pass it on with `?`.
    pub fn forward(&mut self, record: FixedKeyRecord<'_, K, U>) -> Result<(), BoxError> {
        self.0.forward(record.record)
    }

    /// As [`ProcessorContext::forward_to`].
    ///
    /// # Errors
    /// If there is no such node below, or it fails.
    pub fn forward_to(&mut self, child: &str, record: FixedKeyRecord<'_, K, U>) -> Result<(), BoxError> {
        self.0.forward_to(child, record.record)
    }

    /// As [`ProcessorContext::record_metadata`].
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        self.0.record_metadata()
    }

    /// As [`ProcessorContext::headers`].
    pub fn headers(&self) -> &Headers {
        self.0.headers()
    }

    /// As [`ProcessorContext::stream_time`].
    pub fn stream_time(&self) -> Timestamp {
        self.0.stream_time()
    }

    /// As [`ProcessorContext::wall_clock`].
    pub fn wall_clock(&self) -> Timestamp {
        self.0.wall_clock()
    }

    /// As [`ProcessorContext::partition`].
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// As [`ProcessorContext::commit`].
    pub fn commit(&mut self) {
        self.0.commit();
    }

    /// As [`ProcessorContext::schedule`].
    pub fn schedule(&mut self, interval: Duration, kind: Punctuation) -> Timer {
        self.0.schedule(interval, kind)
    }

    /// As [`ProcessorContext::cancel`].
    pub fn cancel(&mut self, timer: Timer) {
        self.0.cancel(timer);
    }
}

/// An operator of your own that keeps the key (Kafka Streams' `FixedKeyProcessor`): takes records of `K` and `V`, forwards
/// records of `K` and `U`. As [`Processor`], which says when the hooks are called.
pub trait FixedKeyProcessor<K, V, U> {
    /// As [`Processor::init`].
    ///
    /// # Errors
    /// Whatever is to stop the task.
    fn init(&mut self, cx: &mut FixedKeyContext<'_, '_, K, U>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// As [`Processor::process`].
    ///
    /// # Errors
    /// Whatever is to stop the task at this record.
    fn process(&mut self, cx: &mut FixedKeyContext<'_, '_, K, U>, record: FixedKeyRecord<'_, K, V>) -> Outcome;

    /// As [`Processor::punctuate`]; there is no record, and so no key to forward with.
    ///
    /// # Errors
    /// Whatever is to stop the task.
    fn punctuate(&mut self, cx: &mut FixedKeyContext<'_, '_, K, U>, timer: Timer, now: Timestamp) -> Outcome {
        let _ = (cx, timer, now);
        Ok(())
    }

    /// As [`Processor::close`].
    fn close(&mut self) {}
}

impl<F, K, V, U> FixedKeyProcessor<K, V, U> for F
where
    F: FnMut(&mut FixedKeyContext<'_, '_, K, U>, FixedKeyRecord<'_, K, V>) -> Outcome,
{
    fn process(&mut self, cx: &mut FixedKeyContext<'_, '_, K, U>, record: FixedKeyRecord<'_, K, V>) -> Outcome {
        self(cx, record)
    }
}

/// A fixed-key processor as one that happens to keep the key.
pub(crate) struct FixedKey<P, V>(P, PhantomData<fn(V)>);

impl<P, V> FixedKey<P, V> {
    pub(crate) fn new(processor: P) -> Self {
        Self(processor, PhantomData)
    }
}

impl<P: FixedKeyProcessor<K, V, U>, K, V, U> Processor<K, V, K, U> for FixedKey<P, V> {
    fn init(&mut self, cx: &mut ProcessorContext<'_, K, U>) -> Outcome {
        self.0.init(&mut FixedKeyContext(cx))
    }

    fn process(&mut self, cx: &mut ProcessorContext<'_, K, U>, record: Record<'_, K, V>) -> Outcome {
        self.0.process(&mut FixedKeyContext(cx), FixedKeyRecord { record })
    }

    fn punctuate(&mut self, cx: &mut ProcessorContext<'_, K, U>, timer: Timer, now: Timestamp) -> Outcome {
        self.0.punctuate(&mut FixedKeyContext(cx), timer, now)
    }

    fn close(&mut self) {
        self.0.close();
    }
}
