//! The queue in which a producer's client hands back what became of its records.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::client::ClientContext as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka_sys as sys;

use super::super::Producing;
use super::owned::ClientQueue;
use super::{Failure, NO_ERROR, Sender, text};

unsafe extern "C" fn report_arrived(_client: *mut sys::rd_kafka_t, context: *mut c_void) {
    // SAFETY: `context` is what `Reports::of` registered: the client's context, which is freed after the client, and no
    // callback runs after that.
    unsafe { &*context.cast::<Producing>() }.report_arrived();
}

/// A producer's delivery reports, logs and errors.
pub(crate) struct Reports(ClientQueue<Sender>);

impl Reports {
    pub(crate) fn of(sender: &Arc<Sender>) -> Option<Self> {
        // SAFETY: the client is live, because `sender` is, and the reference to its queue ours.
        let queue = unsafe { ClientQueue::new(sys::rd_kafka_queue_get_main(sender.client().native_ptr()), sender) };
        let queue = queue.ok()?;
        let context = Arc::as_ptr(sender.context());
        // SAFETY: the queue is live; the client keeps its context, as `report_arrived` explains.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(queue.ptr(), Some(report_arrived), context.cast_mut().cast());
        }
        Some(Self(queue))
    }

    /// Takes what waits, without blocking. The context hears of logs, of errors and of records that were not delivered;
    /// those that were are freed, unread.
    pub(crate) fn take(&self) {
        while self.0.len() > 0 {
            let Some(event) = self.0.poll() else { continue };
            // SAFETY: the event is live.
            unsafe { tell(self.0.client().context(), event.ptr()) };
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
