//! How keys are laid out in stores and changelogs, so that byte order is the order of a scan.
//!
//! ```text
//!  window store:   key | window start (8) | sequence (4)
//!  session store:  key | session end (8) | session start (8)
//!
//!  stores of emission on window close keep values by time, and where keys are looked for by time too, an index:
//!  windows:   00 | window start (8) | key | sequence (4)            index: 01 | window store's key
//!  sessions:  00 | session end (8) | session start (8) | key        index: 01 | session store's key
//! ```
//! All integers are big-endian; for times from 0 on, the entries of one key are in the order of time.

use std::ops::Bound;

use crate::model::{Timestamp, Window};

/// The bytes that follow the key in a window store's key.
pub const WINDOW_SUFFIX: usize = 12;
/// The bytes that follow the key in a session store's key.
pub const SESSION_SUFFIX: usize = 16;

/// A window store's key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowKey<'a> {
    /// The record's key.
    pub key: &'a [u8],
    /// Where the window starts.
    pub start: Timestamp,
    /// Tells values with equal key and time apart, in stores that keep duplicates; 0 in others.
    pub sequence: u32,
}

/// Appends what makes `key`, already written to `out`, a window store's key.
pub fn push_window_suffix(out: &mut Vec<u8>, start: Timestamp, sequence: u32) {
    out.extend_from_slice(&start.millis().to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
}

/// A window store's key from its parts.
pub fn window_key(key: &[u8], start: Timestamp, sequence: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + WINDOW_SUFFIX);
    out.extend_from_slice(key);
    push_window_suffix(&mut out, start, sequence);
    out
}

/// Takes a window store's key apart; `None` if it is too short to be one.
pub fn split_window_key(bytes: &[u8]) -> Option<WindowKey<'_>> {
    let (rest, sequence) = bytes.split_last_chunk::<4>()?;
    let (key, start) = rest.split_last_chunk::<8>()?;
    let start = Timestamp::from_millis(i64::from_be_bytes(*start));
    Some(WindowKey { key, start, sequence: u32::from_be_bytes(*sequence) })
}

/// A session store's key from its parts.
pub fn session_key(key: &[u8], session: Window) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + SESSION_SUFFIX);
    out.extend_from_slice(key);
    push_session_suffix(&mut out, session);
    out
}

/// Appends what makes a key, already written to `out`, a session store's key.
pub fn push_session_suffix(out: &mut Vec<u8>, session: Window) {
    out.extend_from_slice(&session.end.millis().to_be_bytes());
    out.extend_from_slice(&session.start.millis().to_be_bytes());
}

/// Takes a session store's key apart; `None` if it is too short to be one.
pub fn split_session_key(bytes: &[u8]) -> Option<(&[u8], Window)> {
    let (rest, start) = bytes.split_last_chunk::<8>()?;
    let (key, end) = rest.split_last_chunk::<8>()?;
    let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
    Some((key, Window { start: time(start), end: time(end) }))
}

/// The first byte of a key that is laid out by time.
pub const BY_TIME: u8 = 0;
/// The first byte of an index entry beside keys laid out by time.
pub const BY_KEY: u8 = 1;

/// A window store's key laid out by time; `None` if it is too short to be one.
pub fn time_first_window_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (rest, sequence) = bytes.split_last_chunk::<4>()?;
    let (key, start) = rest.split_last_chunk::<8>()?;
    Some([&[BY_TIME][..], start, key, sequence].concat())
}

/// The window store's key that is laid out by time here; `None` if it is none.
pub fn from_time_first_window_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (start, rest) = bytes.strip_prefix(&[BY_TIME])?.split_first_chunk::<8>()?;
    let (key, sequence) = rest.split_last_chunk::<4>()?;
    Some([key, start, sequence].concat())
}

/// A session store's key laid out by time; `None` if it is too short to be one.
pub fn time_first_session_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (key, times) = bytes.split_last_chunk::<SESSION_SUFFIX>()?;
    Some([&[BY_TIME][..], times, key].concat())
}

/// The session store's key that is laid out by time here; `None` if it is none.
pub fn from_time_first_session_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (times, key) = bytes.strip_prefix(&[BY_TIME])?.split_first_chunk::<SESSION_SUFFIX>()?;
    Some([key, &times[..]].concat())
}

/// The index entry of a window or session store's key.
pub fn index_key(bytes: &[u8]) -> Vec<u8> {
    [&[BY_KEY], bytes].concat()
}

/// The first key that is greater than every key with this prefix; unbounded if there is none.
pub fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    match prefix.iter().rposition(|&byte| byte != u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(end)
        }
        None => Bound::Unbounded,
    }
}

#[cfg(test)]
mod tests;
