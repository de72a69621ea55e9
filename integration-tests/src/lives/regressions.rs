//! Lives that once went wrong, or that showed something which had to be understood. A life is its workload and its seed:
//! a workload that is added later changes none of them.

/// A life that is lived in every test run.
#[derive(Clone, Copy, Debug)]
pub struct Regression {
    /// The workload's name.
    pub workload: &'static str,
    /// The seed.
    pub seed: u64,
    /// What it showed.
    pub found: &'static str,
}

const fn life(workload: &'static str, seed: u64, found: &'static str) -> Regression {
    Regression { workload, seed, found }
}

/// All of them.
pub const REGRESSIONS: [Regression; 10] = [
    life(
        "windows",
        1_004_248,
        "a clean stop while a task whose disk had been full replays its tail: behind by its mark",
    ),
    life("windows", 1_018_448, "the same with two processes, after a crash and late replies"),
    life("counters", 1_019_646, "the same with a mark that is too low because a transaction had been aborted"),
    life("counters", 2_000_366, "a complete store with a mark below that of a disk in the middle of a restoration"),
    life(
        "lists",
        5_287,
        "at least once: a delete that is in the changelog but had not been sent is not forwarded again",
    ),
    life(
        "orders",
        100_200,
        "with cached tables an order kept the row of a customer that came and went between commits",
    ),
    life("orders", 101_809, "the same at least once"),
    life("sessions", 100_071, "at least once: a record that is read again makes a session that no single pass gives"),
    life(
        "sessions",
        100_781,
        "at least once: a crash after a session's delete and before the put of what it grew into",
    ),
    life("sessions", 100_440, "the same below a record cache"),
];
