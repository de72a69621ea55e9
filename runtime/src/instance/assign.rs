//! From partitions to tasks, and from tasks to workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_state::model::TopicPartition;

use super::error::StreamsError;
use crate::broker::AssignedPartition;
use crate::task::{TaskId, TaskPlan, TaskState};
use crate::worker::AssignedTask;

/// The tasks that the partitions make up. A task whose partitions are not all there is left out.
pub(super) fn tasks(
    plans: &[Arc<TaskPlan>],
    partitions: Vec<AssignedPartition>,
    parked: &mut BTreeMap<TaskId, TaskState>,
) -> Result<Vec<AssignedTask>, StreamsError> {
    let mut ours: HashMap<TopicPartition, AssignedPartition> =
        partitions.into_iter().map(|assigned| (assigned.partition.clone(), assigned)).collect();
    let mut tasks = Vec::new();
    for plan in plans {
        for partition in 0..plan.tasks() {
            let id = TaskId { sub_topology: plan.id(), partition };
            let wanted: Vec<TopicPartition> = plan.inputs_of(id).map(|(_, partition)| partition).collect();
            let have = wanted.iter().filter(|partition| ours.contains_key(*partition)).count();
            if have == 0 {
                continue;
            }
            if have < wanted.len() {
                // Without this the task would take records of one input before those of another that belong first.
                tracing::warn!(task = %id, "the group gave us {have} of {} partitions; the task waits for the rest", wanted.len());
                continue;
            }
            let inputs = wanted.iter().filter_map(|partition| ours.remove(partition)).collect();
            tasks.push(AssignedTask { id, plan: plan.clone(), parked: parked.remove(&id), inputs });
        }
    }
    let known = |partition: &TopicPartition| {
        let topics = plans.iter().flat_map(|plan| &plan.inputs);
        topics.clone().any(|input| input.topic == partition.topic && partition.partition < input.partitions)
    };
    match ours.keys().find(|partition| !known(partition)) {
        Some(stranger) => {
            Err(StreamsError::NewPartition { topic: stranger.topic.to_string(), partition: stranger.partition })
        }
        None => Ok(tasks),
    }
}

/// Shares tasks out: a task stays with the worker it had while that one has no more than its share.
pub(super) fn share(
    tasks: Vec<AssignedTask>,
    alive: &[usize],
    homes: &mut BTreeMap<TaskId, usize>,
) -> BTreeMap<usize, Vec<AssignedTask>> {
    let mut shares: BTreeMap<usize, Vec<AssignedTask>> = alive.iter().map(|worker| (*worker, Vec::new())).collect();
    if alive.is_empty() {
        return shares;
    }
    let most = tasks.len().div_ceil(alive.len());
    let mut homeless = Vec::new();
    for task in tasks {
        let home = homes.get(&task.id).and_then(|worker| shares.get_mut(worker));
        match home {
            Some(share) if share.len() < most => share.push(task),
            _ => homeless.push(task),
        }
    }
    for task in homeless {
        if let Some(share) = shares.values_mut().min_by_key(|share| share.len()) {
            share.push(task);
        }
    }
    homes.clear();
    for (worker, share) in &shares {
        homes.extend(share.iter().map(|task| (task.id, *worker)));
    }
    shares
}
