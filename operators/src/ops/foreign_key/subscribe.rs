//! Says for each change of a left row to which foreign key the row is subscribed from now on.

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;

use super::refused;
use crate::context::Context;
use crate::error::ProcessError;
use crate::foreign_key::{Hash, Instruction, Subscription, hash};
use crate::push::{Apply, Children, Record, Update};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct SubscribeSettings<V, F, E> {
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Makes the bytes that are hashed.
    pub(crate) value: SerdeRef<V>,
    /// Tells whether foreign keys are equal: by their bytes. Recognises null ones.
    pub(crate) foreign: SerdeRef<F>,
    /// The foreign key of a row.
    pub(crate) extract: E,
    /// Whether rows without a partner are in the result.
    pub(crate) left: bool,
    /// Whether the table keeps versions: then changes to the past are none of the join.
    pub(crate) versions: bool,
}

/// The node below the left table.
pub(crate) struct Subscribe<K, V, F, E> {
    settings: Arc<SubscribeSettings<V, F, E>>,
    down: Children<Option<F>, Subscription<K>>,
}

impl<K, V, F, E> Subscribe<K, V, F, E> {
    /// Hands subscriptions to `down`.
    pub(crate) fn new(settings: Arc<SubscribeSettings<V, F, E>>, down: Children<Option<F>, Subscription<K>>) -> Self {
        Self { settings, down }
    }

    fn key_of(&self, key: &K, row: &Option<V>) -> Option<F>
    where
        E: Fn(&K, &V) -> Option<F>,
    {
        row.as_ref()
            .and_then(|row| (self.settings.extract)(key, row))
            .filter(|foreign| !self.settings.foreign.is_null(foreign))
    }

    fn differ(&self, one: &F, other: &F) -> Result<bool, ProcessError> {
        let bytes = |key: &F| {
            let mut bytes = Vec::new();
            let encoded = self.settings.foreign.encode(key, &mut bytes);
            encoded.map_err(refused(&self.settings.node, "foreign key")).map(|()| bytes)
        };
        Ok(bytes(one)? != bytes(other)?)
    }

    fn hash(&self, row: &Option<V>) -> Result<Option<Hash>, ProcessError> {
        let Some(row) = row else { return Ok(None) };
        let mut bytes = Vec::new();
        self.settings.value.encode(row, &mut bytes).map_err(refused(&self.settings.node, "value"))?;
        Ok(Some(hash(&bytes)))
    }

    /// What is to be said to the old foreign key, and what to the new one.
    fn instructions(
        &self,
        (old, new): (Option<&F>, Option<&F>),
        deleted: bool,
    ) -> Result<(Option<Instruction>, Option<Instruction>), ProcessError> {
        let changed = match (old, new) {
            (Some(old), Some(new)) => self.differ(old, new)?,
            (old, _) => old.is_some(),
        };
        if self.settings.left {
            // An answer comes in any case, also for a row that is gone or has no key: it makes the row's result.
            return Ok((changed.then_some(Instruction::DeleteSilently), Some(Instruction::AnswerAlways)));
        }
        Ok(match (old, new) {
            (Some(_), None) => (Some(Instruction::DeleteAndAnswer), None),
            (Some(_), Some(_)) if changed => (Some(Instruction::DeleteSilently), Some(Instruction::AnswerAlways)),
            (_, Some(_)) if !deleted => (None, Some(Instruction::AnswerIfPresent)),
            _ => (None, None),
        })
    }
}

impl<K, V, F, E> Apply<K, V> for Subscribe<K, V, F, E>
where
    K: Clone,
    E: Fn(&K, &V) -> Option<F>,
{
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.versions && !update.latest {
            cx.dropped.late += 1;
            return Ok(());
        }
        if update.new.is_none() && update.old.is_none() {
            return Ok(());
        }
        let (old, new) = (self.key_of(update.key, update.old), self.key_of(update.key, update.new));
        if !self.settings.left && update.new.is_some() && new.is_none() {
            cx.dropped.null += 1;
        }
        let (to_old, to_new) = self.instructions((old.as_ref(), new.as_ref()), update.new.is_none())?;
        let hash = self.hash(update.new)?;
        let Update { timestamp, headers, .. } = update;
        for (foreign, instruction) in [(old, to_old), (new, to_new)] {
            let Some(instruction) = instruction else { continue };
            let primary_partition = Some(cx.state.record.partition);
            let primary_key = update.key.clone();
            let value = &Subscription { hash, instruction, primary_key, primary_partition };
            self.down.forward(cx, Record { key: &foreign, value, timestamp, headers })?;
        }
        Ok(())
    }
}
