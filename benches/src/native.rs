//! The one file of the benches that calls C: the client's batches and its fast ways to send, and this process's CPU time.
#![allow(
    unsafe_code,
    reason = "rdkafka has no batches and no sending by topic handle; the standard library no CPU time"
)]

use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka_sys as sys;

use crate::restart::watch::Stopwatch;

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// How long a flush waits before it takes reports, in milliseconds: a record counts as sent when its report has been taken.
const FLUSH_SLICE: c_int = 1;

/// User and system time of all threads of this process.
pub fn cpu_seconds() -> f64 {
    // SAFETY: all zeroes is a value of this plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes to the struct, which is live and ours.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Ends this process as a crash would: nothing is closed, nothing is written.
pub fn kill_this_process() {
    // SAFETY: sends a signal, to ourselves; no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// A queue of a client's, with the client, which has to live longer.
struct ClientQueue<C> {
    raw: NonNull<sys::rd_kafka_queue_t>,
    client: Arc<C>,
}

impl<C> ClientQueue<C> {
    /// # Safety
    /// `raw` is null or a queue of this client, and its reference is the caller's.
    unsafe fn new(raw: *mut sys::rd_kafka_queue_t, client: Arc<C>) -> Result<Self> {
        Ok(Self { raw: NonNull::new(raw).context("the client has no such queue")?, client })
    }
}

impl<C> Drop for ClientQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and used no more; the client outlives it, as `client` is dropped afterwards.
        unsafe { sys::rd_kafka_queue_destroy(self.raw.as_ptr()) };
    }
}

/// A consumer's common queue.
pub struct Queue(ClientQueue<BaseConsumer>);

impl Queue {
    /// The queue of `consumer`, which nobody polls from now on.
    ///
    /// # Errors
    /// If the consumer has none.
    pub fn of(consumer: Arc<BaseConsumer>) -> Result<Self> {
        // SAFETY: the client is live, and the reference that comes back is ours.
        unsafe {
            ClientQueue::new(sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()), consumer).map(Self)
        }
    }

    /// Waits for records, and takes up to `max`.
    pub fn take(&self, max: usize, wait: Duration) -> Batch<'_> {
        let mut messages = Vec::with_capacity(max);
        // SAFETY: the queue is live; the vector has room for `max` pointers, and the call writes as many as it answers.
        unsafe {
            let count =
                sys::rd_kafka_consume_batch_queue(self.0.raw.as_ptr(), millis(wait), messages.as_mut_ptr(), max);
            messages.set_len(usize::try_from(count).unwrap_or(0));
        }
        Batch { messages, _queue: self }
    }

    /// The consumer.
    pub fn consumer(&self) -> &BaseConsumer {
        &self.0.client
    }
}

/// Records that lie in the client's fetch buffers until this is dropped.
pub struct Batch<'q> {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    /// The buffers belong to the client, which the queue keeps alive.
    _queue: &'q Queue,
}

/// A record in a fetch buffer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'b> {
    /// The key; empty for none.
    pub key: &'b [u8],
    /// The value; empty for none.
    pub value: &'b [u8],
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    topic: *const sys::rd_kafka_topic_t,
    _batch: PhantomData<&'b ()>,
}

impl<'b> Message<'b> {
    /// The name of its topic.
    pub fn topic(&self) -> &'b CStr {
        // SAFETY: the handle lives as long as its message does, through `'b`, and so does its name, which ends with a NUL.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.topic)) }
    }
}

