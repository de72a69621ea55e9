//! Topologies put together by hand.

use millstream::operators::dsl::TopologyBuilder;
use millstream::operators::error::BuildError;
use millstream::operators::processor::{KeyValueStore, Outcome, Processor, ProcessorContext, Stores};
use millstream::operators::push::Record;
use millstream::operators::topology::Topology;

use super::{Number, Text};

/// Whether the case is one of a topology put together by hand.
pub(crate) fn covers(case: &str) -> bool {
    case == "processor-api-topology"
}

/// The topology of such a case.
pub(crate) fn build(case: &str) -> Option<Result<Topology, BuildError>> {
    if !covers(case) {
        return None;
    }
    let topology = TopologyBuilder::new();
    let source = topology.add_source::<String, Text>("src", "in");
    let shared = topology.add_state_store(Stores::key_value::<String, i64>("shared"));
    let count = topology.add_processor("count", [&source], &shared, Counting);
    let read = topology.add_processor("read", [&source], &shared, Reading);
    topology.add_sink("even", "out-even", [&count]);
    topology.add_sink("odd", "out-odd", [&count]);
    topology.add_sink("all", "out-read", [&read]);
    Some(topology.build())
}

struct Counting(KeyValueStore<String, i64>);

impl Processor<String, Text, String, i64> for Counting {
    fn process(&mut self, cx: &mut ProcessorContext<'_, String, i64>, record: Record<'_, String, Text>) -> Outcome {
        let count = self.0.get(cx, record.key)?.unwrap_or(0) + 1;
        self.0.put(cx, record.key, count)?;
        cx.forward_to(if count % 2 == 0 { "even" } else { "odd" }, record.with_value(&count))
    }
}

struct Reading(KeyValueStore<String, i64>);

impl Processor<String, Text, Text, Number> for Reading {
    fn process(&mut self, cx: &mut ProcessorContext<'_, Text, Number>, record: Record<'_, String, Text>) -> Outcome {
        let count = self.0.get(cx, record.key)?;
        cx.forward(record.with_key(record.value).with_value(&count))
    }
}
