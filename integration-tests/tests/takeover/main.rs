//! An application moves from Kafka Streams to Millstream and back: same application id, same changelogs, same group. Both
//! are run as they are, Kafka Streams in a Java virtual machine of its own, on a real broker.
//!
//! ```text
//!   input, part by part ──▶ Kafka Streams ─stop→ Millstream ─stop→ Kafka Streams ─stop→ Millstream
//!                                 └──────────────── outputs, changelogs ────────────────┘
//!                                      must be what the whole input gives, each record once
//! ```
//! Needs `MILLSTREAM_TEST_BOOTSTRAP`; without it the tests say that they were not run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

mod application;
mod check;
mod cluster;
mod input;
mod model;
mod windows;

use std::path::PathBuf;

use application::{Application, Engine, Life};
use cluster::Cluster;
use input::{Input, Record};
use millstream_integration_tests::support::bootstrap;
use model::Model;

/// Long enough that a transaction is open for a while, short enough for it not to time out.
const RARELY: u64 = 4_000;

/// One application, from its first life to its last.
struct Scene {
    cluster: Cluster,
    folder: PathBuf,
}

impl Scene {
    /// `None` without a broker.
    async fn new(name: &str) -> Option<Self> {
        let cluster = Cluster::new(name).await?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&cluster.application);
        std::fs::create_dir_all(&folder).unwrap();
        Some(Self { cluster, folder })
    }

    fn start(&self, life: &Life) -> Application {
        Application::start(&self.cluster.bootstrap, &self.cluster.application, &self.folder, life)
    }

    /// Starts the application and lets it process what an earlier life has left and then a part: first its tables, then its
    /// streams, so that a join finds the tables as the model has them.
    async fn process(&self, life: &Life, part: &input::Part) -> Application {
        let mut application = self.start_and_run(life).await;
        for records in [&[] as &[Record], &part.tables, &part.streams] {
            self.cluster.write(records).await;
            self.cluster.until_drained(&mut application).await;
        }
        application
    }

    /// Kafka Streams does not wait for members of another kind to leave its group, so it is started when they have.
    async fn start_and_run(&self, life: &Life) -> Application {
        if life.engine == Engine::KafkaStreams {
            self.cluster.until_group_is_empty().await;
        }
        let mut application = self.start(life);
        application.until_running().await;
        application
    }

    /// Feeds a running application piece by piece until it is killed in the middle of a transaction, and leaves the rest to
    /// whoever comes next. Rarely a commit comes between the look and the kill; then it is started again.
    async fn kill_in_a_transaction(&self, mut application: Application, life: &Life, streams: &[Record]) {
        let mut pieces = streams.chunks(streams.len().div_ceil(4));
        while let Some(piece) = pieces.next() {
            self.cluster.until_no_transaction_is_open(&mut application).await;
            self.cluster.write(piece).await;
            self.cluster.until_a_transaction_is_open(&mut application).await;
            application.kill();
            if self.cluster.has_open_transaction().await {
                for rest in pieces {
                    self.cluster.write(rest).await;
                }
                return;
            }
            application = self.start_and_run(life).await;
        }
        panic!("the application was never killed in the middle of a transaction");
    }

    /// Compares all outputs and changelogs with what the input gives.
    async fn check(self, input: &Input, optimized: bool) {
        check::check(&self.cluster, &Model::of(input), optimized).await;
        // What a run has left behind is wanted only after a failure.
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_name_the_same_topology() {
    if bootstrap().is_none() {
        return;
    }
    for optimize in ["none", "all"] {
        let described = |engine| application::describe(engine, optimize);
        assert_eq!(described(Engine::Millstream), described(Engine::KafkaStreams), "optimize={optimize}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_stopped_on_one_side_goes_on_exactly_on_the_other_again_and_again() {
    let Some(scene) = Scene::new("moved").await else { return };
    let lives = [
        // Closed as by default, it leaves its members in the group until their sessions time out.
        Life::kafka_streams("kafka-streams-1"),
        Life::millstream("millstream-1"),
        Life { protocol: "streams", ..Life::kafka_streams("kafka-streams-2") },
        Life::millstream("millstream-2"),
    ];
    let input = Input::new(20_261, lives.len(), true);
    let mut topics = None;
    let mut waited = Vec::new();
    for (life, part) in lives.iter().zip(&input.parts) {
        let application = scene.process(life, part).await;
        let log = application.stop().await;
        waited.push(log.contains("cannot be joined, trying again"));
        // Whoever came first has made the internal topics; the other found them all, and made none.
        let now = scene.cluster.internal_topics();
        assert_eq!(*topics.get_or_insert_with(|| now.clone()), now, "after {}", life.name);
    }
    assert!(waited[1], "Millstream was to find members of Kafka Streams in its group");
    scene.check(&input, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_killed_in_a_transaction_on_one_side_goes_on_exactly_on_the_other() {
    let Some(scene) = Scene::new("killed").await else { return };
    // Each side comes back to the state that it left, which lacks what the other has done.
    let (millstream, kafka_streams) = (Life::millstream("millstream"), Life::kafka_streams("kafka-streams"));
    let all = |life: &Life| Life { optimize: "all", ..life.clone() };
    let rarely = |life: &Life| Life { commit: RARELY, ..all(life) };
    let input = Input::new(20_262, 4, false);

    let mut part = input.parts.iter();
    let mut next = || part.next().expect("a part for each life");
    let first = next();
    let life = rarely(&millstream);
    scene.cluster.write(&first.tables).await;
    let mut application = scene.start_and_run(&life).await;
    scene.cluster.until_drained(&mut application).await;
    scene.kill_in_a_transaction(application, &life, &first.streams).await;
    let topics = scene.cluster.internal_topics();

    let life = rarely(&kafka_streams);
    let application = scene.start_and_run(&life).await;
    scene.kill_in_a_transaction(application, &life, &next().streams).await;

    let log = scene.process(&all(&millstream), next()).await.stop().await;
    assert!(log.contains("cannot be joined, trying again"), "Millstream was to find dead members in its group");
    let leaves = Life { leave: true, ..all(&kafka_streams) };
    scene.process(&leaves, next()).await.stop().await;
    assert!(scene.cluster.group_is_empty(), "Kafka Streams was to leave the group at once");
    assert_eq!(scene.cluster.internal_topics(), topics);
    scene.check(&input, true).await;
}

/// It is not known to wait; if it learns to, the guide and [`Scene::start_and_run`] have to.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_streams_ends_if_millstream_is_in_its_group_and_millstream_goes_on() {
    let Some(scene) = Scene::new("held").await else { return };
    let input = Input::new(20_263, 1, true);
    let mut millstream = scene.start_and_run(&Life::millstream("millstream")).await;
    let log = scene.start(&Life::kafka_streams("kafka-streams")).until_failed().await;
    assert!(log.contains("InconsistentGroupProtocolException"), "{log}");
    for records in [&input.parts[0].tables, &input.parts[0].streams] {
        scene.cluster.write(records).await;
        scene.cluster.until_drained(&mut millstream).await;
    }
    millstream.stop().await;
    scene.check(&input, false).await;
}
