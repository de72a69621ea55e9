//! Admin calls that rdkafka lacks.

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::super::patience::Patience;
use super::owned::{Answer, Owned};
use super::{Failure, NO_ERROR, millis, outcome, read_error, text};

pub(super) type Options = Owned<sys::rd_kafka_AdminOptions_t>;

pub(super) fn options<C: ClientContext>(
    client: &Client<C>,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
) -> Result<Options, Failure> {
    // SAFETY: the client is live; the options are ours. The text of an error is not wanted: the only one there can be is
    // that the operation takes no such option.
    unsafe {
        let options = Owned::new(
            sys::rd_kafka_AdminOptions_new(client.native_ptr(), operation),
            sys::rd_kafka_AdminOptions_destroy,
        )?;
        let mut said: [c_char; 128] = [0; 128];
        sys::rd_kafka_AdminOptions_set_request_timeout(options.ptr(), millis(timeout), said.as_mut_ptr(), said.len());
        Ok(options)
    }
}

/// Makes an admin call with a queue of its own and waits for the answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    patience: &Patience,
    call: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_queue_t),
) -> Result<Answer, Failure> {
    // SAFETY: the client is live; queue and event are ours, and the event is freed by its owner. The error string belongs
    // to the event.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(client.native_ptr()), sys::rd_kafka_queue_destroy)?;
        call(client.native_ptr(), queue.ptr());
        let poll =
            |slice| Owned::new(sys::rd_kafka_queue_poll(queue.ptr(), millis(slice)), sys::rd_kafka_event_destroy).ok();
        let Some(event) = patience.wait(poll) else {
            return Err(Failure::of(RDKafkaErrorCode::OperationTimedOut));
        };
        match sys::rd_kafka_event_error(event.ptr()) {
            NO_ERROR => Ok(event),
            error => Err(Failure {
                reason: text(sys::rd_kafka_event_error_string(event.ptr())),
                ..Failure::of(error.into())
            }),
        }
    }
}

/// A list of librdkafka's as a slice.
///
/// # Safety
/// `list` is null or has `count` elements that live through `'a`.
unsafe fn slice<'a, T>(list: *const T, count: usize) -> &'a [T] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(list, count) }
}

/// What a topic is.
pub(crate) struct TopicInfo {
    pub(crate) id: u128,
    /// Of each partition, whether the client knows its leader.
    pub(crate) led: Vec<bool>,
}

/// A topic's name, with what it is.
pub(crate) type Described = (String, Result<TopicInfo, Failure>);

/// Calls `ask` with the topics to describe. The answer also fills the client's cache of leaders.
pub(super) fn describing<T>(
    topics: &[CString],
    ask: impl FnOnce(*const sys::rd_kafka_TopicCollection_t) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut names: Vec<*const c_char> = topics.iter().map(|topic| topic.as_ptr()).collect();
    // SAFETY: the names live until the collection has copied them; it is ours and lives through `ask`.
    let collection = unsafe {
        Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )?
    };
    ask(collection.ptr())
}

/// What the topics are, in no order.
pub(crate) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[CString],
    timeout: Duration,
    patience: &Patience,
) -> Result<Vec<Described>, Failure> {
    let options = options(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
    let answer = describing(topics, |topics| {
        ask(client, patience, |client, queue| {
            // SAFETY: topics and options live until the call has copied them.
            unsafe { sys::rd_kafka_DescribeTopics(client, topics, options.ptr(), queue) };
        })
    })?;
    Ok(read_described(&answer))
}

pub(super) fn read_described(answer: &Answer) -> Vec<Described> {
    // SAFETY: the answer is live, and what is read belongs to it. For an answer to another question there is no result,
    // and the list is empty.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.ptr());
        if result.is_null() {
            return Vec::new();
        }
        let mut count = 0;
        let list = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topics = slice(list, count).iter().map(|&topic| {
            let failed = read_error(sys::rd_kafka_TopicDescription_error(topic))
                .filter(|failure| failure.code != RDKafkaErrorCode::NoError);
            (text(sys::rd_kafka_TopicDescription_name(topic)), failed.map_or_else(|| Ok(read_topic(topic)), Err))
        });
        topics.collect()
    }
}

/// # Safety
/// `topic` is live.
unsafe fn read_topic(topic: *const sys::rd_kafka_TopicDescription_t) -> TopicInfo {
    // SAFETY: live by this function's contract, and what is read belongs to it.
    unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let mut led = vec![false; count];
        for &partition in slice(partitions, count) {
            let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
            // Without an address it is none of the brokers that the answer names, and the client does not know it.
            let known = !leader.is_null() && !sys::rd_kafka_Node_host(leader).is_null();
            let index = usize::try_from(sys::rd_kafka_TopicPartitionInfo_partition(partition));
            if let Some(led) = index.ok().and_then(|index| led.get_mut(index)) {
                *led = known;
            }
        }
        TopicInfo { id: u128::from(high) << 64 | u128::from(low), led }
    }
}

