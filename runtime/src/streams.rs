//! The handle on a running application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use millstream_operators::topology::Topology;
use millstream_state::engine::Storage;
use tokio::sync::oneshot;

use crate::broker::kafka::{KafkaBroker, KafkaSettings};
use crate::broker::{Broker, Wake};
use crate::clock::{Clock, SystemClock};
use crate::config::{Guarantee, StreamsConfig, TO_SEND};
use crate::identity::Identity;
use crate::instance::{Parts, State, StateCell, StreamsError, Who, assemble};
use crate::thread::{Parker, run_controller, run_worker};
use crate::trouble::{Trouble, Troubles};

/// A shared error: the instance's threads and its handle both tell of it.
pub type SharedError = Arc<StreamsError>;

/// An application's instance (Kafka Streams' `KafkaStreams`): made from a topology and settings, started, stopped.
///
/// Dropped without [`Streams::shutdown`], it stops in the background as after a signal.
pub struct Streams {
    parts: Option<Parts>,
    identity: Option<Identity>,
    clock: Arc<dyn Clock>,
    state: StateCell,
    stop: Arc<AtomicBool>,
    controller: Option<Wake>,
    troubles: Troubles,
    outcome: Option<oneshot::Receiver<Option<SharedError>>>,
}

impl Streams {
    /// An instance on the Kafka cluster that the settings name.
    ///
    /// # Errors
    /// If a setting cannot work, or the state directory is another process's.
    pub fn new(topology: Topology, config: StreamsConfig) -> Result<Self, StreamsError> {
        Self::on(Arc::new(kafka(&config)?), topology, config)
    }

    /// An instance on a broker of your own choice, such as the embedded one.
    ///
    /// # Errors
    /// As [`Streams::new`].
    pub fn on(broker: Arc<dyn Broker>, topology: Topology, config: StreamsConfig) -> Result<Self, StreamsError> {
        check(&config)?;
        let identity = Identity::take(&config.state_dir, &config.application_id, config.workers)?;
        let storage = storage(&identity, &config);
        log_bounds(&config);
        let who = Who {
            name: identity.name.clone(),
            workers_ever: identity.workers_ever,
            nonce: uuid::Uuid::new_v4().as_u64_pair().0,
        };
        let parts = Parts { topology: Arc::new(topology), config, broker, storage, who };
        Ok(Self {
            parts: Some(parts),
            identity: Some(identity),
            clock: Arc::new(SystemClock::default()),
            state: StateCell::default(),
            stop: Arc::default(),
            controller: None,
            troubles: Troubles::default(),
            outcome: None,
        })
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// What does not work at present and is tried again: a broker that does not answer, an authorisation that was lost, a
    /// disk that is full. Empty while all is well; also logged, and counted in the gauge `millstream_troubles`.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.list()
    }

    /// Calls `listener` with the old and the new state at every change. Add it before [`Streams::start`] to miss none.
    pub fn on_state_change(&self, listener: impl Fn(State, State) + Send + 'static) {
        self.state.listen(listener);
    }

    /// Waits until the state satisfies `wanted`, or is final; answers the state.
    pub async fn wait_for(&self, wanted: impl Fn(State) -> bool) -> State {
        let mut states = self.state.watch();
        // The sender lives as long as this handle.
        states.wait_for(|state| wanted(*state) || state.is_final()).await.map_or(State::Error, |state| *state)
    }

    /// Starts the instance's threads. Topics are resolved and the group is joined in the background.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(&mut self) -> Result<(), StreamsError> {
        let (Some(parts), Some(identity)) = (self.parts.take(), self.identity.take()) else { return Ok(()) };
        let workers = parts.config.workers.max(1);
        let parkers: Vec<Parker> = (0..=workers).map(|_| Parker::default()).collect();
        let wake = |index: Option<usize>| parkers[index.map_or(0, |index| index + 1)].wake();
        let (controller, seeds) = assemble(&parts, wake);
        self.controller = Some(wake(None));
        self.troubles = controller.troubles.clone();
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for (seed, parker) in seeds.into_iter().zip(parkers.iter().skip(1).cloned()) {
            let clock = self.clock.clone();
            let name = format!("millstream-worker-{}", seed.index);
            threads.push(spawn(name, move || run_worker(seed, &*clock, &parker))?);
        }
        let (done, outcome) = oneshot::channel();
        self.outcome = Some(outcome);
        let (clock, state, stop, parker) =
            (self.clock.clone(), self.state.clone(), self.stop.clone(), parkers[0].clone());
        spawn("millstream-controller".to_owned(), move || {
            let ended = run_controller(controller, state, &*clock, &parker, &stop);
            // A thread that is held up would not be joined for long, or ever; the end of the process ends it.
            for thread in threads.into_iter().filter(|_| ended.joinable) {
                // A worker's panic was caught inside its thread.
                let _ = thread.join();
            }
            // Only now is the directory free: the databases are closed.
            drop(identity);
            let _ = done.send(ended.error);
        })?;
        Ok(())
    }

    /// Stops cleanly: commits, hands the tasks over, leaves the group. Answers when all threads have ended.
    ///
    /// # Errors
    /// The error that stopped the instance, if one did.
    pub async fn shutdown(mut self) -> Result<(), SharedError> {
        self.request_stop();
        self.join().await
    }

    /// Waits until the instance has stopped by itself or by request.
    ///
    /// # Errors
    /// The error that stopped the instance, if one did.
    pub async fn join(&mut self) -> Result<(), SharedError> {
        match self.outcome.take() {
            Some(outcome) => match outcome.await {
                Ok(Some(error)) => Err(error),
                Ok(None) => Ok(()),
                Err(_) => {
                    let message = "its thread ended without a word".to_owned();
                    Err(Arc::new(StreamsError::Controller { message }))
                }
            },
            None => Ok(()),
        }
    }

    /// Asks for a clean stop without waiting for it.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(controller) = &self.controller {
            controller.wake();
        }
    }

    /// Starts, runs until SIGINT or SIGTERM (or until an error), and stops cleanly.
    ///
    /// # Errors
    /// The error that stopped the instance, if one did.
    pub async fn run_until_ctrl_c(mut self) -> Result<(), SharedError> {
        self.start().map_err(Arc::new)?;
        let state = self.state.clone();
        let mut states = state.watch();
        tokio::select! {
            () = stop_signal() => tracing::info!("a stop was asked for by signal"),
            _ = states.wait_for(|state| state.is_final()) => {}
        }
        self.shutdown().await
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.request_stop();
    }
}

