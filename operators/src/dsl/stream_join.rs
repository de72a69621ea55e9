//! Joins of two streams: what users call.

use millstream_state::serdes::DefaultSerde;

use super::join_windows::JoinWindows;
use super::stream::KStream;
use super::stream_join_nodes::JoinKind;
use super::stream_joined::StreamJoined;

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Joins records of two streams that have equal keys and times within the windows (Kafka Streams: `join` with a
    /// `KStream`): a result for each pair, once the later of the two is processed.
    ///
    /// A result has the key, the later of the two timestamps, and the headers of the record that was processed last.
    /// Records with a null key or a null value are dropped and counted. A late record finds what is still kept, that is
    /// for before + after + grace; it is not dropped for being late. If a key may have changed, its stream goes through a
    /// repartition topic first; the topics of both sides must have equal partition counts.
    ///
    /// ```
    /// # use millstream_operators::dsl::{JoinWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, i64>("clicks");
    /// let minute = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(60));
    /// views.join(&clicks, |view, n| format!("{view}: {n}"), minute).to("clicked");
    /// assert!(builder.build()?.describe().contains("KSTREAM-JOINTHIS-"));
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// Both sides have the same type of key, and there is no join without windows:
    /// ```compile_fail
    /// # use millstream_operators::dsl::{JoinWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let minute = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(60));
    /// let clicks = builder.stream::<i64, String>("clicks");
    /// builder.stream::<String, String>("views").join(&clicks, |v, c| format!("{v}{c}"), minute).to("clicked");
    /// ```
    /// ```compile_fail
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks");
    /// builder.stream::<String, String>("views").join(&clicks, |v, c| format!("{v}{c}")).to("clicked");
    /// ```
    pub fn join<W: DefaultSerde, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_with(other, move |_, left, right| joiner(left, right), windows, StreamJoined::new())
    }

    /// As [`KStream::join`], with settings, and the joiner sees the key.
    pub fn join_with<W: 'static, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, &W) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| {
            left.zip(right).map(|(left, right)| joiner(key, left, right))
        };
        self.add_join(other, JoinKind::Inner, joiner, (windows, joined))
    }

    /// Joins as [`KStream::join`], and a record of this stream without a partner has a result too, once none can come any
    /// more (Kafka Streams: `leftJoin` with a `KStream`).
    ///
    /// That is when stream time has passed the record's window and the grace, and a record moves stream time on; the
    /// result has the timestamp of the record and the headers of the one that moved the time. It may come later than it
    /// could, as Kafka Streams does it: who waits is looked at only so often (see
    /// [`TopologySettings::outer_join_emit_interval`](crate::topology::TopologySettings::outer_join_emit_interval)), and a
    /// late partner that comes until then is taken. A record whose window has passed when it comes has its result at
    /// once, and another one should a partner come later still. Records of this stream with a null key have one at once too; null values are dropped and counted.
    ///
    /// ```
    /// # use millstream_operators::dsl::{JoinWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let (orders, payments) = (builder.stream::<String, i64>("orders"), builder.stream::<String, i64>("payments"));
    /// let hour = JoinWindows::of_time_difference_and_grace(Duration::from_secs(3600), Duration::from_secs(60));
    /// orders.left_join(&payments, |order, paid| order - paid.unwrap_or(&0), hour).to("open");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn left_join<W: DefaultSerde, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_with(other, move |_, left, right| joiner(left, right), windows, StreamJoined::new())
    }

    /// As [`KStream::left_join`], with settings, and the joiner sees the key.
    pub fn left_join_with<W: 'static, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| left.map(|left| joiner(key, left, right));
        self.add_join(other, JoinKind::Left, joiner, (windows, joined))
    }

    /// Joins as [`KStream::left_join`], and records of the other stream without a partner have a result too (Kafka
    /// Streams: `outerJoin`). At least one of the joiner's values is there.
    ///
    /// ```
    /// # use millstream_operators::dsl::{JoinWindows, StreamsBuilder};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let (here, there) = (builder.stream::<String, i64>("here"), builder.stream::<String, i64>("there"));
    /// let minute = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(60));
    /// let sum = |a: Option<&i64>, b: Option<&i64>| a.unwrap_or(&0) + b.unwrap_or(&0);
    /// here.outer_join(&there, sum, minute).to("sums");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn outer_join<W: DefaultSerde, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&V>, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.outer_join_with(other, move |_, left, right| joiner(left, right), windows, StreamJoined::new())
    }

    /// As [`KStream::outer_join`], with settings, and the joiner sees the key.
    pub fn outer_join_with<W: 'static, R: 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, Option<&V>, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| Some(joiner(key, left, right));
        self.add_join(other, JoinKind::Outer, joiner, (windows, joined))
    }
}
