//! How cost grows with keys, record size, partitions, stores, workers and state: see docs/PERFORMANCE.md.

fn main() -> anyhow::Result<()> {
    millstream_benches::growth::main()
}
