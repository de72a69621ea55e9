//! What a task's processors do without a record: initialising, timers, asking for a commit.
//!
//! ```text
//!  start or rewind → prepare (init hooks, once) → after each record: stream-time timers
//!                                               → whenever the worker looks: wall-clock timers
//! ```

use millstream_operators::error::ProcessError;
use millstream_operators::processor::Punctuation;
use millstream_state::model::Timestamp;

use super::{Now, Task, TaskError};
use crate::clock::Monotonic;

impl Task {
    /// Initialises the processors if that has not been done since the start or the last rewind.
    ///
    /// # Errors
    /// If a processor fails. The task must then be rewound or closed.
    pub fn prepare(&mut self, now: Now) -> Result<(), TaskError> {
        if self.chain.is_initialized() {
            return Ok(());
        }
        self.cx.wall_clock = now.wall;
        self.chain.init(&mut self.cx).map_err(self.outside())?;
        self.bury_refused(None);
        self.touched |= self.has_unsent() || self.cx.state.stores.uncommitted_bytes() > 0;
        Ok(())
    }

    /// Whether a wall-clock timer is due.
    pub fn punctuation_due(&self, now: Now) -> bool {
        self.cx.timers.is_due(Punctuation::WallClock, now.wall)
    }

    /// When the next wall-clock timer is due, if one is to come.
    pub fn punctuation_deadline(&self, now: Now) -> Option<Monotonic> {
        let at = self.cx.timers.next(Punctuation::WallClock)?;
        let wait = u64::try_from(at.millis().checked_sub(now.wall.millis())?).ok()?;
        (wait > 0).then(|| now.monotonic.after(std::time::Duration::from_millis(wait)))
    }

    /// Runs the wall-clock timers that are due, each once; answers whether there was one. What they did is to be
    /// committed, whatever it was.
    ///
    /// # Errors
    /// If a processor fails. The task must then be rewound or closed.
    pub fn punctuate(&mut self, now: Now) -> Result<bool, TaskError> {
        self.cx.wall_clock = now.wall;
        self.run_timers(Punctuation::WallClock)
    }

    /// For drivers that run all sub-topologies as one task: takes the stream time of the others, and runs the timers
    /// that are due by it.
    ///
    /// # Errors
    /// If a processor fails.
    pub fn advance_stream_time(&mut self, time: Timestamp) -> Result<bool, TaskError> {
        self.cx.stream_time = self.cx.stream_time.max(time);
        self.punctuate_stream_time()
    }

    pub(super) fn punctuate_stream_time(&mut self) -> Result<bool, TaskError> {
        if !self.cx.timers.is_due(Punctuation::StreamTime, self.cx.stream_time) {
            return Ok(false);
        }
        self.run_timers(Punctuation::StreamTime)
    }

    fn run_timers(&mut self, kind: Punctuation) -> Result<bool, TaskError> {
        let fired = self.chain.punctuate(&mut self.cx, kind).map_err(self.outside())?;
        self.bury_refused(None);
        self.touched |= fired;
        Ok(fired)
    }

    /// Whether a processor has asked for a commit since the last one.
    pub fn commit_requested(&self) -> bool {
        self.cx.commit_requested
    }

    fn outside(&self) -> impl FnOnce(ProcessError) -> TaskError + use<> {
        let task = self.id;
        move |source| TaskError::Processor { task, source: Box::new(source) }
    }
}
