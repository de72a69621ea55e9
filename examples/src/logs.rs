//! Logs that a person can read, on standard error; `RUST_LOG` chooses which.

use tracing_subscriber::EnvFilter;

/// Starts logging; `default` is the filter without `RUST_LOG`.
pub fn init(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
