//! How long admin calls are waited for: until their time is up, or until nobody is left who could want the answer. A dropped
//! broker leaves no thread behind that waits for half a minute.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};

use crate::broker::{BrokerError, ErrorClass};
use crate::clock::{Clock as _, SystemClock};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to wait until looking whether anybody still wants the answer.
const LOOK: Duration = Duration::from_millis(100);

/// The patience of one client's callers.
pub(super) struct Patience {
    timeout: Duration,
    clock: SystemClock,
    over: AtomicBool,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Patience {
    /// `timeout` is how long one request may take.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, clock: SystemClock::default(), over: AtomicBool::new(false) }
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Nobody waits any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Asks until the answer is another than «later», or too late; `rounds` is how many requests' time there is.
    pub(super) fn retry<T>(
        &self,
        rounds: u32,
        mut attempt: impl FnMut() -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let deadline = self.clock.monotonic().after(self.timeout * rounds);
        loop {
            let answer = attempt();
            let in_time = || !self.is_over() && !deadline.since(self.clock.monotonic()).is_zero();
            match answer {
                Err(error) if error.class == ErrorClass::Retriable && in_time() => std::thread::park_timeout(PAUSE),
                answer => return answer,
            }
        }
    }

    /// Waits for an answer of rdkafka's, which ends by its own timeout.
    pub(super) fn answer<T>(&self, call: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
        let mut call = pin!(call);
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = Context::from_waker(&waker);
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending if self.is_over() => return Err(KafkaError::Canceled),
                Poll::Pending => std::thread::park_timeout(LOOK),
            }
        }
    }

    /// Waits in `take`, which is told how long it may.
    pub(super) fn wait<T>(&self, mut take: impl FnMut(Duration) -> Option<T>) -> Option<T> {
        // The request's own timeout answers first; the second is for librdkafka to notice it.
        let deadline = self.clock.monotonic().after(self.timeout + Duration::from_secs(1));
        loop {
            let left = deadline.since(self.clock.monotonic());
            match take(left.min(LOOK)) {
                None if !left.is_zero() && !self.is_over() => {}
                taken => return taken,
            }
        }
    }
}
