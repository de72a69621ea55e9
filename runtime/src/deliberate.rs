//! Bugs on purpose, for the tests that prove that the tests would see them. They exist only with the feature
//! `deliberate-bugs`, which nothing but the integration tests asks for; without it `has` is the constant `false`.

/// A bug that can be switched on for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "deliberate-bugs"), allow(unreachable_pub, reason = "the module is private then"))]
pub enum Bug {
    /// Stores are written before their transaction has committed.
    AppliesBeforeCommit,
    /// What the record caches hold back is not part of the commit.
    CommitsWithoutFlush,
    /// After an abort the stores still show what was aborted.
    KeepsUncommittedLayer,
    /// Under at-least-once a store goes back behind what its changelog has.
    GoesBackBehindChangelog,
    /// A store claims one changelog record more than it has.
    MarksTooFar,
}

#[cfg(feature = "deliberate-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Switches a bug on for this thread, or all off.
    pub fn set(bug: Option<Bug>) {
        ON.with(|on| on.set(bug));
    }

    pub(crate) fn has(bug: Bug) -> bool {
        ON.with(|on| on.get() == Some(bug))
    }
}

#[cfg(feature = "deliberate-bugs")]
pub(crate) use switch::has;
#[cfg(feature = "deliberate-bugs")]
pub use switch::set;

#[cfg(not(feature = "deliberate-bugs"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
