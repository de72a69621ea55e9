//! A client that reads elsewhere than it was told to.

use std::sync::Arc;
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, Isolation, OutRecord, PartitionQueue, Wake};
use millstream::state::model::{Headers, Position, TopicPartition};
use millstream_integration_tests::proxy::{Api, Fault, Proxy, Rule, When};
use millstream_integration_tests::support::loader;

use crate::{broker, topic, until, wait};

/// Writes the next records of both partitions.
fn load(broker: &dyn Broker, topic: &Arc<str>, count: usize) {
    let mut loader = loader(broker).unwrap();
    for partition in [0, 1] {
        let value = Some(b"value".as_slice());
        let record = OutRecord { topic, partition, timestamp: None, key: None, value, headers: &Headers::new() };
        for _ in 0..count {
            until("room for a record", || loader.produce(record).unwrap().then_some(()));
        }
    }
    wait(loader.flush()).unwrap();
}

fn offsets(queue: &mut dyn PartitionQueue, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    until("records", || {
        if let Some(batch) = queue.drain(100).unwrap() {
            offsets.extend((0..batch.len()).map(|index| batch.get(index).offset.number()));
        }
        (offsets.len() >= count).then_some(())
    });
    offsets
}

/// Lost once: a position that was in the log. An assignment began where the log no longer does, so the client asked for the
/// log's start. It was told to read elsewhere before the answer came, and read there; then it asked once more, because the answer was
/// late, and went on from the start of the log.
#[test]
fn a_late_answer_about_the_start_of_the_log_does_not_undo_a_seek() {
    let Some(direct) = broker() else { return };
    let topic = topic(&direct, "astray", 2);
    load(&direct, &topic, 9);
    let [place, other] = [0, 1].map(|partition| TopicPartition::new(topic.clone(), partition));
    wait(direct.admin().delete_records(vec![(place.clone(), Position::new(4))])).unwrap();

    let proxy = Proxy::start(&std::env::var("MILLSTREAM_TEST_BOOTSTRAP").unwrap(), 1).unwrap();
    let broker = KafkaBroker::new(KafkaSettings::new(proxy.address())).unwrap();
    let mut fetcher = broker.fetcher(Isolation::ReadUncommitted, Wake::nobody()).unwrap();
    let mut queue = fetcher.assign(&other, Position::START).unwrap();
    assert_eq!(offsets(&mut *queue, 9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // The questions that come now are those for the start of the log.
    let before = proxy.rules().seen(Api::ListOffsets);
    let asked = |more| until("a question", || (proxy.rules().seen(Api::ListOffsets) >= before + more).then_some(()));

    // Long enough for the seek to come first, however busy the machine.
    let fault = Fault::DelayReply(Duration::from_secs(1));
    proxy.rules().arm(Rule { api: Api::ListOffsets, when: When::Next(1), fault });
    let mut queue = fetcher.assign(&place, Position::START).unwrap();
    asked(1);
    queue.seek(Position::new(6)).unwrap();
    assert_eq!(offsets(&mut *queue, 3), [6, 7, 8]);
    asked(2);
    load(&direct, &topic, 1);
    assert_eq!(offsets(&mut *queue, 1), [9]);
    assert_eq!(queue.position(), Position::new(10));
}
