//! Records per second, CPU per record and memory of Millstream beside the raw client loop: see docs/PERFORMANCE.md.

fn main() -> anyhow::Result<()> {
    millstream_benches::throughput::main()
}
