//! What the contract cannot show: time, faults, crashes and a look inside.

mod faults;
mod log;
mod membership;
mod range;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_state::model::{Headers, Position, Timestamp, TopicPartition};

use super::super::{
    Assigned, BrokerError, Isolation, Member, MemberEvent, MemberSettings, NewTopic, OffsetCommit, OutRecord, Producer,
    ProducerSettings, Ticket, TopicOutcome, Wake,
};
use super::*;
use crate::clock::ManualClock;

const START: i64 = 1_700_000_000_000;
const SESSION: Duration = Duration::from_secs(6);
const TRANSACTION: Duration = Duration::from_secs(10);

fn cluster() -> (EmbeddedBroker, ManualClock) {
    let clock = ManualClock::starting_at(Timestamp::from_millis(START));
    (EmbeddedBroker::new(Arc::new(clock.clone())), clock)
}

fn done<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    ticket.poll().expect("the embedded broker answers at once unless told otherwise")
}

fn topic(broker: &EmbeddedBroker, name: &str, partitions: i32, config: &[(&str, &str)]) -> Arc<str> {
    let config: BTreeMap<_, _> = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let topic = NewTopic { name: name.into(), partitions, replication: None, config };
    assert_eq!(done(broker.admin().create_topics(vec![topic])).unwrap(), [TopicOutcome::Created]);
    name.into()
}

fn producer(broker: &EmbeddedBroker, id: Option<&str>) -> Box<dyn Producer> {
    let settings = ProducerSettings {
        client_id: "producing".to_owned(),
        transactional_id: id.map(str::to_owned),
        transaction_timeout: TRANSACTION,
    };
    let mut producer = broker.producer(settings, Wake::nobody()).unwrap();
    if id.is_some() {
        done(producer.init()).unwrap();
    }
    producer
}

fn send(producer: &mut dyn Producer, topic: &Arc<str>, timestamp: i64, value: &str) -> Result<bool, BrokerError> {
    producer.produce(OutRecord {
        topic,
        partition: 0,
        timestamp: Some(Timestamp::from_millis(timestamp)),
        key: Some(b"k"),
        value: Some(value.as_bytes()),
        headers: &Headers::new(),
    })
}

fn values(broker: &EmbeddedBroker, topic: &str, isolation: Isolation) -> Vec<String> {
    let records = broker.read_log(topic, 0, isolation).unwrap();
    let text = |record: &LogRecord| String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap();
    records.iter().map(text).collect()
}

fn member(broker: &EmbeddedBroker, client: &str, instance: Option<&str>, topic: &Arc<str>) -> Box<dyn Member> {
    let settings = MemberSettings {
        client_id: client.to_owned(),
        group: "group".to_owned(),
        instance_id: instance.map(str::to_owned),
        topics: vec![topic.clone()],
        session_timeout: SESSION,
        max_poll_interval: Duration::from_secs(60),
        queued_bytes: 1 << 20,
    };
    broker.member(settings, Wake::nobody()).unwrap()
}

fn assigned(member: &mut dyn Member) -> Assigned {
    match member.poll() {
        Some(MemberEvent::Assigned(assigned)) => assigned,
        other => panic!("instead of an assignment: {}", name_of(other.as_ref())),
    }
}

fn numbers(assigned: &Assigned) -> Vec<i32> {
    assigned.partitions.iter().map(|assigned| assigned.partition.partition).collect()
}

fn name_of(event: Option<&MemberEvent>) -> &'static str {
    match event {
        None => "nothing",
        Some(MemberEvent::Revoking) => "revoking",
        Some(MemberEvent::Assigned(_)) => "assigned",
        Some(MemberEvent::Lost) => "lost",
        Some(MemberEvent::Refused(_)) => "refused",
        Some(MemberEvent::Failed(_)) => "failed",
    }
}

fn commit(topic: &Arc<str>, partition: i32, position: i64) -> Vec<OffsetCommit> {
    let partition = TopicPartition::new(topic.clone(), partition);
    vec![OffsetCommit { partition, position: Position::new(position), metadata: String::new() }]
}

/// A wake that counts.
fn counting() -> (Wake, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    (Wake::new(move || _ = counted.fetch_add(1, Ordering::SeqCst)), count)
}
