//! Joins of streams beside naive models of them, on random input: disorder, ties, duplicates, nulls, late records.
//!
//! What fails is printed with its seed, which is then in `proptest-regressions` and tried first the next time.

mod driver;

use std::collections::BTreeMap;
use std::time::Duration;

use driver::Driver;
use millstream_operators::dsl::*;
use millstream_operators::topology::{Optimization, TopologySettings};
use proptest::prelude::*;

type Text = Option<String>;

/// A record of the left or the right side.
#[derive(Clone, Debug)]
struct Input {
    left: bool,
    key: Text,
    value: Text,
    time: i64,
}

/// A result: key, value, time.
type Output = (Text, String, i64);

#[derive(Clone, Copy, Debug)]
struct Windows {
    before: i64,
    after: i64,
    grace: i64,
}

impl Windows {
    fn of(self) -> JoinWindows {
        JoinWindows::between_millis(-self.before, self.after).grace(Duration::from_millis(self.grace as u64))
    }

    fn retention(self) -> i64 {
        self.before + self.after + self.grace
    }
}

fn windows() -> impl Strategy<Value = Windows> {
    (-20i64..60, 0i64..60, prop_oneof![Just(0), 0i64..80]).prop_filter_map("a window", |(before, after, grace)| {
        (before + after >= 0).then_some(Windows { before, after, grace })
    })
}

/// Records that come mostly in order, with ties, stragglers and jumps.
fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let key = prop_oneof![8 => "[ab]".prop_map(Some), 1 => Just(None)];
    let value = prop_oneof![9 => "[a-z]{1,2}".prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![6 => 0i64..8, 3 => -60i64..0, 1 => 0i64..300];
    proptest::collection::vec((any::<bool>(), key, value, step), 0..60).prop_map(|steps| {
        let mut now = 0i64;
        let input = |(left, key, value, step): (bool, Text, Text, i64)| {
            let time = (now + step).max(0);
            now = now.max(time);
            Input { left, key, value, time }
        };
        steps.into_iter().map(input).collect()
    })
}

fn no_pause() -> TopologySettings {
    TopologySettings { outer_join_emit_interval: Duration::ZERO, ..TopologySettings::default() }
}

fn pair(left: Option<&Text>, right: Option<&Text>) -> String {
    let show = |side: Option<&Text>| side.cloned().flatten().unwrap_or_else(|| "-".to_owned());
    format!("{}~{}", show(left), show(right))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Inner,
    Left,
    Outer,
}

fn run(kind: Kind, windows: Windows, inputs: &[Input]) -> Vec<Vec<Output>> {
    let mut driver = Driver::with_settings(no_pause(), |b| {
        let (l, r) = (b.stream::<Text, Text>("left"), b.stream::<Text, Text>("right"));
        match kind {
            Kind::Inner => l.join(&r, |x, y| pair(Some(x), Some(y)), windows.of()),
            Kind::Left => l.left_join(&r, |x, y| pair(Some(x), y), windows.of()),
            Kind::Outer => l.outer_join(&r, pair, windows.of()),
        }
        .to("out");
    });
    let step = |input: &Input| {
        let topic = if input.left { "left" } else { "right" };
        driver.pipe(topic, input.key.clone(), input.value.clone(), input.time);
        driver.read("out")
    };
    inputs.iter().map(step).collect()
}

/// A join as a list of what came and a list of who waits.
struct Model {
    kind: Kind,
    windows: Windows,
    /// What came and was kept, in that order.
    kept: Vec<Input>,
    /// Who waits: time, whose (the right side first), key, values.
    waiting: BTreeMap<(i64, bool, String), Vec<Input>>,
    stream_time: i64,
    /// What the least waiting time is taken for.
    least: i64,
}

impl Model {
    fn new(kind: Kind, windows: Windows) -> Self {
        let (kept, waiting) = (Vec::new(), BTreeMap::new());
        Self { kind, windows, kept, waiting, stream_time: -1, least: i64::MAX }
    }

    fn outer(&self, left: bool) -> bool {
        self.kind == Kind::Outer || (self.kind == Kind::Left && left)
    }

    fn reach(&self, left: bool) -> (i64, i64) {
        let Windows { before, after, .. } = self.windows;
        if left { (before, after) } else { (after, before) }
    }

