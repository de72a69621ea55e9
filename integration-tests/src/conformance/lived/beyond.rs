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

/// An exception: what comes of these files, played like this, differs from the vector. They are played all the same, and have
/// to differ: an exception that is none fails.
pub(super) struct Beyond {
    files: &'static [&'static str],
    lives: &'static [Life],
    reason: &'static str,
}

/// All exceptions.
pub(super) const ALL: &[Beyond] = &[
    Beyond {
        files: &["punctuate-wall-clock"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "wall-clock timers begin anew with the task, as in Kafka Streams",
    },
    Beyond {
        files: &["punctuate-stream-time", "punctuate-cancel"],
        lives: &[Life::Emptied],
        reason: "what a processor holds in its own fields begins anew with the task, as in Kafka Streams",
    },
    Beyond {
        files: &["emit-final-tumbling-throttled"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "how long ago something was emitted is not kept over a restart, as in Kafka Streams: the next record emits",
    },
    Beyond {
        files: &["suppress-table-tombstones", "suppress-table-tombstones-cached"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "the buffer is in memory and, by the case, has no changelog",
    },
    Beyond {
        files: &["count-no-logging", "stream-stream-left-named"],
        lives: &[Life::Emptied],
        reason: "by the case the stores have no changelogs",
    },
    Beyond {
        files: &["timestamp-use-partition-time"],
        lives: &[Life::Spread],
        reason: "a partition whose first record has no time has none to give it, and the run stops",
    },
    Beyond {
        files: &["cogroup-windowed-expired-cached"],
        lives: &[Life::Stopped, Life::Emptied],
        reason: "a window that has expired in the store was in the record cache, which begins anew with the task, as in Kafka Streams",
    },
    Beyond {
        files: &[
            "combined-final-filter-group-cached",
            "combined-fk-group-materialized-cached",
            "combined-session-group-cached",
            "combined-sliding-group-cached",
        ],
        lives: &[Life::Alone, Life::Stopped, Life::Emptied, Life::Spread],
        reason: "of several records of a key that come through a repartition topic in one turn, the record cache keeps the last",
    },
    Beyond {
        files: &["combined-ss-left-rekeyed"],
        lives: &[Life::Spread],
        reason: "records that have no key any more may go to any partition, whose stream time they move",
    },
];

/// Files in which more than the key decides, so that with several partitions another result is right too; as prefixes. At
/// least one run of each prefix has to differ from the vector.
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
            "combined-final",
            "combined-suppress",
            "combined-grace-join",
            "combined-hopping",
        ],
        "the stream time of the task says what is emitted, late, expired or due",
    ),
    (
        &[
            "sliding",
            "session",
            "cogroup-session",
            "cogroup-sliding",
            "cogroup-windowed",
            "timestamp-extractor",
            "combined-sliding",
        ],
        "the stream time of the task says what is late or expired",
    ),
    (
        &["versioned-table-source", "stream-versioned", "process-session", "process-window", "combined-versioned"],
        "the stream time of the store says what has expired, and numbers of duplicates are counted by store",
    ),
    (
        &["stream-stream", "stream-self-join", "combined-ss", "combined-self-outer-join"],
        "the stream time of the task says which windows are open; numbers of duplicates are counted by store",
    ),
    (&["timestamp-partition-time"], "partitions have times of their own"),
    (&["process-cached-store"], "the processor writes the same keys in every task"),
    (&["fk-join", "versioned-fk-join", "combined-fk"], "subscriptions carry the number of their partition"),
];

/// What of [`OTHERWISE`] a file is excepted by.
pub(super) fn otherwise(file: &str) -> Option<&'static str> {
    OTHERWISE.iter().flat_map(|(prefixes, _)| *prefixes).copied().find(|prefix| file.starts_with(prefix))
}

/// The name in [`ALL`] of a file that is played like this.
pub(super) fn excepted(file: &str, life: Life) -> Option<&'static str> {
    let lived = ALL.iter().filter(|beyond| beyond.lives.contains(&life));
    lived.flat_map(|beyond| beyond.files).copied().find(|name| *name == file)
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}): {}", self.files.join(" "), self.lives, self.reason)
    }
}
