//! The `try_` operators: functions that may refuse a record.
//!
//! ```text
//!  record → function ─ Ok → node below
//!                    └ Err → the handler for refused records: stop, skip, or dead letter
//! ```

use std::sync::Arc;

use millstream_state::error::BoxError;

use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Children, Process, Record};

/// What all of them need: the node's name and the function.
pub(crate) struct Attempt<F> {
    pub(crate) node: Arc<str>,
    pub(crate) function: F,
}

impl<F> Attempt<F> {
    /// The function's result, or `None` if the record was refused and the task is to go on.
    fn settle<T, E: Into<BoxError>>(&self, cx: &mut Context, result: Result<T, E>) -> Result<Option<T>, ProcessError> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error) => cx.refuse(&self.node, error.into()).map(|()| None),
        }
    }
}

/// The node of [`KStream::try_map`](crate::dsl::KStream::try_map) and of what makes records with other keys.
pub(crate) struct TryFlatMap<L, U, F> {
    pub(crate) attempt: Arc<Attempt<F>>,
    pub(crate) down: Children<L, U>,
}

impl<K, V, L, U, I, E, F> Process<K, V> for TryFlatMap<L, U, F>
where
    I: IntoIterator<Item = (L, U)>,
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<I, E>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let result = (self.attempt.function)(record.key, record.value);
        for (key, value) in self.attempt.settle(cx, result)?.into_iter().flatten() {
            self.down.forward(cx, record.with_key(&key).with_value(&value))?;
        }
        Ok(())
    }
}

/// The node of [`KStream::try_map_values`](crate::dsl::KStream::try_map_values) and its relatives.
pub(crate) struct TryFlatMapValues<K, U, F> {
    pub(crate) attempt: Arc<Attempt<F>>,
    pub(crate) down: Children<K, U>,
}

impl<K, V, U, I, E, F> Process<K, V> for TryFlatMapValues<K, U, F>
where
    I: IntoIterator<Item = U>,
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<I, E>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let result = (self.attempt.function)(record.key, record.value);
        for value in self.attempt.settle(cx, result)?.into_iter().flatten() {
            self.down.forward(cx, record.with_value(&value))?;
        }
        Ok(())
    }
}

/// The node of [`KStream::try_filter`](crate::dsl::KStream::try_filter) and of what passes records on as they are.
pub(crate) struct TryFilter<K, V, F> {
    pub(crate) attempt: Arc<Attempt<F>>,
    pub(crate) down: Children<K, V>,
}

impl<K, V, E, F> Process<K, V> for TryFilter<K, V, F>
where
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<bool, E>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let result = (self.attempt.function)(record.key, record.value);
        match self.attempt.settle(cx, result)? {
            Some(true) => self.down.forward(cx, record),
            _ => Ok(()),
        }
    }
}

/// The node of [`KStream::try_for_each`](crate::dsl::KStream::try_for_each).
pub(crate) struct TryForEach<F> {
    pub(crate) attempt: Arc<Attempt<F>>,
}

impl<K, V, E, F> Process<K, V> for TryForEach<F>
where
    E: Into<BoxError>,
    F: Fn(&K, &V) -> Result<(), E>,
{
    fn process(&mut self, cx: &mut Context, record: Record<'_, K, V>) -> Result<(), ProcessError> {
        let result = (self.attempt.function)(record.key, record.value);
        self.attempt.settle(cx, result).map(|_| ())
    }
}
