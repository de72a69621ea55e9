//! What a life is like: drawn from its seed before anything happens.

use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::clock::Monotonic;
use millstream::config::Guarantee;

use super::APP;
use super::dice::Dice;
use super::link::Rates;
use super::workload::{self, Input, Workload};

/// Something that happens to the cluster at its time.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The outside world writes so many records.
    Burst(u64),
    /// A process is killed.
    Kill(u64),
    /// A process dies at one of its next effects: in the middle of a call, or of a write to its disk.
    CrashAtEffect(u64, u64),
    /// A machine loses power: its disk loses what was not synced, or a part of that.
    PowerLoss(u64),
    /// A machine is gone for good, its disk with it; another takes its place.
    MachineLoss(u64),
    /// A process stands still for so long (milliseconds), its heartbeats with it.
    Pause(u64, u64),
    /// One of a process's threads gets nowhere for so long (milliseconds).
    Stall(u64, u64),
    /// A process and the broker do not hear of each other for so long (milliseconds).
    CutOff(u64, u64),
    /// Coordinators of groups and transactions move.
    CoordinatorChange(u64),
    /// The broker is away for so long (milliseconds).
    BrokerRestart(u64),
    /// A disk refuses writes from the n-th on, for so long (milliseconds).
    DiskFault(u64, u64, u64),
    /// A new process starts on a new machine.
    Join,
    /// A process is asked to stop cleanly, and is started again so long (milliseconds) after.
    Leave(u64, u64),
    /// User code panics at one of the next records.
    Panic(u64),
    /// An operator fences a producer.
    Fence(u64),
    /// The broker compacts all changelogs.
    Compact,
}

/// How many kinds of events [`Scenario::event`] knows; bursts are apart.
const KINDS: u64 = 15;

