//! The topologies of the cases, in our DSL, each under the id of its case.
//!
//! Types carry a null wherever the case does not fail on one: `Option<String>` is a string or null, `String` stops the
//! run at a null as the reference does.

mod grouped;
mod stateless;
mod tables;
mod times;
mod windows;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::error::BuildError;
use millstream::operators::topology::Topology;

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
const FAMILIES: &[&[(&str, Recipe)]] = &[stateless::CASES, grouped::CASES, tables::CASES, windows::CASES, times::CASES];

fn recipe(case: &str) -> Option<Recipe> {
    let case = case.strip_suffix("-cached").unwrap_or(case);
    FAMILIES.iter().flat_map(|family| family.iter()).find(|(id, _)| *id == case).map(|(_, recipe)| *recipe)
}

/// Whether the case can be built here.
pub(crate) fn covers(case: &str) -> bool {
    recipe(case).is_some()
}

/// The topology of a case.
pub(crate) fn build(file: &CaseFile, journal: &Journal) -> Result<Topology> {
    let recipe = recipe(&file.case).ok_or_else(|| anyhow!("no recipe for {}", file.case))?;
    let builder = StreamsBuilder::new();
    recipe(&builder, journal);
    builder.build().map_err(|error: BuildError| anyhow!(error)).with_context(|| format!("building {}", file.case))
}

/// A string or null.
type Text = Option<String>;
/// A number or null.
type Number = Option<i64>;

/// How the reference joins a value to a string: a null gives four letters.
fn show<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string)
}
