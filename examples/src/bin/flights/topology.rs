//! The topology, and the topics around it.
//!
//! ```text
//!                 ┌─ by origin ────────────▶ totals ─▶ APP.by-origin        EWR → {"flights": …}
//!   APP.flights ──┼─ by origin ─▶ hours ───▶ totals ─▶ APP.by-origin-hour   EWR|2013-01-01T10:00:00Z → {"flights": …}
//!                 └─ by carrier ───────────▶ count ──▶ APP.by-carrier       UA → 58665
//! ```

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use millstream::broker::NewTopic;
use millstream::prelude::*;
use millstream_examples::drained::Drained;
use millstream_examples::topics::topic;

use crate::data::Flight;
use crate::totals::Totals;

/// Partitions of the input and the outputs.
pub(crate) const PARTITIONS: i32 = 6;

/// Longer than the year: processes and partitions may be arbitrarily far apart, no flight is ever too late.
const GRACE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The names of the topics.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) flights: Arc<str>,
    pub(crate) by_origin: Arc<str>,
    pub(crate) by_origin_hour: Arc<str>,
    pub(crate) by_carrier: Arc<str>,
    application: String,
}

impl Topics {
    pub(crate) fn of(application: &str) -> Self {
        let name = |name: &str| Arc::from(format!("{application}.{name}"));
        Self {
            flights: name("flights"),
            by_origin: name("by-origin"),
            by_origin_hour: name("by-origin-hour"),
            by_carrier: name("by-carrier"),
            application: application.to_owned(),
        }
    }

    /// What must exist before the program starts. The flights are from 2013: with the usual retention the broker would
    /// delete them as soon as they arrive.
    pub(crate) fn to_create(&self) -> Vec<NewTopic> {
        let output = |name: &Arc<str>| topic(name.clone(), PARTITIONS, &[("cleanup.policy", "compact")]);
        vec![
            topic(self.flights.clone(), PARTITIONS, &[("retention.ms", "-1")]),
            output(&self.by_origin),
            output(&self.by_origin_hour),
            output(&self.by_carrier),
        ]
    }

    /// What to look at to know whether all flights are counted.
    pub(crate) fn drained(&self) -> Drained {
        let repartition = |name: &str| Arc::from(format!("{}-{name}-repartition", self.application));
        Drained {
            group: self.application.clone(),
            inputs: vec![
                self.flights.clone(),
                repartition("by-origin"),
                repartition("by-origin-hour"),
                repartition("by-carrier"),
            ],
            outputs: vec![self.by_origin.clone(), self.by_origin_hour.clone(), self.by_carrier.clone()],
        }
    }
}

/// Builds the topology.
pub(crate) fn build(topics: &Topics) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let flights = builder.stream::<String, Json<Flight>>(topics.flights.clone());

    flights
        .group_by_with(|_, flight| flight.0.origin.clone(), Grouped::named("by-origin"))
        .aggregate(Json::<Totals>::default, add, Materialized::named("by-origin"))
        .to_stream()
        .to(topics.by_origin.clone());

    flights
        .group_by_with(|_, flight| flight.0.origin.clone(), Grouped::named("by-origin-hour"))
        .windowed_by(TimeWindows::of_size_and_grace(Duration::from_secs(60 * 60), GRACE))
        .aggregate(
            Json::<Totals>::default,
            add,
            Materialized::named("by-origin-hour").topic_config("retention.ms", "-1"),
        )
        .to_stream()
        .select_key(|hour, _| format!("{}|{}", hour.key, time_of(hour.window.start)))
        .to(topics.by_origin_hour.clone());

    flights
        .group_by_with(|_, flight| flight.0.carrier.clone(), Grouped::named("by-carrier"))
        .count(Materialized::named("by-carrier"))
        .to_stream()
        .map_values(|flights| flights.map(Json))
        .to(topics.by_carrier.clone());

    Ok(builder.build()?)
}

fn add(_origin: &String, flight: &Json<Flight>, totals: Json<Totals>) -> Json<Totals> {
    Json(totals.0.with(&flight.0))
}

/// A time as `2013-01-01T10:00:00Z`.
fn time_of(timestamp: Timestamp) -> String {
    DateTime::from_timestamp_millis(timestamp.millis())
        .map_or_else(|| timestamp.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_starts_are_written_in_utc_to_the_second() {
        assert_eq!(time_of(Timestamp::from_millis(1_357_034_400_000)), "2013-01-01T10:00:00Z");
    }
}
