//! When the results of windows go down.

/// When the results of a windowed aggregation go down (Kafka Streams' `EmitStrategy`).
///
/// ```
/// # use millstream_operators::dsl::*;
/// # use std::time::Duration;
/// # let builder = StreamsBuilder::new();
/// let minutes = TimeWindows::of_size_and_grace(Duration::from_secs(60), Duration::from_secs(5));
/// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(minutes);
/// // One result per key and minute, once no record for it can come any more.
/// let counts = clicks.emit_strategy(EmitStrategy::OnWindowClose).count(Materialized::named("per-minute"));
/// counts.to_stream_with_key(|key, _| key.key.clone()).to("out");
/// # builder.build()?;
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// With each update: at once, or with a record cache at the commit.
    #[default]
    OnWindowUpdate,
    /// Once, when the window is closed: no record can change it any more. Windows go down in the order of their time,
    /// with the timestamp of their result and the headers of the record whose time closed them. Whether windows have
    /// closed is looked at after a record, at most once per
    /// [`TopologySettings::window_close_emit_interval`](crate::topology::TopologySettings::window_close_emit_interval)
    /// of wall-clock time; so the last windows wait until another record moves stream time on. Deleted results do not
    /// go down.
    ///
    /// No window is lost: one whose retention has passed before it could go down is kept until then. (Kafka Streams
    /// loses it if there is no record cache.)
    OnWindowClose,
}