/// One partition's part of an answer.
pub(crate) struct Element {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    pub(crate) code: RDKafkaErrorCode,
}

/// # Safety
/// `element` is live.
unsafe fn read_element(element: *const sys::rd_kafka_topic_partition_t) -> Element {
    // SAFETY: live by this function's contract; name and metadata belong to it and are copied.
    unsafe {
        let element = &*element;
        let metadata = slice(element.metadata.cast_const().cast::<u8>(), element.metadata_size);
        Element {
            topic: text(element.topic),
            partition: element.partition,
            offset: element.offset,
            metadata: String::from_utf8_lossy(metadata).into_owned(),
            code: element.err.into(),
        }
    }
}

/// The elements of a list, whatever their metadata hold (the safe interface panics where they are not UTF-8).
pub(crate) fn elements(list: &TopicPartitionList) -> Vec<Element> {
    // SAFETY: the list is live and has `cnt` elements.
    unsafe {
        let raw = &*list.ptr();
        slice(raw.elems, usize::try_from(raw.cnt).unwrap_or(0)).iter().map(|element| read_element(element)).collect()
    }
}

pub(super) fn offset_options<C: ClientContext>(
    client: &Client<C>,
    committed_only: bool,
    timeout: Duration,
) -> Result<Options, Failure> {
    use sys::rd_kafka_IsolationLevel_t as level;
    let options = options(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout)?;
    let level = if committed_only {
        level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
    } else {
        level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
    };
    // SAFETY: the options are live; the error is ours.
    unsafe { outcome(sys::rd_kafka_AdminOptions_set_isolation_level(options.ptr(), level))? };
    Ok(options)
}

pub(super) fn read_offsets(answer: &Answer) -> Vec<Element> {
    // SAFETY: the answer is live, and what is read belongs to it. For an answer to another question there is no result,
    // and the list is empty.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(answer.ptr());
        if result.is_null() {
            return Vec::new();
        }
        let mut count = 0;
        let list = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let infos = slice(list, count).iter();
        let elements = infos.map(|&info| read_element(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info)));
        elements.map(answered).collect()
    }
}

/// Where the request to a leader failed as a whole, librdkafka answers for its partitions without an error and without an
/// offset (-1001). Taken for a changelog's end, that made a store complete that was empty.
fn answered(element: Element) -> Element {
    match element.code {
        RDKafkaErrorCode::NoError if element.offset < 0 => {
            Element { code: RDKafkaErrorCode::BrokerTransportFailure, ..element }
        }
        _ => element,
    }
}

/// Offsets by the specification in each of the list's elements, in no order. The client must know the partitions' leaders
/// (see `leaders`).
pub(crate) fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    wanted: &TopicPartitionList,
    committed_only: bool,
    patience: &Patience,
) -> Result<Vec<Element>, Failure> {
    let options = offset_options(client, committed_only, patience.timeout())?;
    let answer = ask(client, patience, |client, queue| {
        // SAFETY: options and list live until the call has copied them.
        unsafe { sys::rd_kafka_ListOffsets(client, wanted.ptr(), options.ptr(), queue) };
    })?;
    Ok(read_offsets(&answer))
}

/// What a group has committed for the list's partitions, in no order. A partition with an open transaction fails.
///
/// The client must be a consumer's with a `group.id`, whichever: another's ends the process with SIGSEGV where the
/// coordinator has moved or is loading (librdkafka's issue 5040).
pub(crate) fn group_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &CStr,
    partitions: &TopicPartitionList,
    patience: &Patience,
) -> Result<Vec<Element>, Failure> {
    let options =
        options(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, patience.timeout())?;
    // SAFETY: options, request and list live until the call has copied them; what is read belongs to the answer, which
    // lives to the end of this function.
    unsafe {
        outcome(sys::rd_kafka_AdminOptions_set_require_stable_offsets(options.ptr(), 1))?;
        let request = Owned::new(
            sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions.ptr()),
            sys::rd_kafka_ListConsumerGroupOffsets_destroy,
        )?;
        let answer = ask(client, patience, |client, queue| {
            sys::rd_kafka_ListConsumerGroupOffsets(client, &mut request.ptr(), 1, options.ptr(), queue);
        })?;
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(answer.ptr());
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        let Some(&group) = slice(groups, count).first() else {
            return Ok(Vec::new());
        };
        if let Some(failure) = read_error(sys::rd_kafka_group_result_error(group)) {
            return Err(failure);
        }
        let list = sys::rd_kafka_group_result_partitions(group);
        if list.is_null() {
            return Ok(Vec::new());
        }
        let found = slice((*list).elems, usize::try_from((*list).cnt).unwrap_or(0));
        Ok(found.iter().map(|element| read_element(element)).collect())
    }
}
