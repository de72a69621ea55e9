//! No thread dies in silence: what it was, and why it ended, is in the error that the instance ends with.

use std::sync::Arc;
use std::time::Duration;

use millstream::broker::embedded::{CallInfo, CallKind, EmbeddedBroker, Fault};
use millstream::clock::SystemClock;
use millstream::{State, Streams};
use millstream_integration_tests::sim::ledger;

use crate::life::{LIMIT, assert_names};

fn streams(faults: impl Fn(&CallInfo) -> Fault + Send + Sync + 'static, directory: &std::path::Path) -> Streams {
    let broker = EmbeddedBroker::new(Arc::new(SystemClock::default()));
    ledger::create_topics(&broker);
    ledger::produce(&broker, 0..10);
    let broker = broker.with_faults(Arc::new(faults));
    Streams::on(Arc::new(broker), ledger::topology(), ledger::config().state_dir(directory)).unwrap()
}

async fn ends_with(mut streams: Streams, names: &[&str]) {
    streams.start().unwrap();
    let error = tokio::time::timeout(LIMIT, streams.join()).await.unwrap().unwrap_err().to_string();
    assert_names(&error, names);
    assert_eq!(streams.state(), State::Error);
}

#[tokio::test]
async fn a_defect_in_the_controller_ends_the_instance_with_its_message() {
    let directory = tempfile::tempdir().unwrap();
    // Topics are asked for by the controller.
    let defect = |call: &CallInfo| {
        assert!(call.kind != CallKind::DescribeTopics, "a defect of the test");
        Fault::None
    };
    ends_with(streams(defect, directory.path()), &["controller panicked", "a defect of the test"]).await;
}

#[tokio::test]
async fn a_defect_in_a_worker_outside_of_user_code_ends_the_instance_with_its_message() {
    let directory = tempfile::tempdir().unwrap();
    let defect = |call: &CallInfo| {
        assert!(call.kind != CallKind::SendOffsets, "a defect of the test");
        Fault::None
    };
    ends_with(streams(defect, directory.path()), &["panicked", "a defect of the test"]).await;
}

#[tokio::test]
async fn a_state_listener_that_panics_does_not_end_the_instance() {
    let directory = tempfile::tempdir().unwrap();
    let mut streams = streams(|_| Fault::None, directory.path());
    streams.on_state_change(|_, _| panic!("the listener's own bug"));
    streams.start().unwrap();
    let running = streams.wait_for(|state| state == State::Running);
    assert_eq!(tokio::time::timeout(LIMIT, running).await.unwrap(), State::Running);
    tokio::time::timeout(Duration::from_secs(60), streams.shutdown()).await.unwrap().unwrap();
}
