//! A broker that is killed and comes back. It needs a broker of its own, which `scripts/kafka.sh` starts; like all tests
//! on a real broker it runs when `MILLSTREAM_TEST_BOOTSTRAP` says that there is one to be had.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, BrokerError, Isolation, NewTopic, Ticket};
use millstream::state::model::{Position, TopicPartition};
use millstream_integration_tests::support::{bootstrap, until};

fn script(what: &str, directory: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka.sh");
    let output = Command::new(script).arg(what).arg(directory).output().unwrap();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Kafka(tempfile::TempDir);

impl Drop for Kafka {
    fn drop(&mut self) {
        script("stop", self.0.path());
    }
}

/// A restarted broker may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    until(PATIENCE, "the answer", || ticket.poll())
}

/// Lost once: after an election the admin's calls went on with the leader epoch they remembered, and every restore
/// waited, with FENCED_LEADER_EPOCH, for the client's next look at the metadata: five minutes.
#[test]
fn offsets_can_be_asked_for_again_as_soon_as_a_restarted_broker_serves() {
    if bootstrap().is_none() {
        return;
    }
    let kafka = Kafka(tempfile::tempdir().unwrap());
    let mut settings = KafkaSettings::new(script("start", kafka.0.path()));
    settings.request_timeout = Duration::from_secs(20);
    let admin = KafkaBroker::new(settings).unwrap().admin();
    let topic = NewTopic { name: "t".into(), partitions: 1, replication: None, config: Default::default() };
    wait(admin.create_topics(vec![topic])).unwrap();
    let partition = vec![TopicPartition::new("t", 0)];
    let ends = || wait(admin.end_positions(partition.clone(), Isolation::ReadUncommitted)).unwrap();
    assert_eq!(ends(), [Position::START]);
    script("restart", kafka.0.path());
    assert_eq!(ends(), [Position::START]);
    wait(admin.delete_records(vec![(partition[0].clone(), Position::START)])).unwrap();
}
