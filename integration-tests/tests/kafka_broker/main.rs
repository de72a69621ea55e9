//! What only the real broker's side of the seam can show; the common behaviour is in the contract tests.
//!
//! Needs `MILLSTREAM_TEST_BOOTSTRAP`, as `scripts/kafka.sh start` prints it; without it the tests say that they were not run.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests against a real broker take real time")]

mod astray;
mod fetching;
mod leaving;
mod other_program;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{
    Assigned, Broker, BrokerError, ErrorClass, Isolation, Member, MemberEvent, MemberSettings, NewTopic, OffsetCommit,
    OutRecord, PartitionQueue, Producer, ProducerSettings, Ticket, TopicOutcome, Wake,
};
use millstream::state::model::{Headers, Position, Timestamp, TopicPartition};
use millstream_integration_tests::support::{self, bootstrap, leave};

const PATIENCE: Duration = Duration::from_secs(30);

fn broker() -> Option<KafkaBroker> {
    let bootstrap = bootstrap()?;
    Some(KafkaBroker::new(KafkaSettings::new(bootstrap)).unwrap())
}

/// A name that no other run has used.
fn unique(name: &str) -> Arc<str> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{name}-{now:x}").into()
}

fn until<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    support::until(PATIENCE, what, poll)
}

fn wait<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    until("the answer", || ticket.poll())
}

fn topic(broker: &dyn Broker, name: &str, partitions: i32) -> Arc<str> {
    compressed_topic(broker, name, partitions, "producer")
}

