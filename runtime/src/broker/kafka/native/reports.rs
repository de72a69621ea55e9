//! The queue in which a producer's client hands back what became of its records.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::client::ClientContext as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka_sys as sys;

use super::super::Producing;
use super::{Failure, NO_ERROR, Sender, text};

unsafe extern "C" fn report_arrived(_client: *mut sys::rd_kafka_t, context: *mut c_void) {
    // SAFETY: `context` is what `Reports::of` registered: the client's context, which is freed after the client, and no
    // callback runs after that.
    unsafe { &*context.cast::<Producing>() }.report_arrived();
}

/// A producer's delivery reports, logs and errors.
pub(crate) struct Reports {
    raw: NonNull<sys::rd_kafka_queue_t>,
    sender: Arc<Sender>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Reports {}
// SAFETY: as above; every call on the handle locks the queue.
unsafe impl Sync for Reports {}

impl Reports {
    pub(crate) fn of(sender: &Arc<Sender>) -> Option<Self> {
        // SAFETY: the client is live, because `sender` is.
        let raw = unsafe { sys::rd_kafka_queue_get_main(sender.client().native_ptr()) };
        let reports = Self { raw: NonNull::new(raw)?, sender: sender.clone() };
        let context = Arc::as_ptr(sender.context());
        // SAFETY: the queue is live until `reports` is dropped; the client keeps its context, as `report_arrived` explains.
        unsafe { sys::rd_kafka_queue_cb_event_enable(raw, Some(report_arrived), context.cast_mut().cast()) };
        Some(reports)
    }

    /// Takes what waits, without blocking. The context hears of logs, of errors and of records that were not delivered;
    /// those that were are freed, unread.
    pub(crate) fn take(&self) {
        // SAFETY: the queue is live until `self` is dropped.
        while unsafe { sys::rd_kafka_queue_length(self.raw.as_ptr()) } > 0 {
            // SAFETY: as above; an event is ours until it is destroyed, and a null one may be destroyed too.
            unsafe {
                let event = sys::rd_kafka_queue_poll(self.raw.as_ptr(), 0);
                if !event.is_null() {
                    tell(self.sender.context(), event);
                }
                sys::rd_kafka_event_destroy(event);
            }
        }
    }
}

/// Syslog's levels.
fn level_of(level: c_int) -> RDKafkaLogLevel {
    match level {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// # Safety
/// `event` is live.
unsafe fn tell(context: &Producing, event: *mut sys::rd_kafka_event_t) {
    // SAFETY: live by this function's contract; these calls only read it, and what they answer lives as long as the event.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_DR if sys::rd_kafka_event_error(event) == NO_ERROR => {}
            sys::RD_KAFKA_EVENT_DR => {
                while let Some(message) = sys::rd_kafka_event_message_next(event).as_ref() {
                    if message.err != NO_ERROR {
                        // An abort drops many records: only the one that is remembered is named.
                        context.not_delivered(
                            || format!("{}-{}", text(sys::rd_kafka_topic_name(message.rkt)), message.partition),
                            Failure::of(message.err.into()),
                        );
                    }
                }
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut fac, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                if sys::rd_kafka_event_log(event, &raw mut fac, &raw mut line, &raw mut level) == 0 {
                    context.log(level_of(level), text(fac).trim(), text(line).trim());
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => {
                let error = KafkaError::Global(sys::rd_kafka_event_error(event).into());
                context.error(error, text(sys::rd_kafka_event_error_string(event)).trim());
            }
            sys::RD_KAFKA_EVENT_STATS => context.stats_raw(text(sys::rd_kafka_event_stats(event)).as_bytes()),
            _ => {}
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used no more; the client is live, since `sender` is dropped after this.
        unsafe { sys::rd_kafka_queue_destroy(self.raw.as_ptr()) };
    }
}
