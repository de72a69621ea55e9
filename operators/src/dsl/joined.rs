//! The settings of joins of a stream with a table.

use std::sync::Arc;
use std::time::Duration;

use millstream_state::serdes::{DefaultSerde, SerdeRef};

use super::serdes::Serdes;
use super::settings::settings;
use crate::topology::names::Given;

/// How a stream is joined with a table (Kafka Streams' `Joined`): the serdes of the stream's side, which are those of
/// its repartition topic and tell nulls, a name, a grace period.
///
/// The name is that of the join's node and, if the stream goes through one, of its repartition topic.
///
/// ```
/// # use millstream_operators::dsl::*;
/// let builder = StreamsBuilder::new();
/// let prices = builder.table::<String, i64>("prices");
/// let orders = builder.stream::<String, i64>("orders");
/// orders.join_table_with(&prices, |_, n, price| n * price, Joined::named("priced")).to("sums");
/// assert!(builder.build()?.describe().contains("Processor: priced (stores: [prices-STATE-STORE-0000000000])"));
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub struct Joined<K, V> {
    serdes: Serdes<K, V>,
    fallback: Serdes<K, V>,
    pub(crate) name: Given,
    pub(crate) grace: Option<Duration>,
}

settings!(Joined, "the stream's side of the join", { grace: None });

impl<K, V> Joined<K, V> {
    /// Holds each record back until stream time (the highest timestamp of the stream's records) has passed its timestamp by
    /// `grace`, so that the table can catch up; then it is joined as of its own timestamp, and what comes out has its
    /// headers. Records come out in the order of their timestamps. A record that is late by more than that is joined at
    /// once.
    ///
    /// The table must keep versions for at least as long. The records wait in a durable store with a changelog, named
    /// after the join with `-Buffer` at the end. In a left join a record with a null key stops the task, as in Kafka
    /// Streams.
    ///
    /// ```
    /// # use millstream_operators::dsl::*;
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let kept = Materialized::named("rates").versioned(Duration::from_secs(3600));
    /// let rates = builder.table_with("rates", Consumed::<String, f64>::new(), kept);
    /// let orders = builder.stream::<String, f64>("orders");
    /// let patient = Joined::named("converted").grace_period(Duration::from_secs(60));
    /// orders.join_table_with(&rates, |_, amount, rate| amount * rate, patient).to("converted");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// These settings, under the other name if they have none.
    pub(crate) fn or_name(mut self, other: &Given) -> Self {
        self.name = self.name.or_else(|| other.clone());
        self
    }
}
