//! One life: the scheduler, and what must come true once nothing goes wrong any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream::StreamsError;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::{Broker, Isolation, NewTopic, OutRecord, Producer, Wake};
use millstream::clock::{Clock, ManualClock, Monotonic};
use millstream::instance::State;
use millstream::operators::topology::Topology;
use millstream::partitioner::partition_of;
use millstream::state::model::{Headers, TopicPartition};
use millstream::task::Now;

use super::bugs::Bug;
use super::checker;
use super::dice::Dice;
use super::link::{Link, Weather};
use super::process::{Boot, End, Machine};
use super::scenario::Scenario;
use super::trace::{Counts, Trace};
use super::workload::{Fuse, TOMBSTONE};
use super::{APP, START, quiet_panics};
use crate::support::plain;

/// Within this after the last fault everything must run and be consumed.
const RECOVERY: Duration = Duration::from_secs(40);
/// Within this a clean stop must be over.
const STOP: Duration = Duration::from_secs(20);
/// Steps of a whole life; more is a loop that does not come to an end.
const MOST_STEPS: u64 = 1_500_000;
/// Rebalances after the last fault; more is a livelock.
const MOST_GENERATIONS: i32 = 30;

/// How a life went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Faults by kind.
    pub faults: Counts,
    /// Steps of all threads.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// The event log, if it was asked for.
    pub log: String,
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The life's seed.
    pub seed: u64,
    /// What the life was like.
    pub scenario: String,
    /// What went wrong.
    pub what: String,
    /// The event log, if it was asked for.
    pub log: String,
}

/// A cluster and what surrounds it.
pub(super) struct Life {
    pub(super) scenario: Scenario,
    pub(super) clock: ManualClock,
    pub(super) broker: EmbeddedBroker,
    pub(super) trace: Trace,
    pub(super) weather: Weather,
    pub(super) machines: Vec<Machine>,
    pub(super) topology: Arc<Topology>,
    pub(super) fuse: Fuse,
    pub(super) dice: Dice,
    /// The next entry of the timeline.
    pub(super) next_event: usize,
    /// Inputs written so far.
    pub(super) written: usize,
    pub(super) machines_ever: u64,
    pub(super) bug: Option<Bug>,
    producer: Box<dyn Producer>,
    pub(super) calm: bool,
    pub(super) stopping: bool,
    steps: u64,
    /// Processes that failed after the last fault.
    failures: u32,
    /// Since when all is done.
    done_since: Option<Monotonic>,
}

/// Lives the life of a scenario.
///
/// # Errors
/// What promise was not kept.
pub fn live(scenario: Scenario, bug: Option<Bug>, loud: bool) -> Result<Report, Box<Violation>> {
    quiet_panics();
    let _switched_on = bug.map(Bug::switch_on);
    let (seed, description) = (scenario.seed, scenario.describe());
    let mut life = Life::new(scenario, bug, loud)
        .map_err(|what| Box::new(Violation { seed, scenario: description.clone(), what, log: String::new() }))?;
    match life.run() {
        Ok(()) => Ok(Report {
            faults: life.trace.counts(),
            steps: life.steps,
            simulated: life.clock.monotonic().since(Monotonic::default()),
            log: life.trace.text(),
        }),
        Err(what) => Err(Box::new(Violation { seed, scenario: description, what, log: life.trace.text() })),
    }
}

