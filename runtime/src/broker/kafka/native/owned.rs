//! Handles of librdkafka's that free themselves.

use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::Failure;

/// What frees itself with a function of librdkafka's.
pub(super) struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    /// # Safety
    /// `raw` is null or owned by the caller, and `destroy` is the function that frees it.
    pub(super) unsafe fn new(raw: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, Failure> {
        NonNull::new(raw).map(|raw| Self(raw, destroy)).ok_or_else(|| Failure::of(RDKafkaErrorCode::InvalidArgument))
    }

    pub(super) fn ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new`.
        unsafe { (self.1)(self.0.as_ptr()) };
    }
}

pub(super) type Answer = Owned<sys::rd_kafka_event_t>;

/// A queue of a client's, with the client, which has to live longer.
pub(super) struct ClientQueue<C> {
    // Freed before the client.
    queue: Owned<sys::rd_kafka_queue_t>,
    client: Arc<C>,
}

// SAFETY: librdkafka's queues may be used and freed from any thread.
unsafe impl<C: Send + Sync> Send for ClientQueue<C> {}
// SAFETY: as above; every call on the handle locks the queue.
unsafe impl<C: Send + Sync> Sync for ClientQueue<C> {}

impl<C> ClientQueue<C> {
    /// # Safety
    /// `raw` is null or a queue of this client, and its reference is the caller's.
    pub(super) unsafe fn new(raw: *mut sys::rd_kafka_queue_t, client: &Arc<C>) -> Result<Self, Failure> {
        // SAFETY: by this function's contract.
        let queue = unsafe { Owned::new(raw, sys::rd_kafka_queue_destroy)? };
        Ok(Self { queue, client: client.clone() })
    }

    pub(super) fn client(&self) -> &Arc<C> {
        &self.client
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.ptr()
    }

    /// How much waits: records, reports, errors and what else there is.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_length(self.ptr()) }
    }

    /// Takes an event, without blocking.
    pub(super) fn poll(&self) -> Option<Answer> {
        // SAFETY: the queue is live; the event, if there is one, is ours.
        unsafe { Owned::new(sys::rd_kafka_queue_poll(self.ptr(), 0), sys::rd_kafka_event_destroy).ok() }
    }
}
