//! What the nodes of one task share while a record goes down the chain: the task's state, its effects, its times.

use std::sync::Arc;

use millstream_state::context::{HasState, StateContext};
use millstream_state::error::BoxError;
use millstream_state::model::{RecordBuffer, RecordContext, Timestamp};

use crate::error::ProcessError;
use crate::global::Globals;
use crate::processor::timers::Timers;

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
    /// Whether operators pause between two emissions of what has closed, as the topology's settings say. A test driver
    /// does not: nobody would move its clock.
    pub emit_pauses: bool,
    /// Times that single operators observe (a windowed aggregation's stream time), by the slots that the chain gave
    /// out; committed with the offsets, because grace must not differ after a restart.
    pub operator_times: Vec<Timestamp>,
    /// Records dropped by an operator (null key, late), by reason.
    pub dropped: Dropped,
    /// Topics chosen per record by a topic extractor: the record's index in `outputs`, and its topic.
    pub dynamic_topics: Vec<(usize, Arc<str>)>,
    /// The partition counts of the sinks' topics, for partitioners; a sink that is not in the list has one partition.
    pub sink_partitions: Vec<i32>,
    /// When processors are to be called without a record.
    pub timers: Timers,
    /// Whether a processor has asked for a commit.
    pub commit_requested: bool,
    /// Whether the task goes on after a record that the user's code has refused.
    pub survive_refusal: bool,
    /// What the user's code has refused since the task last looked.
    pub refused: Vec<Refusal>,
    /// The instance's global stores.
    pub globals: Globals,
    /// The partition of the task; -1 until the runtime says.
    pub partition: i32,
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

/// A record that the user's code has refused.
#[derive(Debug)]
pub struct Refusal {
    /// The node whose code it was.
    pub node: Arc<str>,
    /// The input record that was being processed.
    pub record: RecordContext,
    /// What the code said.
    pub error: BoxError,
}

impl Context {
    /// Takes note that a node's code has refused a record, if the task is to go on without it.
    ///
    /// # Errors
    /// If the task is to stop.
    pub fn refuse(&mut self, node: &Arc<str>, error: BoxError) -> Result<(), ProcessError> {
        if !self.survive_refusal {
            return Err(ProcessError::User { node: node.clone(), source: error });
        }
        self.refused.push(Refusal { node: node.clone(), record: self.state.record.clone(), error });
        Ok(())
    }

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
            timers: Timers::default(),
            commit_requested: false,
            survive_refusal: false,
            refused: Vec::new(),
            globals: Globals::default(),
            emit_pauses: true,
            partition: -1,
        }
    }
}

impl HasState for Context {
    fn state(&mut self) -> &mut StateContext {
        &mut self.state
    }
}