impl Life {
    fn new(scenario: Scenario, bug: Option<Bug>, loud: bool) -> Result<Self, String> {
        let clock = ManualClock::starting_at(START);
        let broker = EmbeddedBroker::new(Arc::new(clock.clone()));
        let trace = Trace::new(clock.clone(), loud);
        let mut dice = Dice::new(scenario.seed ^ 0x6c69_7665);
        let weather = Weather::new(dice.fork(), scenario.rates, clock.clone(), trace.clone());
        if scenario.late_markers {
            // A lock because the broker may be used from any thread; here there is one.
            let dice = Mutex::new(dice.fork());
            broker.set_late_markers(move || {
                let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
                match dice.below(10) {
                    0 => Duration::from_millis(dice.between(200, 2_000)),
                    1..=4 => Duration::from_millis(dice.between(1, 60)),
                    _ => Duration::ZERO,
                }
            });
        }
        let workload = scenario.workload.clone();
        let topic = |name: &&str| NewTopic {
            name: (*name).into(),
            partitions: scenario.partitions,
            replication: None,
            config: [("retention.ms".to_owned(), "-1".to_owned())].into(),
        };
        let topics = workload.inputs().iter().chain(workload.outputs()).map(topic).collect();
        if !matches!(broker.admin().create_topics(topics).poll(), Some(Ok(_))) {
            return Err("the topics could not be created".to_owned());
        }
        let producer =
            broker.producer(plain("the outside world"), Wake::nobody()).map_err(|error| error.to_string())?;
        let fuse = Fuse::default();
        let topology = Arc::new(workload.topology(&fuse));
        let mut life = Self {
            clock,
            broker,
            trace,
            weather,
            machines: Vec::new(),
            topology,
            fuse,
            dice,
            next_event: 0,
            written: 0,
            machines_ever: 0,
            bug,
            producer,
            calm: false,
            stopping: false,
            steps: 0,
            failures: 0,
            done_since: None,
            scenario,
        };
        for _ in 0..life.scenario.processes {
            life.add_machine();
        }
        Ok(life)
    }

    pub(super) fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// A new machine whose process starts at once.
    pub(super) fn add_machine(&mut self) {
        let machine = self.new_machine();
        self.machines.push(machine);
    }

    pub(super) fn new_machine(&mut self) -> Machine {
        let letter = char::from(b'a' + (self.machines_ever % 26) as u8);
        let mut machine = Machine::new(format!("{letter}{}", self.machines_ever / 26));
        self.machines_ever += 1;
        machine.start_at = Some(self.now());
        machine
    }

    fn run(&mut self) -> Result<(), String> {
        while self.now() < self.scenario.calm_at {
            self.turn(self.scenario.calm_at)?;
        }
        self.calm_down();
        let generation = self.broker.group_members(APP).0;
        let deadline = self.now().after(RECOVERY);
        while !self.stays_done() {
            if self.now() >= deadline {
                return Err(format!("not at the end {RECOVERY:?} after the last fault: {}", self.states()));
            }
            self.turn(deadline)?;
        }
        let rebalances = self.broker.group_members(APP).0 - generation;
        if rebalances > MOST_GENERATIONS {
            return Err(format!("{rebalances} rebalances after the last fault"));
        }
        self.stop()?;
        // Late markers, and transactions that nobody ends.
        self.pass(self.scenario.transaction_timeout() + Duration::from_secs(4));
        checker::check(self)
    }

    fn stop(&mut self) -> Result<(), String> {
        self.trace.note(|| "all are asked to stop".to_owned());
        self.stopping = true;
        let deadline = self.now().after(STOP);
        for machine in &mut self.machines {
            machine.wanted = false;
            if let Some(process) = &mut machine.process {
                process.shut_down();
            }
        }
        while self.machines.iter().any(|machine| machine.process.is_some()) {
            if self.now() >= deadline {
                return Err(format!("not stopped {STOP:?} after it was asked for: {}", self.states()));
            }
            self.turn(deadline)?;
        }
        Ok(())
    }