    /// Those who wait in vain, with the reference's habit of taking the last one looked at for the least that is left.
    fn closed(&mut self, left: bool) -> Vec<Output> {
        let (grace, now) = (self.windows.grace, self.stream_time);
        if self.least.wrapping_add(self.reach(left).1).wrapping_add(grace) >= now {
            return Vec::new();
        }
        self.least = i64::MAX;
        let (mut outputs, mut open, mut gone) = (Vec::new(), [false, false], Vec::new());
        for (waits, inputs) in &self.waiting {
            self.least = waits.0;
            if open == [true, true] {
                break;
            }
            if waits.0 + self.reach(waits.1).1 + grace >= now {
                open[usize::from(waits.1)] = true;
                // Values are looked at, not keys: a second one of this time is the next.
                if open == [true, true] && inputs.len() > 1 {
                    break;
                }
                continue;
            }
            outputs.extend(inputs.iter().map(alone));
            gone.push(waits.clone());
        }
        gone.iter().for_each(|waits| {
            self.waiting.remove(waits);
        });
        outputs
    }

    fn step(&mut self, input: &Input) -> Vec<Output> {
        self.stream_time = self.stream_time.max(input.time);
        let Input { left, key, value, time } = input;
        let (Some(key), Some(_)) = (key, value) else {
            let alone_at_once = self.outer(*left) && value.is_some();
            return if alone_at_once { vec![alone(input)] } else { Vec::new() };
        };
        let mut outputs = Vec::new();
        if *time == self.stream_time && self.kind != Kind::Inner {
            outputs = self.closed(*left);
        }
        let (before, after) = self.reach(*left);
        let (from, to) = ((time - before).max(0), (time + after).max(0));
        let newest = self.kept.iter().filter(|other| other.left != *left).map(|other| other.time).max();
        let alive = |other: &&Input| other.time > newest.unwrap_or(-1) - self.windows.retention();
        let mut partners: Vec<Input> = self
            .kept
            .iter()
            .filter(|other| other.left != *left && other.key == input.key && (from..=to).contains(&other.time))
            .filter(alive)
            .cloned()
            .collect();
        partners.sort_by_key(|other| other.time);
        for other in &partners {
            self.waiting.remove(&(other.time, other.left, key.clone()));
            let (l, r) = if *left { (input, other) } else { (other, input) };
            outputs.push((input.key.clone(), pair(Some(&l.value), Some(&r.value)), other.time.max(*time)));
        }
        if partners.is_empty() && self.outer(*left) {
            if to < self.stream_time {
                outputs.push(alone(input));
            } else {
                self.least = self.least.min(*time);
                self.waiting.entry((*time, *left, key.clone())).or_default().push(input.clone());
            }
        }
        self.kept.push(input.clone());
        outputs
    }
}

fn alone(input: &Input) -> Output {
    let value = if input.left { pair(Some(&input.value), None) } else { pair(None, Some(&input.value)) };
    (input.key.clone(), value, input.time)
}

fn agrees(kind: Kind, windows: Windows, inputs: &[Input]) -> Result<(), TestCaseError> {
    let mut model = Model::new(kind, windows);
    for (index, (input, is)) in inputs.iter().zip(run(kind, windows, inputs)).enumerate() {
        prop_assert_eq!(is, model.step(input), "step {}: {:?}", index, input);
    }
    Ok(())
}

/// The pairs of a self-join in the order of two stores: the record with those kept, then those kept and itself with it.
fn self_joined(windows: Windows, inputs: &[Input], strict: bool) -> Vec<Vec<Output>> {
    let mut kept: Vec<Input> = Vec::new();
    let step = |input: &Input| {
        let (Some(_), Some(_)) = (&input.key, &input.value) else { return Vec::new() };
        let within = |other: &&Input, before: i64, after: i64| {
            other.key == input.key && ((input.time - before).max(0)..=(input.time + after).max(0)).contains(&other.time)
        };
        let newest = kept.iter().map(|other| other.time).max().unwrap_or(-1);
        let oldest = newest - windows.retention();
        let mut first: Vec<&Input> =
            kept.iter().filter(|o| o.time > oldest && within(o, windows.before, windows.after)).collect();
        first.sort_by_key(|other| other.time);
        let mut outputs: Vec<Output> = Vec::new();
        for other in first {
            outputs.push((input.key.clone(), pair(Some(&input.value), Some(&other.value)), other.time.max(input.time)));
        }
        let newest = newest.max(input.time);
        let oldest = if strict { oldest } else { newest - windows.retention() };
        let itself = input.time > newest - windows.retention() + i64::from(strict);
        let around = |other: &&Input| within(other, windows.after, windows.before);
        let mut second: Vec<&Input> = kept.iter().filter(|o| o.time > oldest && around(o)).collect();
        // One store always joins a record with itself; two do so if the windows have it.
        if itself && (strict || around(&input)) {
            second.push(input);
        }
        second.sort_by_key(|other| other.time);
        for other in second {
            outputs.push((input.key.clone(), pair(Some(&other.value), Some(&input.value)), other.time.max(input.time)));
        }
        kept.push(input.clone());
        outputs
    };
    inputs.iter().map(step).collect()
}

