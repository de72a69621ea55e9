//! Real faults on real brokers, for as long as asked.
//!
//! ```text
//!   real_faults run SEED MINUTES [RATE]    three brokers, three processes; faults as the seed has it; 2500 inputs a second
//!   real_faults work …                     one of the processes
//! ```
//! With `MILLSTREAM_TEST_BOOTSTRAP` set, those brokers are used, and are not killed. The last line is `violations: N`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use millstream::Streams;
use millstream_integration_tests::real::chaos::{Chaos, Report};
use millstream_integration_tests::real::cluster::Cluster;
use millstream_integration_tests::real::workload::Workload;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("work") => work(&arguments[1..]).await.map(|()| ExitCode::SUCCESS),
        Some("run") => run(&arguments[1..]).await,
        _ => anyhow::bail!("real_faults run SEED MINUTES [RATE]"),
    }
}

async fn work(arguments: &[String]) -> anyhow::Result<()> {
    let [bootstrap, app, state, partitions, keys, buckets, base] = arguments else {
        anyhow::bail!("real_faults work BOOTSTRAP APP STATE PARTITIONS KEYS BUCKETS BASE")
    };
    let workload = Workload {
        app: app.clone(),
        partitions: partitions.parse()?,
        keys: keys.parse()?,
        buckets: buckets.parse()?,
        base: base.parse()?,
    };
    // A broker that was killed takes minutes to come back on a busy machine: nothing that a run should report.
    let config = workload.config(bootstrap, Path::new(state)).startup_timeout(Duration::from_secs(300));
    Streams::new(workload.topology()?, config)?.run_until_ctrl_c().await?;
    Ok(())
}

async fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let text = |index: usize, name: &str| arguments.get(index).with_context(|| format!("{name} is missing"));
    let wrong = |name: &str, text: &str| format!("{name} cannot be {text}");
    let seed: u64 = text(0, "SEED")?.parse().with_context(|| wrong("SEED", &arguments[0]))?;
    let minutes: f64 = text(1, "MINUTES")?.parse().with_context(|| wrong("MINUTES", &arguments[1]))?;
    let length = Duration::try_from_secs_f64(minutes * 60.0).with_context(|| wrong("MINUTES", &arguments[1]))?;
    let rate: u64 = match arguments.get(2) {
        Some(text) => text.parse().with_context(|| wrong("RATE", text))?,
        None => 2_500,
    };
    let folder = std::env::temp_dir().join(format!("millstream-faults-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (cluster, bootstrap) = match std::env::var("MILLSTREAM_TEST_BOOTSTRAP") {
        Ok(bootstrap) => (None, bootstrap),
        Err(_) => {
            let cluster = Cluster::start(&folder.join("kafka"))?;
            let bootstrap = cluster.bootstrap.clone();
            (Some(cluster), bootstrap)
        }
    };
    let chaos = Chaos {
        bootstrap,
        program: std::env::current_exe()?,
        folder: folder.clone(),
        seed,
        length,
        rate,
        processes: 3,
        partitions: 4,
    };
    println!("seed {seed}, {minutes} minutes, {rate} inputs a second, logs in {}", folder.display());
    let violations = match chaos.run(cluster.as_ref()).await {
        Ok(report) => {
            show(&report);
            remove(&folder);
            0
        }
        Err(error) => {
            println!("VIOLATION, seed {seed}: {error:#}");
            println!("  logs of the processes, and data of the brokers: {}", folder.display());
            if let Some(cluster) = cluster {
                cluster.keep();
            }
            // The same faults in the same order; how they meet the processes is up to the machine.
            println!(
                "  replay: cargo run --package millstream-integration-tests --bin real_faults -- run {seed} {minutes} {rate}"
            );
            1
        }
    };
    println!("violations: {violations}");
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report) {
    for (kind, count) in &report.faults {
        println!("  {count:>8} × {kind}");
    }
    println!("{} inputs, {} outputs checked, every one as it must be", report.inputs, report.outputs);
    let from = report.longest_stall_from.as_secs_f64();
    println!(
        "longest time without an output: {:.1?}, {from:.0} s after the start; faults from 15 s before it:",
        report.longest_stall
    );
    for trouble in &report.around_stall {
        println!("  {trouble}");
    }
    let resident = &report.resident;
    if let [first, .., last] = resident.as_slice() {
        let middle = resident[resident.len() / 2];
        let most = resident.iter().max().unwrap_or(last);
        println!(
            "memory of the process that was never killed: first {first}, in the middle {middle}, last {last}, most {most} MiB"
        );
    }
}

/// Nothing of a run without a violation is wanted; brokers that are still there lie in it, and go with the cluster.
fn remove(folder: &PathBuf) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() != "kafka" {
            // Left behind, it does no harm.
            let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
        }
    }
}