impl Batch<'_> {
    /// How many there are, errors included.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The records, or an error that the client put among them.
    pub fn iter(&self) -> impl Iterator<Item = Result<Message<'_>>> {
        self.messages.iter().map(|&raw| {
            // SAFETY: `take` filled the list with live messages, which only `drop` frees; key and payload have the stated
            // lengths and live as long as their message.
            let (message, key, value) = unsafe {
                let message = &*raw;
                (message, bytes(message.key, message.key_len), bytes(message.payload, message.len))
            };
            if message.err != NO_ERROR {
                bail!("the client reports {}", RDKafkaErrorCode::from(message.err));
            }
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            // SAFETY: the message is live, and `kind` is ours to be written.
            let timestamp = unsafe { sys::rd_kafka_message_timestamp(raw, &raw mut kind) };
            let (partition, offset, topic) = (message.partition, message.offset, message.rkt.cast_const());
            Ok(Message { key, value, timestamp, partition, offset, topic, _batch: PhantomData })
        })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for &message in &self.messages {
            // SAFETY: each is ours, and freed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// # Safety
/// `start` is null, or the start of `length` bytes that live through `'b`.
unsafe fn bytes<'b>(start: *const std::ffi::c_void, length: usize) -> &'b [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

/// A topic to send to.
pub struct Topic {
    raw: NonNull<sys::rd_kafka_topic_t>,
    producer: Arc<BaseProducer>,
}

impl Topic {
    /// The topic of this name.
    ///
    /// # Errors
    /// If the client knows no such topic.
    pub fn new(producer: Arc<BaseProducer>, name: &str) -> Result<Self> {
        let name = CString::new(name)?;
        // SAFETY: the client is live, the name NUL-terminated and copied; a null configuration takes the defaults.
        let raw = unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Ok(Self { raw: NonNull::new(raw).context("no topic handle")?, producer })
    }

    /// Copies a record into the send queue with its timestamp (`rd_kafka_produceva`); `Ok(false)` if the queue is full.
    ///
    /// # Errors
    /// If it can never be sent.
    pub fn send(&self, key: &[u8], value: &[u8], timestamp: i64) -> Result<bool> {
        use sys::rd_kafka_vtype_t as kind;
        type Field = sys::rd_kafka_vu_s;
        type Union = sys::rd_kafka_vu_s__bindgen_ty_1;
        let mem = |vtype, bytes: &[u8]| {
            let mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.as_ptr().cast_mut().cast(),
                size: bytes.len(),
            };
            Field { vtype, u: Union { mem } }
        };
        let fields = [
            Field { vtype: kind::RD_KAFKA_VTYPE_RKT, u: Union { rkt: self.raw.as_ptr() } },
            Field { vtype: kind::RD_KAFKA_VTYPE_MSGFLAGS, u: Union { i: sys::RD_KAFKA_MSG_F_COPY as c_int } },
            mem(kind::RD_KAFKA_VTYPE_KEY, key),
            mem(kind::RD_KAFKA_VTYPE_VALUE, value),
            Field { vtype: kind::RD_KAFKA_VTYPE_TIMESTAMP, u: Union { i64_: timestamp } },
        ];
        let client = self.producer.client().native_ptr();
        // SAFETY: client and topic are live; each field has the union's member of its type set; key and value are copied
        // before the call returns (F_COPY). The error is ours: its code is read, then it is freed, once.
        let code = unsafe {
            let error = sys::rd_kafka_produceva(client, fields.as_ptr(), fields.len());
            if error.is_null() {
                return Ok(true);
            }
            let code = sys::rd_kafka_error_code(error);
            sys::rd_kafka_error_destroy(error);
            code
        };
        refused(code)
    }

    /// As [`Topic::send`], but without a timestamp (`rd_kafka_produce`).
    ///
    /// # Errors
    /// If it can never be sent.
    pub fn send_without_timestamp(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        // SAFETY: the topic is live; key and value have the stated lengths and are copied before the call returns (F_COPY),
        // and thus not written to.
        let sent = unsafe {
            sys::rd_kafka_produce(
                self.raw.as_ptr(),
                -1,
                sys::RD_KAFKA_MSG_F_COPY as c_int,
                value.as_ptr().cast_mut().cast(),
                value.len(),
                key.as_ptr().cast(),
                key.len(),
                ptr::null_mut(),
            )
        };
        if sent == 0 {
            return Ok(true);
        }
        // SAFETY: reads a variable of this thread.
        refused(unsafe { sys::rd_kafka_last_error() })
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used no more; the client outlives it, as `producer` is dropped afterwards.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

fn refused(code: sys::rd_kafka_resp_err_t) -> Result<bool> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::QueueFull => Ok(false),
        code => bail!("sending: {code}"),
    }
}

/// The queue in which a producer hands back what became of its records.
pub struct Reports(ClientQueue<BaseProducer>);

impl Reports {
    /// The reports of `producer`, which nobody polls from now on.
    ///
    /// # Errors
    /// If the producer has no queue.
    pub fn of(producer: Arc<BaseProducer>) -> Result<Self> {
        // SAFETY: the client is live, and the reference that comes back is ours.
        unsafe { ClientQueue::new(sys::rd_kafka_queue_get_main(producer.client().native_ptr()), producer).map(Self) }
    }

    /// Takes what there is and frees it. Left to the client's own thread, that would be done on the locks that the sending
    /// thread needs for each record.
    ///
    /// # Errors
    /// If a record was not delivered.
    pub fn take(&self, wait: Duration) -> Result<()> {
        let mut wait = millis(wait);
        loop {
            // SAFETY: the queue is live; the event is ours, only read, and freed once.
            let code = unsafe {
                let event = sys::rd_kafka_queue_poll(self.0.raw.as_ptr(), wait);
                if event.is_null() {
                    return Ok(());
                }
                let told = sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_DR;
                let code = if told { sys::rd_kafka_event_error(event) } else { NO_ERROR };
                sys::rd_kafka_event_destroy(event);
                code
            };
            if code != NO_ERROR {
                bail!("a record was not delivered: {}", RDKafkaErrorCode::from(code));
            }
            wait = 0;
        }
    }

    /// Waits until everything is sent. rdkafka's own `flush` polls in slices of 100 ms, and a commit would take that long.
    ///
    /// # Errors
    /// If it takes longer than `timeout`, or a record is not delivered.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        let begun = Stopwatch::start();
        loop {
            // SAFETY: the client is live.
            match unsafe { sys::rd_kafka_flush(self.0.client.client().native_ptr(), FLUSH_SLICE) } {
                NO_ERROR => return Ok(()),
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT if begun.elapsed() < timeout => {
                    self.take(Duration::ZERO)?;
                }
                code => bail!("flushing: {}", RDKafkaErrorCode::from(code)),
            }
        }
    }
}

fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
