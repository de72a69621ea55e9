//! The topologies of the cases, in our DSL, each under the id of its case.
//!
//! Types carry a null wherever the case does not fail on one: `Option<String>` is a string or null, `String` stops the
//! run at a null as the reference does.

mod cogroups;
mod combined;
mod foreign_keys;
mod globals;
mod grouped;
mod headers;
mod processors;
mod raw;
mod stateless;
mod stream_joins;
mod table_ops;
mod tables;
mod times;
mod versioned;
mod window_ops;
mod windows;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::error::BuildError;
use millstream::operators::topology::{Optimization, StoreFormat, Topology, TopologySettings};
use millstream::state::store::Persistence;

use super::vector::CaseFile;

/// What lambdas with side effects saw, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    /// Adds a line.
    pub(crate) fn note(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// All lines so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds a case's nodes to a builder.
type Recipe = fn(&StreamsBuilder, &Journal);

/// The recipes by case id. `NAME-cached` is `NAME` with another configuration.
const FAMILIES: &[&[(&str, Recipe)]] = &[
    stateless::CASES,
    grouped::CASES,
    tables::CASES,
    windows::CASES,
    window_ops::CASES,
    cogroups::CASES,
    times::CASES,
    processors::CASES,
    globals::CASES,
    headers::CASES,
    stream_joins::CASES,
    table_ops::CASES,
    foreign_keys::CASES,
    versioned::CASES,
];

fn recipe(case: &str) -> Option<Recipe> {
    let case = case.strip_suffix("-cached").unwrap_or(case);
    let families = FAMILIES.iter().chain(combined::FAMILIES);
    families.flat_map(|family| family.iter()).find(|(id, _)| *id == case).map(|(_, recipe)| *recipe)
}

/// Whether the case can be built here.
pub(crate) fn covers(case: &str) -> bool {
    raw::covers(case) || recipe(case).is_some()
}

/// The topology of a case.
pub(crate) fn build(file: &CaseFile, journal: &Journal) -> Result<Topology> {
    if let Some(topology) = raw::build(&file.case) {
        return topology.map_err(|error| anyhow!(error)).with_context(|| format!("building {}", file.case));
    }
    let recipe = recipe(&file.case).ok_or_else(|| anyhow!("no recipe for {}", file.case))?;
    let builder = StreamsBuilder::with_settings(settings(file)?);
    recipe(&builder, journal);
    builder.build().map_err(|error: BuildError| anyhow!(error)).with_context(|| format!("building {}", file.case))
}

/// What the case's configuration says about building; the driver of the reference emits without a pause unless told.
fn settings(file: &CaseFile) -> Result<TopologySettings> {
    let text = |name: &str| file.config.get(name).and_then(serde_json::Value::as_str);
    let interval = |name: &str| {
        let millis = file.config.get(name).map_or(Some(0), |value| match value {
            serde_json::Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        });
        Ok::<_, anyhow::Error>(Duration::from_millis(millis.ok_or_else(|| anyhow!("{name} is not a duration"))?))
    };
    let mut optimization = Optimization::NONE;
    for what in text("topology.optimization").unwrap_or("none").split(',') {
        match what.trim() {
            "none" => {}
            "all" => optimization = Optimization::ALL,
            "reuse.ktable.source.topics" => optimization.reuse_source_topics = true,
            "merge.repartition.topics" => optimization.merge_repartition_topics = true,
            "single.store.self.join" => optimization.single_store_self_join = true,
            other => bail!("topology.optimization {other} is not known"),
        }
    }
    let in_memory = text("dsl.store.suppliers.class").is_some_and(|class| class.contains("InMemory"))
        || text("default.dsl.store").is_some_and(|store| store.eq_ignore_ascii_case("in_memory"));
    let headers = text("dsl.store.format").is_some_and(|format| format.eq_ignore_ascii_case("headers"));
    Ok(TopologySettings {
        optimization,
        dsl_store: if in_memory { Persistence::InMemory } else { Persistence::Durable },
        dsl_store_format: if headers { StoreFormat::Headers } else { StoreFormat::Plain },
        require_explicit_names: text("ensure.explicit.internal.resource.naming") == Some("true"),
        outer_join_emit_interval: interval("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__")?,
        window_close_emit_interval: interval("__emit.interval.ms.kstreams.windowed.aggregation__")?,
    })
}

/// A string or null.
type Text = Option<String>;
/// A number or null.
type Number = Option<i64>;

/// How the reference joins a value to a string: a null gives four letters.
fn show<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string)
}
