//! Opens the stores that a process left behind while its successor still initialises producers and joins the group.
//!
//! After a crash RocksDB reads its log when it is opened, which takes as long as the rest of a start. Where the tasks are
//! the same again, which they are for a process that comes back in time, that is done when they are assigned.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_state::engine::Storage;

use crate::task::{TaskId, TaskPlan, TaskState};
use crate::worker::open;

/// Tasks whose stores are here but not open yet.
#[derive(Default)]
pub(super) struct Ahead {
    waiting: Vec<(TaskId, Arc<TaskPlan>)>,
}

impl Ahead {
    /// The tasks of these plans that have a database here.
    pub(super) fn new(storage: &dyn Storage, plans: &[Arc<TaskPlan>]) -> Self {
        // A directory that cannot be read is an error when a task is opened, and is reported then.
        let names = storage.tasks().unwrap_or_default();
        let ids = names.iter().rev().filter_map(|name| name.parse::<TaskId>().ok());
        let plan = |id: TaskId| {
            let ours =
                |plan: &&Arc<TaskPlan>| plan.id() == id.sub_topology && (0..plan.tasks()).contains(&id.partition);
            plans.iter().find(ours).map(|plan| (id, plan.clone()))
        };
        Self { waiting: ids.filter_map(plan).collect() }
    }

    /// Opens the next one; `false` if there is none.
    pub(super) fn step(&mut self, storage: &dyn Storage, opened: &mut BTreeMap<TaskId, TaskState>) -> bool {
        let Some((id, plan)) = self.waiting.pop() else { return false };
        match open(storage, id, &plan) {
            Ok(state) => drop(opened.insert(id, state)),
            // Whoever is assigned the task tries again, and fails for this reason if it must.
            Err(error) => tracing::debug!("{error}"),
        }
        true
    }

    /// Leaves the rest to those who are assigned it.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use millstream_operators::dsl::{Materialized, StreamsBuilder};
    use millstream_operators::topology::OffsetReset;
    use millstream_state::engine::MemoryStorage;

    use super::*;
    use crate::task::InputTopic;

    fn plan(partitions: i32) -> Arc<TaskPlan> {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("words").group_by_key().count(Materialized::named("counts"));
        let mut plan = TaskPlan::new(Arc::new(builder.build().unwrap()), 0);
        let reset = OffsetReset::default();
        plan.inputs = vec![InputTopic { topic: "words".into(), partitions, source: 0, reset, repartition: false }];
        Arc::new(plan)
    }

    #[test]
    fn stores_left_behind_are_opened_in_order_and_strangers_stay_closed() {
        let storage = MemoryStorage::new();
        for left in ["0_0", "0_2", "0_3", "7_0", "lost+found"] {
            drop(storage.open(left).unwrap());
        }
        let (mut ahead, mut opened) = (Ahead::new(&storage, &[plan(3)]), BTreeMap::new());
        assert!(ahead.step(&storage, &mut opened));
        assert_eq!(opened.keys().map(ToString::to_string).collect::<Vec<_>>(), ["0_0"]);
        assert!(ahead.step(&storage, &mut opened));
        assert_eq!(opened.keys().map(ToString::to_string).collect::<Vec<_>>(), ["0_0", "0_2"]);
        assert!(!ahead.step(&storage, &mut opened));
    }

    #[test]
    fn stores_that_cannot_be_opened_ahead_are_left_to_whoever_is_assigned_them() {
        let storage = MemoryStorage::new();
        let held = storage.open("0_0").unwrap();
        let (mut ahead, mut opened) = (Ahead::new(&storage, &[plan(1)]), BTreeMap::new());
        assert!(ahead.step(&storage, &mut opened));
        assert!(opened.is_empty());
        drop(held);
        assert!(open(&storage, "0_0".parse().unwrap(), &plan(1)).is_ok());
    }
}