fn run_self_join(optimized: bool, windows: Windows, inputs: &[Input]) -> Vec<Vec<Output>> {
    let optimization = if optimized { Optimization::ALL } else { Optimization::NONE };
    let mut driver = Driver::with_settings(TopologySettings { optimization, ..no_pause() }, |b| {
        let s = b.stream::<Text, Text>("in");
        s.join(&s, |x, y| pair(Some(x), Some(y)), windows.of()).to("out");
    });
    let step = |input: &Input| {
        driver.pipe("in", input.key.clone(), input.value.clone(), input.time);
        driver.read("out")
    };
    inputs.iter().map(step).collect()
}

/// The values of one key by the time from which they are valid.
#[derive(Default)]
struct Versions {
    values: BTreeMap<i64, Text>,
    /// Since when the newest value is valid, if the key is not deleted.
    latest: Option<i64>,
    /// Until when the values before the newest are valid, as far as the reference keeps that.
    ended: Option<i64>,
}

impl Versions {
    fn put(&mut self, time: i64, value: Text) {
        let exists = value.is_some();
        self.values.insert(time, value);
        match self.latest {
            Some(latest) if time < latest => {
                self.ended = self.ended.max(Some(latest));
                return;
            }
            Some(latest) if time > latest => self.ended = Some(time),
            // The reference forgets when a value was deleted that nobody came before: a put of the past finds no trace.
            Some(_) if !exists && self.ended != Some(time) => {
                self.values.remove(&time);
            }
            Some(_) => {}
            None if Some(time) < self.ended => return,
            None if !exists => self.ended = Some(time),
            None => {}
        }
        self.latest = exists.then_some(time);
    }

    fn as_of(&self, time: i64) -> Text {
        self.values.range(..=time).next_back().and_then(|(_, value)| value.clone())
    }
}