/// A life, before it is lived.
#[derive(Clone)]
pub struct Scenario {
    /// Its seed.
    pub seed: u64,
    /// The application.
    pub workload: Arc<dyn Workload>,
    /// Whether each record counts exactly once, or at least once.
    pub exactly_once: bool,
    /// Whether record caches are on.
    pub cached: bool,
    /// Processes at first.
    pub processes: usize,
    /// Workers of a process at most.
    pub most_workers: usize,
    /// Partitions of every topic.
    pub partitions: i32,
    /// Whether transaction markers are written late.
    pub late_markers: bool,
    /// What goes wrong with calls.
    pub rates: Rates,
    /// What happens when, in order.
    pub timeline: Vec<(Monotonic, Event)>,
    /// When nothing goes wrong any more.
    pub calm_at: Monotonic,
    /// What the outside world writes, in order.
    pub inputs: Vec<Input>,
    commit_interval: Duration,
    session_timeout: Duration,
    transaction_timeout: Duration,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Scenario {
    /// The life of this seed.
    pub fn draw(seed: u64) -> Self {
        let workloads = workload::all();
        let workload = workloads[(seed % workloads.len() as u64) as usize].clone();
        Self::draw_for(seed, workload)
    }

    /// The life of this seed with another application.
    pub fn draw_for(seed: u64, workload: Arc<dyn Workload>) -> Self {
        let mut dice = Dice::new(seed);
        let calm = dice.between(1_500, 7_000);
        let count = dice.between(20, 160);
        let inputs: Vec<Input> = (0..count).map(|index| workload.input(&mut dice, index)).collect();
        let session = dice.between(600, 2_500);
        let mut scenario = Self {
            seed,
            workload,
            exactly_once: dice.chance(780),
            cached: dice.chance(400),
            processes: dice.between(1, 3) as usize,
            most_workers: dice.between(1, 3) as usize,
            partitions: dice.between(1, 4) as i32,
            late_markers: dice.chance(600),
            rates: Self::rates(&mut dice),
            timeline: Vec::new(),
            calm_at: Monotonic::since_start(millis(calm)),
            inputs,
            commit_interval: millis(dice.between(10, 250)),
            session_timeout: millis(session),
            transaction_timeout: millis(dice.between(700, 3_000)),
        };
        scenario.exactly_once |= !scenario.workload.bears_repetition();
        let last = scenario.workload.last(scenario.partitions, count);
        scenario.inputs.extend(last);
        let count = scenario.inputs.len() as u64;
        scenario.timeline = scenario.events(&mut dice, calm, count);
        scenario
    }

    /// Some ways to fail are off in each life, so that the others come further.
    fn rates(dice: &mut Dice) -> Rates {
        let scale = *dice.pick(&[0, 5, 15, 40, 90]);
        let mut rate = || if dice.chance(500) { dice.below(scale + 1) } else { 0 };
        Rates {
            lost_request: rate(),
            lost_reply: rate(),
            late_reply: rate(),
            late_request: rate(),
            refused: rate(),
            twice: rate(),
        }
    }

    fn events(&self, dice: &mut Dice, calm: u64, inputs: u64) -> Vec<(Monotonic, Event)> {
        let mut events: Vec<(u64, Event)> = Vec::new();
        let mut left = inputs;
        while left > 0 {
            let burst = dice.between(1, 25).min(left);
            left -= burst;
            events.push((dice.below(calm), Event::Burst(burst)));
        }
        let allowed: Vec<u64> = (0..KINDS).filter(|_| dice.chance(400)).collect();
        if !allowed.is_empty() {
            for _ in 0..dice.below(9) {
                let kind = *dice.pick(&allowed);
                let at = dice.below(calm);
                events.push((at, self.event(dice, kind)));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(|(at, event)| (Monotonic::since_start(millis(at)), event)).collect()
    }

    fn event(&self, dice: &mut Dice, kind: u64) -> Event {
        let who = dice.below(4);
        let session = self.session_timeout.as_millis() as u64;
        let transaction = self.transaction_timeout.as_millis() as u64;
        match kind {
            0 => Event::Kill(who),
            1 | 2 => Event::CrashAtEffect(who, dice.below(60)),
            3 => Event::PowerLoss(who),
            4 => Event::MachineLoss(who),
            5 => Event::Pause(who, self.absence(dice, session.max(transaction) * 3 / 2)),
            6 => Event::Stall(who, self.absence(dice, session * 2)),
            7 => Event::CutOff(who, self.absence(dice, session * 2)),
            8 => Event::CoordinatorChange(dice.between(50, 1_000)),
            9 => Event::BrokerRestart(self.absence(dice, 1_500)),
            10 => Event::DiskFault(who, dice.below(8), dice.between(50, 800)),
            11 => Event::Join,
            12 => Event::Leave(who, dice.between(10, 1_500)),
            13 => Event::Panic(dice.between(1, 20)),
            _ if dice.chance(500) => Event::Fence(who),
            _ => Event::Compact,
        }
    }

    /// How long somebody is not heard of. Without transactions nothing keeps one who comes back after his session from
    /// writing old values over new ones, in Kafka Streams as here: such lives would prove nothing.
    fn absence(&self, dice: &mut Dice, longest: u64) -> u64 {
        let session = self.session_timeout.as_millis() as u64;
        let longest = if self.exactly_once { longest } else { longest.min(session / 2) };
        dice.between(20, longest)
    }

    /// The settings of a process with so many workers.
    pub fn config(&self, workers: usize) -> StreamsConfig {
        let guarantee = match self.exactly_once {
            true => Guarantee::ExactlyOnce { transaction_timeout: self.transaction_timeout },
            false => Guarantee::AtLeastOnce,
        };
        let mut config = StreamsConfig::new(APP, "simulated")
            .workers(workers)
            .processing_guarantee(guarantee)
            .commit_interval(self.commit_interval)
            .session_timeout(self.session_timeout)
            .max_poll_interval(self.session_timeout * 4)
            .startup_timeout(Duration::from_secs(10));
        config.repartition_purge_interval = Duration::from_millis(400);
        if !self.cached {
            config.memory.record_cache = 0;
        }
        config
    }

    /// The longest that an open transaction can last.
    pub(super) fn transaction_timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// One line about it.
    pub fn describe(&self) -> String {
        format!(
            "{}, {}, {}, {} processes of up to {} workers, {} partitions, {} inputs, markers {}, {:?}",
            self.workload.name(),
            if self.exactly_once { "exactly once" } else { "at least once" },
            if self.cached { "cached" } else { "uncached" },
            self.processes,
            self.most_workers,
            self.partitions,
            self.inputs.len(),
            if self.late_markers { "late" } else { "at once" },
            self.rates,
        )
    }
}
