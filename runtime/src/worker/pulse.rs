//! A sign of life: polling the client resets its own watchdog, so a worker needs one of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Monotonic;

/// When a worker last began a step. Written by the worker alone.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    pub(super) fn beat(&self, now: Monotonic) {
        let millis = now.since(Monotonic::default()).as_millis();
        // Zero is kept for «never yet».
        self.0.store(u64::try_from(millis).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// How long ago the worker began its last step; zero if it has not begun any.
    pub fn silence(&self, now: Monotonic) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            millis => now.since(Monotonic::since_start(Duration::from_millis(millis))),
        }
    }
}
