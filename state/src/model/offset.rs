//! Where a record is, and what to read next: two types, so that the off-by-one of Kafka commits is a type error.

use std::fmt;

/// The place of one record in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

/// The next offset to read from a partition: what is committed to the group, and what a changelog is restored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(i64);

impl Offset {
    /// The offset with this number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number Kafka knows it by.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl Position {
    /// The start of an empty log.
    pub const START: Self = Self(0);

    /// The position that reads the record with this number next.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The position right after a record that is done.
    pub const fn after(done: Offset) -> Self {
        Self(done.0 + 1)
    }

    /// The position `records` further on.
    pub const fn advance(self, records: i64) -> Self {
        Self(self.0 + records)
    }

    /// The number Kafka knows it by.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
