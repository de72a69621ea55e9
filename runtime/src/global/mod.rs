//! Global stores on the runtime: each instance reads all partitions of their topics, before it processes anything and while
//! it runs.
//!
//! ```text
//!  Keeper: describe topics → open stores → where to begin → restore to the end ─ready→ keep up to date
//!                 Globals (one writer) ◄── batch of records, then positions, one write ──┘
//! ```
//! The keeper is stepped by the controller, so it needs no group: it assigns itself every partition and reads
//! read_committed. Stores on disk keep the positions they have come to in the same write as their data, and go on from
//! there after a restart; those in memory are read anew.

mod chain;
mod error;
mod keeper;
mod opened;

pub use error::GlobalError;

pub(crate) use chain::GlobalChain;
pub(crate) use keeper::{Keeper, KeeperSeed};
