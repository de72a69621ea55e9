//! Results on standard output, for as long as somebody reads them.
//!
//! ```text
//!   flights | head -1      head ends ──▶ ReaderGone ──▶ no word, exit code 141
//! ```
//! The signal SIGPIPE, which ends other programs here, stays ignored: it would end this one for a broker's closed connection too.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// What a shell shows for a program that SIGPIPE ended: 128 and the signal's number.
const ENDED_BY_SIGPIPE: u8 = 128 + 13;

/// Nobody reads standard output any more.
#[derive(Clone, Copy, Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes a text to standard output.
///
/// # Errors
/// [`ReaderGone`] if nobody reads it any more; else what the system says, as of a full disk.
pub fn show(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        Err(error) => Err(anyhow::Error::new(error).context("writing to standard output")),
        Ok(()) => Ok(()),
    }
}

/// How a program ends after this: an error is told, except that its reader is gone.
pub fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderGone>() => ExitCode::from(ENDED_BY_SIGPIPE),
        Err(error) => {
            // If nobody reads that either, the exit code says it.
            let _ = writeln!(io::stderr(), "Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
