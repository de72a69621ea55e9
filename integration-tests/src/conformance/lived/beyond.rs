//! What cannot be had on a runtime as the reference's driver has it, case by case, with the reason.

use std::fmt;

/// How a case is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// One partition, one worker.
    Alone,
    /// The same, with a stop half-way, and a disk that is kept.
    Stopped,
    /// The same, with a disk that is lost.
    Emptied,
    /// Three partitions, two workers.
    Spread,
}

/// How much of a play is compared all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything: records in order and by step, stores.
    All,
    /// The last record of each key in each topic, and the stores.
    Last,
    /// Nothing: it is not played like that.
    Nothing,
}

/// An exception.
pub(super) struct Beyond {
    cases: &'static [&'static str],
    lives: &'static [Life],
    scope: Scope,
    reason: &'static str,
}

/// All exceptions.
pub(super) const ALL: &[Beyond] = &[
    Beyond {
        cases: &["punctuate-wall-clock", "punctuate-stream-time", "punctuate-cancel"],
        lives: &[Life::Stopped, Life::Emptied],
        scope: Scope::Nothing,
        reason: "timers, and what a processor holds in its own fields, begin anew with the task, as in Kafka Streams",
    },
    Beyond {
        cases: &["emit-final-tumbling-throttled", "stream-stream-outer-throttled"],
        lives: &[Life::Stopped, Life::Emptied],
        scope: Scope::Nothing,
        reason: "how long ago something was emitted is not kept over a restart, as in Kafka Streams: the next record emits",
    },
    Beyond {
        cases: &["suppress-table-tombstones", "suppress-table-tombstones-cached"],
        lives: &[Life::Stopped, Life::Emptied],
        scope: Scope::Nothing,
        reason: "the buffer is in memory and, by the case, has no changelog",
    },
    Beyond {
        cases: &["count-no-logging", "stream-stream-left-named"],
        lives: &[Life::Emptied],
        scope: Scope::Nothing,
        reason: "by the case the stores have no changelogs",
    },
    Beyond {
        cases: &[
            "table-groupby-aggregate-cached",
            "table-groupby-sum-null-cached",
            "fk-join-inner-cached",
            "fk-join-inner-materialized-cached",
            "fk-join-left-cached",
            "fk-join-left-materialized-cached",
        ],
        lives: &[Life::Alone, Life::Stopped, Life::Emptied, Life::Spread],
        scope: Scope::Last,
        reason: "what one transaction wrote to a repartition topic is read as one batch, between whose records the cache is \
                 not flushed: the driver commits after each",
    },
    Beyond {
        cases: &["timestamp-use-partition-time"],
        lives: &[Life::Spread],
        scope: Scope::Nothing,
        reason: "a partition whose first record has no time has none to give it, and the run stops",
    },
];

/// Cases in which more than the key decides, so that with several partitions another result is right too; as prefixes.
pub(super) const OTHERWISE: &[(&[&str], &str)] = &[
    (
        &["emit-final", "suppress", "headers-through", "stream-table-grace", "punctuate", "tumbling", "hopping"],
        "the stream time of the task says what is emitted, late, expired or due",
    ),
    (
        &["sliding", "session", "cogroup-session", "cogroup-sliding", "cogroup-windowed", "timestamp-extractor"],
        "the stream time of the task says what is late or expired",
    ),
    (
        &["versioned", "stream-versioned", "process-versioned", "process-session", "process-window", "read-window"],
        "the stream time of the store says what has expired, and numbers of duplicates are counted by store",
    ),
    (
        &["stream-stream", "stream-self-join"],
        "the stream time of the task says which windows are open; numbers of duplicates are counted by store",
    ),
    (&["timestamp-partition-time"], "partitions have times of their own"),
    (&["process-cached-store"], "the processor writes the same keys in every task"),
    (&["fk-join"], "subscriptions carry the number of their partition"),
];

/// Whether a case is in [`OTHERWISE`].
pub(super) fn otherwise(case: &str) -> bool {
    OTHERWISE.iter().any(|(cases, _)| cases.iter().any(|prefix| case.starts_with(prefix)))
}

/// How much of a case is compared when it is played like this.
pub(super) fn scope(case: &str, life: Life) -> Scope {
    let found = ALL.iter().find(|beyond| beyond.cases.contains(&case) && beyond.lives.contains(&life));
    found.map_or(Scope::All, |beyond| beyond.scope)
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.scope {
            Scope::All => "all is compared",
            Scope::Last => "last record per key and stores only",
            Scope::Nothing => "not played",
        };
        write!(f, "{} ({:?}): {what}: {}", self.cases.join(" "), self.lives, self.reason)
    }
}