/// Completes at SIGINT or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        },
        Err(error) => {
            tracing::warn!("SIGTERM cannot be watched for: {error}");
            let _ = interrupt.await;
        }
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StreamsError> {
    std::thread::Builder::new().name(name).spawn(body).map_err(|source| StreamsError::Thread { source })
}

/// The cluster that the settings name.
///
/// # Errors
/// If a client property is refused.
fn kafka(config: &StreamsConfig) -> Result<KafkaBroker, StreamsError> {
    let mut settings = KafkaSettings::new(config.bootstrap_servers.clone());
    settings.client_id.clone_from(&config.application_id);
    settings.properties = config.client_properties.iter().cloned().collect();
    KafkaBroker::new(settings).map_err(|error| StreamsError::Setting {
        name: "client_properties",
        value: format!("{:?}", config.client_properties),
        reason: error.to_string(),
    })
}

#[cfg(feature = "rocksdb")]
fn storage(identity: &Identity, config: &StreamsConfig) -> Arc<dyn Storage> {
    use millstream_state::engine::{RocksSettings, RocksStorage};
    let settings = RocksSettings {
        rows: config.memory.rows,
        block_cache: config.memory.block_cache,
        write_buffers: config.memory.write_buffers,
        ..RocksSettings::default()
    };
    Arc::new(RocksStorage::new(identity.tasks_dir(), &settings))
}

#[cfg(not(feature = "rocksdb"))]
fn storage(_: &Identity, _: &StreamsConfig) -> Arc<dyn Storage> {
    Arc::new(millstream_state::engine::MemoryStorage::new())
}

fn check(config: &StreamsConfig) -> Result<(), StreamsError> {
    let bad = |name, value: String, reason: &str| Err(StreamsError::Setting { name, value, reason: reason.to_owned() });
    let app = &config.application_id;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if app.is_empty() || app.len() > 150 || !app.chars().all(legal) {
        let reason = "it becomes part of topic names: 1 to 150 characters out of a-z, A-Z, 0-9, '.', '_' and '-'";
        return bad("application_id", format!("{app:?}"), reason);
    }
    if config.workers == 0 {
        return bad("workers", "0".to_owned(), "there must be at least one");
    }
    if let Guarantee::ExactlyOnce { transaction_timeout } = config.guarantee
        && transaction_timeout < config.effective_commit_interval() * 2
    {
        let reason = "a transaction must be able to last twice the commit interval; raise it or commit more often";
        return bad("transaction_timeout", format!("{transaction_timeout:?}"), reason);
    }
    if config.max_poll_interval < config.session_timeout {
        let reason = "it must not be shorter than the session timeout";
        return bad("max_poll_interval", format!("{:?}", config.max_poll_interval), reason);
    }
    Ok(())
}

fn log_bounds(config: &StreamsConfig) {
    let memory = &config.memory;
    let fixed =
        memory.record_cache + memory.rows + memory.block_cache + (memory.uncommitted + TO_SEND) * config.workers;
    tracing::info!(
        "memory bounds: record caches {} MiB, rows {} MiB, block cache with write buffers {} MiB, uncommitted changes {} MiB and \
         records to be sent {} MiB × {} workers: {} MiB in all, and {} MiB of fetched records per input partition",
        memory.record_cache >> 20,
        memory.rows >> 20,
        memory.block_cache >> 20,
        memory.uncommitted >> 20,
        TO_SEND >> 20,
        config.workers,
        fixed >> 20,
        memory.fetched_per_partition >> 20
    );
}