/// A topic whose broker compresses it in this way.
fn compressed_topic(broker: &dyn Broker, name: &str, partitions: i32, compression: &str) -> Arc<str> {
    let name = unique(name);
    // The records are from 2023.
    let config = [("retention.ms", "-1"), ("compression.type", compression)];
    let config = BTreeMap::from(config.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let new = NewTopic { name: name.clone(), partitions, replication: None, config };
    assert_eq!(wait(broker.admin().create_topics(vec![new])).unwrap(), [TopicOutcome::Created]);
    name
}

fn producer(broker: &dyn Broker, id: &str) -> Box<dyn Producer> {
    let settings = ProducerSettings {
        client_id: id.to_owned(),
        transactional_id: Some(id.to_owned()),
        transaction_timeout: Duration::from_secs(10),
    };
    let mut producer = broker.producer(settings, Wake::nobody()).unwrap();
    wait(producer.init()).unwrap();
    producer
}

fn send(producer: &mut dyn Producer, topic: &Arc<str>, partition: i32, key: &str, value: &str) {
    let record = OutRecord {
        topic,
        partition,
        timestamp: Some(Timestamp::from_millis(1_700_000_000_000)),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &Headers::new(),
    };
    until("room in the queue", || producer.produce(record).unwrap().then_some(()));
}

fn transaction(producer: &mut dyn Producer, topic: &Arc<str>, values: &[&str]) {
    producer.begin().unwrap();
    for value in values {
        send(producer, topic, 0, "k", value);
    }
    wait(producer.flush()).unwrap();
    wait(producer.commit()).unwrap();
}

/// Values up to a position.
fn read_until(queue: &mut dyn PartitionQueue, end: Position) -> Vec<String> {
    let mut values = Vec::new();
    until("the end of the partition", || {
        while let Some(batch) = queue.drain(1000).unwrap() {
            for index in 0..batch.len() {
                values.push(String::from_utf8(batch.get(index).value.unwrap_or_default().to_vec()).unwrap());
            }
        }
        (queue.position() >= end).then_some(())
    });
    values
}

fn join(broker: &dyn Broker, group: &str, instance: Option<&str>, topic: &Arc<str>) -> Box<dyn Member> {
    let settings = MemberSettings {
        client_id: format!("test-{}", instance.unwrap_or("dynamic")),
        group: group.to_owned(),
        instance_id: instance.map(str::to_owned),
        topics: vec![topic.clone()],
        session_timeout: Duration::from_secs(6),
        max_poll_interval: Duration::from_secs(20),
        queued_bytes: 1 << 20,
    };
    broker.member(settings, Wake::nobody()).unwrap()
}

fn assigned(member: &mut dyn Member) -> Assigned {
    until("an assignment", || match member.poll()? {
        MemberEvent::Assigned(assigned) => Some(assigned),
        MemberEvent::Revoking => {
            member.acknowledge();
            None
        }
        MemberEvent::Lost => panic!("lost"),
        MemberEvent::Refused(error) | MemberEvent::Failed(error) => panic!("{error}"),
    })
}

/// The next assignment of both, acknowledging what is revoked on the way.
fn both_assigned<'a>(a: &'a mut (dyn Member + 'a), b: &'a mut (dyn Member + 'a)) -> (Assigned, Assigned) {
    let (mut of_a, mut of_b) = (None, None);
    until("both assignments", || {
        for (member, of) in [(&mut *a, &mut of_a), (&mut *b, &mut of_b)] {
            match member.poll() {
                Some(MemberEvent::Assigned(assigned)) => *of = Some(assigned),
                Some(MemberEvent::Revoking) => {
                    *of = None;
                    member.acknowledge();
                }
                Some(MemberEvent::Refused(error) | MemberEvent::Failed(error)) => panic!("{error}"),
                Some(MemberEvent::Lost) | None => {}
            }
        }
        let whole = of_a.as_ref().map_or(0, |a: &Assigned| a.partitions.len())
            + of_b.as_ref().map_or(0, |b: &Assigned| b.partitions.len());
        (of_a.is_some() && of_b.is_some() && whole == 2).then_some(())
    });
    (of_a.unwrap(), of_b.unwrap())
}

fn commit_of(topic: &Arc<str>, partition: i32, position: i64) -> Vec<OffsetCommit> {
    let partition = TopicPartition::new(topic.clone(), partition);
    vec![OffsetCommit { partition, position: Position::new(position), metadata: "seq 7".to_owned() }]
}

#[test]
fn topics_are_described_with_id_partitions_and_settings() {
    let Some(broker) = broker() else { return };
    let admin = broker.admin();
    let name = unique("described");
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let new = NewTopic { name: name.clone(), partitions: 3, replication: None, config };
    let refused = NewTopic { name: unique("bad"), partitions: 0, ..new.clone() };
    let outcomes = wait(admin.create_topics(vec![new.clone(), refused])).unwrap();
    assert_eq!(outcomes[0], TopicOutcome::Created);
    assert!(matches!(&outcomes[1], TopicOutcome::Refused(_)), "{outcomes:?}");
    assert_eq!(wait(admin.create_topics(vec![new.clone()])).unwrap(), [TopicOutcome::Existed]);

    let described = wait(admin.describe_topics(vec![unique("missing"), name.clone()])).unwrap();
    assert_eq!(described[0], None);
    let missing = TopicPartition::new(unique("missing"), 0);
    let error = wait(admin.end_positions(vec![missing], Isolation::ReadCommitted)).unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownTopic, "{error}");
    let first = described[1].clone().unwrap();
    assert_eq!((&first.name, first.partitions), (&name, 3));
    assert_eq!(first.config["retention.ms"], "-1");
    assert_eq!(first.config["cleanup.policy"], "delete");

    wait(admin.delete_topics(vec![name.clone(), unique("missing")])).unwrap();
    assert_eq!(wait(admin.describe_topics(vec![name.clone()])).unwrap(), [None]);
    assert_eq!(wait(admin.create_topics(vec![new])).unwrap(), [TopicOutcome::Created]);
    let second = wait(admin.describe_topics(vec![name])).unwrap().remove(0).unwrap();
    assert_ne!(first.id, second.id);
}

#[test]
fn a_reader_of_committed_records_passes_aborted_ones_and_control_records() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "isolation", 1);
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut sender = producer(&broker, &unique("isolation"));
    transaction(&mut *sender, &topic, &["a", "b"]);
    sender.begin().unwrap();
    send(&mut *sender, &topic, 0, "k", "aborted");
    wait(sender.flush()).unwrap();
    wait(sender.abort()).unwrap();
    sender.begin().unwrap();
    send(&mut *sender, &topic, 0, "k", "open");
    wait(sender.flush()).unwrap();

    // a b C aborted A open
    let admin = broker.admin();
    let ends = |isolation| wait(admin.end_positions(vec![partition.clone()], isolation)).unwrap()[0];
    assert_eq!(ends(Isolation::ReadCommitted), Position::new(5));
    assert_eq!(ends(Isolation::ReadUncommitted), Position::new(6));
    assert_eq!(wait(admin.start_positions(vec![partition.clone()])).unwrap(), [Position::START]);

    let mut committed = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let mut queue = committed.assign(&partition, Position::START).unwrap();
    assert_eq!(read_until(&mut *queue, Position::new(5)), ["a", "b"]);
    assert_eq!(queue.position(), Position::new(5));

    // The high watermark is 6, but what is open is not there for this reader.
    assert_eq!(until("the end", || queue.end()), Position::new(5));

    let mut all = broker.fetcher(Isolation::ReadUncommitted, Wake::nobody()).unwrap();
    let mut everything = all.assign(&partition, Position::START).unwrap();
    assert_eq!(read_until(&mut *everything, Position::new(6)), ["a", "b", "aborted", "open"]);
    assert_eq!(everything.end(), Some(Position::new(6)));

    wait(sender.commit()).unwrap();
    assert_eq!(read_until(&mut *queue, Position::new(7)), ["open"]);
    assert_eq!((queue.position(), queue.end()), (Position::new(7), Some(Position::new(7))));

    queue.seek(Position::new(1)).unwrap();
    assert_eq!(queue.position(), Position::new(1));
    assert_eq!(read_until(&mut *queue, Position::new(7)), ["b", "open"]);
    // Only control records and aborted data from here on.
    queue.seek(Position::new(2)).unwrap();
    assert_eq!(read_until(&mut *queue, Position::new(5)), ["open"]);
    queue.seek(Position::new(6)).unwrap();
    assert!(read_until(&mut *queue, Position::new(7)).is_empty());

    drop(queue);
    committed.unassign(&partition).unwrap();
    let mut again = committed.assign(&partition, Position::new(1)).unwrap();
    assert_eq!(read_until(&mut *again, Position::new(7)), ["b", "open"]);
}

