//! What the nodes of one task share while a record goes down the chain: the task's state, its effects, its times.

use std::sync::Arc;

use millstream_state::context::{HasState, StateContext};
use millstream_state::model::{RecordBuffer, Timestamp};

/// The state and effects of one task. It can be sent between threads; the operator chain, which cannot, is rebuilt
/// where the task runs.
pub struct Context {
    /// Stores, changelog records, the record being processed.
    pub state: StateContext,
    /// Records for sinks and repartition topics; the target is the index of the sink in its sub-topology.
    pub outputs: RecordBuffer,
    /// The largest timestamp of any record this task has processed; [`Timestamp::UNKNOWN`] at first.
    pub stream_time: Timestamp,
    /// The wall-clock time that the runtime last passed in.
    pub wall_clock: Timestamp,
    /// Times that single operators observe (a windowed aggregation's stream time), by the slots that the chain gave
    /// out; committed with the offsets, because grace must not differ after a restart.
    pub operator_times: Vec<Timestamp>,
    /// Records dropped by an operator (null key, late), by reason.
    pub dropped: Dropped,
    /// Topics chosen per record by a topic extractor: the record's index in `outputs`, and its topic.
    pub dynamic_topics: Vec<(usize, Arc<str>)>,
    /// The partition counts of the sinks' topics, for partitioners; a sink that is not in the list has one partition.
    pub sink_partitions: Vec<i32>,
}

/// How many records operators have dropped since the task was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records with a null key or value where the operator needs one.
    pub null: u64,
    /// Records that came after their window had closed.
    pub late: u64,
    /// Records whose timestamp was invalid.
    pub timestamp: u64,
}

impl Context {
    /// A context over a task's state.
    pub fn new(state: StateContext) -> Self {
        Self {
            state,
            outputs: RecordBuffer::default(),
            stream_time: Timestamp::UNKNOWN,
            wall_clock: Timestamp::from_millis(0),
            operator_times: Vec::new(),
            dropped: Dropped::default(),
            dynamic_topics: Vec::new(),
            sink_partitions: Vec::new(),
        }
    }
}

impl HasState for Context {
    fn state(&mut self) -> &mut StateContext {
        &mut self.state
    }
}
