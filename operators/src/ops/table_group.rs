//! `group_by` of a table: says for each change of a row which group loses what and which gains what.
//!
//! ```text
//!  update (new, old) → selector of both → same group: one change (new, old)
//!                                       → different groups: old out of the one, then new into the other
//! ```

use std::sync::Arc;

use millstream_state::serdes::SerdeRef;

use super::change::Change;
use crate::context::Context;
use crate::error::ProcessError;
use crate::push::{Apply, Children, Record, Update};

/// What such a node needs to know; shared by the chains of all tasks.
pub(crate) struct SelectSettings<L, U, F> {
    /// Recognises null group keys.
    pub(crate) key: SerdeRef<L>,
    /// Recognises null values.
    pub(crate) value: SerdeRef<U>,
    /// Group and value of a row.
    pub(crate) select: F,
    /// Whether the table keeps versions: then changes to the past are none of the groups.
    pub(crate) versions: bool,
}

/// The node of [`KTable::group_by`](crate::dsl::KTable::group_by).
pub(crate) struct TableSelect<L, U, F> {
    settings: Arc<SelectSettings<L, U, F>>,
    down: Children<L, Change<U>>,
}

impl<L, U, F> TableSelect<L, U, F> {
    /// Hands changes of groups to `down`.
    pub(crate) fn new(settings: Arc<SelectSettings<L, U, F>>, down: Children<L, Change<U>>) -> Self {
        Self { settings, down }
    }

    fn row<K, V>(&self, key: &K, value: &Option<V>) -> Option<(L, U)>
    where
        F: Fn(&K, &V) -> (L, U),
    {
        let settings = &*self.settings;
        let (group, row) = (settings.select)(key, value.as_ref()?);
        (!settings.key.is_null(&group) && !settings.value.is_null(&row)).then_some((group, row))
    }
}

impl<K, V, L: PartialEq, U, F: Fn(&K, &V) -> (L, U)> Apply<K, V> for TableSelect<L, U, F> {
    fn apply(&mut self, cx: &mut Context, update: Update<'_, K, V>) -> Result<(), ProcessError> {
        if self.settings.versions && !update.latest {
            return Ok(());
        }
        let (new, old) = (self.row(update.key, update.new), self.row(update.key, update.old));
        let Update { timestamp, headers, .. } = update;
        let mut send = |key: &L, value: &Change<U>| self.down.forward(cx, Record { key, value, timestamp, headers });
        match (new, old) {
            (Some((group, new)), Some((left, old))) if group == left => {
                send(&left, &Change { new: Some(new), old: Some(old) })
            }
            (new, old) => {
                if let Some((group, old)) = old {
                    send(&group, &Change { new: None, old: Some(old) })?;
                }
                if let Some((group, new)) = new {
                    send(&group, &Change { new: Some(new), old: None })?;
                }
                Ok(())
            }
        }
    }
}
