//! What the runtime does with each fault: the rows of docs/GUARANTEES.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a helper fails the test")]

mod life;
mod logged;
mod real;
mod refusals;
mod stores;
mod threads;
mod topics;
mod user_code;
