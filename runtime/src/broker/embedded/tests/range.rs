//! The assignor by itself.

use super::super::range::{Subscriber, assign};
use super::*;

fn subscriber(member: &str, instance: Option<&str>, topics: &[&str]) -> Subscriber {
    Subscriber {
        member: member.into(),
        instance: instance.map(Arc::from),
        topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
    }
}

fn shares(subscribers: Vec<Subscriber>) -> Vec<String> {
    let partitions = |topic: &str| if topic == "five" { 5 } else { 2 };
    let shares = assign(subscribers, &partitions);
    let show = |(member, held): (&Arc<str>, &Vec<TopicPartition>)| {
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        format!("{member}: {}", held.join(" "))
    };
    shares.iter().map(show).collect()
}

#[test]
fn the_first_members_take_what_does_not_divide() {
    let members = vec![subscriber("b", None, &["five", "two"]), subscriber("a", None, &["five", "two"])];
    assert_eq!(shares(members), ["a: five-0 five-1 five-2 two-0", "b: five-3 five-4 two-1"]);
}

#[test]
fn instances_come_before_others_and_by_their_own_names() {
    let members = vec![
        subscriber("a", None, &["two"]),
        subscriber("z", Some("i1"), &["two"]),
        subscriber("y", Some("i2"), &["two"]),
    ];
    assert_eq!(shares(members), ["a: ", "y: two-1", "z: two-0"]);
}

#[test]
fn each_topic_is_shared_among_its_own_subscribers() {
    let members = vec![subscriber("a", None, &["five"]), subscriber("b", None, &["five", "two"])];
    assert_eq!(shares(members), ["a: five-0 five-1 five-2", "b: five-3 five-4 two-0 two-1"]);
}
