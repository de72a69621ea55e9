//! The end of an instance: leaving the group, giving tasks back, closing stores, and when to give the clean end up.

use std::time::Duration;

use super::{Controller, Phase};
use crate::broker::{MemberEvent, Ticket};
use crate::instance::error::StreamsError;
use crate::instance::state::State;
use crate::task::Now;
use crate::worker::ToWorker;

/// After this long a clean stop is given up for one as after a crash: a broker that does not answer must not keep a
/// process from ending. What was not committed is processed again; others take over after the session timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

impl Controller {
    pub(super) fn leaving(&mut self, mut ticket: Ticket<()>) -> Result<bool, StreamsError> {
        let event = self.member.as_mut().and_then(|member| member.poll());
        let (message, acknowledge): (fn() -> ToWorker, bool) = match event {
            Some(MemberEvent::Revoking) => (|| ToWorker::Revoke, true),
            Some(MemberEvent::Lost) => (|| ToWorker::Lost, false),
            // An assignment that crossed our leave is not taken up.
            Some(MemberEvent::Assigned(_) | MemberEvent::Refused(_) | MemberEvent::Failed(_)) => {
                self.phase = Phase::Leaving { ticket };
                return Ok(true);
            }
            None => {
                let left = ticket.poll();
                match left {
                    None => {
                        self.phase = Phase::Leaving { ticket };
                        return Ok(false);
                    }
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        tracing::warn!("leaving the group failed, others take over after the session timeout: {error}");
                    }
                }
                self.stop_workers();
                return Ok(true);
            }
        };
        self.collect(message);
        self.phase = Phase::LeavingCollecting { ticket, acknowledge };
        Ok(true)
    }

    /// Goes towards the end, from whatever phase.
    pub(super) fn wind_down(&mut self, now: Now) -> bool {
        if self.state() != State::Error && self.state() != State::PendingShutdown && !self.state().is_final() {
            self.set_state(if self.error.is_some() { State::Error } else { State::PendingShutdown });
        }
        let stop_by = *self.stop_by.get_or_insert(now.monotonic.after(STOP_TIMEOUT));
        let waiting =
            matches!(self.phase, Phase::Collecting { .. } | Phase::Leaving { .. } | Phase::LeavingCollecting { .. });
        if waiting && now.monotonic >= stop_by {
            tracing::warn!(
                "{}: no clean stop within {STOP_TIMEOUT:?}, as the broker does not answer or a worker is stuck; stopping as \
                 after a crash: nothing is lost, what was not committed is processed again. Threads that are held up are \
                 left behind, and end with the process",
                self.app()
            );
            self.gave_up = true;
            self.stop_workers();
            return true;
        }
        match self.phase {
            Phase::Created | Phase::Resolving(_) | Phase::Preparing { .. } if self.member.is_none() => {
                self.stop_workers();
                true
            }
            Phase::Created | Phase::Joined => match &mut self.member {
                Some(member) => {
                    self.phase = Phase::Leaving { ticket: member.leave() };
                    true
                }
                None => {
                    self.stop_workers();
                    true
                }
            },
            _ => false,
        }
    }

    /// Closes the stores so that the next start finds everything in its place and has nothing to replay.
    pub(super) fn close_parked(&mut self) {
        for (id, mut task) in std::mem::take(&mut self.parked) {
            if let Err(error) = task.cx.state.stores.sync() {
                tracing::warn!(task = %id, "the stores could not be synced; their tail will be restored: {error}");
            }
        }
    }

    pub(super) fn stop_workers(&mut self) {
        for worker in 0..self.status.len() {
            if !self.status[worker].gone {
                self.send(worker, ToWorker::Stop);
            }
        }
        self.phase = Phase::Stopping;
    }
}
