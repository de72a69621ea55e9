//! A process whose brokers are gone waits for them; it does not burn a core. Alone in this program, because it measures the
//! process's own time.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`, which stays: what goes is the proxy before it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::time::Duration;

use millstream::State;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker as _, Isolation, ProducerSettings, Wake};
use millstream::state::model::{Position, TopicPartition};
use millstream_examples::calls::answer;
use millstream_integration_tests::real::wire::Scene;
use millstream_integration_tests::support::bootstrap;

/// Seconds of processor time that this process has used.
fn used() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system, in hundredths: the 14th and 15th field, and the name was the second.
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap() / 100.0).sum()
}

/// Lost once: a core. Connections on demand ignore `reconnect.backoff.ms`: 470,000 attempts in half a minute.
#[tokio::test]
async fn a_process_whose_brokers_are_gone_takes_hardly_any_time() {
    let Some(bootstrap) = bootstrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(&bootstrap, "gone", folder.path().to_owned()).await.unwrap();
    scene.load(50).unwrap();
    scene.start().unwrap();
    scene.running().await.unwrap();
    scene.complete().await.unwrap();
    // Clients that know their brokers, and wait for them in the middle of a call.
    let broker = KafkaBroker::new(KafkaSettings::new(scene.proxy.address())).unwrap();
    let (admin, partition) = (broker.admin(), TopicPartition::new(scene.workload.input(), 0));
    let ends = || admin.end_positions(vec![partition.clone()], Isolation::ReadCommitted);
    answer(ends()).await.unwrap();
    let settings = |id: &str| ProducerSettings {
        client_id: id.to_owned(),
        transactional_id: Some(format!("{}-{id}", scene.workload.app)),
        transaction_timeout: Duration::from_secs(30),
    };
    let [mut waiting, mut working] =
        ["waiting", "working"].map(|id| broker.producer(settings(id), Wake::nobody()).unwrap());
    answer(working.init()).await.unwrap();
    scene.proxy.close_ports();
    let calls = (waiting.init(), ends(), admin.committed(&scene.workload.app, vec![partition.clone()]));
    let change = admin.delete_records(vec![(partition.clone(), Position::START)]);
    let (before, time) = (used(), Duration::from_secs(10));
    tokio::time::sleep(time).await;
    let share = (used() - before) / time.as_secs_f64();
    println!("{:.1} % of a core", share * 100.0);
    drop((calls, change));
    assert!(share < 0.1, "{:.1} % of a core while the brokers are away", share * 100.0);
    assert!(!scene.state().is_some_and(State::is_final), "{:?}", scene.state());
}