#[test]
fn nulls_headers_and_timestamps_survive_the_way_through_the_log() {
    let Some(broker) = broker() else { return };
    let mut sender = producer(&broker, &unique("fields"));
    let (none, mut some, mut many) = (Headers::new(), Headers::new(), Headers::new());
    some.add("trace", Some(bytes(b"\x00\x01")));
    some.add("trace", None);
    some.add("empty", Some(bytes(b"")));
    for _ in 0..200 {
        many.add("", None);
    }
    // Each field is found by the length of those before it.
    let mut sent = Vec::new();
    for key in [None, Some(&b""[..]), Some(&b"k"[..])] {
        for value in [None, Some(&b""[..]), Some(&b"\x00"[..]), Some(&[1; 300][..])] {
            for headers in [&none, &some, &many] {
                sent.push((key, value, 1_700_000_000_000 + sent.len() as i64, headers));
            }
        }
    }
    for compression in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        let topic = compressed_topic(&broker, compression, 1, compression);
        sender.begin().unwrap();
        for &(key, value, timestamp, headers) in &sent {
            let timestamp = Some(Timestamp::from_millis(timestamp));
            let record = OutRecord { topic: &topic, partition: 0, timestamp, key, value, headers };
            until("room", || sender.produce(record).unwrap().then_some(()));
        }
        wait(sender.commit()).unwrap();

        let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
        let mut queue = fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START).unwrap();
        let mut seen = 0;
        until("all records", || {
            while let Some(batch) = queue.drain(5).unwrap() {
                for index in 0..batch.len() {
                    let record = batch.get(index);
                    let found = (record.key, record.value, record.timestamp.millis(), record.headers);
                    assert_eq!(found, sent[seen], "record {seen}, {compression}");
                    seen += 1;
                }
            }
            (seen == sent.len()).then_some(())
        });
    }
}

fn bytes(bytes: &'static [u8]) -> ::bytes::Bytes {
    ::bytes::Bytes::from_static(bytes)
}

#[test]
fn a_second_producer_of_an_id_fences_the_first_and_ends_its_transaction() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "fencing", 1);
    let id = unique("fenced");
    let mut old = producer(&broker, &id);
    old.begin().unwrap();
    send(&mut *old, &topic, 0, "k", "of the old one");
    wait(old.flush()).unwrap();
    let mut new = producer(&broker, &id);
    let error = wait(old.commit()).unwrap_err();
    assert_eq!(error.class, ErrorClass::ProducerFenced, "{error}");
    assert_eq!(old.begin().unwrap_err().class, ErrorClass::ProducerFenced);
    transaction(&mut *new, &topic, &["of the new one"]);
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(topic, 0), Position::START).unwrap();
    assert_eq!(read_until(&mut *queue, Position::new(4)), ["of the new one"]);
}

