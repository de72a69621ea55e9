//! The year's flights: read, sorted by scheduled departure, and the record each of them becomes.

use anyhow::Context;
use chrono::DateTime;
use millstream::state::model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// Shipped inside the program; see `examples/data/README.md`.
const FLIGHTS: &[u8] = include_bytes!("../../../data/flights.csv.zst");

/// A flight, as it stands in the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// The airline, as a two-character code.
    pub(crate) carrier: String,
    /// The flight's number.
    pub(crate) flight: u32,
    /// The airport it leaves from.
    pub(crate) origin: String,
    /// The airport it goes to.
    pub(crate) dest: String,
    /// The hour of the scheduled departure in UTC.
    pub(crate) time_hour: String,
    /// Minutes late at departure, negative when early; none for a flight that never departed.
    pub(crate) dep_delay: Option<i32>,
}

impl Flight {
    /// The record's key, e.g. `UA1545`.
    pub(crate) fn key(&self) -> String {
        format!("{}{}", self.carrier, self.flight)
    }

    /// The record's timestamp: the hour of the scheduled departure.
    pub(crate) fn timestamp(&self) -> anyhow::Result<Timestamp> {
        let hour = DateTime::parse_from_rfc3339(&self.time_hour)
            .with_context(|| format!("time_hour {:?} of flight {}", self.time_hour, self.key()))?;
        Ok(Timestamp::from_millis(hour.timestamp_millis()))
    }
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    year: u16,
    month: u8,
    day: u8,
    sched_dep_time: u16,
    #[serde(deserialize_with = "or_na")]
    dep_delay: Option<i32>,
    carrier: String,
    flight: u32,
    origin: String,
    dest: String,
    time_hour: String,
}

/// All flights of the year in the order of their scheduled departures.
pub(crate) fn load() -> anyhow::Result<Vec<Flight>> {
    let text = zstd::Decoder::new(FLIGHTS).context("the flights shipped with this program")?;
    let mut lines = csv::Reader::from_reader(text).into_deserialize::<Line>().collect::<Result<Vec<_>, _>>()?;
    // Stable: flights scheduled for the same minute stay in the order of the file, the same in every run.
    lines.sort_by_key(|line| (line.year, line.month, line.day, line.sched_dep_time));
    Ok(lines.into_iter().map(Flight::from).collect())
}

impl From<Line> for Flight {
    fn from(line: Line) -> Self {
        Self {
            carrier: line.carrier,
            flight: line.flight,
            origin: line.origin,
            dest: line.dest,
            time_hour: line.time_hour,
            dep_delay: line.dep_delay,
        }
    }
}

/// Reads a number, or `NA` as none.
fn or_na<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
    match &*text {
        "NA" => Ok(None),
        number => number.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flight_of_the_year_is_there_in_the_order_of_its_schedule() {
        let flights = load().unwrap();
        assert_eq!(flights.len(), 336_776);
        let first = &flights[0];
        assert_eq!(first.key(), "UA1545");
        assert_eq!(first.timestamp().unwrap(), Timestamp::from_millis(1_357_034_400_000));
        assert_eq!(first.dep_delay, Some(2));
        assert_eq!(flights.iter().filter(|flight| flight.dep_delay.is_none()).count(), 8_255);
    }

    #[test]
    fn the_json_of_a_flight_reads_back_as_the_same_flight() {
        let flights = load().unwrap();
        let json = serde_json::to_string(&flights[0]).unwrap();
        assert_eq!(
            json,
            r#"{"carrier":"UA","flight":1545,"origin":"EWR","dest":"IAH","time_hour":"2013-01-01T10:00:00Z","dep_delay":2}"#
        );
        assert_eq!(serde_json::from_str::<Flight>(&json).unwrap(), flights[0]);
    }
}
