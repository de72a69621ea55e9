//! The names of nodes, stores and topics: Kafka Streams' prefixes, its running number, and what Kafka accepts.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::BuildError;

pub(crate) const SOURCE: &str = "KSTREAM-SOURCE-";
pub(crate) const SINK: &str = "KSTREAM-SINK-";
pub(crate) const FILTER: &str = "KSTREAM-FILTER-";
pub(crate) const MAP: &str = "KSTREAM-MAP-";
pub(crate) const MAP_VALUES: &str = "KSTREAM-MAPVALUES-";
pub(crate) const FLAT_MAP: &str = "KSTREAM-FLATMAP-";
pub(crate) const FLAT_MAP_VALUES: &str = "KSTREAM-FLATMAPVALUES-";
pub(crate) const KEY_SELECT: &str = "KSTREAM-KEY-SELECT-";
pub(crate) const PEEK: &str = "KSTREAM-PEEK-";
pub(crate) const FOR_EACH: &str = "KSTREAM-FOREACH-";
pub(crate) const PROCESSOR: &str = "KSTREAM-PROCESSOR-";
pub(crate) const PROCESS_VALUES: &str = "KSTREAM-PROCESSVALUES-";
pub(crate) const MERGE: &str = "KSTREAM-MERGE-";
pub(crate) const BRANCH: &str = "KSTREAM-BRANCH-";
pub(crate) const REPARTITION: &str = "KSTREAM-REPARTITION-";
pub(crate) const AGGREGATE: &str = "KSTREAM-AGGREGATE-";
pub(crate) const REDUCE: &str = "KSTREAM-REDUCE-";
pub(crate) const WINDOWED: &str = "KSTREAM-WINDOWED-";
pub(crate) const JOIN_THIS: &str = "KSTREAM-JOINTHIS-";
pub(crate) const JOIN_OTHER: &str = "KSTREAM-JOINOTHER-";
pub(crate) const OUTER_THIS: &str = "KSTREAM-OUTERTHIS-";
pub(crate) const OUTER_OTHER: &str = "KSTREAM-OUTEROTHER-";
pub(crate) const OUTER_SHARED: &str = "KSTREAM-OUTERSHARED-";
pub(crate) const JOIN: &str = "KSTREAM-JOIN-";
pub(crate) const LEFT_JOIN: &str = "KSTREAM-LEFTJOIN-";
pub(crate) const COGROUP_AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";
pub(crate) const COGROUP_MERGE: &str = "COGROUPKSTREAM-MERGE-";
pub(crate) const TABLE_SUPPRESS: &str = "KTABLE-SUPPRESS-";
pub(crate) const TABLE_SOURCE: &str = "KTABLE-SOURCE-";
pub(crate) const TABLE_FILTER: &str = "KTABLE-FILTER-";
pub(crate) const TABLE_MAP_VALUES: &str = "KTABLE-MAPVALUES-";
pub(crate) const TO_TABLE: &str = "KSTREAM-TOTABLE-";
pub(crate) const TABLE_TRANSFORM_VALUES: &str = "KTABLE-TRANSFORMVALUES-";
pub(crate) const TABLE_SELECT: &str = "KTABLE-SELECT-";
pub(crate) const TABLE_AGGREGATE: &str = "KTABLE-AGGREGATE-";
pub(crate) const TABLE_REDUCE: &str = "KTABLE-REDUCE-";
pub(crate) const TABLE_MERGE: &str = "KTABLE-MERGE-";
pub(crate) const TABLE_JOIN_THIS: &str = "KTABLE-JOINTHIS-";
pub(crate) const TABLE_JOIN_OTHER: &str = "KTABLE-JOINOTHER-";
pub(crate) const TO_STREAM: &str = "KTABLE-TOSTREAM-";
pub(crate) const TABLE_SINK: &str = "KTABLE-SINK-";
pub(crate) const FK_REGISTRATION: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
pub(crate) const FK_RESPONSE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-";
pub(crate) const FK_STORE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-";
pub(crate) const FK_PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
pub(crate) const FK_RESOLVER: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-";
pub(crate) const FK_OUTPUT: &str = "KTABLE-FK-JOIN-OUTPUT-";
const REPARTITION_SUFFIX: &str = "-repartition";
/// The length of a running number in a name.
const DIGITS: usize = 10;

/// A name given by the user, if one was.
pub(crate) type Given = Option<Arc<str>>;

/// The running number behind generated names. Whoever has a name of its own takes a number all the same, as in Kafka
/// Streams, so that naming one node does not rename those after it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    next: u64,
    issued: HashSet<Arc<str>>,
}

impl Names {
    /// A generated name.
    pub(crate) fn generate(&mut self, prefix: &str) -> Arc<str> {
        let name: Arc<str> = format!("{prefix}{:010}", self.next).into();
        self.next += 1;
        self.issued.insert(name.clone());
        name
    }

