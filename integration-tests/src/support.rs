//! What many tests begin with: the real broker if there is one, something to write inputs with, an answer to wait for.

use std::io::Write as _;
use std::time::Duration;

use millstream::broker::{Broker, BrokerError, Member, MemberEvent, Producer, ProducerSettings, Ticket, Wake};
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::topology::Topology;

/// The address of the real broker that tests may use. Without one (`MILLSTREAM_TEST_BOOTSTRAP`) the test says that it was
/// not run, past the harness, which keeps what a passing test prints.
pub fn bootstrap() -> Option<String> {
    let bootstrap = std::env::var("MILLSTREAM_TEST_BOOTSTRAP").ok();
    if bootstrap.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // A message that cannot be written must not fail a test that is not run.
        let _ = writeln!(std::io::stdout(), "NOT RUN on a real broker (MILLSTREAM_TEST_BOOTSTRAP is not set): {test}");
    }
    bootstrap
}

/// The settings of a producer without transactions, for inputs.
pub fn plain(client_id: &str) -> ProducerSettings {
    ProducerSettings {
        client_id: client_id.to_owned(),
        transactional_id: None,
        transaction_timeout: Duration::from_secs(10),
    }
}

/// A producer that writes inputs.
///
/// # Errors
/// If the broker cannot make one.
pub fn loader(broker: &dyn Broker) -> Result<Box<dyn Producer>, BrokerError> {
    broker.producer(plain("loader"), Wake::nobody())
}

/// Polls until there is an answer.
///
/// # Panics
/// If there is none in that time.
pub fn until<T>(patience: Duration, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    const LOOK: Duration = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(answer) = poll() {
            return answer;
        }
        assert!(waited < patience, "{what} did not happen");
        std::thread::park_timeout(LOOK);
        waited += LOOK;
    }
}

/// Waits for a broker's answer, longer than any call takes. The caller has a thread to itself.
///
/// # Errors
/// The broker's.
///
/// # Panics
/// If there is no answer for a minute.
pub fn answer<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    until(Duration::from_secs(60), "an answer of the broker", || ticket.poll())
}

/// Leaves the group, giving back what the member still has.
///
/// # Panics
/// If that fails, or is not done in half a minute.
pub fn leave(member: &mut dyn Member) {
    let mut left = member.leave();
    let left = until(Duration::from_secs(30), "a goodbye", || {
        if let Some(MemberEvent::Revoking) = member.poll() {
            member.acknowledge();
        }
        left.poll()
    });
    left.unwrap_or_else(|error| panic!("the member cannot leave: {error}"));
}

/// The topology of a test, which is at fault if it does not build.
///
/// # Panics
/// With the builder's error.
pub fn built(builder: &StreamsBuilder) -> Topology {
    builder.build().unwrap_or_else(|error| panic!("the test's topology: {error}"))
}

/// Memory of a process in MiB, while it lives: `VmRSS` is what is resident, `VmHWM` the most that ever was. `process` is its
/// id or `self`.
pub fn memory_mib(process: &str, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib >> 10)
}
