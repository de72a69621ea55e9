//! The result: read from the output topics, shown as a table or as a line of JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use millstream::broker::Broker;
use millstream_examples::outputs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::topology::Topics;
use crate::totals::Totals;

/// What the output topics say.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// The totals of each airport.
    pub(crate) origins: BTreeMap<String, Totals>,
    /// The number of flights of each airline.
    pub(crate) carriers: BTreeMap<String, u64>,
    /// How many windows there are: hours in which an airport had flights.
    pub(crate) hours: usize,
    /// How long it took.
    pub(crate) elapsed_ms: u64,
}

impl Summary {
    /// Reads it from the output topics as a read_committed reader sees them: the last value of each key.
    pub(crate) async fn read(broker: &dyn Broker, topics: &Topics, elapsed: Duration) -> anyhow::Result<Self> {
        let hours: BTreeMap<String, Totals> = decode(outputs::table(broker, &topics.by_origin_hour).await?)?;
        Ok(Self {
            origins: decode(outputs::table(broker, &topics.by_origin).await?)?,
            carriers: decode(outputs::table(broker, &topics.by_carrier).await?)?,
            hours: hours.len(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// One line of JSON.
    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Two tables and a line.
    pub(crate) fn to_table(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, to: &mut String) -> std::fmt::Result {
        writeln!(
            to,
            "{:<8} {:>9} {:>11} {:>14} {:>12}",
            "airport", "flights", "departures", "mean delay", "worst delay"
        )?;
        for (origin, totals) in &self.origins {
            write!(to, "{origin:<8} {:>9} {:>11} ", totals.flights, totals.departures)?;
            writeln!(to, "{:>10} min {:>8} min", mean(totals), worst(totals))?;
        }
        writeln!(to, "\n{:<8} {:>9}", "airline", "flights")?;
        let mut carriers: Vec<_> = self.carriers.iter().collect();
        carriers.sort_by_key(|&(_, flights)| std::cmp::Reverse(flights));
        for (carrier, flights) in carriers {
            writeln!(to, "{carrier:<8} {flights:>9}")?;
        }
        let flights: u64 = self.origins.values().map(|totals| totals.flights).sum();
        #[allow(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
        let seconds = self.elapsed_ms as f64 / 1_000.0;
        writeln!(to, "\n{flights} flights in {} airport-hours, {seconds:.1} s", self.hours)
    }
}

fn mean(totals: &Totals) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    match totals.departures {
        0 => "-".to_owned(),
        departures => format!("{:.1}", totals.delay_sum as f64 / departures as f64),
    }
}

fn worst(totals: &Totals) -> String {
    totals.delay_max.map_or_else(|| "-".to_owned(), |minutes| minutes.to_string())
}

fn decode<V: DeserializeOwned>(table: BTreeMap<Vec<u8>, Vec<u8>>) -> anyhow::Result<BTreeMap<String, V>> {
    table
        .into_iter()
        .map(|(key, value)| {
            let key = String::from_utf8(key).context("a key of an output topic")?;
            let value = serde_json::from_slice(&value).with_context(|| format!("the value of {key}"))?;
            Ok((key, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let newark = Totals { flights: 3, departures: 2, delay_sum: 25, delay_max: Some(30) };
        Summary {
            origins: BTreeMap::from([("EWR".to_owned(), newark), ("LGA".to_owned(), Totals::default())]),
            carriers: BTreeMap::from([("AA".to_owned(), 1), ("UA".to_owned(), 2)]),
            hours: 2,
            elapsed_ms: 1_500,
        }
    }

    #[test]
    fn json_is_one_line_with_origins_carriers_hours_and_time() {
        assert_eq!(
            summary().to_json().unwrap(),
            concat!(
                r#"{"origins":{"EWR":{"flights":3,"departures":2,"delay_sum":25,"delay_max":30},"#,
                r#""LGA":{"flights":0,"departures":0,"delay_sum":0,"delay_max":null}},"#,
                r#""carriers":{"AA":1,"UA":2},"hours":2,"elapsed_ms":1500}"#
            )
        );
    }

    #[test]
    fn the_table_shows_the_mean_delay_and_the_airlines_by_size() {
        let table = summary().to_table();
        assert!(table.contains("EWR              3           2       12.5 min       30 min"), "{table}");
        assert!(table.find("UA").unwrap() < table.find("AA").unwrap(), "{table}");
        assert!(table.ends_with("3 flights in 2 airport-hours, 1.5 s\n"), "{table}");
    }
}