    /// Whether a name of a store or topic is a generated one, or begins with one.
    pub(crate) fn is_generated(&self, name: &str) -> bool {
        let digits = |end: &usize| name.as_bytes()[end - DIGITS..*end].iter().all(u8::is_ascii_digit);
        (DIGITS..=name.len()).filter(digits).any(|end| self.issued.contains(&name[..end]))
    }

    /// The given name, or a generated one; takes a number in both cases.
    pub(crate) fn node(&mut self, given: &Given, prefix: &str) -> Arc<str> {
        let generated = self.generate(prefix);
        given.clone().unwrap_or(generated)
    }

    /// The given name with a suffix, or a generated one; takes a number in both cases.
    pub(crate) fn suffixed(&mut self, given: &Given, suffix: &str, prefix: &str) -> Arc<str> {
        let generated = self.generate(prefix);
        given.as_ref().map_or(generated, |name| format!("{name}{suffix}").into())
    }

    /// A generated store name.
    pub(crate) fn store(&mut self, prefix: &str) -> Arc<str> {
        self.generate(&format!("{prefix}STATE-STORE-"))
    }

    /// Takes a number that nobody sees.
    pub(crate) fn burn(&mut self) {
        self.next += 1;
    }

    /// The names of a repartition topic and of the nodes around it. `prefix` is what the user or the store is called.
    pub(crate) fn repartition(&mut self, prefix: &str) -> RepartitionNames {
        let topic: Arc<str> = if prefix.ends_with(REPARTITION_SUFFIX) {
            prefix.into()
        } else {
            format!("{prefix}{REPARTITION_SUFFIX}").into()
        };
        let (sink, filter, source) = (self.generate(SINK), self.generate(FILTER), self.generate(SOURCE));
        if is_generated(prefix) {
            return RepartitionNames { topic, sink, filter, source };
        }
        RepartitionNames::of_topic(&topic)
    }
}

/// The names around a repartition topic. That of a grouped table has no filter node; then its name is not used.
#[derive(Clone, Debug)]
pub(crate) struct RepartitionNames {
    pub(crate) topic: Arc<str>,
    pub(crate) filter: Arc<str>,
    pub(crate) sink: Arc<str>,
    pub(crate) source: Arc<str>,
}

impl RepartitionNames {
    /// The names of nodes that are named after their topic.
    pub(crate) fn of_topic(topic: &Arc<str>) -> Self {
        let of = |what: &str| format!("{topic}-{what}").into();
        Self { sink: of("sink"), filter: of("filter"), source: of("source"), topic: topic.clone() }
    }
}

/// Whether a name was generated for a stream node: its repartition nodes are then numbered, not named after it.
fn is_generated(name: &str) -> bool {
    name.strip_prefix("KSTREAM").and_then(|rest| rest.split_at_checked(rest.len().saturating_sub(11))).is_some_and(
        |(_, tail)| tail.len() == 11 && tail.starts_with('-') && tail[1..].bytes().all(|byte| byte.is_ascii_digit()),
    )
}

/// Checks that `name` can be (part of) a topic name.
pub(crate) fn check(node: &str, name: &str) -> Result<(), BuildError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "it would be a directory"
    } else if name.len() > 249 {
        "it is longer than 249 characters"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        "only letters, digits, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    Err(BuildError::BadName { node: node.into(), name: name.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_name_takes_a_number_too() {
        let mut names = Names::default();
        assert_eq!(&*names.node(&Some("mine".into()), FILTER), "mine");
        assert_eq!(&*names.node(&None, FILTER), "KSTREAM-FILTER-0000000001");
        assert_eq!(&*names.store(AGGREGATE), "KSTREAM-AGGREGATE-STATE-STORE-0000000002");
    }

    #[test]
    fn repartition_nodes_of_a_generated_name_are_numbered() {
        let mut names = Names::default();
        let numbered = names.repartition("KSTREAM-AGGREGATE-STATE-STORE-0000000002");
        assert_eq!(&*numbered.topic, "KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition");
        assert_eq!(&*numbered.filter, "KSTREAM-FILTER-0000000001");
        let named = names.repartition("g");
        assert_eq!((&*named.topic, &*named.source), ("g-repartition", "g-repartition-source"));
        assert_eq!(&*names.generate(SINK), "KSTREAM-SINK-0000000006");
    }

    #[test]
    fn a_name_that_kafka_refuses_says_why() {
        assert!(check("n", "fine-1.2_3").is_ok());
        assert!(check("n", "a b").is_err_and(|error| error.to_string().contains("only letters")));
        assert!(check("n", "..").is_err());
        assert!(check("n", &"x".repeat(250)).is_err());
    }
}
