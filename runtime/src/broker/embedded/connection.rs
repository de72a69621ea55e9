//! The way from a handle to the cluster: the lock, the faults, and the end of a connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use millstream_state::model::TopicPartition;

use super::super::{BrokerError, Completer, ErrorClass, Ticket, Wake};
use super::cluster::Cluster;
use super::faults::{CallInfo, CallKind, Fault, Faults};
use crate::clock::Clock;

/// How many hot calls go by between two looks at the clock.
const HOT_CALLS_PER_CLOCK: u32 = 64;

/// A call that was held back, until it is released.
pub(super) struct Held {
    pub(super) info: CallInfo,
    release: Box<dyn FnOnce(&Shared) + Send>,
}

/// A connection that may be cut by its client's name.
struct Line {
    names: [Arc<str>; 2],
    alive: Weak<AtomicBool>,
}

/// What all handles of one cluster share.
pub(super) struct Shared {
    // One lock around the cluster: whoever calls is the single writer while the call lasts, and a call is over in
    // microseconds. A broker is one place by nature; what runs on it shares nothing else.
    cluster: Mutex<Cluster>,
    clock: Arc<dyn Clock>,
    calls: AtomicU64,
    hot_calls: std::sync::atomic::AtomicU32,
    // Apart from the cluster, because a release runs calls.
    held: Mutex<Vec<Held>>,
    lines: Mutex<Vec<Line>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(clock: Arc<dyn Clock>, cluster: Cluster) -> Self {
        Self {
            cluster: Mutex::new(cluster),
            clock,
            calls: AtomicU64::new(0),
            hot_calls: std::sync::atomic::AtomicU32::new(0),
            held: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// Brings the cluster up to the present and does something with it; then, without the lock, wakes and answers.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Cluster) -> R) -> R {
        self.run(true, work)
    }

    /// The same for calls that come by the million: the clock is read now and then.
    pub(super) fn with_hot<R>(&self, work: impl FnOnce(&mut Cluster) -> R) -> R {
        let look = self.hot_calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(HOT_CALLS_PER_CLOCK);
        self.run(look, work)
    }

    fn run<R>(&self, look_at_clock: bool, work: impl FnOnce(&mut Cluster) -> R) -> R {
        let mut cluster = lock(&self.cluster);
        if look_at_clock {
            cluster.advance(&*self.clock);
        }
        let result = work(&mut cluster);
        let outbox = (!cluster.outbox.is_empty()).then(|| std::mem::take(&mut cluster.outbox));
        drop(cluster);
        if let Some(outbox) = outbox {
            outbox.send();
        }
        result
    }

    /// Cuts the connections of a client.
    pub(super) fn cut(&self, client: &str) {
        let mut lines = lock(&self.lines);
        lines.retain(|line| line.alive.strong_count() > 0);
        for line in lines.iter().filter(|line| line.names.iter().any(|name| &**name == client)) {
            if let Some(alive) = line.alive.upgrade() {
                alive.store(false, Ordering::SeqCst);
            }
        }
        drop(lines);
        // So that session timeouts count from now.
        self.with(Cluster::note_dead_members);
    }

    /// Describes the calls that are held.
    pub(super) fn held(&self) -> Vec<CallInfo> {
        lock(&self.held).iter().map(|held| held.info.clone()).collect()
    }

    /// Releases the held calls that are meant, in the order in which they were made.
    pub(super) fn release(&self, mut meant: impl FnMut(&CallInfo) -> bool) -> usize {
        let held = std::mem::take(&mut *lock(&self.held));
        let (released, kept): (Vec<Held>, Vec<Held>) = held.into_iter().partition(|held| meant(&held.info));
        // Before those that may have been held meanwhile.
        lock(&self.held).splice(0..0, kept);
        let count = released.len();
        released.into_iter().for_each(|held| (held.release)(self));
        count
    }
}

/// One client's connection: what every handle talks through.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    client: Arc<str>,
    faults: Option<Arc<dyn Faults>>,
    alive: Arc<AtomicBool>,
    wake: Wake,
}

impl Connection {
    /// A connection of `client`, made through a handle named `handle`.
    pub(super) fn open(
        shared: &Arc<Shared>,
        handle: &Arc<str>,
        client: &str,
        faults: Option<Arc<dyn Faults>>,
        wake: Wake,
    ) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let client: Arc<str> = client.into();
        let line = Line { names: [handle.clone(), client.clone()], alive: Arc::downgrade(&alive) };
        let mut lines = lock(&shared.lines);
        if lines.len().is_power_of_two() {
            lines.retain(|line| line.alive.strong_count() > 0);
        }
        lines.push(line);
        drop(lines);
        Self { shared: shared.clone(), client, faults, alive, wake }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn client(&self) -> &Arc<str> {
        &self.client
    }

