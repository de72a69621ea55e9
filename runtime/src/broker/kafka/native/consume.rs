//! Partition queues, batches of messages, positions and group metadata.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use millstream_state::model::{Headers, Position, Timestamp};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka_sys as sys;

use super::owned::ClientQueue;
use super::{Consumer, Failure, NO_ERROR, text};
use crate::broker::Wake;

/// Whom to wake when records arrive in a partition's queue. Kept for as long as the client lives, because librdkafka
/// holds its address.
#[derive(Debug)]
pub(crate) struct WakeSlot(
    // A lock because its single writer, the queue's owner, and its reader, a thread of librdkafka's, are two threads.
    Mutex<Wake>,
);

impl WakeSlot {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Wake::nobody()))
    }

    pub(crate) fn set(&self, wake: Wake) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wake;
    }

    pub(crate) fn wake(&self) {
        let wake = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wake.wake();
    }
}

unsafe extern "C" fn records_arrived(_client: *mut sys::rd_kafka_t, slot: *mut c_void) {
    // SAFETY: `slot` is what `Queue::detach` registered: a `WakeSlot` that the client's context keeps until the client is
    // destroyed, and no callback runs after that.
    unsafe { &*slot.cast::<WakeSlot>() }.wake();
}

/// The queue of one partition, apart from the consumer's common queue.
pub(crate) struct Queue(ClientQueue<Consumer>);

impl Queue {
    /// Takes the partition's records out of the consumer's common queue from now on. `slot` must be one that the
    /// consumer's context keeps; therefore it is taken from there.
    pub(crate) fn detach(consumer: &Arc<Consumer>, topic: &str, partition: i32) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        let slot = consumer.context().slot(topic, partition);
        let client = consumer.client().native_ptr();
        // SAFETY: the client is live, because `consumer` is; the name is NUL-terminated and copied. The reference is ours.
        let queue = unsafe {
            ClientQueue::new(sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition), consumer).ok()?
        };
        // SAFETY: the queue is live. A null destination means: keep the records here. The slot outlives the registration,
        // as `records_arrived` explains: the context never removes one.
        unsafe {
            sys::rd_kafka_queue_forward(queue.ptr(), ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(
                queue.ptr(),
                Some(records_arrived),
                Arc::as_ptr(&slot).cast_mut().cast(),
            );
        }
        Some(Self(queue))
    }

    pub(crate) fn consumer(&self) -> &Arc<Consumer> {
        self.0.client()
    }

    /// Whether nothing waits, no control record and no error either.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Takes up to `max` of what waits, without blocking.
    pub(crate) fn drain(&self, max: usize) -> Messages {
        let room = self.0.len().min(max);
        let mut messages = Vec::with_capacity(room);
        if room > 0 {
            // SAFETY: the queue is live; the array has room for `room` pointers, and the call writes as many as it answers.
            unsafe {
                let count = sys::rd_kafka_consume_batch_queue(self.0.ptr(), 0, messages.as_mut_ptr(), room);
                messages.set_len(usize::try_from(count).unwrap_or(0));
            }
        }
        Messages { messages, consumer: self.consumer().clone() }
    }
}

/// The release of librdkafka in whose source it was read where a message's headers are: 2.12.1.
const READ_IN: c_int = 0x020c_01ff;

/// Messages whose payloads lie in librdkafka's fetch buffers until this is dropped.
pub(crate) struct Messages {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    // The fetch buffers belong to the client: it must not be destroyed before them.
    #[allow(dead_code, reason = "held for its life time only")]
    consumer: Arc<Consumer>,
}

// SAFETY: the messages are owned by this value alone, and librdkafka lets any thread read and free them.
unsafe impl Send for Messages {}

impl Messages {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    fn message(&self, index: usize) -> &sys::rd_kafka_message_t {
        // SAFETY: `drain` filled the list with live messages, which only `drop` and `truncate` free, with `&mut self`.
        unsafe { &*self.messages[index] }
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        self.message(index).offset
    }

    pub(crate) fn timestamp(&self, index: usize) -> Timestamp {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live; `kind` is written to.
        Timestamp::from_millis(unsafe { sys::rd_kafka_message_timestamp(self.message(index), &raw mut kind) })
    }

