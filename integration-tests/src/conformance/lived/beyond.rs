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

/// An exception: what comes of these cases, played like this, differs from the vector. It is played all the same, and has to
/// differ: an exception that is none fails.
pub(super) struct Beyond {
    cases: &'static [&'static str],
    lives: &'static [Life],
    reason: &'static str,
}

/// All exceptions.
pub(super) const ALL: &[Beyond] = &[
    Beyond {
        cases: &["punctuate-wall-clock"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "wall-clock timers begin anew with the task, as in Kafka Streams",
    },
    Beyond {
        cases: &["punctuate-stream-time", "punctuate-cancel"],
        lives: &[Life::Emptied],
        reason: "what a processor holds in its own fields begins anew with the task, as in Kafka Streams",
    },
    Beyond {
        cases: &["emit-final-tumbling-throttled"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "how long ago something was emitted is not kept over a restart, as in Kafka Streams: the next record emits",
    },
    Beyond {
        cases: &["suppress-table-tombstones", "suppress-table-tombstones-cached"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "the buffer is in memory and, by the case, has no changelog",
    },
    Beyond {
        cases: &["count-no-logging", "stream-stream-left-named"],
        lives: &[Life::Emptied],
        reason: "by the case the stores have no changelogs",
    },
    Beyond {
        cases: &["timestamp-use-partition-time"],
        lives: &[Life::Spread],
        reason: "a partition whose first record has no time has none to give it, and the run stops",
    },
];

/// Cases in which more than the key decides, so that with several partitions another result is right too; as prefixes. At
/// least one run of each has to differ from the vector.
pub(super) const OTHERWISE: &[(&[&str], &str)] = &[
    (
        &[
            "emit-final",
            "suppress-t",
            "suppress-window-close",
            "headers-through",
            "stream-table-grace",
            "punctuate",
            "tumbling",
            "hopping",
        ],
        "the stream time of the task says what is emitted, late, expired or due",
    ),
    (
        &["sliding", "session", "cogroup-session", "cogroup-sliding", "cogroup-windowed", "timestamp-extractor"],
        "the stream time of the task says what is late or expired",
    ),
    (
        &["versioned-table-source", "stream-versioned", "process-session", "process-window"],
        "the stream time of the store says what has expired, and numbers of duplicates are counted by store",
    ),
    (
        &["stream-stream", "stream-self-join"],
        "the stream time of the task says which windows are open; numbers of duplicates are counted by store",
    ),
    (&["timestamp-partition-time"], "partitions have times of their own"),
    (&["process-cached-store"], "the processor writes the same keys in every task"),
    (&["fk-join", "versioned-fk-join"], "subscriptions carry the number of their partition"),
];

/// Whether a case is in [`OTHERWISE`].
pub(super) fn otherwise(case: &str) -> bool {
    OTHERWISE.iter().any(|(cases, _)| cases.iter().any(|prefix| case.starts_with(prefix)))
}

/// Whether a case that is played like this is in [`ALL`].
pub(super) fn excepted(case: &str, life: Life) -> bool {
    ALL.iter().any(|beyond| beyond.cases.contains(&case) && beyond.lives.contains(&life))
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}): {}", self.cases.join(" "), self.lives, self.reason)
    }
}
