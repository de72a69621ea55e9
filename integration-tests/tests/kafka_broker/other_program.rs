//! A group whose members share it out by another assignor: another program's, such as Kafka Streams'.

use std::time::Duration;

use millstream::broker::{ErrorClass, MemberEvent};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::{broker, join, topic, unique, until};

/// Lost once: an instance that was started before the members of Kafka Streams had left ended at once.
#[test]
fn a_group_that_another_program_holds_is_joined_when_that_has_left() {
    let Some(broker) = broker() else { return };
    let topic = topic(&broker, "other-program", 2);
    let group = unique("other-program");
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", std::env::var("MILLSTREAM_TEST_BOOTSTRAP").unwrap())
        .set("group.id", &*group)
        .set("partition.assignment.strategy", "roundrobin")
        .create()
        .unwrap();
    other.subscribe(&[&topic]).unwrap();
    // It has to be polled to stay in the group; what it reads is of no interest.
    let poll_other = || drop(other.poll(Duration::ZERO));
    until("the other's assignment", || {
        poll_other();
        (other.assignment().unwrap().count() == 2).then_some(())
    });

    let mut member = join(&broker, &group, Some("a"), &topic);
    // Twice: it goes on trying.
    for _ in 0..2 {
        let error = until("a refusal", || {
            poll_other();
            match member.poll()? {
                MemberEvent::Refused(error) => Some(error),
                _ => panic!("not refused"),
            }
        });
        assert_eq!(error.class, ErrorClass::Retriable, "{error}");
        assert!(error.reason.contains("members share it out in another way"), "{error}");
    }
    // Closed, it leaves.
    drop(other);
    let assigned = until("an assignment", || match member.poll()? {
        MemberEvent::Assigned(assigned) => Some(assigned),
        MemberEvent::Refused(_) => None,
        _ => panic!("neither assigned nor refused"),
    });
    assert_eq!(assigned.partitions.len(), 2);
}
