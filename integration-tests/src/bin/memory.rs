//! A process whose memory is measured: it prints the most that was ever resident, in MiB.
//!
//! ```text
//!  memory keys N                      counts N different keys in the stores of four tasks, with the default bounds
//!  memory slow BOOTSTRAP APP DIR N    counts by key from APP-in to APP-out until N records are committed
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream::operators::topology::Topology;
use millstream::prelude::*;
use millstream::state::engine::{RocksSettings, RocksStorage, Storage as _};
use millstream_integration_tests::alone::{Alone, Fed};
use millstream_integration_tests::support::memory_mib;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["keys", count] => keys(count.parse()?)?,
        ["slow", bootstrap, app, folder, records] => slow(bootstrap, app, Path::new(folder), records.parse()?)?,
        _ => bail!("memory keys N, or memory slow BOOTSTRAP APP DIR N"),
    }
    println!("peak resident MiB: {}", memory_mib("self", "VmHWM").context("the system tells no VmHWM")?);
    Ok(())
}

fn count(input: &str, output: &str, cached: bool, copied: bool) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let records = builder.stream::<String, String>(input);
    let counts = records.group_by_key().count(Materialized::named("counts").caching(cached));
    counts.to_stream().to(output);
    if copied {
        records.to(output);
    }
    Ok(builder.build()?)
}

const TASKS: u64 = 4;

/// Records between two commits of a task.
const TRANSACTION: u64 = 20_000;

fn keys(keys: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let limits = MemoryLimits::default();
    let settings = RocksSettings {
        rows: limits.rows,
        block_cache: limits.block_cache,
        write_buffers: limits.write_buffers,
        ..RocksSettings::default()
    };
    let storage = RocksStorage::new(folder.path(), &settings);
    let open = |task: u64| {
        let engine = storage.open(&format!("0_{task}"))?;
        Alone::new(count("in", "out", true, false)?, engine, limits.record_cache / TASKS as usize)
    };
    let mut tasks: Vec<Alone> = (0..TASKS).map(open).collect::<Result<_>>()?;
    for first in (0..keys).step_by(TRANSACTION as usize) {
        let task = &mut tasks[(first / TRANSACTION % TASKS) as usize];
        transaction(task, first..(first + TRANSACTION).min(keys))?;
    }
    // Each task again, with some of its keys from all over: they are looked up on disk, and found.
    let again = keys / 50;
    for (task, first) in tasks.iter_mut().zip((0..).step_by(TRANSACTION as usize)) {
        let own = |n: &u64| n / TRANSACTION % TASKS == first / TRANSACTION;
        let some: Vec<u64> = (0..keys).step_by(7).filter(own).take((again / TASKS) as usize).collect();
        for part in some.chunks(TRANSACTION as usize) {
            transaction(task, part.iter().copied())?;
        }
    }
    let sent: u64 = tasks.iter().map(Alone::sent).sum();
    let expected = (keys + again / TASKS * TASKS) * 2;
    ensure!(sent == expected, "{sent} records were sent; an output and a change for each input make {expected}");
    Ok(())
}

fn transaction(task: &mut Alone, keys: impl Iterator<Item = u64>) -> Result<()> {
    // Multiplied by an odd number, every key comes once, and neighbours in time are none in the store.
    let record = |n: u64| -> Fed { (scattered(n).into_bytes(), vec![b'v'; 20], n as i64) };
    task.feed(keys.map(record).collect());
    task.process()?;
    task.commit()
}

fn scattered(n: u64) -> String {
    format!("key-{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// An instance on a broker that may be slow; the cache is off, so that every record makes three.
fn slow(bootstrap: &str, app: &str, folder: &Path, records: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async {
            let topology = count(&format!("{app}-in"), &format!("{app}-out"), false, true)?;
            let config = StreamsConfig::new(app, bootstrap).workers(1).state_dir(folder);
            let mut streams = Streams::new(topology, config)?;
            streams.start()?;
            let group = millstream_integration_tests::slow::Group::new(bootstrap, app)?;
            while group.committed()? < records {
                let ended = streams.state().is_final();
                if ended {
                    streams.join().await?;
                }
                ensure!(!ended, "the instance stopped by itself");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            streams.shutdown().await.map_err(anyhow::Error::from)
        })
        .context("counting on a slow broker")
}
