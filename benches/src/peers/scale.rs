//! What more workers and more processes cost: CPU per record against one.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

use super::options::Options;
use super::results::{Key, Results};
use crate::bench::{Bench, Spec};
use crate::child::Serving;
use crate::load::{self, Input};
use crate::meter::{self, Service};
use crate::order::{Delivery, Mode, Order, Side, Workload};
use crate::restart::watch::{Stopwatch, pause};
use crate::topics::{self, Wanted};

const PATIENCE: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often each of ours is measured in a round: that is quick, and differs from time to time more than the rest.
const TURNS: usize = 5;
/// A part of the input, large enough for each partition to have some.
const FEW: u64 = 100;

/// Under which name the figures of so many workers are kept.
pub(super) fn workers(count: usize) -> String {
    format!("count, workers: {count}")
}

/// Under which name the figures of so many processes are kept.
pub(super) fn processes(count: usize) -> String {
    format!("count on six partitions, processes: {count}")
}

pub(super) fn measure(options: &Options, bench: &mut Bench, round: usize, results: &mut Results) -> Result<()> {
    let usual = Spec::new(Workload::Count, options.records);
    for side in super::turns(options, round).into_iter().filter(|side| *side != Side::Raw) {
        let times = if side == Side::Millstream { TURNS } else { 1 };
        for turn in (round * TURNS..).take(times) {
            for workers in [1, 2] {
                let (_, figures) = bench.run(&Spec { workers, ..usual }, side)?;
                let what = self::workers(workers);
                eprintln!("  {what:<45} {:<14} {:.3} CPU s per million", side.name(), figures.cpu_per_million());
                let mut add = |figure, value| {
                    results.add(turn, Key::new(&what, Delivery::ExactlyOnce, side, figure), value);
                };
                add("cpu_seconds_per_million", figures.cpu_per_million());
                add("records_per_second", figures.rate());
            }
        }
    }
    if options.takes_part(Side::Millstream) {
        for turn in (round * TURNS..).take(TURNS) {
            for count in [1, 3] {
                let cpu = group(bench, &Spec { partitions: 6, ..usual }, count, turn)?;
                let what = processes(count);
                eprintln!("  {what:<45} {:<14} {cpu:.3} CPU s per million", Side::Millstream.name());
                let key = Key::new(&what, Delivery::ExactlyOnce, Side::Millstream, "cpu_seconds_per_million");
                results.add(turn, key, cpu);
            }
        }
    }
    Ok(())
}

/// Lets so many processes of one group wait for records, sends those, and answers CPU seconds per million of them. A few
/// more come first: a member of a stable group may still be opening what it was assigned.
fn group(bench: &mut Bench, spec: &Spec, count: usize, turn: usize) -> Result<f64> {
    let states: Vec<TempDir> = (0..count).map(|_| TempDir::new()).collect::<Result<_, _>>()?;
    let input = bench.topics.create(&format!("group-in-{turn}-{count}"), spec.partitions)?;
    let order = bench.order_on(spec, Side::Millstream, states[0].path(), input)?;
    let mut members: Vec<Serving> = Vec::new();
    for state in &states {
        let state_dir = state.path().to_owned();
        members.push(bench.starter.serve(&Order { mode: Mode::Serve, state_dir, ..order.clone() })?);
    }
    let client: BaseConsumer = topics::reader(&order.bootstrap_servers, &order.name).create()?;
    wait("all members to be in the group", || {
        let groups = client.fetch_group_list(Some(&order.name), TIMEOUT)?;
        let ours = groups.groups().iter().find(|group| group.name() == order.name);
        Ok(ours.is_some_and(|group| group.members().len() == count && group.state() == "Stable"))
    })?;
    let used = |members: &[Serving]| -> Result<f64> { members.iter().map(|m| meter::cpu_seconds_of(m.id())).sum() };
    let process = |input: Input| -> Result<()> {
        load::fill(&order.bootstrap_servers, &order.input, input)?;
        let mut wanted = Wanted::default();
        wanted.add(&client, &order.input, 0)?;
        wait("the input to be committed", || wanted.is_committed(&client))
    };
    process(Input { records: spec.input.records / FEW, ..spec.input })?;
    let before = used(&members)?;
    process(spec.input)?;
    let cpu = used(&members)? - before;
    for member in members {
        let _: Service = member.finish()?;
    }
    bench.topics.delete(&order.name)?;
    Ok(cpu / spec.input.records as f64 * 1e6)
}

fn wait(what: &str, reached: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Stopwatch::start();
    while !reached()? {
        ensure!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        pause(Duration::from_millis(20));
    }
    Ok(())
}
