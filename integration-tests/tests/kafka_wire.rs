//! The broker seam on a real broker behind the fault proxy: what librdkafka makes of errors, and what the seam makes of it.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{
    Broker, BrokerError, ErrorClass, Isolation, MemberEvent, MemberSettings, NewTopic, OutRecord, PartitionQueue,
    Producer, Wake,
};
use millstream::clock::{Clock as _, Monotonic, SystemClock};
use millstream::state::model::{Headers, Position, TopicPartition};
use millstream_integration_tests::proxy::{Api, Fault, Proxy, Rule, When};
use millstream_integration_tests::support::{self, answer, bootstrap, leave, loader};

fn until<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    support::until(Duration::from_secs(60), what, poll)
}

/// A proxy, a broker reached through it and one reached directly, and a topic of one partition.
struct Scene {
    proxy: Proxy,
    through: KafkaBroker,
    direct: KafkaBroker,
    topic: Arc<str>,
}

fn scene(name: &str) -> Option<Scene> {
    let bootstrap = bootstrap()?;
    let proxy = Proxy::start(&bootstrap, 1).unwrap();
    let [through, direct] =
        [proxy.address(), &bootstrap].map(|address| KafkaBroker::new(KafkaSettings::new(address)).unwrap());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let topic: Arc<str> = format!("{name}-{now:x}").into();
    let new = NewTopic { name: topic.clone(), partitions: 1, replication: None, config: BTreeMap::new() };
    answer(direct.admin().create_topics(vec![new])).unwrap();
    Some(Scene { proxy, through, direct, topic })
}

impl Scene {
    fn producer(&self, broker: &KafkaBroker) -> Box<dyn Producer> {
        loader(broker).unwrap()
    }

    fn send(&self, producer: &mut dyn Producer, values: &[&str]) -> Result<(), BrokerError> {
        for value in values {
            let record = OutRecord {
                topic: &self.topic,
                partition: 0,
                timestamp: None,
                key: None,
                value: Some(value.as_bytes()),
                headers: &Headers::new(),
            };
            until("room", || producer.produce(record).map(|taken| taken.then_some(())).transpose())?;
        }
        answer(producer.flush())
    }
}

fn read(queue: &mut dyn PartitionQueue, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    until("records", || {
        if let Some(batch) = queue.drain(10).unwrap() {
            let texts = (0..batch.len()).map(|index| batch.get(index).value.unwrap_or_default().to_vec());
            values.extend(texts.map(|text| String::from_utf8(text).unwrap()));
        }
        (values.len() >= count).then_some(())
    });
    values
}

/// Lost once: a denied fetch. librdkafka counts the error as the record at its offset, and says that the position is after
/// it. Believed, that record was never asked for again.
#[test]
fn an_error_is_not_taken_for_the_record_at_its_offset() {
    let Some(scene) = scene("denied") else { return };
    let mut producer = scene.producer(&scene.direct);
    scene.send(&mut *producer, &["a", "b", "c"]).unwrap();
    let mut fetcher = scene.through.fetcher(Isolation::ReadUncommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&TopicPartition::new(scene.topic.clone(), 0), Position::START).unwrap();
    assert_eq!(read(&mut *queue, 3), ["a", "b", "c"]);
    scene.proxy.rules().arm(Rule { api: Api::Fetch, when: When::Next(2), fault: Fault::Answer(29) });
    let error = until("the denial", || queue.drain(10).err());
    assert_eq!(error.class, ErrorClass::NotAuthorized, "{error}");
    for _ in 0..200 {
        // Looks at an empty queue move the position.
        if let Ok(batch) = queue.drain(10) {
            assert!(batch.is_none());
        }
        assert_eq!(queue.position(), Position::new(3));
        std::thread::park_timeout(Duration::from_millis(5));
    }
    scene.send(&mut *producer, &["d"]).unwrap();
    let next = until("the next record", || queue.drain(10).unwrap_or(None));
    assert_eq!((next.get(0).offset.number(), next.get(0).value), (3, Some(&b"d"[..])));
    assert_eq!(queue.position(), Position::new(4));
}

/// Lost once: OUT_OF_ORDER_SEQUENCE_NUMBER ended the instance. A new producer can go on.
#[test]
fn a_producer_that_broker_and_client_disagree_about_is_to_be_replaced_also_without_transactions() {
    let Some(scene) = scene("disagree") else { return };
    let mut producer = scene.producer(&scene.through);
    scene.send(&mut *producer, &["a"]).unwrap();
    // Out of order, and a producer that the broker does not know: librdkafka's last word for a handle that cannot go on.
    scene.proxy.rules().arm(Rule { api: Api::Produce, when: When::Next(1), fault: Fault::Answer(45) });
    if let Err(error) = scene.send(&mut *producer, &["b"]) {
        assert_eq!(error.class, ErrorClass::ProducerFenced, "{error}");
        let again = scene.send(&mut *producer, &["b"]).unwrap_err();
        assert_eq!(again.class, ErrorClass::ProducerFenced, "{again}");
    }
    let mut producer = scene.producer(&scene.through);
    scene.send(&mut *producer, &["c"]).unwrap();
}

