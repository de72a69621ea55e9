//! How every bench begins: with a broker, or as the child process of one that has.

use anyhow::{Context as _, Result};

/// What every bench takes on its command line.
#[derive(Debug, clap::Args)]
pub struct Entry {
    /// The broker, as HOST:PORT.
    #[arg(long, required_unless_present = "order")]
    bootstrap_servers: Option<String>,
    /// A child process's order.
    #[arg(long, hide = true)]
    order: Option<String>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Entry {
    /// The broker; or `None` in a child process, once it has obeyed its order.
    ///
    /// # Errors
    /// Those of the child, or if there is neither an order nor a broker.
    pub fn begin(&self, obey: impl FnOnce(&str) -> Result<()>) -> Result<Option<&str>> {
        match &self.order {
            Some(order) => obey(order).map(|()| None),
            None => self.bootstrap_servers.as_deref().map(Some).context("--bootstrap-servers is needed"),
        }
    }
}
