//! A small cluster in one thread: instances of the production runtime on the embedded broker, stepped by hand, with a
//! clock that only moves when everybody waits.
//!
//! ```text
//!  Simulation ── step ──► Instance a, Instance b …   each with a storage that survives its crash
//!       │                     │ every broker call and every engine write is an effect with a number
//!       └── Effects: crash at effect n, or lose the answer to call n
//! ```

mod effects;
pub mod ledger;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use millstream::StreamsConfig;
use millstream::broker::Wake;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::clock::{Clock, ManualClock};
use millstream::instance::{Instance, Parts, State, Who};
use millstream::operators::topology::Topology;
use millstream::state::engine::MemoryStorage;
use millstream::state::model::Timestamp;
use millstream::task::Now;
use millstream::worker::Step;

pub use effects::{Effects, Plan};
use storage::CountingStorage;

/// Wall-clock time at the start of every simulation.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// How far the clock moves when everybody waits for nothing in particular.
const TICK: Duration = Duration::from_millis(20);

/// One process of the application.
pub struct Process {
    name: String,
    instance: Option<Instance>,
    storage: MemoryStorage,
    effects: Arc<Effects>,
    starts: u64,
}

/// The cluster and its processes.
pub struct Simulation {
    /// The clock everybody lives by.
    pub clock: ManualClock,
    /// The broker.
    pub broker: EmbeddedBroker,
    topology: Topology,
    config: StreamsConfig,
    processes: Vec<Process>,
    /// Whether a process that crashed is started again at once. If not, it never comes back.
    pub revive: bool,
}

impl Simulation {
    /// A cluster without topics or processes.
    pub fn new(topology: Topology, config: StreamsConfig) -> Self {
        let clock = ManualClock::starting_at(START);
        let broker = EmbeddedBroker::new(Arc::new(clock.clone()));
        Self { clock, broker, topology, config, processes: Vec::new(), revive: true }
    }

    /// The present.
    pub fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall: self.clock.wall() }
    }

    /// Starts a process; its effects go wrong as `plan` says. Answers its index.
    pub fn start(&mut self, name: &str, plan: Plan) -> usize {
        let effects = Arc::new(Effects::new(plan));
        let process =
            Process { name: name.to_owned(), instance: None, storage: MemoryStorage::new(), effects, starts: 0 };
        self.processes.push(process);
        let index = self.processes.len() - 1;
        self.boot(index);
        index
    }

    /// Starts a process that crashed again, with the disk it left; nothing goes wrong any more.
    pub fn restart(&mut self, index: usize) {
        self.processes[index].effects = Arc::new(Effects::new(Plan::Nothing));
        self.boot(index);
    }

    fn boot(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.starts += 1;
        let broker = self.broker.for_client(process.name.as_str()).with_faults(process.effects.clone());
        let storage = CountingStorage::new(process.storage.clone(), process.effects.clone());
        let nonce = (index as u64) << 32 | process.starts;
        let parts = Parts {
            topology: Arc::new(self.topology.clone()),
            config: self.config.clone(),
            broker: Arc::new(broker),
            storage: Arc::new(storage),
            who: Who { name: process.name.clone(), workers_ever: self.config.workers, nonce },
        };
        process.instance = Instance::new(&parts, &Wake::nobody()).ok();
    }

    /// The effects of a process: how many there were, and of which kind.
    pub fn effects(&self, index: usize) -> &Effects {
        &self.processes[index].effects
    }

    /// What a process left on its disk.
    pub fn storage(&self, index: usize) -> &MemoryStorage {
        &self.processes[index].storage
    }

    /// What a process is doing; `None` if it is dead.
    pub fn state(&self, index: usize) -> Option<State> {
        self.processes[index].instance.as_ref().map(Instance::state)
    }

    /// Why a process stopped.
    pub fn error(&self, index: usize) -> Option<String> {
        self.processes[index].instance.as_ref().and_then(Instance::error).map(|error| error.to_string())
    }

    /// Asks a process for a clean stop.
    pub fn shut_down(&mut self, index: usize) {
        if let Some(instance) = &mut self.processes[index].instance {
            instance.shut_down();
        }
    }

    /// Whether a process has ended.
    pub fn has_stopped(&self, index: usize) -> bool {
        self.state(index).is_none_or(State::is_final)
    }

    /// Whether all these processes run, each with a part of the partitions.
    pub fn tasks_are_shared(&self, indexes: &[usize]) -> bool {
        let (_, members) = self.broker.group_members(&self.config.application_id);
        let running = indexes.iter().all(|index| self.state(*index) == Some(State::Running));
        // Between two assignments nobody, or only those who have not noticed yet, holds anything.
        let held: usize = members.values().map(Vec::len).sum();
        let all = ledger::PARTITIONS as usize * 2;
        running && held == all && members.len() == indexes.len() && members.values().all(|held| !held.is_empty())
    }

    /// Kills a process: nothing is said to anybody, its connections are cut.
    pub fn kill(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.effects.crash();
        process.instance = None;
        self.broker.kill_client(&process.name);
    }

    /// Steps every process once; moves the clock if all of them wait. Answers the processes that crashed by plan.
    pub fn step(&mut self) -> Vec<usize> {
        let now = self.now();
        let mut progress = false;
        let mut crashed = Vec::new();
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            let Some(instance) = &mut process.instance else { continue };
            match instance.step(now) {
                Step::Progress => progress = true,
                Step::WaitUntil(_) | Step::Stopped => {}
            }
            if process.effects.crashed() {
                crashed.push(index);
            }
        }
        for index in &crashed {
            self.kill(*index);
        }
        if !progress {
            self.clock.advance(TICK);
            self.broker.tick();
        }
        crashed
    }

    /// Steps until `done`; restarts a crashed process at once if [`Simulation::revive`] is set. `false` if it does not come to pass within `limit` of
    /// simulated time.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.clock.monotonic().after(limit);
        while !done(self) {
            if self.clock.monotonic() > deadline {
                return false;
            }
            let crashed = self.step();
            if self.revive {
                crashed.into_iter().for_each(|index| self.restart(index));
            }
        }
        true
    }
}