proptest! {
    #[test]
    fn an_inner_join_has_a_result_for_each_pair_that_is_kept(windows in windows(), inputs in inputs()) {
        agrees(Kind::Inner, windows, &inputs)?;
    }

    #[test]
    fn a_left_join_says_who_of_the_left_has_nobody(windows in windows(), inputs in inputs()) {
        agrees(Kind::Left, windows, &inputs)?;
    }

    #[test]
    fn an_outer_join_says_who_of_either_side_has_nobody(windows in windows(), inputs in inputs()) {
        agrees(Kind::Outer, windows, &inputs)?;
    }

    #[test]
    fn with_enough_grace_everyone_has_partners_or_one_result_alone(inputs in inputs(), difference in 0i64..40) {
        let windows = Windows { before: difference, after: difference, grace: 100_000 };
        let mut all: Vec<Input> = inputs.into_iter().filter(|input| input.key.is_some() && input.value.is_some()).collect();
        for (index, input) in all.iter_mut().enumerate() {
            input.value = Some(format!("{index}"));
        }
        let real = all.len();
        // Twice, because the reference takes the last one it looks at for the least that is left.
        for time in [1_000_000, 10_000_000] {
            let end = |left| Input { left, key: Some("end".into()), value: Some("end".into()), time };
            all.extend([end(true), end(false)]);
        }
        let outputs: Vec<String> = run(Kind::Outer, windows, &all).into_iter().flatten().map(|(_, value, _)| value).collect();
        let mut wanted: Vec<String> = Vec::new();
        let pairs = |l: &Input, r: &Input| l.left && !r.left && l.key == r.key && (l.time - r.time).abs() <= difference;
        let mut stream_time = -1;
        for (index, one) in all[..real].iter().enumerate() {
            stream_time = stream_time.max(one.time);
            let partners = all[..real].iter().filter(|other| pairs(one, other));
            wanted.extend(partners.map(|other| pair(Some(&one.value), Some(&other.value))));
            let alone_among = |others: &[Input]| !others.iter().any(|other| pairs(one, other) || pairs(other, one));
            // Who comes after his window has ended does not wait for the grace.
            let hurries = one.time + difference < stream_time && alone_among(&all[..index]);
            if hurries || alone_among(&all[..real]) {
                wanted.push(alone(one).1);
            }
        }
        let mut outputs: Vec<String> = outputs.into_iter().filter(|value| !value.contains("end")).collect();
        outputs.sort();
        wanted.sort();
        prop_assert_eq!(outputs, wanted);
    }

    #[test]
    fn a_self_join_on_two_stores_pairs_each_record_with_those_kept(windows in windows(), inputs in inputs()) {
        prop_assert_eq!(run_self_join(false, windows, &inputs), self_joined(windows, &inputs, false));
    }

    #[test]
    fn a_self_join_on_one_store_differs_only_in_who_meets_himself(windows in windows(), inputs in inputs()) {
        prop_assert_eq!(run_self_join(true, windows, &inputs), self_joined(windows, &inputs, true));
    }

    #[test]
    fn a_join_with_a_grace_period_waits_and_takes_the_value_of_the_records_time(
        inputs in inputs(), left in any::<bool>(), grace in 0i64..40,
    ) {
        let mut driver = Driver::new(|b| {
            let kept = Materialized::named("t").versioned(Duration::from_secs(1_000_000));
            let table = b.table_with("right", Consumed::<Text, String>::new(), kept);
            let stream = b.stream::<Text, Text>("left");
            let joined = Joined::new().grace_period(Duration::from_millis(grace as u64));
            match left {
                true => stream.left_join_table_with(&table, |_, x, y| pair(Some(x), y.cloned().map(Some).as_ref()), joined),
                false => stream.join_table_with(&table, |_, x, y| pair(Some(x), Some(&Some(y.clone()))), joined),
            }
            .to("out");
        });
        let mut versions: BTreeMap<String, Versions> = BTreeMap::new();
        let mut held: BTreeMap<(i64, String, usize), Text> = BTreeMap::new();
        let mut observed = -1;
        // A null key stops a left join with a grace period.
        for (index, input) in inputs.into_iter().filter(|input| input.key.is_some()).enumerate() {
            let topic = if input.left { "left" } else { "right" };
            driver.pipe(topic, input.key.clone(), input.value.clone(), input.time);
            let key = input.key.clone().unwrap_or_default();
            let mut wanted = Vec::new();
            if !input.left {
                versions.entry(key).or_default().put(input.time, input.value.clone());
            } else if input.value.is_some() {
                let at_once = observed - grace > input.time;
                if !at_once {
                    held.insert((input.time, key.clone(), index), input.value.clone());
                    observed = observed.max(input.time);
                }
                let due = held.keys().filter(|(time, ..)| *time <= observed - grace).cloned().collect::<Vec<_>>();
                let mut joined: Vec<(i64, String, Text)> = Vec::new();
                if at_once {
                    joined.push((input.time, key, input.value.clone()));
                } else {
                    joined.extend(due.into_iter().map(|of| {
                        let value = held.remove(&of).flatten();
                        (of.0, of.1, value)
                    }));
                }
                for (time, key, value) in joined {
                    let other = versions.get(&key).and_then(|versions| versions.as_of(time));
                    if left || other.is_some() {
                        wanted.push((Some(key), pair(Some(&value), Some(&other)), time));
                    }
                }
            }
            prop_assert_eq!(driver.read::<Text, String>("out"), wanted, "step {}", index);
        }
    }

    #[test]
    fn a_join_with_a_table_takes_the_value_of_the_moment(inputs in inputs(), left in any::<bool>()) {
        let mut driver = Driver::new(|b| {
            let table = b.table::<Text, String>("right");
            let stream = b.stream::<Text, Text>("left");
            match left {
                true => stream.left_join_table(&table, |x, y| pair(Some(x), y.cloned().map(Some).as_ref())),
                false => stream.join_table(&table, |x, y| pair(Some(x), Some(&Some(y.clone())))),
            }
            .to("out");
        });
        let mut table: BTreeMap<String, Text> = BTreeMap::new();
        for input in inputs {
            let topic = if input.left { "left" } else { "right" };
            driver.pipe(topic, input.key.clone(), input.value.clone(), input.time);
            let wanted = match (input.left, &input.key, &input.value) {
                (false, key, value) => {
                    key.iter().for_each(|key| {
                        table.insert(key.clone(), value.clone());
                    });
                    None
                }
                (true, _, None) => None,
                (true, key, Some(_)) => {
                    let other = key.as_ref().and_then(|key| table.get(key).cloned().flatten());
                    let joined = pair(Some(&input.value), Some(&other));
                    (other.is_some() || left).then_some((key.clone(), joined, input.time))
                }
            };
            prop_assert_eq!(driver.read::<Text, String>("out"), wanted.into_iter().collect::<Vec<_>>());
        }
    }
}