    pub(crate) fn key(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index);
        // SAFETY: a key that is not null has `key_len` bytes and lives as long as the message.
        (!message.key.is_null()).then(|| unsafe { std::slice::from_raw_parts(message.key.cast(), message.key_len) })
    }

    pub(crate) fn value(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index);
        // SAFETY: a payload that is not null has `len` bytes and lives as long as the message.
        (!message.payload.is_null()).then(|| unsafe { std::slice::from_raw_parts(message.payload.cast(), message.len) })
    }

    /// The headers of those that have any, by index.
    pub(crate) fn headers(&self) -> Vec<(usize, Headers)> {
        // SAFETY: the call answers a number that was compiled in.
        let known = unsafe { sys::rd_kafka_version() } == READ_IN;
        let asked = (0..self.len()).filter(|&index| !(known && self.shows_no_headers(index)));
        asked.filter_map(|index| self.headers_of(index).map(|headers| (index, headers))).collect()
    }

    /// Whether it can be seen that there are none, in [`READ_IN`]. When it is asked for a message's headers, librdkafka
    /// allocates a buffer to read that there are none: a tenth of what a message costs.
    fn shows_no_headers(&self, index: usize) -> bool {
        let message = self.message(index);
        // An empty value lies elsewhere. Only a record of format 2 knows its leader epoch.
        // SAFETY: the message is live.
        if message.len == 0 || message.payload.is_null() || unsafe { sys::rd_kafka_message_leader_epoch(message) } < 0 {
            return false;
        }
        // SAFETY: in format 2 a record's value is followed by the number of its headers, which takes a byte at least. In this
        // release both are taken, one after the other, from one segment of the buffer that was received or decompressed
        // (`rd_kafka_msgset_reader_msg_v2`, `rd_slice_ensure_contig`), which lives as long as its messages.
        let count = unsafe { *message.payload.cast::<u8>().add(message.len) };
        count == 0
    }

    fn headers_of(&self, index: usize) -> Option<Headers> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is live; the list that is written to `list` belongs to it.
        let error = unsafe { sys::rd_kafka_message_headers(self.message(index), &raw mut list) };
        if error != NO_ERROR {
            return None;
        }
        let mut headers = Headers::new();
        // SAFETY: the list lives as long as the message. Each call writes pointers into it, until there is no more header.
        unsafe {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            while sys::rd_kafka_header_get_all(list, headers.len(), &raw mut name, &raw mut value, &raw mut size)
                == NO_ERROR
            {
                let bytes = (!value.is_null())
                    .then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast::<u8>(), size)));
                headers.add(text(name), bytes);
            }
        }
        Some(headers)
    }

    /// Removes what is not a record but an error; answers the first, and the highest offset of any.
    pub(crate) fn take_failures(&mut self) -> Option<(Failure, i64)> {
        if (0..self.len()).all(|index| self.message(index).err == NO_ERROR) {
            return None;
        }
        let mut first = None;
        let mut highest = i64::MIN;
        self.messages.retain(|&message| {
            // SAFETY: live until it is destroyed here, in which case it leaves the list.
            unsafe {
                if (*message).err == NO_ERROR {
                    return true;
                }
                highest = highest.max((*message).offset);
                first.get_or_insert(Failure {
                    reason: text(sys::rd_kafka_message_errstr(message)),
                    ..Failure::of((*message).err.into())
                });
                sys::rd_kafka_message_destroy(message);
            }
            false
        });
        first.map(|failure| (failure, highest))
    }

    /// Frees all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for message in self.messages.drain(len.min(self.messages.len())..) {
            // SAFETY: owned by us, and out of the list now.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

/// The position of the application in the one partition of `list`: after the last message and control record taken from
/// its queue since it was assigned or sought.
pub(crate) fn position(consumer: &Consumer, list: &TopicPartitionList) -> Option<Position> {
    // SAFETY: client and list are live; the call writes the position into the list's element.
    let error = unsafe { sys::rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
    let offset = list.elements().first()?.offset().to_raw()?;
    (error == NO_ERROR && offset >= 0).then_some(Position::new(offset))
}

/// The log's first offset and its end, as the last fetch told them.
pub(crate) fn watermarks(consumer: &Consumer, topic: &CStr, partition: i32) -> (Option<Position>, Option<Position>) {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is live, the name NUL-terminated; the two numbers are written to.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    let known = |offset: i64| (error == NO_ERROR && offset >= 0).then_some(Position::new(offset));
    (known(low), known(high))
}

/// The group metadata of one moment, owned.
pub(crate) struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: an immutable value that no client refers to.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    pub(crate) fn capture(consumer: &Consumer) -> Option<Self> {
        // SAFETY: the client is live; the answer is a copy that we own.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) }).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }

    pub(crate) fn generation(&self) -> i32 {
        // SAFETY: live until `self` is dropped.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }

    pub(crate) fn member_id(&self) -> String {
        // SAFETY: live until `self` is dropped; the string belongs to it and is copied.
        unsafe { text(sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr())) }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, and used no more.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If not, every message is asked for its headers, which is right, and slow.
    #[test]
    fn this_release_of_the_client_is_the_one_whose_source_was_read() {
        // SAFETY: the call answers a number that was compiled in.
        let release = unsafe { sys::rd_kafka_version() };
        assert_eq!(release, READ_IN, "read `rd_kafka_msgset_reader_msg_v2` of {release:x}");
    }
}
