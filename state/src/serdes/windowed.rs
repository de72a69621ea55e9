//! Windowed keys in topics: the key's bytes, then the window's times.
//!
//! ```text
//!  time window: key | start (8)            the end is start + size, which the reader has to know
//!  session:     key | end (8) | start (8)
//! ```

use std::sync::Arc;

use super::{DefaultSerde, Serde, SerdeRef, present};
use crate::error::SerdeError;
use crate::model::{Timestamp, Window, Windowed};

struct TimeWindowed<K> {
    key: SerdeRef<K>,
    size: Option<i64>,
}

const TIME: &str = "a time-windowed key (key, start in 8 bytes)";
const SESSION: &str = "a session-windowed key (key, end in 8 bytes, start in 8 bytes)";

fn split_time<'a>(expected: &'static str, bytes: &'a [u8]) -> Result<(&'a [u8], Timestamp), SerdeError> {
    match bytes.split_last_chunk::<8>() {
        Some((head, time)) => Ok((head, Timestamp::from_millis(i64::from_be_bytes(*time)))),
        None => Err(SerdeError::new(expected, format!("found {} bytes where 8 of a time are due", bytes.len()))),
    }
}

impl<K> Serde<Windowed<K>> for TimeWindowed<K> {
    fn encode(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.encode(&value.key, out)?;
        out.extend_from_slice(&value.window.start.millis().to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (key, start) = split_time(TIME, present(TIME, bytes)?)?;
        let end = self.size.map_or(i64::MAX, |size| start.millis().saturating_add(size));
        let window = Window { start, end: Timestamp::from_millis(end) };
        Ok(Windowed { key: self.key.decode(Some(key))?, window })
    }

    fn unhashed_suffix(&self) -> usize {
        8
    }
}

struct SessionWindowed<K>(SerdeRef<K>);

impl<K> Serde<Windowed<K>> for SessionWindowed<K> {
    fn encode(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.encode(&value.key, out)?;
        out.extend_from_slice(&value.window.end.millis().to_be_bytes());
        out.extend_from_slice(&value.window.start.millis().to_be_bytes());
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (rest, start) = split_time(SESSION, present(SESSION, bytes)?)?;
        let (key, end) = split_time(SESSION, rest)?;
        Ok(Windowed { key: self.0.decode(Some(key))?, window: Window { start, end } })
    }

    fn unhashed_suffix(&self) -> usize {
        16
    }
}

/// Keys of time windows. With `size` (in milliseconds) a decoded window ends at start + size, without it never.
pub fn time_windowed<K: 'static>(key: SerdeRef<K>, size: Option<i64>) -> SerdeRef<Windowed<K>> {
    Arc::new(TimeWindowed { key, size })
}

/// Keys of session windows.
pub fn session_windowed<K: 'static>(key: SerdeRef<K>) -> SerdeRef<Windowed<K>> {
    Arc::new(SessionWindowed(key))
}

impl<K: DefaultSerde> DefaultSerde for Windowed<K> {
    fn serde() -> SerdeRef<Self> {
        time_windowed(K::serde(), None)
    }
}
