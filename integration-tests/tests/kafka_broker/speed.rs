//! What producing, consuming and idling cost, to be read beside a loop over the bare client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::broker::{Broker, Isolation, OutRecord, Wake};
use millstream::state::model::{Headers, Position, Timestamp, TopicPartition};

use super::{assigned, broker, join, producer, send, topic, unique, until, wait};

/// Run by hand: `cargo test -p millstream-integration-tests --test kafka_broker -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed_of_producing_and_consuming_a_million_records() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "speed", 4);
    let million = 1_000_000;
    let mut sender = producer(&broker, &unique("speed"));
    let value = [b'x'; 100];
    let headers = Headers::new();
    let (begun, cpu) = (Instant::now(), cpu());
    sender.begin().unwrap();
    for i in 0..million {
        let key = format!("key-{i:08}");
        let record = OutRecord {
            topic: &topic,
            partition: i % 4,
            timestamp: Some(Timestamp::from_millis(1_700_000_000_000)),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &headers,
        };
        until("room", || sender.produce(record).unwrap().then_some(()));
        if i % 100_000 == 99_999 {
            wait(sender.flush()).unwrap();
            wait(sender.commit()).unwrap();
            sender.begin().unwrap();
        }
    }
    wait(sender.commit()).unwrap();
    println!("produce: {:?}, CPU {:.2} s", begun.elapsed(), self::cpu() - cpu);

    let mut times = Vec::new();
    for i in 0..200 {
        let begun = Instant::now();
        sender.begin().unwrap();
        send(&mut *sender, &topic, i % 4, "k", "v");
        wait(sender.flush()).unwrap();
        wait(sender.commit()).unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("a transaction of one record: p50 {:?}, p99 {:?}", times[100], times[198]);

    let (begun, cpu) = (Instant::now(), self::cpu());
    let me = Wake::current_thread();
    let mut fetcher = broker.fetcher(Isolation::ReadCommitted, me).unwrap();
    let mut queues: Vec<_> =
        (0..4).map(|p| fetcher.assign(&TopicPartition::new(topic.clone(), p), Position::START).unwrap()).collect();
    let (mut seen, mut size) = (0, 0);
    while seen < million as usize {
        let mut any = false;
        for queue in &mut queues {
            if let Some(batch) = queue.drain(1000).unwrap() {
                any = true;
                for index in 0..batch.len() {
                    let record = batch.get(index);
                    size += record.key.unwrap().len() + record.value.unwrap().len();
                }
                seen += batch.len();
            }
        }
        if !any {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
    println!("consume: {:?}, CPU {:.2} s, {size} bytes", begun.elapsed(), self::cpu() - cpu);

    measure_idling(&broker, &topic);
}

/// With whatever the caller still holds.
fn measure_idling(broker: &dyn Broker, topic: &Arc<str>) {
    let mut member = join(broker, &unique("idle"), Some("a"), topic);
    let mut held = assigned(&mut *member);
    for own in &mut held.partitions {
        own.queue.seek(Position::new(250_000)).unwrap();
    }
    let cpu = self::cpu();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for own in &mut held.partitions {
            while own.queue.drain(1000).unwrap().is_some() {}
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    println!("idle with a producer, a fetcher and a member for 5 s: CPU {:.2} s", self::cpu() - cpu);
}

/// User and system seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    (fields[12].parse::<f64>().unwrap() + fields[13].parse::<f64>().unwrap()) / 100.0
}
