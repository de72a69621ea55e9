//! What each of librdkafka's clients is told, and which settings are ours alone.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::KafkaSettings;
use crate::broker::{BrokerError, ErrorClass, Isolation, MemberSettings, ProducerSettings};

/// How many records may wait in a producer's queue, and how many of their bytes (in KiB).
const PRODUCER_QUEUE_RECORDS: usize = 200_000;
const PRODUCER_QUEUE_KIB: usize = crate::config::TO_SEND >> 10;

/// How long a record of a producer without transactions may wait to be acknowledged.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the answer to a request may take before it is asked again: as in Kafka's own client.
const ANSWER: &str = "socket.timeout.ms";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings on which correctness rests, or that have a place of their own.
const OURS: &[(&str, &str)] = &[
    ("auto.offset.reset", "the runtime resolves resets, topic by topic"),
    ("bootstrap.servers", "set it in the settings"),
    ("check.crcs", "not a setting"),
    ("client.id", "set it in the settings"),
    ("delivery.report.only.error", "commits rely on it"),
    ("enable.auto.commit", "offsets are committed with what was made of them"),
    ("enable.auto.offset.store", "offsets are committed with what was made of them"),
    ("enable.gapless.guarantee", "commits rely on it"),
    ("enable.idempotence", "commits rely on it"),
    ("enable.partition.eof", "positions would be off by one"),
    ("fetch.queue.backoff.ms", "not a setting"),
    ("group.id", "it is the application id"),
    ("group.instance.id", "it is the instance's identity"),
    ("group.protocol", "membership relies on the classic protocol"),
    ("heartbeat.interval.ms", "it follows from the session timeout"),
    ("isolation.level", "it follows from the guarantee"),
    ("max.in.flight", "order relies on it"),
    ("max.in.flight.requests.per.connection", "order relies on it"),
    ("max.poll.interval.ms", "set it in the settings"),
    ("metadata.broker.list", "set it in the settings"),
    ("partition.assignment.strategy", "co-partitioning relies on it"),
    ("queue.buffering.max.kbytes", "not a setting"),
    ("queue.buffering.max.messages", "not a setting"),
    ("queued.max.messages.kbytes", "set the bytes of waiting records in the settings"),
    ("queued.min.messages", "set the bytes of waiting records in the settings"),
    ("request.required.acks", "commits rely on it"),
    ("acks", "commits rely on it"),
    ("session.timeout.ms", "set it in the settings"),
    ("transaction.timeout.ms", "set it in the settings"),
    ("transactional.id", "it is the worker's identity"),
];

fn refused(key: &str, reason: impl Into<String>) -> BrokerError {
    BrokerError::new(ErrorClass::Fatal, format!("setting {key}"), reason)
}

/// Refuses keys that are ours; librdkafka refuses what it does not know when the first client is made.
pub(super) fn check(settings: &KafkaSettings) -> Result<(), BrokerError> {
    for (key, why) in OURS {
        if settings.properties.contains_key(*key) {
            return Err(refused(key, format!("this client property is not to be set by hand: {why}")));
        }
    }
    Ok(())
}

/// An error of making a client, naming the setting where librdkafka does.
pub(super) fn not_made(what: &str, error: &rdkafka::error::KafkaError) -> BrokerError {
    match error {
        rdkafka::error::KafkaError::ClientConfig(_, description, key, value) => {
            refused(key, format!("librdkafka refuses the value \"{value}\": {description}"))
        }
        other => BrokerError::new(ErrorClass::Fatal, what, other.to_string()),
    }
}

fn base(settings: &KafkaSettings, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &settings.bootstrap_servers);
    config.set("client.id", client_id);
    // The default waits up to ten seconds for a broker that was restarted.
    if !settings.properties.contains_key("reconnect.backoff.max.ms") {
        config.set("reconnect.backoff.max.ms", "1000");
    }
    // The default takes a lost answer for lost after a minute.
    if !settings.properties.contains_key(ANSWER) {
        config.set(ANSWER, ANSWER_TIMEOUT.as_millis().to_string());
    }
    // Connections that are made on demand do not keep to the backoff while a call waits for them: a core is burned, with a
    // thousand attempts a second, for as long as the brokers are gone.
    if !settings.properties.contains_key("enable.sparse.connections") {
        config.set("enable.sparse.connections", "false");
    }
    // A commit is several small requests in a row; none is to wait for the acknowledgement of the one before.
    if !settings.properties.contains_key("socket.nagle.disable") {
        config.set("socket.nagle.disable", "true");
    }
    config
}

