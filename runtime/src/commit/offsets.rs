//! Offsets committed to the group outside of a transaction: the worker asks, the owner of the membership performs.

use std::sync::mpsc::{SyncSender, TrySendError};

use crate::broker::{BrokerError, Completer, ErrorClass, OffsetCommit, Ownership, Ticket, Wake};

/// A request to commit offsets.
pub struct OffsetRequest {
    /// The positions.
    pub offsets: Vec<OffsetCommit>,
    /// The ownership they were read under.
    pub ownership: Ownership,
    /// Who waits for the answer.
    pub completer: Completer<()>,
}

/// A worker's way to the membership.
#[derive(Clone)]
pub struct OffsetCommitter {
    requests: SyncSender<OffsetRequest>,
    member: Wake,
}

impl OffsetCommitter {
    /// A way to whoever receives `requests` and is woken by `member`.
    pub fn new(requests: SyncSender<OffsetRequest>, member: Wake) -> Self {
        Self { requests, member }
    }

    pub(super) fn commit(&self, offsets: Vec<OffsetCommit>, ownership: Ownership, wake: &Wake) -> Ticket<()> {
        let (completer, ticket) = Ticket::pair(wake.clone());
        match self.requests.try_send(OffsetRequest { offsets, ownership, completer }) {
            Ok(()) => self.member.wake(),
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => {
                let reason = "the membership does not take requests at the moment";
                request.completer.complete(Err(BrokerError::new(ErrorClass::Retriable, "offset commit", reason)));
            }
        }
        ticket
    }
}
