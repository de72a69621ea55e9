//! Questions that are asked without waiting for the answer.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::admin::{self, TopicInfo};
use super::owned::{Answer, ClientQueue};
use super::{Consumer, Failure};

/// A question under way: the queue that the answer comes to.
struct Question(ClientQueue<Consumer>);

impl Question {
    fn ask(
        consumer: &Arc<Consumer>,
        call: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Self, Failure> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client is live, the new queue ours.
        let queue = unsafe { ClientQueue::new(sys::rd_kafka_queue_new(client), consumer)? };
        call(client, queue.ptr());
        Ok(Self(queue))
    }

    fn poll(&self) -> Option<Answer> {
        self.0.poll()
    }
}

/// A question for a last stable offset.
pub(crate) struct StableEnd(Question);

impl StableEnd {
    /// Asks for the end of the list's one partition, whose leader the client must know (see `leaders`).
    pub(crate) fn ask(consumer: &Arc<Consumer>, wanted: &TopicPartitionList, timeout: Duration) -> Option<Self> {
        let options = admin::offset_options(consumer.client(), true, timeout).ok()?;
        let question = Question::ask(consumer, |client, queue| {
            // SAFETY: options and list live until the call has copied them.
            unsafe { sys::rd_kafka_ListOffsets(client, wanted.ptr(), options.ptr(), queue) };
        });
        question.ok().map(Self)
    }

    /// The answer: `None` while there is none, `Some(None)` if it failed.
    pub(crate) fn poll(&self) -> Option<Option<i64>> {
        let element = admin::read_offsets(&self.0.poll()?).pop();
        Some(element.filter(|element| element.code == RDKafkaErrorCode::NoError).map(|element| element.offset))
    }
}

/// A question for a topic's leaders. What a consumer was waiting to fetch from them, it fetches as soon as they are named.
pub(crate) struct Meeting(Question);

impl Meeting {
    /// Asks who leads the topic.
    pub(crate) fn ask(consumer: &Arc<Consumer>, topic: &str, timeout: Duration) -> Option<Self> {
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = admin::options(consumer.client(), operation, timeout).ok()?;
        let question = admin::describing(&[CString::new(topic).ok()?], |topics| {
            Question::ask(consumer, |client, queue| {
                // SAFETY: topics and options live until the call has copied them.
                unsafe { sys::rd_kafka_DescribeTopics(client, topics, options.ptr(), queue) };
            })
        });
        question.ok().map(Self)
    }

    /// The answer: `None` while there is none, `Some(None)` if it failed.
    pub(crate) fn poll(&self) -> Option<Option<TopicInfo>> {
        let (_, described) = admin::read_described(&self.0.poll()?).pop().unzip();
        Some(described.and_then(Result::ok))
    }
}