#[test]
fn a_record_for_a_topic_or_partition_that_does_not_exist_is_refused() {
    let Some(broker) = broker() else { return };
    let mut sender = producer(&broker, &unique("unknown"));
    sender.begin().unwrap();
    let missing = unique("missing");
    let record =
        OutRecord { topic: &missing, partition: 0, timestamp: None, key: None, value: None, headers: &Headers::new() };
    let error = until("an answer", || sender.produce(record).map_or_else(Some, |_| None));
    assert_eq!(error.class, ErrorClass::UnknownTopic, "{error}");
    assert!(error.to_string().contains(&*missing));
    let topic = topic(&broker, "known", 1);
    let record = OutRecord { topic: &topic, partition: 5, ..record };
    let error = until("an answer", || sender.produce(record).map_or_else(Some, |_| None));
    assert_eq!(error.class, ErrorClass::UnknownTopic, "{error}");
    wait(sender.abort()).unwrap();
}

#[test]
fn a_position_before_the_start_of_the_log_is_out_of_range_until_the_next_seek() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "range", 1);
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut sender = producer(&broker, &unique("range"));
    transaction(&mut *sender, &topic, &["0", "1", "2", "3"]);
    wait(broker.admin().delete_records(vec![(partition.clone(), Position::new(2))])).unwrap();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&partition, Position::START).unwrap();
    let error = until("an error", || queue.drain(10).map_or_else(Some, |_| None));
    assert_eq!(error.class, ErrorClass::OffsetOutOfRange, "{error}");
    assert_eq!(queue.position(), Position::START);
    assert!(queue.drain(10).is_err());
    queue.seek(Position::new(2)).unwrap();
    assert_eq!(read_until(&mut *queue, Position::new(5)), ["2", "3"]);
    // Beyond the end: librdkafka goes back to the start, which is before the position.
    queue.seek(Position::new(100)).unwrap();
    let error = until("an error", || queue.drain(10).map_or_else(Some, |_| None));
    assert_eq!(error.class, ErrorClass::OffsetOutOfRange, "{error}");
    // An empty log.
    wait(broker.admin().delete_records(vec![(partition, Position::new(5))])).unwrap();
    queue.seek(Position::new(3)).unwrap();
    let error = until("an error", || queue.drain(10).map_or_else(Some, |_| None));
    assert_eq!(error.class, ErrorClass::OffsetOutOfRange, "{error}");
}

#[test]
fn a_group_shares_partitions_and_a_stale_ownership_commits_nothing() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "group", 2);
    let group = unique("group");
    let mut sender = producer(&broker, &unique("group"));
    transaction(&mut *sender, &topic, &["0", "1", "2"]);

    let mut a = join(&broker, &group, Some("a"), &topic);
    let mut first = assigned(&mut *a);
    assert_eq!(first.partitions.len(), 2);
    assert!(first.ownership.generation >= 0 && !first.ownership.member_id.is_empty());
    let own = &mut first.partitions[0];
    assert_eq!((own.partition.partition, own.committed.clone()), (0, None));
    // Idle until the first seek.
    assert!(own.queue.drain(10).unwrap().is_none());
    own.queue.seek(Position::new(1)).unwrap();
    assert_eq!(read_until(&mut *own.queue, Position::new(4)), ["1", "2"]);

    sender.begin().unwrap();
    wait(sender.send_offsets(commit_of(&topic, 0, 3), &first.ownership)).unwrap();
    wait(sender.commit()).unwrap();
    let committed = wait(broker.admin().committed(&group, vec![TopicPartition::new(topic.clone(), 0)])).unwrap();
    let committed = committed[0].clone().unwrap();
    assert_eq!((committed.position, &*committed.metadata), (Position::new(3), "seq 7"));

    let stale = first.ownership.clone();
    drop(first);
    let mut b = join(&broker, &group, Some("b"), &topic);
    let (of_a, of_b) = both_assigned(&mut *a, &mut *b);
    let all: Vec<_> = of_a.partitions.iter().chain(&of_b.partitions).collect();
    let zero = all.iter().find(|own| own.partition.partition == 0).unwrap();
    assert_eq!(zero.committed.as_ref().unwrap().position, Position::new(3));

    sender.begin().unwrap();
    let refused = wait(sender.send_offsets(commit_of(&topic, 0, 1), &stale)).unwrap_err();
    assert_eq!(refused.class, ErrorClass::MemberFenced, "{refused}");
    wait(sender.abort()).unwrap();
    let refused = wait(a.commit(commit_of(&topic, 0, 1), &stale)).unwrap_err();
    assert_eq!(refused.class, ErrorClass::MemberFenced, "{refused}");
    wait(a.commit(commit_of(&topic, 1, 0), &of_a.ownership)).unwrap();

    // A static member that leaves hands over at once.
    drop(of_a);
    let begun = Instant::now();
    leave(&mut *a);
    drop(of_b);
    let of_b = assigned(&mut *b);
    assert_eq!(of_b.partitions.len(), 2);
    let took = begun.elapsed();
    println!("handed over in {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_revocation_that_nobody_acknowledges_is_a_loss_and_the_member_joins_again() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "late", 2);
    let group = unique("late");
    let mut a = join(&broker, &group, Some("a"), &topic);
    let mut first = assigned(&mut *a);
    let mut b = join(&broker, &group, Some("b"), &topic);
    // Half of the poll interval passes.
    until("a loss", || match a.poll()? {
        MemberEvent::Lost => Some(()),
        MemberEvent::Revoking => None,
        _ => panic!("neither revoking nor lost"),
    });
    let error = first.partitions[0].queue.drain(1).map(|_| ()).unwrap_err();
    assert_eq!(error.class, ErrorClass::MemberFenced, "{error}");
    // Belongs to the revocation that is over.
    a.acknowledge();
    let (of_a, of_b) = both_assigned(&mut *a, &mut *b);
    assert_eq!((of_a.partitions.len(), of_b.partitions.len()), (1, 1));
    let refused = wait(a.commit(commit_of(&topic, 0, 0), &first.ownership)).unwrap_err();
    assert_eq!(refused.class, ErrorClass::MemberFenced, "{refused}");
}

