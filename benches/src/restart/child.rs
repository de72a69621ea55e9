//! The application: counts by key, exactly once, with one worker, and tells in its log what it does.

use std::time::Duration;

use anyhow::Result;
use millstream::prelude::*;

use super::options::Order;

/// Runs until it is stopped or killed.
pub(super) fn run(order: &Order) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("info,millstream=debug");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let builder = StreamsBuilder::new();
    let counts =
        builder.stream::<String, String>(order.input.as_str()).group_by_key().count(Materialized::named("counts"));
    counts.to_stream().to(order.output.as_str());
    let config = StreamsConfig::new(&*order.name, &*order.bootstrap_servers)
        .processing_guarantee(ExactlyOnce)
        .commit_interval(Duration::from_millis(order.commit_interval_ms))
        .workers(1)
        .state_dir(&order.state_dir);
    let streams = Streams::new(builder.build()?, config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(streams.run_until_ctrl_c())?)
}
