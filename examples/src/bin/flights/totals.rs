//! What is known about a group of flights: the value of two of the three output topics.

use serde::{Deserialize, Serialize};

use crate::data::Flight;

/// Sums over a group of flights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// All flights.
    pub(crate) flights: u64,
    /// Those that departed.
    pub(crate) departures: u64,
    /// Minutes late, over all that departed.
    pub(crate) delay_sum: i64,
    /// Minutes late of the latest; none if none departed.
    pub(crate) delay_max: Option<i32>,
}

impl Totals {
    /// These totals with one more flight.
    pub(crate) fn with(mut self, flight: &Flight) -> Self {
        self.flights += 1;
        if let Some(delay) = flight.dep_delay {
            self.departures += 1;
            self.delay_sum += i64::from(delay);
            // `None` is less than any delay.
            self.delay_max = self.delay_max.max(Some(delay));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::data::load;

    #[test]
    fn the_known_totals_of_the_year_come_out() {
        let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
        let mut windows = BTreeSet::new();
        for flight in load().unwrap() {
            windows.insert((flight.origin.clone(), flight.time_hour.clone()));
            let before = totals.remove(&flight.origin).unwrap_or_default();
            totals.insert(flight.origin.clone(), before.with(&flight));
        }
        let known =
            |flights, departures, delay_sum, max| Totals { flights, departures, delay_sum, delay_max: Some(max) };
        assert_eq!(totals["EWR"], known(120_835, 117_596, 1_776_635, 1_126));
        assert_eq!(totals["JFK"], known(111_279, 109_416, 1_325_264, 1_301));
        assert_eq!(totals["LGA"], known(104_662, 101_509, 1_050_301, 911));
        assert_eq!(windows.len(), 19_486);
    }

    #[test]
    fn a_group_in_which_nothing_departed_has_no_maximum() {
        let mut flight = load().unwrap().swap_remove(0);
        flight.dep_delay = None;
        let json = serde_json::to_string(&Totals::default().with(&flight)).unwrap();
        assert_eq!(json, r#"{"flights":1,"departures":0,"delay_sum":0,"delay_max":null}"#);
    }
}
