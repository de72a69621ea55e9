//! The figures, for people and for programs.

use anyhow::Result;
use serde_json::json;

use super::options::Options;
use super::{End, Restart};

/// What is aimed at: the first output after a kill and after a clean stop.
const KILLED_MS: u64 = 5_000;
const STOPPED_MS: u64 = 2_000;

fn target(end: End) -> u64 {
    if end == End::Stopped { STOPPED_MS } else { KILLED_MS }
}

fn name(end: End) -> &'static str {
    match end {
        End::KilledIdle => "killed, idle",
        End::KilledBusy => "killed, busy",
        End::Stopped => "stopped",
    }
}

pub(super) fn line(restart: &Restart) -> String {
    let marks = &restart.marks;
    let stop = restart.stop_ms.map(|ms| format!("  stopping took {ms} ms")).unwrap_or_default();
    let group = match restart.left_group {
        Some(true) => ", the group was left",
        Some(false) => ", the group was NOT left",
        None => "",
    };
    format!(
        "{:<13} first output {:>5} ms  restored {:>6}  | until: started {:>4}, topics {:>4}, producer {:>4}, stores \
         {:>4}, assigned {:>4}, running {:>4}{stop}{group}",
        name(restart.end),
        restart.first_output_ms,
        restart.restored,
        marks.started,
        marks.topics,
        marks.producer,
        marks.stores,
        marks.assigned,
        marks.running,
    )
}

pub(super) fn print(options: &Options, restarts: &[Restart]) -> Result<()> {
    let mut table = format!(
        "{} keys in {} partitions, exactly once, a commit every {} ms, one worker\n\
         {:<13} {:>8} {:>8} {:>8} {:>9} {:>14}\n",
        options.keys,
        options.partitions,
        options.commit_interval_ms,
        "before",
        "best",
        "median",
        "worst",
        "target",
        "restored"
    );
    let mut summary = Vec::new();
    for end in [End::KilledIdle, End::KilledBusy, End::Stopped] {
        let ours = || restarts.iter().filter(|restart| restart.end == end);
        let mut times: Vec<u64> = ours().map(|restart| restart.first_output_ms).collect();
        times.sort_unstable();
        let (Some(best), Some(worst)) = (times.first(), times.last()) else { continue };
        let median = times[times.len() / 2];
        let restored = ours().map(|restart| restart.restored).max().unwrap_or(0);
        let left = ours().all(|restart| restart.left_group != Some(false));
        let met = *worst <= target(end) && left;
        table += &format!(
            "{:<13} {best:>5} ms {median:>5} ms {worst:>5} ms {:>6} ms {restored:>14}  {}\n",
            name(end),
            target(end),
            if met { "met" } else { "MISSED" }
        );
        summary.push(json!({
            "end": end, "best_ms": best, "median_ms": median, "worst_ms": worst, "target_ms": target(end),
            "restored_most": restored, "met": met,
        }));
    }
    if options.json {
        eprint!("{table}");
        println!(
            "{}",
            json!({ "keys": options.keys, "partitions": options.partitions, "summary": summary, "restarts": restarts })
        );
    } else {
        print!("{table}");
    }
    Ok(())
}
