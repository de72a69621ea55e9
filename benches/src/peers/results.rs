//! Every figure that was measured, by round.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::order::{Delivery, Side};
use crate::report::Range;

/// Which figure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) what: String,
    pub(super) guarantee: Delivery,
    pub(super) side: Side,
    pub(super) figure: &'static str,
}

impl Key {
    pub(super) fn new(what: &str, guarantee: Delivery, side: Side, figure: &'static str) -> Self {
        Self { what: what.to_owned(), guarantee, side, figure }
    }
}

/// Figures by what they are of, and by round.
#[derive(Default)]
pub(super) struct Results {
    values: BTreeMap<Key, BTreeMap<usize, f64>>,
}

impl Results {
    pub(super) fn add(&mut self, round: usize, key: Key, value: f64) {
        self.values.entry(key).or_default().insert(round, value);
    }

    /// The range of a figure over all rounds.
    pub(super) fn range(&self, key: &Key) -> Option<Range> {
        Range::of(self.values.get(key)?.values().copied())
    }

    /// One figure over another of the same round: what the machine did meanwhile bears on both.
    pub(super) fn ratio(&self, of: &Key, to: &Key) -> Option<Range> {
        let (of, to) = (self.values.get(of)?, self.values.get(to)?);
        Range::of(of.iter().filter_map(|(round, value)| Some(value / to.get(round)?)))
    }

    /// What was measured, each once, in order.
    pub(super) fn whats(&self, guarantee: Delivery) -> Vec<&str> {
        let mut whats: Vec<&str> =
            self.values.keys().filter(|key| key.guarantee == guarantee).map(|key| &*key.what).collect();
        whats.dedup();
        whats
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.values.keys()
    }

    pub(super) fn json(&self) -> Value {
        let one = |(key, values): (&Key, &BTreeMap<usize, f64>)| {
            json!({
                "what": key.what, "guarantee": key.guarantee, "side": key.side, "figure": key.figure,
                "range": Range::of(values.values().copied()), "rounds": values.values().collect::<Vec<_>>(),
            })
        };
        self.values.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_compare_figures_of_the_same_round() {
        let key = |side| Key::new("count", Delivery::ExactlyOnce, side, "cpu");
        let mut results = Results::default();
        for (round, ours, raw) in [(0, 2.0, 1.0), (1, 6.0, 2.0)] {
            results.add(round, key(Side::Millstream), ours);
            results.add(round, key(Side::Raw), raw);
        }
        results.add(2, key(Side::Raw), 7.0);
        let ratio = results.ratio(&key(Side::Millstream), &key(Side::Raw)).map(|range| (range.min, range.max));
        assert_eq!(ratio, Some((2.0, 3.0)));
    }
}
