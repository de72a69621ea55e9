//! How a fetcher begins: without waiting, and without being waited for.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker as _, Isolation, Wake};
use millstream::state::model::{Position, TopicPartition};

use crate::{broker, producer, topic, transaction, unique, until};

/// Lost once: half a second of a worker's time, in which it served nobody.
#[test]
fn an_assignment_waits_for_no_broker() {
    // Connections are made, and nobody says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = KafkaSettings::new(silent.local_addr().unwrap().to_string());
    let mut fetcher = KafkaBroker::new(settings).unwrap().fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
    let places = ["a", "b", "c"].map(|name| TopicPartition::new(name, 0));
    let begun = Instant::now();
    let queues = places.map(|place| fetcher.assign(&place, Position::START).unwrap());
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(400), "three assignments took {took:?}");
    drop(queues);
}

/// Lost once: up to a second of each restore, until a timer of the client made it ask for the leader.
#[test]
fn the_leader_is_asked_for_at_once() {
    let Some(broker) = broker() else { return };
    let topics = [(); 4].map(|()| topic(&broker, "leaders", 1));
    let mut sender = producer(&broker, &unique("leaders"));
    topics.iter().for_each(|topic| transaction(&mut *sender, topic, &["x"]));
    let mut took = Vec::new();
    for _ in 0..10 {
        let mut fetcher = broker.fetcher(Isolation::ReadCommitted, Wake::nobody()).unwrap();
        for topic in &topics {
            let begun = Instant::now();
            let mut queue = fetcher.assign(&TopicPartition::new(topic.clone(), 0), Position::START).unwrap();
            until("a record", || queue.drain(1).unwrap());
            took.push(begun.elapsed());
        }
    }
    println!("first records after {took:?}");
    // Left to the timer, the third topic of each fetcher takes a second, and the fourth: twenty. The machine may be busy for
    // some.
    let slow = took.iter().filter(|took| **took > Duration::from_millis(700)).count();
    assert!(slow < 10, "{slow} slow ones: {took:?}");
}