#[test]
fn a_static_member_that_comes_back_gets_its_partitions_back_and_fences_the_other() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "static", 2);
    let group = unique("static");
    let mut first = join(&broker, &group, Some("one"), &topic);
    assert_eq!(assigned(&mut *first).partitions.len(), 2);
    let begun = Instant::now();
    let mut second = join(&broker, &group, Some("one"), &topic);
    assert_eq!(assigned(&mut *second).partitions.len(), 2);
    println!("back in {:?}", begun.elapsed());
    let error = until("a failure", || match first.poll()? {
        MemberEvent::Failed(error) => Some(error),
        MemberEvent::Revoking => {
            first.acknowledge();
            None
        }
        _ => None,
    });
    assert_eq!(error.class, ErrorClass::InstanceFenced, "{error}");
}

#[test]
fn offsets_behind_an_open_transaction_are_waited_for() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "stable", 1);
    let group = unique("stable");
    let mut sender = producer(&broker, &unique("stable"));
    transaction(&mut *sender, &topic, &["0", "1", "2"]);
    let mut a = join(&broker, &group, Some("a"), &topic);
    let first = assigned(&mut *a);
    sender.begin().unwrap();
    wait(sender.send_offsets(commit_of(&topic, 0, 2), &first.ownership)).unwrap();
    drop(first);
    drop(a);
    let mut committed = broker.admin().committed(&group, vec![TopicPartition::new(topic.clone(), 0)]);
    let mut again = join(&broker, &group, Some("a"), &topic);
    for _ in 0..1000 {
        assert!(committed.poll().is_none() && again.poll().is_none());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    wait(sender.commit()).unwrap();
    let seen = wait(committed).unwrap()[0].clone().unwrap();
    assert_eq!(seen.position, Position::new(2));
    let own = assigned(&mut *again).partitions.remove(0);
    assert_eq!(own.committed.unwrap().position, Position::new(2));
}

#[test]
fn a_queue_wakes_whom_it_was_told_to() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "wake", 1);
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START).unwrap();
    let (woken, wakes) = std::sync::mpsc::sync_channel(100);
    queue.set_wake(Wake::new(move || woken.try_send(()).unwrap_or_default()));
    assert!(queue.drain(1).unwrap().is_none());
    let mut sender = producer(&broker, &unique("wake"));
    transaction(&mut *sender, &topic, &["x"]);
    let mut seen = 0;
    while queue.position() < Position::new(2) {
        wakes.recv_timeout(PATIENCE).unwrap();
        seen += queue.drain(10).unwrap().map_or(0, |batch| batch.len());
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_client_property_that_is_ours_is_refused_by_name() {
    let mut settings = KafkaSettings::new("127.0.0.1:1");
    settings.properties.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
    let error = KafkaBroker::new(settings).unwrap_err();
    assert!(error.to_string().contains("isolation.level"), "{error}");
    let mut settings = KafkaSettings::new("127.0.0.1:1");
    settings.properties.insert("no.such.property".to_owned(), "1".to_owned());
    let error = KafkaBroker::new(settings).unwrap_err();
    assert!(error.to_string().contains("no.such.property"), "{error}");
}
