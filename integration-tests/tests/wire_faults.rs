//! Faults on the wire between an instance and a real broker: lost requests, lost replies, delays, disconnects and every
//! error that a broker can answer with. Each time the output is exact, no transaction hangs and the instance runs again;
//! or it stops and says why.
//!
//! Needs a broker in `MILLSTREAM_TEST_BOOTSTRAP`. `make torture` runs more of them, by chance.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

use std::time::Duration;

use anyhow::Context as _;
use millstream_integration_tests::proxy::Api::{self, *};
use millstream_integration_tests::proxy::Fault::{self, *};
use millstream_integration_tests::real::wire::Scene;
use millstream_integration_tests::support::bootstrap;

const SECOND: Duration = Duration::from_secs(1);

/// Runs each group in a scene of its own, all at once: most of the time is waiting.
async fn groups(groups: &[(&'static str, &'static [(Api, Fault)])], at_start: bool) {
    let Some(bootstrap) = bootstrap() else { return };
    let mut running = tokio::task::JoinSet::new();
    for &(name, faults) in groups {
        let bootstrap = bootstrap.clone();
        running.spawn(async move { group(&bootstrap, name, faults, at_start).await.context(name) });
    }
    let mut failed = Vec::new();
    for result in running.join_all().await {
        failed.extend(result.err().map(|error| format!("{error:#}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn group(bootstrap: &str, name: &str, faults: &[(Api, Fault)], at_start: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::new(bootstrap, name, folder.path().to_owned()).await?;
    scene.load(20)?;
    scene.start()?;
    scene.running().await?;
    for &(api, fault) in faults {
        let survived = if at_start { scene.starts_through(api, fault).await } else { scene.survives(api, fault).await };
        let took = survived.with_context(|| format!("{api:?}: {fault:?}"))?;
        println!("{name}: {api:?}, {fault:?}: {took:.1?}");
    }
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_meets_a_fault_is_made_once() {
    groups(
        &[
            (
                "end-lost",
                &[(EndTxn, LoseRequest), (EndTxn, LoseReply), (EndTxn, Delay(SECOND)), (EndTxn, DelayReply(SECOND))],
            ),
            ("end-cut", &[(EndTxn, Disconnect), (EndTxn, DisconnectReply)]),
            // loading, not available, not the coordinator, concurrent transactions
            (
                "end-retry",
                &[
                    (EndTxn, Answer(14)),
                    (EndTxn, Answer(15)),
                    (EndTxn, Answer(16)),
                    (EndTxn, Answer(51)),
                    (EndTxn, AnswerAfter(15)),
                ],
            ),
            // invalid epoch, fenced, invalid state, unknown mapping
            (
                "end-refused",
                &[
                    (EndTxn, Answer(47)),
                    (EndTxn, Answer(90)),
                    (EndTxn, AnswerAfter(47)),
                    (EndTxn, Answer(48)),
                    (EndTxn, Answer(49)),
                ],
            ),
        ],
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_and_partitions_that_meet_a_fault_on_their_way_into_a_transaction_are_in_it_or_it_is_aborted() {
    groups(
        &[
            (
                "offsets-lost",
                &[
                    (TxnOffsetCommit, LoseRequest),
                    (TxnOffsetCommit, LoseReply),
                    (TxnOffsetCommit, DisconnectReply),
                    (AddOffsetsToTxn, LoseReply),
                ],
            ),
            // loading, not the coordinator, unknown topic
            (
                "offsets-retry",
                &[
                    (TxnOffsetCommit, Answer(14)),
                    (TxnOffsetCommit, Answer(16)),
                    (TxnOffsetCommit, Answer(3)),
                    (AddOffsetsToTxn, Answer(51)),
                    (AddOffsetsToTxn, Answer(16)),
                ],
            ),
            // fenced producer, invalid epoch; an old generation, an unknown member
            (
                "offsets-refused",
                &[(TxnOffsetCommit, Answer(90)), (TxnOffsetCommit, Answer(47)), (AddOffsetsToTxn, Answer(47))],
            ),
            ("offsets-of-others", &[(TxnOffsetCommit, Answer(22)), (TxnOffsetCommit, Answer(25))]),
            (
                "partitions",
                &[
                    (AddPartitionsToTxn, LoseReply),
                    (AddPartitionsToTxn, Answer(51)),
                    (AddPartitionsToTxn, Answer(16)),
                    (AddPartitionsToTxn, Answer(47)),
                    (AddPartitionsToTxn, Answer(3)),
                ],
            ),
        ],
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_meet_a_fault_on_their_way_in_or_out_are_neither_lost_nor_doubled() {
    groups(
        &[
            (
                "produce-lost",
                &[
                    (Produce, LoseRequest),
                    (Produce, LoseReply),
                    (Produce, DisconnectReply),
                    (Produce, DelayReply(SECOND)),
                ],
            ),
            // not the leader, timed out, too few replicas before and after, storage
            (
                "produce-retry",
                &[
                    (Produce, Answer(6)),
                    (Produce, Answer(7)),
                    (Produce, AnswerAfter(7)),
                    (Produce, AnswerAfter(20)),
                    (Produce, Answer(56)),
                ],
            ),
            // out of order, duplicate, invalid epoch, unknown producer
            (
                "produce-refused",
                &[(Produce, Answer(45)), (Produce, AnswerAfter(46)), (Produce, Answer(47)), (Produce, Answer(59))],
            ),
            (
                "fetch-lost",
                &[(Fetch, LoseRequest), (Fetch, LoseReply), (Fetch, DisconnectReply), (Fetch, DelayReply(SECOND))],
            ),
            // unknown topic, not the leader, fenced and unknown epoch, not available
            (
                "fetch-retry",
                &[
                    (Fetch, Answer(3)),
                    (Fetch, Answer(6)),
                    (Fetch, Answer(74)),
                    (Fetch, Answer(75)),
                    (Fetch, Answer(78)),
                ],
            ),
        ],
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_membership_that_meets_a_fault_goes_on_or_begins_again() {
    groups(
        &[
            ("heart-lost", &[(Heartbeat, LoseReply), (Heartbeat, DisconnectReply), (Heartbeat, Answer(16))]),
            // rebalance, an old generation, an unknown member
            ("heart-refused", &[(Heartbeat, Answer(27)), (Heartbeat, Answer(22)), (Heartbeat, Answer(25))]),
        ],
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_meets_a_fault_is_late_and_nothing_else() {
    groups(
        &[
            (
                "init",
                &[
                    (InitProducerId, LoseRequest),
                    (InitProducerId, LoseReply),
                    (InitProducerId, Answer(51)),
                    (InitProducerId, Answer(90)),
                    (InitProducerId, Answer(16)),
                ],
            ),
            (
                "find",
                &[
                    (FindCoordinator, LoseReply),
                    (FindCoordinator, Answer(15)),
                    (Metadata, LoseReply),
                    (ListOffsets, LoseReply),
                ],
            ),
            (
                "join",
                &[
                    (JoinGroup, DisconnectReply),
                    (JoinGroup, Answer(16)),
                    (JoinGroup, Answer(25)),
                    (SyncGroup, DisconnectReply),
                    (SyncGroup, Answer(27)),
                ],
            ),
            ("fetch-offsets", &[(OffsetFetch, LoseReply), (OffsetFetch, Answer(16)), (OffsetFetch, Answer(14))]),
        ],
        true,
    )
    .await;
}
