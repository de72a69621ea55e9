//! The name of a task.

use std::fmt;
use std::str::FromStr;

/// One partition of one sub-topology: the unit of work, of state and of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The sub-topology's number, as `Topology::describe` shows it.
    pub sub_topology: u32,
    /// The partition of its input topics.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

impl FromStr for TaskId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (sub_topology, partition) = text.split_once('_')?;
            Some(Self { sub_topology: sub_topology.parse().ok()?, partition: partition.parse().ok()? })
        };
        parse().ok_or_else(|| format!("{text:?} is not a task id; those look like 0_3"))
    }
}
