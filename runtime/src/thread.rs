//! The loops around the state machines: step, and sleep until woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::broker::Wake;
use crate::clock::{Clock, Monotonic};
use crate::instance::{Controller, ControllerSeed, State, StateCell, StreamsError};
use crate::task::Now;
use crate::worker::{FromWorker, Step, Worker, WorkerError, WorkerSeed, words};

/// A thread's sleep, which a [`Wake`] ends.
#[derive(Clone, Default)]
pub(crate) struct Parker(Arc<(Mutex<bool>, Condvar)>);

/// Nobody sleeps longer than this: a wake that got lost would otherwise stop an instance for good.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

impl Parker {
    pub(crate) fn wake(&self) -> Wake {
        let shared = self.0.clone();
        Wake::new(move || {
            let (woken, changed) = &*shared;
            *woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
            changed.notify_one();
        })
    }

    fn sleep(&self, at_most: Duration) {
        let (woken, changed) = &*self.0;
        let mut woken = woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !*woken {
            woken = changed.wait_timeout(woken, at_most).map_or_else(|e| e.into_inner().0, |(woken, _)| woken);
        }
        *woken = false;
    }

    fn sleep_until(&self, now: Monotonic, until: Option<Monotonic>) {
        let time = until.map_or(LONGEST_SLEEP, |until| until.since(now).min(LONGEST_SLEEP));
        if !time.is_zero() {
            self.sleep(time);
        }
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { monotonic: clock.monotonic(), wall: clock.wall() }
}

/// Runs a worker until it stops; a failure or panic is told to the controller.
pub(crate) fn run_worker(seed: WorkerSeed, clock: &dyn Clock, parker: &Parker) {
    let (index, outbox, controller) = (seed.index, seed.outbox.clone(), seed.controller.clone());
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, clock, parker)));
    let error = match lived {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => WorkerError::Panicked { worker: index, message: words(&*panic) },
    };
    tell(&outbox, index, error);
    controller.wake();
}

fn tell(outbox: &SyncSender<(usize, FromWorker)>, index: usize, error: WorkerError) {
    // Blocks only if the controller is behind; it never waits for a worker.
    let _ = outbox.send((index, FromWorker::Failed(error)));
}

fn live(seed: WorkerSeed, clock: &dyn Clock, parker: &Parker) -> Result<(), WorkerError> {
    let mut worker = Worker::new(seed)?;
    loop {
        let now = now(clock);
        match worker.step(now)? {
            Step::Progress => {}
            Step::WaitUntil(until) => {
                let lull = until.map_or(worker.lull(), |until| worker.lull().min(until.since(now.monotonic)));
                if !lull.is_zero() {
                    // Whoever has something for the worker meanwhile wakes the parker, which does not sleep then.
                    std::thread::park_timeout(lull);
                }
                parker.sleep_until(clock.monotonic(), until);
            }
            Step::Stopped => return Ok(()),
        }
    }
}

/// How an instance has ended.
pub(crate) struct Ended {
    pub(crate) error: Option<Arc<StreamsError>>,
    /// Whether its threads are worth waiting for.
    pub(crate) joinable: bool,
}

/// Runs the controller until the instance has stopped. A panic, which only a defect can cause, ends the instance with an
/// error: its workers find nobody to work for and stop.
pub(crate) fn run_controller(
    seed: ControllerSeed,
    state: StateCell,
    clock: &dyn Clock,
    parker: &Parker,
    stop: &AtomicBool,
) -> Ended {
    let application = seed.parts.config.application_id.clone();
    let cell = state.clone();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut controller = Controller::with_state(seed, state);
        loop {
            if stop.load(Ordering::Acquire) {
                controller.shut_down();
            }
            let now = now(clock);
            match controller.step(now) {
                Step::Progress => {}
                Step::WaitUntil(until) => parker.sleep_until(now.monotonic, until),
                Step::Stopped => {
                    return Ended { error: controller.error(), joinable: !controller.left_something_behind() };
                }
            }
        }
    }));
    lived.unwrap_or_else(|panic| {
        let error = StreamsError::Controller { message: words(&*panic) };
        tracing::error!("{application}: {error}");
        cell.set(&application, State::Error);
        Ended { error: Some(Arc::new(error)), joinable: false }
    })
}
