//! Seconds from a process's start to its first output, after it was killed and after it was stopped: see docs/PERFORMANCE.md.

fn main() -> anyhow::Result<()> {
    millstream_benches::restart::main()
}