    pub(super) fn alive(&self) -> &Arc<AtomicBool> {
        &self.alive
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    pub(super) fn set_wake(&mut self, wake: Wake) {
        self.wake = wake;
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// An error if the connection is cut.
    pub(super) fn check_alive(&self, kind: CallKind) -> Result<(), BrokerError> {
        if self.is_alive() {
            return Ok(());
        }
        let call = format!("{kind:?} by client {}", self.client);
        Err(BrokerError::new(ErrorClass::Fatal, call, "the client was killed"))
    }

    /// What is to go wrong with a call.
    pub(super) fn fault(&self, kind: CallKind, partition: Option<(&Arc<str>, i32)>) -> (Fault, Option<CallInfo>) {
        let Some(faults) = &self.faults else { return (Fault::None, None) };
        let info = CallInfo {
            index: self.shared.calls.fetch_add(1, Ordering::SeqCst),
            kind,
            client: self.client.clone(),
            partition: partition.map(|(topic, partition)| TopicPartition::new(topic.clone(), partition)),
        };
        (faults.decide(&info), Some(info))
    }

    /// Makes a call whose effect is there at once.
    pub(super) fn call<T: Send + 'static>(
        &self,
        kind: CallKind,
        about: Option<(&Arc<str>, i32)>,
        effect: impl Fn(&mut Cluster) -> Result<T, BrokerError> + Send + 'static,
    ) -> Ticket<T> {
        if let Err(dead) = self.check_alive(kind) {
            return Ticket::ready(Err(dead));
        }
        let (fault, info) = self.fault(kind, about);
        let answer = match fault {
            Fault::None => self.shared.with(effect),
            Fault::FailBefore(error) => Err(error),
            Fault::LoseAnswer => self.shared.with(effect).and_then(|_| Err(self.lost(kind))),
            Fault::Twice => {
                let _unseen = self.shared.with(&effect);
                self.shared.with(effect)
            }
            Fault::Hold => {
                let answer = self.shared.with(effect);
                return self.hold(info, move |_, completer| completer.complete(answer));
            }
            Fault::Delay => {
                return self.hold(info, move |shared, completer| {
                    let answer = shared.with(effect);
                    completer.complete(answer);
                });
            }
        };
        let ticket = Ticket::ready(answer);
        self.wake.wake();
        ticket
    }

    /// Makes a call that the cluster answers when it can.
    pub(super) fn call_later<T: Send + 'static>(
        &self,
        kind: CallKind,
        about: Option<(&Arc<str>, i32)>,
        effect: impl FnOnce(&mut Cluster, Completer<T>) + Send + 'static,
    ) -> Ticket<T> {
        if let Err(dead) = self.check_alive(kind) {
            return Ticket::ready(Err(dead));
        }
        let (fault, info) = self.fault(kind, about);
        match fault {
            Fault::None | Fault::Twice => {
                let (completer, ticket) = Ticket::pair(self.wake.clone());
                self.shared.with(|cluster| effect(cluster, completer));
                ticket
            }
            Fault::FailBefore(error) => Ticket::ready(Err(error)),
            Fault::LoseAnswer => {
                let (completer, _nobody) = Ticket::pair(Wake::nobody());
                self.shared.with(|cluster| effect(cluster, completer));
                Ticket::ready(Err(self.lost(kind)))
            }
            Fault::Hold | Fault::Delay => self.hold(info, move |shared, completer| {
                shared.with(|cluster| effect(cluster, completer));
            }),
        }
    }

    fn hold<T: Send + 'static>(
        &self,
        info: Option<CallInfo>,
        release: impl FnOnce(&Shared, Completer<T>) + Send + 'static,
    ) -> Ticket<T> {
        let (completer, ticket) = Ticket::pair(self.wake.clone());
        if let Some(info) = info {
            let release = Box::new(move |shared: &Shared| release(shared, completer));
            lock(&self.shared.held).push(Held { info, release });
        }
        ticket
    }

    /// The error of a call whose answer was lost.
    pub(super) fn lost(&self, kind: CallKind) -> BrokerError {
        BrokerError::unknown(format!("{kind:?} by client {}", self.client), "the answer was lost")
    }
}
