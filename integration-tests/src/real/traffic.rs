//! Inputs at a steady rate, and the checker behind them, each on a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use millstream::clock::{Clock as _, SystemClock};

use super::check::Follower;
use super::workload::{Loader, Workload};

/// How often inputs are written.
const TICK: Duration = Duration::from_millis(20);

/// How long the outputs may take when all faults are over.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    wanted: AtomicI64,
    seen: AtomicI64,
    /// In milliseconds: since when nothing has come, the longest that nothing has, and when that began.
    last: AtomicU64,
    longest: AtomicU64,
    longest_from: AtomicU64,
    // A lock because the threads write it, once, and the run reads it.
    wrong: Mutex<Option<String>>,
}

impl Shared {
    fn fail(&self, error: &anyhow::Error) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get_or_insert(format!("{error:#}"));
    }
}

/// Inputs on their way in, outputs on their way out.
pub struct Traffic {
    shared: Arc<Shared>,
    load: Option<JoinHandle<Loader>>,
    follow: Option<JoinHandle<Follower>>,
}

impl Traffic {
    /// Begins to write inputs, so many a second, and to check outputs.
    ///
    /// # Errors
    /// If a client cannot be made.
    pub fn start(workload: &Workload, bootstrap: &str, rate: u64) -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut loader = Loader::new(workload, bootstrap)?;
        let mut follower = Follower::new(workload, bootstrap)?;
        let (state, clock) = (shared.clone(), SystemClock::default());
        let load = std::thread::Builder::new().name("load".to_owned()).spawn(move || {
            let began = clock.monotonic();
            while !state.stop.load(Ordering::Acquire) {
                let due = clock.monotonic().since(began).as_millis() as u64 * rate / 1_000;
                if let Err(error) = loader.send(due.saturating_sub(loader.next)) {
                    state.fail(&error);
                    break;
                }
                // Each input comes out twice.
                state.wanted.store(loader.next as i64 * 2, Ordering::Release);
                std::thread::park_timeout(TICK);
            }
            loader
        })?;
        let (state, clock) = (shared.clone(), SystemClock::default());
        let follow = std::thread::Builder::new().name("follow".to_owned()).spawn(move || {
            let began = clock.monotonic();
            loop {
                let taken = match follower.follow(Duration::from_millis(50)) {
                    Ok(taken) => taken,
                    Err(error) => {
                        state.fail(&error);
                        break;
                    }
                };
                let now = clock.monotonic().since(began).as_millis() as u64;
                let seen: i64 = follower.seen().iter().sum();
                state.seen.store(seen, Ordering::Release);
                let wanted = state.wanted.load(Ordering::Acquire);
                if taken > 0 || seen == wanted {
                    state.last.store(now, Ordering::Release);
                }
                let last = state.last.load(Ordering::Acquire);
                let quiet = now.saturating_sub(last);
                if quiet > state.longest.fetch_max(quiet, Ordering::AcqRel) {
                    state.longest_from.store(last, Ordering::Release);
                }
                if state.stop.load(Ordering::Acquire) && seen >= wanted {
                    break;
                }
                if quiet > PATIENCE.as_millis() as u64 {
                    let stuck = anyhow!("nothing has come for {quiet} ms: {seen} of {wanted} outputs are there");
                    state.fail(&stuck);
                    break;
                }
            }
            follower
        })?;
        Ok(Self { shared, load: Some(load), follow: Some(follow) })
    }

    /// What is wrong, as soon as something is.
    pub fn wrong(&self) -> Option<String> {
        self.shared.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many outputs are there, and how many there will be of the inputs so far.
    pub fn progress(&self) -> (i64, i64) {
        (self.shared.seen.load(Ordering::Acquire), self.shared.wanted.load(Ordering::Acquire))
    }

    /// The longest time in which nothing came out although something was due.
    pub fn longest_stall(&self) -> Duration {
        Duration::from_millis(self.shared.longest.load(Ordering::Acquire))
    }

    /// When that began, counted from the start of the traffic.
    pub fn longest_stall_from(&self) -> Duration {
        Duration::from_millis(self.shared.longest_from.load(Ordering::Acquire))
    }

    /// Stops the inputs and waits for all outputs.
    ///
    /// # Errors
    /// If one was wrong, or they do not come.
    pub async fn finish(&mut self) -> anyhow::Result<(Loader, Follower)> {
        self.shared.stop.store(true, Ordering::Release);
        let threads = self.load.take().zip(self.follow.take());
        let shared = self.shared.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let (load, follow) = threads?;
            let loader = load.join().ok()?;
            if let Err(error) = loader.flush() {
                shared.fail(&error);
            }
            Some((loader, follow.join().ok()?))
        });
        let ended = ended.await?;
        if let Some(wrong) = self.wrong() {
            return Err(anyhow!(wrong));
        }
        let (loader, follower) = ended.ok_or_else(|| anyhow!("a thread of the traffic panicked"))?;
        follower.compare(&loader.expected)?;
        ensure!(follower.is_complete(&loader.expected), "not all outputs have come");
        Ok((loader, follower))
    }
}
