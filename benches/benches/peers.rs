//! Millstream, Kafka Streams and the raw client loop beside each other: see docs/PERFORMANCE.md.

fn main() -> anyhow::Result<()> {
    millstream_benches::peers::main()
}
