//! Records into the send queue, and the transactional calls.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use millstream_state::model::Headers;
use rdkafka::TopicPartitionList;
use rdkafka::producer::Producer as _;
use rdkafka_sys as sys;

use super::{Failure, GroupMetadata, NO_ERROR, Sender, millis, outcome};
use crate::broker::OutRecord;

/// A topic to produce to.
pub(crate) struct Topic {
    raw: NonNull<sys::rd_kafka_topic_t>,
    sender: Arc<Sender>,
}

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl Send for Topic {}

impl Topic {
    pub(crate) fn new(sender: &Arc<Sender>, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client is live, the name NUL-terminated and copied; a null configuration takes the defaults.
        let raw = unsafe { sys::rd_kafka_topic_new(sender.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Some(Self { raw: NonNull::new(raw)?, sender: sender.clone() })
    }

    /// Copies a record into the send queue.
    pub(crate) fn produce(&self, record: &OutRecord<'_>) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as kind;
        type Field = sys::rd_kafka_vu_s;
        type Union = sys::rd_kafka_vu_s__bindgen_ty_1;
        let bytes = |vtype, bytes: Option<&[u8]>| {
            let (ptr, size) = bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()));
            Field { vtype, u: Union { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } } }
        };
        let end = Field { vtype: kind::RD_KAFKA_VTYPE_END, u: Union { i: 0 } };
        let mut fields = [
            Field { vtype: kind::RD_KAFKA_VTYPE_RKT, u: Union { rkt: self.raw.as_ptr() } },
            Field { vtype: kind::RD_KAFKA_VTYPE_PARTITION, u: Union { i32_: record.partition } },
            Field { vtype: kind::RD_KAFKA_VTYPE_MSGFLAGS, u: Union { i: sys::RD_KAFKA_MSG_F_COPY as c_int } },
            bytes(kind::RD_KAFKA_VTYPE_KEY, record.key),
            bytes(kind::RD_KAFKA_VTYPE_VALUE, record.value),
            end,
            end,
        ];
        let mut count = 5;
        if let Some(timestamp) = record.timestamp {
            // librdkafka takes 0 for «now», and has no other way to say 1970-01-01T00:00:00.000Z.
            let i64_ = if timestamp.millis() == 0 { 1 } else { timestamp.millis() };
            fields[count] = Field { vtype: kind::RD_KAFKA_VTYPE_TIMESTAMP, u: Union { i64_ } };
            count += 1;
        }
        let headers = native_headers(record.headers);
        if !headers.is_null() {
            fields[count] = Field { vtype: kind::RD_KAFKA_VTYPE_HEADERS, u: Union { headers } };
            count += 1;
        }
        // SAFETY: client and topic are live; `count` fields are set, each with the union's member of its type; key and
        // value are copied before the call returns (F_COPY); a null key or value is sent as null.
        let sent =
            unsafe { outcome(sys::rd_kafka_produceva(self.sender.client().native_ptr(), fields.as_ptr(), count)) };
        if sent.is_err() && !headers.is_null() {
            // SAFETY: only a call that succeeds takes over the headers.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        sent
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used no more; the client is live, since `sender` is dropped after this.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

fn native_headers(headers: &Headers) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: the list is new and ours; names and values are given with their lengths and copied.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for header in headers.iter() {
            let (value, size) =
                header.value.as_ref().map_or((ptr::null(), 0), |value| (value.as_ptr().cast(), value.len()));
            sys::rd_kafka_header_add(
                list,
                header.name.as_ptr().cast(),
                header.name.len() as isize,
                value,
                size as isize,
            );
        }
        list
    }
}

/// How many records and reports are with the client.
pub(crate) fn queued(sender: &Sender) -> usize {
    // SAFETY: the client is live.
    usize::try_from(unsafe { sys::rd_kafka_outq_len(sender.client().native_ptr()) }).unwrap_or(0)
}

/// Waits until every record has been delivered or has failed. Another thread must poll for the failures.
pub(crate) fn flush(sender: &Sender, timeout: Duration) -> Result<(), Failure> {
    // SAFETY: the client is live.
    match unsafe { sys::rd_kafka_flush(sender.client().native_ptr(), millis(timeout)) } {
        NO_ERROR => Ok(()),
        error => Err(Failure::of(error.into())),
    }
}

pub(crate) fn init_transactions(sender: &Sender, timeout: Duration) -> Result<(), Failure> {
    // SAFETY: the client is live; the error is ours.
    unsafe { outcome(sys::rd_kafka_init_transactions(sender.client().native_ptr(), millis(timeout))) }
}

pub(crate) fn begin_transaction(sender: &Sender) -> Result<(), Failure> {
    // SAFETY: the client is live; the error is ours.
    unsafe { outcome(sys::rd_kafka_begin_transaction(sender.client().native_ptr())) }
}

pub(crate) fn send_offsets(
    sender: &Sender,
    offsets: &TopicPartitionList,
    group: &GroupMetadata,
    timeout: Duration,
) -> Result<(), Failure> {
    // SAFETY: client, list and metadata are live and only read; the error is ours.
    unsafe {
        outcome(sys::rd_kafka_send_offsets_to_transaction(
            sender.client().native_ptr(),
            offsets.ptr(),
            group.as_ptr(),
            millis(timeout),
        ))
    }
}

pub(crate) fn commit_transaction(sender: &Sender, timeout: Duration) -> Result<(), Failure> {
    // SAFETY: the client is live; the error is ours.
    unsafe { outcome(sys::rd_kafka_commit_transaction(sender.client().native_ptr(), millis(timeout))) }
}

pub(crate) fn abort_transaction(sender: &Sender, timeout: Duration) -> Result<(), Failure> {
    // SAFETY: the client is live; the error is ours.
    unsafe { outcome(sys::rd_kafka_abort_transaction(sender.client().native_ptr(), millis(timeout))) }
}
