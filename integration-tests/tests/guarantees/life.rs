//! One instance of the production runtime on the embedded broker, stepped by hand, whose calls can be made to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::broker::embedded::{CallInfo, CallKind, EmbeddedBroker, Fault, Faults};
use millstream::broker::{Broker, BrokerError, ErrorClass, NewTopic, OutRecord, Wake};
use millstream::clock::{Clock, ManualClock};
use millstream::instance::{Instance, Parts, Who};
use millstream::operators::topology::Topology;
use millstream::state::engine::MemoryStorage;
use millstream::state::model::{Headers, Timestamp};
use millstream::task::Now;
use millstream::worker::Step;
use millstream::{State, StreamsConfig};
use millstream_integration_tests::support::loader;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(20);

/// A fault for one kind of call: how often it is still to happen, and with which error.
type Planned = (CallKind, u32, BrokerError);

/// Decides about calls as a test tells it.
#[derive(Default)]
pub(crate) struct Switch {
    planned: Mutex<Vec<Planned>>,
    held: Mutex<Option<CallKind>>,
    met: Mutex<BTreeMap<CallKind, u32>>,
}

impl Switch {
    /// The next `times` calls of this kind fail.
    pub(crate) fn refuse(&self, kind: CallKind, times: u32, class: ErrorClass) {
        let error = BrokerError::new(class, format!("{kind:?} of the test"), "refused by the test");
        self.planned.lock().unwrap().push((kind, times, error));
    }

    /// Calls of this kind are answered when the broker is told to release them.
    pub(crate) fn hold(&self, kind: CallKind) {
        *self.held.lock().unwrap() = Some(kind);
    }

    /// All goes well from now on.
    pub(crate) fn allow(&self) {
        self.planned.lock().unwrap().clear();
        *self.held.lock().unwrap() = None;
    }

    /// How many calls of this kind were refused.
    pub(crate) fn refused(&self, kind: CallKind) -> u32 {
        self.met.lock().unwrap().get(&kind).copied().unwrap_or(0)
    }
}

impl Faults for Switch {
    fn decide(&self, call: &CallInfo) -> Fault {
        if *self.held.lock().unwrap() == Some(call.kind) {
            return Fault::Hold;
        }
        let mut planned = self.planned.lock().unwrap();
        let Some(fault) = planned.iter_mut().find(|(kind, times, _)| *kind == call.kind && *times > 0) else {
            return Fault::None;
        };
        fault.1 -= 1;
        *self.met.lock().unwrap().entry(call.kind).or_default() += 1;
        Fault::FailBefore(fault.2.clone())
    }
}

pub(crate) struct Life {
    pub(crate) clock: ManualClock,
    pub(crate) broker: EmbeddedBroker,
    pub(crate) storage: MemoryStorage,
    pub(crate) faults: Arc<Switch>,
    pub(crate) instance: Instance,
    parts: Parts,
}

impl Life {
    /// An instance named `a` that has not been stepped yet; `prepare` gets the broker first.
    pub(crate) fn new(topology: Topology, config: StreamsConfig, prepare: impl FnOnce(&EmbeddedBroker)) -> Self {
        let clock = ManualClock::starting_at(START);
        let broker = EmbeddedBroker::new(Arc::new(clock.clone()));
        prepare(&broker);
        let (storage, faults) = (MemoryStorage::new(), Arc::new(Switch::default()));
        let parts = Parts {
            topology: Arc::new(topology),
            broker: Arc::new(broker.for_client("a").with_faults(faults.clone())),
            storage: Arc::new(storage.clone()),
            who: Who { name: "a".into(), workers_ever: config.workers, nonce: 1 },
            config,
        };
        let instance = Instance::new(&parts, &Wake::nobody()).unwrap();
        Self { clock, broker, storage, faults, instance, parts }
    }

    /// The process is killed and started again.
    pub(crate) fn restart(&mut self) {
        self.parts.who.nonce += 1;
        self.broker.kill_client("a");
        self.broker.kill_client(&format!("{}-a", self.parts.config.application_id));
        self.instance = Instance::new(&self.parts, &Wake::nobody()).unwrap();
    }

    /// The same, under another name: other transactional ids on the same disk, as for a task that moves between workers.
    pub(crate) fn restart_as(&mut self, name: &str) {
        self.parts.who.name = name.into();
        self.restart();
    }

    /// The same, with other settings.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(StreamsConfig) -> StreamsConfig) {
        self.parts.config = change(self.parts.config.clone());
        self.restart();
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() }
    }

    pub(crate) fn step(&mut self) {
        if self.instance.step(self.now()) != Step::Progress {
            self.clock.advance(TICK);
            self.broker.tick();
        }
    }

    /// Steps until it is so, for `limit` of its own time at most.
    pub(crate) fn comes_to(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.clock.monotonic().after(limit);
        while !done(self) {
            if self.clock.monotonic() > deadline {
                return false;
            }
            self.step();
        }
        true
    }

    #[track_caller]
    pub(crate) fn until(&mut self, done: impl FnMut(&mut Self) -> bool) {
        let came = self.comes_to(LIMIT, done);
        assert!(came, "{} {:?} {:?}", self.instance.state(), self.instance.error(), self.instance.troubles());
    }

    #[track_caller]
    pub(crate) fn until_running(&mut self) {
        self.until(|life| life.instance.state() == State::Running);
    }

    /// Waits for the end by an error, and answers what it says.
    #[track_caller]
    pub(crate) fn error(&mut self) -> String {
        self.until(|life| life.instance.state().is_final());
        assert_eq!(self.instance.state(), State::Error);
        self.instance.error().unwrap().to_string()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.clock.monotonic().after(time);
        self.until(|life| life.clock.monotonic() >= until);
    }

    pub(crate) fn stop(&mut self) {
        self.instance.shut_down();
        self.until(|life| life.instance.state().is_final());
    }
}

pub(crate) fn create(broker: &EmbeddedBroker, name: &str, partitions: i32) {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topic = NewTopic { name: name.into(), partitions, replication: None, config };
    assert!(matches!(broker.admin().create_topics(vec![topic]).poll(), Some(Ok(_))));
}

/// Writes values with the key `k` to partition 0.
pub(crate) fn write<V: AsRef<[u8]>>(broker: &EmbeddedBroker, topic: &str, values: impl IntoIterator<Item = V>) {
    let mut producer = loader(broker).unwrap();
    let topic: Arc<str> = topic.into();
    for value in values {
        let record = OutRecord {
            topic: &topic,
            partition: 0,
            timestamp: Some(START),
            key: Some(b"k"),
            value: Some(value.as_ref()),
            headers: &Headers::new(),
        };
        assert!(producer.produce(record).unwrap());
    }
    assert!(matches!(producer.flush().poll(), Some(Ok(()))));
}

/// The committed values of partition 0, as text.
pub(crate) fn values(broker: &EmbeddedBroker, topic: &str) -> Vec<String> {
    let records = broker.read_log(topic, 0, millstream::broker::Isolation::ReadCommitted).unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap()).collect()
}

#[track_caller]
pub(crate) fn assert_names(text: &str, names: &[&str]) {
    for name in names {
        assert!(text.contains(name), "{name:?} is missing in: {text}");
    }
}
