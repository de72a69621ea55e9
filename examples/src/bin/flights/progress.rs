//! The progress bar on standard error; none with `--json`.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that shows how many flights are counted.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar over so many flights.
    pub(crate) fn over(flights: u64) -> Self {
        let bar = ProgressBar::new(flights);
        let template = "{msg:<9} [{bar:40}] {human_pos}/{human_len} flights, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("counting");
        Self(bar)
    }

    /// A bar that is not shown.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// So many of so many offsets of the input are processed. The first look tells how many there are, where nobody
    /// knew before; offsets also count the markers of transactions, so the bar never goes past its end.
    pub(crate) fn show(&self, done: i64, of: i64) {
        let [done, of] = [done, of].map(|number| u64::try_from(number).unwrap_or(0));
        let length = self.0.length().filter(|&length| length > 0).unwrap_or_else(|| {
            self.0.set_length(of);
            of
        });
        self.0.set_position(done.min(length));
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