    /// Lets time pass with nobody alive.
    fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(100);
        let end = self.now().after(time);
        while self.now() < end {
            self.clock.advance(step);
            self.broker.tick();
        }
    }

    /// What everybody is doing, for a message.
    pub(super) fn states(&self) -> String {
        let of = |machine: &Machine| {
            let state = machine.process.as_ref().map(|process| process.state().to_string());
            format!("{} {}", machine.name, state.unwrap_or_else(|| "has no process".into()))
        };
        let states: Vec<String> = self.machines.iter().map(of).collect();
        let behind = self.behind().map_or_else(|| "all is consumed".to_owned(), |what| what.clone());
        format!("{}; {behind}; open transactions {:?}", states.join(", "), self.broker.open_transactions())
    }

    /// The first input partition that is not consumed and committed to its end.
    pub(super) fn behind(&self) -> Option<String> {
        if self.written < self.scenario.inputs.len() {
            return Some(format!("only {} inputs are written", self.written));
        }
        let committed = self.broker.group_offsets(APP);
        let repartitions = self.topology.sub_topologies().iter().flat_map(|sub| &sub.spec().repartitions);
        let repartitions = repartitions.map(|repartition| repartition.topic.full_name(APP).to_string());
        let inputs = self.scenario.workload.inputs().iter().map(ToString::to_string);
        for topic in inputs.chain(repartitions) {
            for partition in 0..self.scenario.partitions {
                let Ok(end) = self.broker.end(&topic, partition, Isolation::ReadUncommitted) else {
                    return Some(format!("there is no {topic}"));
                };
                let at = committed.get(&TopicPartition::new(topic.as_str(), partition));
                if at.map_or(end.number() > 0, |at| at.position < end) {
                    let at = at.map(|at| at.position.number());
                    return Some(format!("{topic}-{partition} is at {at:?} of {end}"));
                }
            }
        }
        None
    }

    /// Whether it is done, and has been for a while: an assignment may be on its way.
    fn stays_done(&mut self) -> bool {
        let now = self.now();
        if !self.is_done() {
            self.done_since = None;
            return false;
        }
        now.since(*self.done_since.get_or_insert(now)) >= Duration::from_millis(200)
    }

    /// Whether all processes run, all is owned and consumed, and nothing is open.
    fn is_done(&self) -> bool {
        let runs = |machine: &Machine| {
            let process = machine.process.as_ref();
            process.is_some_and(|process| !process.stopping && process.state() == State::Running)
        };
        self.machines.iter().all(runs)
            && self.behind().is_none()
            && self.is_owned()
            && self.broker.open_transactions().is_empty()
    }

    /// Whether every input partition has an owner that is alive.
    fn is_owned(&self) -> bool {
        let (_, members) = self.broker.group_members(APP);
        let alive =
            |member: &str| self.machines.iter().any(|machine| member.starts_with(&format!("{APP}-{}-", machine.name)));
        let owned: usize = members.values().map(Vec::len).sum();
        let subscribed: usize = self
            .topology
            .sub_topologies()
            .iter()
            .flat_map(|sub| &sub.spec().sources)
            .map(|source| source.topics.len())
            .sum();
        owned == subscribed * self.scenario.partitions as usize && members.keys().all(|member| alive(member))
    }

    /// Steps one thread that is due, or moves the clock to when one is, but not past `limit`.
    fn turn(&mut self, limit: Monotonic) -> Result<(), String> {
        self.happen()?;
        let now = self.now();
        let due = self.due(now);
        if due.is_empty() {
            self.sleep(limit);
            return Ok(());
        }
        // Several steps between two looks at the surroundings: they cost more than a step.
        for _ in 0..due.len() {
            let (machine, unit) = *self.dice.pick(&due);
            self.step(machine, unit)?;
        }
        if self.dice.chance(200) {
            self.clock.advance(Duration::from_millis(1));
            self.broker.tick();
        }
        Ok(())
    }

    fn due(&self, now: Monotonic) -> Vec<(usize, usize)> {
        let mut due = Vec::new();
        for (index, machine) in self.machines.iter().enumerate().filter(|(_, machine)| machine.runs()) {
            let Some(process) = &machine.process else { continue };
            due.extend((0..process.units()).filter(|unit| process.is_due(*unit, now)).map(|unit| (index, unit)));
        }
        due
    }

    fn step(&mut self, index: usize, unit: usize) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(format!("no end after {MOST_STEPS} steps: {}", self.states()));
        }
        let now = Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() };
        let machine = &mut self.machines[index];
        let Some(process) = machine.process.as_mut().filter(|process| process.is_due(unit, now.monotonic)) else {
            return Ok(());
        };
        let end = process.step(unit, now);
        if process.link.is_dead() {
            self.kill(index);
        } else if let Some(end) = end {
            self.ended(index, end)?;
        }
        Ok(())
    }

    fn ended(&mut self, index: usize, end: End) -> Result<(), String> {
        let back = Duration::from_millis(self.dice.between(10, 600));
        let machine = &mut self.machines[index];
        self.trace.note(|| match &end {
            End::Clean => format!("{} has stopped cleanly", machine.name),
            End::Failed(error) => format!("{} has failed: {error}", machine.name),
        });
        let process = machine.process.take();
        machine.unrestored = process.map(|process| process.unrestored).unwrap_or_default();
        for task in &machine.unrestored {
            self.trace.note(|| format!("{} was restoring task {task} when it stopped", machine.name));
        }
        // As when a process exits: its connections are closed.
        self.broker.kill_client(&machine.name);
        if let End::Failed(error) = &end {
            if !is_to_be_expected(error, &self.trace.counts()) {
                return Err(format!("{} stopped for no good reason: {error}", machine.name));
            }
            self.failures += u32::from(self.calm);
            if self.stopping || self.failures > 6 {
                return Err(format!("{} failed with nothing to make it fail: {error}", machine.name));
            }
        }
        if machine.wanted {
            machine.start_at = Some(self.clock.monotonic().after(back));
        }
        Ok(())
    }

    /// Moves the clock to the next moment at which anything is due.
    fn sleep(&mut self, limit: Monotonic) {
        let now = self.now();
        let processes = self.machines.iter().filter(|machine| machine.runs());
        let processes = processes.filter_map(|machine| machine.process.as_ref()?.next_due());
        let timers = self.machines.iter().flat_map(|machine| {
            [machine.start_at, machine.paused_until, machine.cut_until, machine.disk_heals_at].into_iter().flatten()
        });
        let event = self.scenario.timeline.get(self.next_event).map(|(at, _)| *at).filter(|_| !self.calm);
        let next = processes.chain(timers).chain(event).chain(self.weather.next_release()).min();
        // The broker has timeouts of its own, which nobody is woken by.
        let longest = Duration::from_millis(50);
        let until = next.map_or(longest, |next| next.since(now)).min(longest).min(limit.since(now));
        self.clock.advance(until.max(Duration::from_millis(1)));
        self.broker.tick();
    }

    /// Starts the process of a machine.
    pub(super) fn boot(&mut self, index: usize) {
        let workers = self.dice.between(1, self.scenario.most_workers as u64) as usize;
        let nonce = self.dice.roll();
        let name = self.machines[index].name.clone();
        self.trace.note(|| format!("{name} starts with {workers} workers"));
        let link = Arc::new(Link::new(name.clone(), self.weather.clone()));
        link.cut(self.machines[index].cut_until);
        let broker = self.broker.for_client(name.as_str()).with_faults(link.clone());
        let boot = Boot {
            topology: self.topology.clone(),
            config: self.scenario.config(workers),
            broker: Bug::broker(self.bug, broker, &self.broker),
            link,
            torn_writes: self.bug == Some(Bug::TornWrites),
            nonce,
        };
        let now = self.now();
        let machine = &mut self.machines[index];
        machine.start_at = None;
        machine.boot(boot, now);
    }

    /// Writes the next inputs.
    pub(super) fn write(&mut self, count: u64) -> Result<(), String> {
        let last = (self.written + count as usize).min(self.scenario.inputs.len());
        for input in &self.scenario.inputs[self.written..last] {
            let record = OutRecord {
                topic: &Arc::from(input.topic),
                partition: partition_of(input.key.as_bytes(), self.scenario.partitions),
                timestamp: Some(input.timestamp),
                key: Some(input.key.as_bytes()),
                value: Some(input.value.as_bytes()).filter(|_| input.value != TOMBSTONE),
                headers: &Headers::new(),
            };
            self.producer.produce(record).map_err(|error| error.to_string())?;
        }
        self.written = last;
        Ok(())
    }
}

/// Whether a process may stop like this, given what has gone wrong in this life so far: each error only after a fault that
/// can cause it.
fn is_to_be_expected(error: &StreamsError, faults: &Counts) -> bool {
    use millstream::worker::WorkerError;
    let after = |kinds: &[&str]| kinds.iter().any(|kind| faults.contains_key(kind));
    match error {
        StreamsError::Stuck { .. } => after(&["pause", "slow consumer or disk", "slow controller"]),
        StreamsError::Worker { source } => {
            let text = match source {
                WorkerError::Panicked { message, .. } => message.clone(),
                other => other.to_string(),
            };
            let causes = [
                (super::workload::PANIC, "panic in user code"),
                // Wherever it was noticed.
                ("no storage space", "full disk"),
                ("read-only filesystem", "disk write error"),
            ];
            causes.iter().any(|(words, kind)| text.contains(words) && after(&[kind]))
        }
        _ => false,
    }
}
