//! Millstream's side: the topologies. They are the same as Kafka Streams' in `peers/`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream::prelude::*;

use crate::instance::Progress;
use crate::load::passes;
use crate::order::{Caching, Delivery, Order, Workload};

const WINDOW: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);

/// The topology that does the order's work, and counts its progress.
///
/// # Errors
/// Never: it is well-formed.
pub fn build(order: &Order, progress: &Arc<Progress>) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let entering = progress.clone();
    let input = builder.stream::<String, String>(order.input.as_str()).peek(move |_, _| entering.enter());
    let stepping = || {
        let progress = progress.clone();
        input.peek(move |_, _| progress.step())
    };
    let output = order.output.as_str();
    match order.workload {
        Workload::Passthrough => {
            stepping().map_values(|value| format!("{value}!")).filter(|_, value| passes(value.as_bytes())).to(output);
        }
        Workload::Copy => stepping().to(output),
        Workload::Count => count(&stepping(), order),
        Workload::Tumbling => {
            let windows = stepping().group_by_key().windowed_by(TimeWindows::of_size_and_grace(WINDOW, GRACE));
            windows.count(stored("windows", order)).to_stream().to(output);
        }
        Workload::Join => {
            let table = builder.table::<String, String>(order.table.as_str());
            stepping().join_table(&table, |left, right| format!("{left}{right}")).to(output);
        }
        Workload::Wordcount => {
            let progress = progress.clone();
            let words = input
                .flat_map_values(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>())
                .select_key(|_, word| word.clone())
                .repartition_with(Repartitioned::named("words"))
                .peek(move |_, _| progress.step());
            count(&words, order);
        }
        Workload::ReduceLargeState => {
            let latest = stepping().group_by_key().reduce(|_, now| now.clone(), stored("latest", order));
            latest.to_stream().to(output);
        }
    }
    Ok(builder.build()?)
}

/// Counts once for each store that is asked for; the first writes the output.
fn count(stream: &KStream<String, String>, order: &Order) {
    let grouped = stream.group_by_key();
    grouped.count(stored("counts", order)).to_stream().to(order.output.as_str());
    for store in 1..order.stores {
        grouped.count(stored(&format!("counts-{store}"), order));
    }
}

fn stored<V: 'static>(name: &str, order: &Order) -> Materialized<String, V> {
    Materialized::named(name).caching(order.caching == Caching::On)
}

/// The instance's settings: everything that the order does not say has its default.
pub fn config(order: &Order) -> StreamsConfig {
    let guarantee = match order.guarantee {
        Delivery::ExactlyOnce => ExactlyOnce,
        Delivery::AtLeastOnce => AtLeastOnce,
    };
    StreamsConfig::new(&*order.name, &*order.bootstrap_servers)
        .processing_guarantee(guarantee)
        .commit_interval(Duration::from_millis(order.commit_interval_ms))
        .workers(order.workers)
        .state_dir(&order.state_dir)
}
