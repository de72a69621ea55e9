//! Settles a transaction that the old producer could not end: a new producer with the same transactional id makes the
//! broker complete or abort it; then the commit id in the group's offsets tells which of the two it was.

use std::sync::Arc;

use millstream_state::model::TopicPartition;

use super::transaction::Outcome;
use crate::broker::{Admin, BrokerError, Committed, Producer, Ticket};
use crate::clock::Monotonic;
use crate::task::metadata::OffsetMetadata;
use crate::trouble::Breaker;

enum Step {
    /// A new producer is to be made.
    Renew {
        at: Monotonic,
    },
    Initialising(Ticket<()>),
    /// The group's offsets are to be asked for.
    Ask {
        at: Monotonic,
    },
    Asking(Ticket<Vec<Option<Committed>>>),
}

/// What is needed for a try: a new producer, the admin handle, the group.
pub(super) type Parts = (Box<dyn Producer>, Arc<dyn Admin>, String);

/// The state of settling one transaction.
pub(super) struct Settling {
    /// The commit's id and a partition it was to commit; `None` if the transaction is to be rolled back anyway.
    commit: Option<(i64, TopicPartition)>,
    member_fenced: bool,
    reason: BrokerError,
    step: Step,
    asks: Option<(Arc<dyn Admin>, String)>,
    breaker: Breaker,
}

impl Settling {
    /// The transaction is to be rolled back for this reason.
    pub(super) fn abort(now: Monotonic, member_fenced: bool, reason: BrokerError, breaker: Breaker) -> Self {
        Self { commit: None, member_fenced, reason, step: Step::Renew { at: now }, asks: None, breaker }
    }

    /// It is to be found out whether the commit with this id, of offsets that include this partition, has happened.
    pub(super) fn commit(
        now: Monotonic,
        commit: (i64, Option<TopicPartition>),
        reason: BrokerError,
        breaker: Breaker,
    ) -> Self {
        let commit = commit.1.map(|partition| (commit.0, partition));
        Self { commit, ..Self::abort(now, false, reason, breaker) }
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match self.step {
            Step::Renew { at } | Step::Ask { at } => Some(at),
            _ => None,
        }
    }

    fn rolled_back(&self) -> Option<Option<Outcome>> {
        Some(Some(Outcome::RolledBack { member_fenced: self.member_fenced, reason: self.reason.clone() }))
    }

    fn again(&mut self, now: Monotonic, error: BrokerError) -> Result<Monotonic, BrokerError> {
        let at = self.breaker.refused(now, &error);
        if self.breaker.is_hopeless(now, error.class) { Err(error) } else { Ok(at) }
    }

    /// `Some(None)` once it is certain that the transaction was committed, `Some(Some(RolledBack))` that it was not.
    #[allow(clippy::type_complexity, reason = "used once, explained in the line above")]
    pub(super) fn poll(
        &mut self,
        now: Monotonic,
        producer: &mut Box<dyn Producer>,
        parts: &dyn Fn() -> Result<Parts, BrokerError>,
    ) -> Result<Option<Option<Outcome>>, BrokerError> {
        loop {
            match &mut self.step {
                Step::Renew { at } if now >= *at => {
                    let (fresh, admin, group) = parts()?;
                    *producer = fresh;
                    self.asks = Some((admin, group));
                    self.step = Step::Initialising(producer.init());
                }
                Step::Initialising(ticket) => match ticket.poll() {
                    None => return Ok(None),
                    Some(Ok(())) if self.commit.is_none() => return Ok(self.rolled_back()),
                    Some(Ok(())) => self.step = Step::Ask { at: now },
                    Some(Err(error)) => {
                        self.step = Step::Renew { at: self.again(now, error)? };
                    }
                },
                Step::Ask { at } if now >= *at => {
                    let (Some((admin, group)), Some((_, partition))) = (&self.asks, &self.commit) else {
                        return Ok(self.rolled_back());
                    };
                    self.step = Step::Asking(admin.committed(group, vec![partition.clone()]));
                }
                Step::Asking(ticket) => match ticket.poll() {
                    None => return Ok(None),
                    Some(Ok(committed)) => {
                        let found = committed
                            .into_iter()
                            .next()
                            .flatten()
                            .and_then(|committed| OffsetMetadata::decode(&committed.metadata).commit);
                        let ours = self.commit.as_ref().map(|(id, _)| *id);
                        return Ok(if found.is_some() && found == ours { Some(None) } else { self.rolled_back() });
                    }
                    Some(Err(error)) => {
                        self.step = Step::Ask { at: self.again(now, error)? };
                    }
                },
                Step::Renew { .. } | Step::Ask { .. } => return Ok(None),
            }
        }
    }
}
