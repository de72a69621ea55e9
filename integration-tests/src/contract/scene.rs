//! Where a check plays: a broker, names of its own, and waiting that ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use millstream::broker::{Admin, Broker, BrokerError, ErrorClass, Isolation, NewTopic, Ticket, TopicOutcome, Wake};
use millstream::clock::{Clock, SystemClock};
use millstream::state::model::{Position, TopicPartition};

/// What a check comes to.
pub type Outcome = anyhow::Result<()>;

/// After this long a check gives up: nothing it waits for takes a tenth of it on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait where nobody wakes: the admin has no wake.
const PULSE: Duration = Duration::from_millis(5);

/// Remembers wakes, so that none is lost between looking and waiting.
#[derive(Clone, Default)]
struct Signal {
    // A lock because any thread of a client may wake; only the check waits.
    raised: Arc<(Mutex<bool>, Condvar)>,
}

impl Signal {
    fn wake(&self) -> Wake {
        let raised = self.raised.clone();
        Wake::new(move || {
            *raised.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            raised.1.notify_all();
        })
    }

    /// Waits for a wake; `false` if none came in this time.
    fn wait(&self, most: Duration) -> bool {
        let raised = self.raised.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.raised.1.wait_timeout_while(raised, most, |raised| !*raised);
        let (mut raised, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *raised)
    }
}

/// A broker, and a prefix that no other check uses.
pub struct Scene<'a> {
    /// The broker under test.
    pub broker: &'a dyn Broker,
    /// Its admin.
    pub admin: Arc<dyn Admin>,
    prefix: String,
    signal: Signal,
    clock: SystemClock,
}

impl<'a> Scene<'a> {
    /// A scene on this broker; `prefix` begins all names in it.
    pub fn new(broker: &'a dyn Broker, prefix: impl Into<String>) -> Self {
        let (signal, clock) = (Signal::default(), SystemClock::default());
        Self { broker, admin: broker.admin(), prefix: prefix.into(), signal, clock }
    }

    /// A name of this scene: of a topic, a group, a transactional id.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A wake that ends this scene's waiting.
    pub fn wake(&self) -> Wake {
        self.signal.wake()
    }

    /// The present, in milliseconds.
    pub fn now(&self) -> i64 {
        self.clock.wall().millis()
    }

    /// Looks again at each wake until there is something.
    ///
    /// # Errors
    /// If there is nothing for too long; `what` says what was waited for. What `look` fails with.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
        let begin = self.clock.monotonic();
        loop {
            if let Some(found) = look().with_context(|| format!("while waiting for {what}"))? {
                return Ok(found);
            }
            if self.clock.monotonic().since(begin) > PATIENCE {
                bail!("{what}: not within {PATIENCE:?}");
            }
            self.signal.wait(PULSE);
        }
    }

    /// Waits for a wake that nobody asked for.
    ///
    /// # Errors
    /// If none comes for too long.
    pub fn wait_for_wake(&self, what: &str) -> Outcome {
        if self.signal.wait(PATIENCE) { Ok(()) } else { bail!("{what}: no wake within {PATIENCE:?}") }
    }

    /// The broker's answer, good or bad.
    ///
    /// # Errors
    /// If there is none for too long.
    pub fn answer<T>(&self, what: &str, mut ticket: Ticket<T>) -> anyhow::Result<Result<T, BrokerError>> {
        self.until(what, || Ok(ticket.poll()))
    }

    /// The broker's answer, which has to be good.
    ///
    /// # Errors
    /// If there is none for too long, or a bad one.
    pub fn done<T>(&self, what: &str, ticket: Ticket<T>) -> anyhow::Result<T> {
        self.answer(what, ticket)?.with_context(|| what.to_owned())
    }

    /// Lets a call go to the broker and back: what was sent before and needs no waiting has been answered by then, as
    /// far as one can tell without sleeping.
    ///
    /// # Errors
    /// If the call fails.
    pub fn round_trip(&self, partition: &TopicPartition) -> Outcome {
        for _ in 0..3 {
            self.end(partition, Isolation::ReadUncommitted)?;
        }
        Ok(())
    }

    /// Creates a topic of this scene that keeps its records for ever unless `config` says otherwise.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> anyhow::Result<Arc<str>> {
        let name: Arc<str> = self.name(name).into();
        let outcome = self.create(&name, partitions, config)?;
        anyhow::ensure!(outcome == TopicOutcome::Created, "topic {name}: {outcome:?}");
        let described = || {
            let ticket = self.admin.describe_topics(vec![name.clone()]);
            Ok(self.done("describe the new topic", ticket)?.into_iter().flatten().next())
        };
        self.until("the new topic to be known", described)?;
        Ok(name)
    }

    /// Creates a topic by its full name.
    ///
    /// # Errors
    /// If the call fails.
    pub fn create(&self, name: &Arc<str>, partitions: i32, config: &[(&str, &str)]) -> anyhow::Result<TopicOutcome> {
        let mut settings = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        settings.extend(config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let topic = NewTopic { name: name.clone(), partitions, replication: None, config: settings };
        let mut outcomes = self.done("create a topic", self.admin.create_topics(vec![topic]))?;
        outcomes.pop().context("no outcome for the topic")
    }

    /// The end of a partition.
    ///
    /// # Errors
    /// If the call fails.
    pub fn end(&self, partition: &TopicPartition, isolation: Isolation) -> anyhow::Result<i64> {
        let ticket = self.admin.end_positions(vec![partition.clone()], isolation);
        let ends = self.done("read an end position", ticket)?;
        Ok(ends.first().context("no end position")?.number())
    }

    /// Waits until a partition ends there for those who read committed data: a broker writes the markers of a
    /// transaction after it has answered.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn until_stable(&self, partition: &TopicPartition, end: i64) -> Outcome {
        self.until(&format!("{partition} to be stable up to {end}"), || {
            Ok((self.end(partition, Isolation::ReadCommitted)? == end).then_some(()))
        })
    }

    /// The start of a partition.
    ///
    /// # Errors
    /// If the call fails.
    pub fn start(&self, partition: &TopicPartition) -> anyhow::Result<i64> {
        let starts = self.done("read a start position", self.admin.start_positions(vec![partition.clone()]))?;
        Ok(starts.first().copied().unwrap_or(Position::new(-1)).number())
    }
}

/// The class of the error that is expected.
///
/// # Errors
/// If there is none.
pub fn class_of<T>(answer: Result<T, BrokerError>) -> anyhow::Result<ErrorClass> {
    match answer {
        Ok(_) => bail!("the broker agreed, and should not have"),
        Err(error) => Ok(error.class),
    }
}
