//! What an instance is doing, and who wants to know.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::worker::words;

/// What an instance is doing (`KafkaStreams.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, not started.
    Created,
    /// Finding its topics, joining its group, being given tasks, restoring them.
    Rebalancing,
    /// All its tasks process records.
    Running,
    /// Committing, handing over, leaving.
    PendingShutdown,
    /// Stopped cleanly.
    NotRunning,
    /// Stopped by an error.
    Error,
}

impl State {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::NotRunning | Self::Error)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Rebalancing => "REBALANCING",
            Self::Running => "RUNNING",
            Self::PendingShutdown => "PENDING_SHUTDOWN",
            Self::NotRunning => "NOT_RUNNING",
            Self::Error => "ERROR",
        })
    }
}

type Listener = Box<dyn Fn(State, State) + Send>;

/// The state of an instance, set by its controller and watched by others.
#[derive(Clone)]
pub struct StateCell {
    sender: Arc<watch::Sender<State>>,
    // Behind a lock because listeners are added by the user's thread; the controller alone calls them.
    listeners: Arc<Mutex<Vec<Listener>>>,
}

impl Default for StateCell {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(State::Created)), listeners: Arc::default() }
    }
}

impl StateCell {
    /// The state now.
    pub fn get(&self) -> State {
        *self.sender.borrow()
    }

    /// A receiver that sees every change it is quick enough for.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.sender.subscribe()
    }

    /// Adds a listener that is called with the old and the new state at every change, on the controller's thread, which
    /// it must not hold up.
    pub fn listen(&self, listener: impl Fn(State, State) + Send + 'static) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    pub(crate) fn set(&self, application_id: &str, state: State) {
        let old = self.sender.send_replace(state);
        if old != state {
            tracing::info!("{application_id}: {old} → {state}");
            for listener in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // A listener is user code on the thread that holds the membership.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(old, state))) {
                    tracing::error!("{application_id}: a state listener panicked: {}", words(&*panic));
                }
            }
        }
    }
}