/// Lost once: librdkafka ended the process with SIGSEGV when a coordinator that was loading, or had moved, was asked.
#[test]
fn offsets_of_a_group_are_asked_for_until_its_coordinator_is_there() {
    let Some(scene) = scene("coordinator") else { return };
    let (admin, partition) = (scene.through.admin(), TopicPartition::new(scene.topic.clone(), 0));
    // loading, not available, not the coordinator
    for code in [14, 15, 16] {
        let before = scene.proxy.rules().total();
        scene.proxy.rules().arm(Rule { api: Api::OffsetFetch, when: When::Nth(1), fault: Fault::Answer(code) });
        let committed = answer(admin.committed("nobody", vec![partition.clone()]));
        assert!(committed.unwrap() == [None], "{code}: somebody has committed");
        assert_eq!(scene.proxy.rules().total(), before + 1, "{code}");
    }
}

/// Lost once: where the request to a leader fails, librdkafka answers with offset -1001 and no error. Taken for the end of
/// a changelog, it made a store complete that was empty, and counts began anew.
#[test]
fn the_ends_of_a_topic_are_asked_for_until_there_is_an_answer() {
    let Some(scene) = scene("ends") else { return };
    let mut settings = KafkaSettings::new(scene.proxy.address());
    settings.properties.insert("socket.timeout.ms".to_owned(), "1000".to_owned());
    let admin = KafkaBroker::new(settings).unwrap().admin();
    let partition = vec![TopicPartition::new(scene.topic, 0)];
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::Disconnect, Fault::DisconnectReply] {
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let before = scene.proxy.rules().total();
            scene.proxy.rules().arm(Rule { api: Api::ListOffsets, when: When::Nth(1), fault });
            let ends = answer(admin.end_positions(partition.clone(), isolation));
            assert_eq!(ends.unwrap(), [Position::START], "{fault:?}");
            assert_eq!(scene.proxy.rules().total(), before + 1, "{fault:?}");
        }
    }
}

/// Lost once: the process, by SIGSEGV in librdkafka, which was asked for offsets while it did not know who leads the partition:
/// its search for leaders goes on in two threads at once. Left to it, the search is repeated after three seconds; and of
/// records to be deleted it says nothing before that.
#[test]
fn a_leader_is_known_before_it_is_to_be_asked() {
    let Some(scene) = scene("leaders") else { return };
    let partition = TopicPartition::new(scene.topic.clone(), 0);
    // LEADER_NOT_AVAILABLE, also for what the client asks by itself when it is connected.
    let arm = || {
        let rule = Rule { api: Api::Metadata, when: When::Next(8), fault: Fault::Answer(5) };
        scene.proxy.rules().arm(rule);
        scene.proxy.rules().total() + 8
    };
    let client = || KafkaBroker::new(KafkaSettings::new(scene.proxy.address())).unwrap().admin();
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let (admin, all) = (client(), arm());
        let begun = SystemClock::default();
        let ends = answer(admin.end_positions(vec![partition.clone()], isolation));
        assert_eq!(ends.unwrap(), [Position::START]);
        assert_eq!(scene.proxy.rules().total(), all, "the leader was believed to be known");
        let took = begun.monotonic().since(Monotonic::default());
        assert!(took < Duration::from_millis(2500), "the search was left to librdkafka: {took:?}");
    }
    let (admin, all) = (client(), arm());
    let mut refused = 0;
    while let Err(error) = answer(admin.delete_records(vec![(partition.clone(), Position::START)])) {
        assert_eq!(error.class, ErrorClass::Retriable, "{error}");
        refused += 1;
    }
    assert_eq!(scene.proxy.rules().total(), all);
    assert!(refused >= 4, "refused {refused} times only: librdkafka looked for the leader");
}

/// Lost once: up to a second of each start. A partition is paused until its task is restored, and librdkafka's thread that
/// fetches sleeps for a second over such a one; that it is resumed does not wake it.
///
/// The clock is the members' heartbeat, three a second at most: most members have their first record before the next one.
#[test]
fn a_member_fetches_as_soon_as_a_partition_is_let_go() {
    let Some(scene) = scene("let-go") else { return };
    let mut producer = scene.producer(&scene.direct);
    scene.send(&mut *producer, &["a", "b"]).unwrap();
    for from in [0, 1] {
        let before_a_heartbeat = (0..8).filter(|round| scene.has_a_record_before_a_heartbeat(from, *round)).count();
        assert!(before_a_heartbeat >= 4, "from offset {from}: only {before_a_heartbeat} of 8");
    }
}

impl Scene {
    /// Whether a new member's first record, from this offset, is there before its next heartbeat.
    fn has_a_record_before_a_heartbeat(&self, from: i64, round: usize) -> bool {
        let settings = MemberSettings {
            client_id: "member".to_owned(),
            group: format!("{}-{from}-{round}", self.topic),
            instance_id: None,
            topics: vec![self.topic.clone()],
            session_timeout: Duration::from_secs(1),
            max_poll_interval: Duration::from_secs(10),
            queued_bytes: 1 << 20,
        };
        let heartbeats = || self.proxy.rules().seen(Api::Heartbeat);
        let mut member = self.through.member(settings, Wake::nobody()).unwrap();
        let mut assigned = until("an assignment", || match member.poll()? {
            MemberEvent::Assigned(assigned) => Some(assigned),
            _ => panic!("a member alone in its group lost its partition"),
        });
        // As while a task is restored: the fetching thread lies down, and there is time until the next heartbeat.
        let first = heartbeats();
        until("a heartbeat", || (heartbeats() > first).then_some(()));
        let queue = &mut assigned.partitions[0].queue;
        let before = heartbeats();
        queue.seek(Position::new(from)).unwrap();
        let record = until("a record", || queue.drain(10).unwrap());
        assert_eq!(record.get(0).offset.number(), from);
        let soon = heartbeats() == before;
        drop(record);
        leave(&mut *member);
        soon
    }
}
