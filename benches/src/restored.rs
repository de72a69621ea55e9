//! What an instance restored: read off its log, which it goes through on its way to standard error.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::meter::{Mark, Meter};

/// When replays began and ended, and how many records they had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replays {
    /// How many records were replayed.
    pub records: u64,
    begin: Option<Mark>,
    end: Option<Mark>,
}

impl Replays {
    /// Wall and CPU seconds from the beginning of the first replay to the end of the last.
    pub fn took(&self) -> (f64, f64) {
        self.begin.zip(self.end).map_or((0.0, 0.0), |(begin, end)| end.since(begin))
    }
}

/// A log writer that listens.
#[derive(Clone, Default)]
pub struct RestoreLog {
    meter: Meter,
    // Written by the threads that log, read once at the end.
    heard: Arc<Mutex<Replays>>,
}

impl RestoreLog {
    /// What was heard so far.
    pub fn replays(&self) -> Replays {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, line: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if line.contains("restoring offsets ") {
            heard.begin.get_or_insert_with(|| self.meter.mark());
        }
        let restored = line.split_once(" restored ").and_then(|(_, rest)| rest.split(' ').next());
        if let Some(records) = restored.and_then(|number| number.parse::<u64>().ok()) {
            heard.records += records;
            heard.end = Some(self.meter.mark());
        }
    }
}

impl Write for RestoreLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.hear(&text);
        if text.contains(" WARN ") || text.contains("ERROR") || std::env::var_os("RUST_LOG").is_some() {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_replays_are_added_up() {
        let mut log = RestoreLog::default();
        let lines = [
            "INFO millstream::restore: restoring offsets 0 to 17 (up to 17 records) task=0_1\n",
            "INFO millstream::restore: restored 12 records in 3 ms task=0_1\n",
            "INFO millstream::restore: restored 5 records in 3 ms task=0_2\n",
        ];
        for line in lines {
            let written = log.write(line.as_bytes()).ok();
            assert_eq!(written, Some(line.len()));
        }
        let replays = log.replays();
        assert_eq!(replays.records, 17);
        assert!(replays.took().0 >= 0.0 && replays.begin.is_some() && replays.end.is_some());
    }
}