fn client_id(settings: &KafkaSettings, rest: &str) -> String {
    if rest.is_empty() { settings.client_id.clone() } else { format!("{}-{rest}", settings.client_id) }
}

pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    base(settings, &client_id(settings, "admin"))
}

/// For questions about groups.
pub(super) fn groups(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings, &client_id(settings, "groups"));
    // librdkafka wants a name, but no group of this name ever comes to be: nothing is subscribed and nothing committed.
    config.set("group.id", client_id(settings, "groups"));
    config
}

pub(super) fn producer(settings: &KafkaSettings, producer: &ProducerSettings) -> ClientConfig {
    let mut config = base(settings, &client_id(settings, &producer.client_id));
    config.set("enable.idempotence", "true");
    // What was delivered is freed by the thread that takes the report. librdkafka's own would do it meanwhile, on the
    // locks that the sending thread needs for each record: the allocator's and that of its count of waiting records.
    config.set("delivery.report.only.error", "false");
    config.set("queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS.to_string());
    config.set("queue.buffering.max.kbytes", PRODUCER_QUEUE_KIB.to_string());
    for (key, value) in [("linger.ms", "20"), ("batch.size", "262144"), ("batch.num.messages", "10000")] {
        if !settings.properties.contains_key(key) {
            config.set(key, value);
        }
    }
    if let Some(id) = &producer.transactional_id {
        let timeout = producer.transaction_timeout.as_millis().to_string();
        // A request whose answer is lost is to be sent again while its transaction lives. (librdkafka's own choice is just
        // before the end.)
        if !settings.properties.contains_key(ANSWER) {
            let answer = (producer.transaction_timeout / 3).clamp(Duration::from_secs(1), ANSWER_TIMEOUT);
            config.set(ANSWER, answer.as_millis().to_string());
        }
        config.set("transactional.id", id);
        // librdkafka allows no record to wait longer than its transaction.
        config.set("message.timeout.ms", &timeout);
        config.set("transaction.timeout.ms", &timeout);
    } else if !settings.properties.contains_key("message.timeout.ms") {
        config.set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
    }
    config
}

fn consumer(settings: &KafkaSettings, client: &str, isolation: Isolation, queued_bytes: usize) -> ClientConfig {
    let mut config = base(settings, &client_id(settings, client));
    let level = match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    config.set("isolation.level", level);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "false");
    // With «error» librdkafka stops the partition for good, and no seek starts it again under the classic protocol. So it
    // goes on from the start, and the queue notices (see `queue`).
    config.set("auto.offset.reset", "earliest");
    config.set("check.crcs", "false");
    // The default of a second is how long a fetcher sleeps when it finds its queue full.
    config.set("fetch.queue.backoff.ms", "50");
    if !settings.properties.contains_key("fetch.wait.max.ms") {
        config.set("fetch.wait.max.ms", "10");
    }
    config.set("queued.max.messages.kbytes", (queued_bytes / 1024).clamp(1, 2_097_151).to_string());
    // A waiting record costs about 200 bytes besides its own: this holds the bound for tiny records too.
    config.set("queued.min.messages", (queued_bytes / 200).clamp(100, 1_000_000).to_string());
    config
}

pub(super) fn fetcher(settings: &KafkaSettings, isolation: Isolation) -> ClientConfig {
    let mut config = consumer(settings, "fetcher", isolation, settings.fetcher_queued_bytes);
    // librdkafka wants a name, but no group of this name ever comes to be: nothing is subscribed and nothing committed.
    config.set("group.id", client_id(settings, "fetcher"));
    config
}

pub(super) fn member(settings: &KafkaSettings, member: &MemberSettings) -> Result<ClientConfig, BrokerError> {
    if member.max_poll_interval < member.session_timeout {
        return Err(refused(
            "max_poll_interval",
            format!("{:?} is less than the session timeout, {:?}", member.max_poll_interval, member.session_timeout),
        ));
    }
    let mut config = consumer(settings, &member.client_id, Isolation::ReadCommitted, member.queued_bytes);
    // Members hear of a rebalance in the answer to a heartbeat, so this is how long taking over partitions takes.
    let heartbeat = (member.session_timeout / 3).min(Duration::from_millis(500));
    config.set("group.id", &member.group);
    config.set("group.protocol", "classic");
    config.set("partition.assignment.strategy", "range");
    config.set("session.timeout.ms", member.session_timeout.as_millis().to_string());
    config.set("heartbeat.interval.ms", heartbeat.as_millis().max(1).to_string());
    config.set("max.poll.interval.ms", member.max_poll_interval.as_millis().to_string());
    if let Some(instance) = &member.instance_id {
        config.set("group.instance.id", instance);
    }
    Ok(config)
}
