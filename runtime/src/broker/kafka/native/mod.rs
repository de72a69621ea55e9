//! The one place that calls librdkafka's C functions: what rdkafka's safe interface lacks, each wrapped so that it cannot
//! be misused.
//!
//! Every wrapper that keeps a native pointer also keeps an [`Arc`] of the client that it belongs to, declared after the
//! pointer, so that the pointer is freed before the client.
#![allow(unsafe_code, reason = "librdkafka's batches, partition queues and transactional calls exist in C only")]

mod admin;
mod consume;
mod owned;
mod produce;
mod question;
mod reports;

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::BaseProducer;
use rdkafka_sys as sys;

pub(super) use admin::{Element, TopicInfo, describe_topics, elements, group_offsets, list_offsets};
pub(super) use consume::{GroupMetadata, Messages, Queue, WakeSlot, position, watermarks};
pub(super) use produce::{
    Topic, abort_transaction, begin_transaction, commit_transaction, flush, init_transactions, queued, send_offsets,
};
pub(super) use question::{Meeting, StableEnd};
pub(super) use reports::Reports;

use super::errors::Failure;
use super::{Consuming, Producing};

pub(super) type Consumer = BaseConsumer<Consuming>;
pub(super) type Sender = BaseProducer<Producing>;

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// A string of librdkafka's; empty for null.
///
/// # Safety
/// `text` is null or a NUL-terminated string that lives through the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a NUL-terminated string by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// What an error of librdkafka's says; `None` for null. Does not free it.
///
/// # Safety
/// `error` is null or a live error object.
unsafe fn read_error(error: *const sys::rd_kafka_error_t) -> Option<Failure> {
    if error.is_null() {
        return None;
    }
    // SAFETY: the error is live by this function's contract; these calls only read it.
    unsafe {
        Some(Failure {
            code: sys::rd_kafka_error_code(error).into(),
            reason: text(sys::rd_kafka_error_string(error)),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        })
    }
}

/// Takes over an error object that a call returned.
///
/// # Safety
/// `error` is null or an error object that the caller owns and does not use afterwards.
unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
    // SAFETY: live and owned by this function's contract, so it may be read, then freed once.
    match unsafe { read_error(error) } {
        None => Ok(()),
        Some(failure) => {
            // SAFETY: as above; nobody uses it after this.
            unsafe { sys::rd_kafka_error_destroy(error) };
            Err(failure)
        }
    }
}
