//! What goes wrong, in order, as the seed has it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::proxy::{Api, Fault};

/// The session timeout of the processes.
pub(super) const SESSION: Duration = Duration::from_secs(6);

/// The session timeout of the brokers with their controller (`scripts/kafka-cluster.sh`), and a second for the controller
/// to notice.
///
/// A killed broker stays away for longer. Kafka 4.3.1 does not survive the other case: back before its session has ended,
/// the broker still believes that it leads, loads transactions from the end of its log instead of from what was
/// replicated, and sends COMMIT markers for a commit that its successor has never heard of and aborts. Some partitions
/// then have the transaction and others do not, whatever its producer does (docs/GUARANTEES.md).
const BROKER_SESSION: Duration = Duration::from_secs(11);

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// SIGKILL; away for a while; perhaps without its disk.
    Kill { who: usize, loses_disk: bool, away: Duration },
    /// SIGSTOP for a while.
    Pause { who: usize, time: Duration },
    /// A clean stop, and a start after a while.
    Leave { who: usize, away: Duration },
    /// Every connection ends at once.
    Disconnect { who: usize },
    /// No way to any broker.
    Cut { who: usize, time: Duration },
    /// Connections stay, nothing comes through.
    Silence { who: usize, time: Duration },
    /// A fault on requests of a kind, with this chance, for a while.
    Wire { who: usize, api: Api, fault: Fault, chance: f64, time: Duration },
    /// A broker is killed, and started after a while.
    Broker { node: usize, away: Duration },
    /// A broker is stopped for a while.
    BrokerPause { node: usize, time: Duration },
}

impl Trouble {
    /// Its kind, for counting.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Kill { loses_disk: true, .. } => "process killed, disk lost",
            Self::Kill { away, .. } if *away > SESSION => "process killed, away past its session",
            Self::Kill { .. } => "process killed",
            Self::Pause { time, .. } if *time > SESSION => "process paused past its session",
            Self::Pause { .. } => "process paused",
            Self::Leave { .. } => "process left and joined",
            Self::Disconnect { .. } => "connections ended",
            Self::Cut { .. } => "route cut",
            Self::Silence { .. } => "route silent",
            Self::Wire { .. } => "rule on the wire",
            Self::Broker { .. } => "broker killed",
            Self::BrokerPause { .. } => "broker paused",
        }
    }
}

/// A trouble and how long after the one before.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) after: Duration,
    pub(super) trouble: Trouble,
}

/// An endless plan.
pub(super) struct Plan {
    chance: StdRng,
    processes: usize,
    /// How many brokers may be killed; none if they are not ours.
    brokers: usize,
}

/// Errors that pass, as brokers answer with them: each kind of request its own.
const CODES: &[(Api, &[i16])] = &[
    (Api::EndTxn, &[14, 15, 16, 51]),
    (Api::TxnOffsetCommit, &[14, 15, 16]),
    (Api::AddPartitionsToTxn, &[14, 15, 16, 51]),
    (Api::AddOffsetsToTxn, &[14, 15, 16, 51]),
    (Api::Produce, &[5, 6, 7, 19, 45]),
    (Api::Fetch, &[6, 74, 75, 78]),
    (Api::Heartbeat, &[16, 27]),
    (Api::JoinGroup, &[14, 15, 16]),
    (Api::SyncGroup, &[15, 16, 27]),
    (Api::InitProducerId, &[14, 15, 16, 51]),
    (Api::FindCoordinator, &[15]),
    (Api::OffsetFetch, &[14, 16]),
];

impl Plan {
    pub(super) fn new(seed: u64, processes: usize, brokers: usize) -> Self {
        Self { chance: StdRng::seed_from_u64(seed), processes, brokers }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.chance.random_range(range))
    }

    fn long_or_short(&mut self, short: std::ops::Range<u64>) -> Duration {
        if self.chance.random_bool(0.2) { SESSION + self.millis(500..3_000) } else { self.millis(short) }
    }

    fn wire(&mut self, who: usize) -> Trouble {
        let (api, codes) = CODES[self.chance.random_range(0..CODES.len())];
        let time = self.millis(3_000..10_000);
        let fault = match self.chance.random_range(0..8) {
            0 => Fault::LoseRequest,
            1 => Fault::LoseReply,
            2 => Fault::Disconnect,
            3 => Fault::DisconnectReply,
            4 => Fault::Delay(self.millis(50..2_000)),
            5 => Fault::DelayReply(self.millis(50..2_000)),
            _ => Fault::Answer(codes[self.chance.random_range(0..codes.len())]),
        };
        // Requests that come all the time are hit now and then, rare ones often.
        let frequent = matches!(api, Api::Produce | Api::Fetch);
        let chance = self.chance.random_range(if frequent { 0.002..0.05 } else { 0.05..0.5 });
        Trouble::Wire { who, api, fault, chance, time }
    }

    pub(super) fn next(&mut self) -> Step {
        let after = self.millis(300..4_000);
        // The first process is never killed, so that its memory can be watched.
        let any = self.chance.random_range(0..self.processes);
        let mortal = self.chance.random_range(1.min(self.processes - 1)..self.processes);
        let node = self.chance.random_range(0..self.brokers.max(1)) + 1;
        let trouble = match self.chance.random_range(0..100) {
            0..22 => {
                let loses_disk = self.chance.random_bool(0.25);
                Trouble::Kill { who: mortal, loses_disk, away: self.long_or_short(0..400) }
            }
            22..34 => Trouble::Pause { who: any, time: self.long_or_short(300..3_000) },
            34..40 => Trouble::Leave { who: mortal, away: self.millis(0..2_000) },
            40..45 => Trouble::Disconnect { who: any },
            45..53 => Trouble::Cut { who: any, time: self.long_or_short(200..4_000) },
            53..59 => Trouble::Silence { who: any, time: self.long_or_short(200..4_000) },
            59..64 if self.brokers > 0 => Trouble::Broker { node, away: BROKER_SESSION + self.millis(0..8_000) },
            64..67 if self.brokers > 0 => Trouble::BrokerPause { node, time: self.millis(500..6_000) },
            _ => self.wire(any),
        };
        Step { after, trouble }
    }
}
