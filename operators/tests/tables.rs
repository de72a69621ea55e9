//! Tables against naive models: joins, foreign-key joins and groups, with and without a record cache.

mod driver;

use std::collections::BTreeMap;

use driver::Driver;
use millstream_operators::dsl::*;
use proptest::prelude::*;

type Rows = BTreeMap<String, String>;

/// A change of the left table or of the right one, or a commit.
#[derive(Clone, Debug)]
enum Step {
    Left(String, Option<String>),
    Right(String, Option<String>),
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || proptest::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let value = || proptest::option::weighted(0.75, proptest::sample::select(vec!["a", "b", "c", "x"]));
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let step = prop_oneof![
        4 => (key(), value()).prop_map(move |(key, value)| Step::Left(key, owned(value))),
        4 => (key(), value()).prop_map(move |(key, value)| Step::Right(key, owned(value))),
        1 => Just(Step::Commit),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the program writes to `out` in the end, by key; and the two tables.
fn played(cache: usize, steps: &[Step], program: impl FnOnce(&StreamsBuilder)) -> (Rows, Rows, Rows) {
    let mut driver = Driver::cached(cache, program);
    let (mut left, mut right) = (Rows::new(), Rows::new());
    for (time, step) in (0i64..).zip(steps) {
        let (topic, table, key, value) = match step {
            Step::Left(key, value) => ("left", &mut left, key, value),
            Step::Right(key, value) => ("right", &mut right, key, value),
            Step::Commit => {
                driver.settle();
                continue;
            }
        };
        driver.pipe(topic, key.clone(), value.clone(), time);
        match value {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => table.remove(key),
        };
    }
    driver.settle();
    let mut out = Rows::new();
    for (key, value, _) in driver.read::<String, Option<String>>("out") {
        match value {
            Some(value) => out.insert(key, value),
            None => out.remove(&key),
        };
    }
    (out, left, right)
}

fn tables(b: &StreamsBuilder) -> (KTable<String, String>, KTable<String, String>) {
    (b.table("left"), b.table("right"))
}

/// Whether these are the rows of an inner join, or of what is made of one. With a record cache there may be more: where both
/// tables lose a row between two commits, each side sees that the other has nothing any more and says nothing, as in
/// Kafka Streams; the row then stays until both have it again.
fn are_rows(mut out: Rows, rows: &Rows, cached: bool) -> bool {
    out.retain(|key, _| !cached || rows.contains_key(key));
    out == *rows
}

fn show(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "-".to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_inner_join_is_the_rows_that_both_tables_have(steps in steps(), kept: bool, cached: bool) {
        let (out, left, right) = played(usize::from(cached) << 20, &steps, |b| {
            let (left, right) = tables(b);
            let join = |x: &String, y: &String| format!("{x}{y}");
            let joined = if kept { left.join_with(&right, join, Materialized::named("j")) } else { left.join(&right, join) };
            joined.to_stream().to("out");
        });
        let both = left.iter().filter_map(|(key, x)| Some((key.clone(), format!("{x}{}", right.get(key)?))));
        let both = both.collect();
        prop_assert!(are_rows(out.clone(), &both, cached), "{out:?} instead of {both:?}");
    }

    #[test]
    fn a_left_join_is_the_rows_of_the_left_table(steps in steps(), kept: bool, cached: bool) {
        let (out, left, right) = played(usize::from(cached) << 20, &steps, |b| {
            let (left, right) = tables(b);
            let join = |x: &String, y: Option<&String>| format!("{x}{}", show(y));
            let kept = kept.then(|| Materialized::named("j"));
            let joined = match kept {
                Some(kept) => left.left_join_with(&right, join, kept),
                None => left.left_join(&right, join),
            };
            joined.to_stream().to("out");
        });
        let rows = left.iter().map(|(key, x)| (key.clone(), format!("{x}{}", show(right.get(key)))));
        prop_assert_eq!(out, rows.collect::<Rows>());
    }

    #[test]
    fn an_outer_join_of_what_is_computed_is_the_rows_of_either_table(steps in steps(), cached: bool) {
        let (out, left, right) = played(usize::from(cached) << 20, &steps, |b| {
            let (left, right) = tables(b);
            let left = left.filter(|_, v| v != "x");
            let joined = left.outer_join(&right.map_values(|v| v.to_uppercase()), |x, y| show(x) + &show(y));
            joined.to_stream().to("out");
        });
        let mut rows = Rows::new();
        for key in left.keys().chain(right.keys()) {
            let (x, y) = (left.get(key).filter(|x| *x != "x"), right.get(key).map(|y| y.to_uppercase()));
            if x.is_some() || y.is_some() {
                rows.insert(key.clone(), show(x) + &show(y.as_ref()));
            }
        }
        prop_assert_eq!(out, rows);
    }

    #[test]
    fn a_chain_of_joins_looks_through_what_is_not_kept(steps in steps(), cached: bool) {
        let (out, left, right) = played(usize::from(cached) << 20, &steps, |b| {
            let (left, right) = tables(b);
            let once = left.join(&right, |x, y| format!("{x}{y}"));
            // Both sides look into the same stores.
            once.left_join(&left.filter(|_, v| v != "b"), |xy, x| format!("{xy}{}", show(x))).to_stream().to("out");
        });
        let rows = left.iter().filter_map(|(key, x)| {
            let again = Some(x).filter(|x| *x != "b");
            Some((key.clone(), format!("{x}{}{}", right.get(key)?, show(again))))
        });
        let rows = rows.collect();
        prop_assert!(are_rows(out.clone(), &rows, cached), "{out:?} instead of {rows:?}");
    }

    #[test]
    fn a_foreign_key_join_follows_the_key_in_the_row(steps in steps(), left_join: bool, kept: bool, cached: bool) {
        let (out, left, right) = played(usize::from(cached) << 20, &steps, |b| {
            let (left, right) = tables(b);
            let how = || if kept {
                TableJoined::named("fk").materialized(Materialized::named("j"))
            } else {
                TableJoined::new()
            };
            let key = |_: &String, value: &String| (value != "x").then(|| value.clone());
            let joined = if left_join {
                left.left_join_on_with(&right, key, |x, y| format!("{x}{}", show(y)), how())
            } else {
                left.join_on_with(&right, key, |x, y| format!("{x}{y}"), how())
            };
            joined.to_stream().to("out");
        });
        let rows = left.iter().filter_map(|(key, x)| {
            let y = right.get(x).filter(|_| x != "x");
            (left_join || y.is_some()).then(|| (key.clone(), format!("{x}{}", show(y))))
        });
        prop_assert_eq!(out, rows.collect::<Rows>());
    }

    #[test]
    fn a_group_is_what_its_rows_add_up_to(steps in steps(), cached: bool) {
        let (out, left, _) = played(usize::from(cached) << 20, &steps, |b| {
            // Without the second table there is nothing else to read.
            b.table::<String, String>("right").to_stream().to("unused");
            let groups = b.table::<String, String>("left").group_by(|k, v| (v.clone(), i64::from(k.as_bytes()[0])));
            let sums = groups.aggregate(
                || 0i64,
                |_, new, sum| sum + new,
                |_, old, sum| (sum != *old).then_some(sum - old),
                Materialized::named("sums"),
            );
            sums.map_values(|sum| sum.to_string()).to_stream().to("out");
        });
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (key, value) in &left {
            *sums.entry(value.clone()).or_default() += i64::from(key.as_bytes()[0]);
        }
        prop_assert_eq!(out, sums.into_iter().map(|(key, sum)| (key, sum.to_string())).collect::<Rows>());
    }
}

#[test]
fn null_groups_are_in_no_group_and_a_first_value_is_taken_as_it_is() {
    let mut driver = Driver::new(|b| {
        let group = |_: &String, v: &i64| ((*v != 9).then(|| "g".to_owned()), *v);
        let groups = b.table::<String, i64>("in").group_by(group);
        groups.reduce(|sum, new| sum + new, |sum, old| sum - old, Materialized::named("r")).to_stream().to("out");
    });
    for (time, (key, value)) in
        (1..).zip([("a", Some(9i64)), ("a", Some(3)), ("b", Some(4)), ("a", Some(9)), ("b", None)])
    {
        driver.pipe("in", key.to_owned(), value, time);
    }
    let g = |value: i64, time| (Some("g".to_owned()), Some(value), time);
    assert_eq!(driver.read::<Option<String>, Option<i64>>("out"), [g(3, 2), g(7, 3), g(4, 4), g(0, 5)]);
}

#[test]
fn a_stream_as_a_table_is_kept_only_if_somebody_needs_it() {
    let build = |join: bool| {
        let builder = StreamsBuilder::new();
        let table = builder.stream::<String, Option<String>>("left").to_table();
        table.to_stream().to("out");
        if join {
            table.join(&builder.table::<String, String>("right"), |x, y| format!("{x}{y}")).to_stream().to("joined");
        }
        let topology = builder.build().expect("it can run");
        topology.sub_topologies().iter().map(|sub| sub.spec().stores.len()).sum::<usize>()
    };
    assert_eq!((build(false), build(true)), (0, 2));
}

#[test]
fn tables_of_two_builders_do_not_join() {
    let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
    let (left, right) = (one.table::<String, String>("left"), other.table::<String, String>("right"));
    left.join(&right, |x, y| format!("{x}{y}")).to_stream().to("out");
    assert!(one.build().is_err_and(|error| error.to_string().contains("another StreamsBuilder")));
    let one = StreamsBuilder::new();
    let left = one.table::<String, String>("left");
    left.join_on(&right, |_, v| v.clone(), |x, y| format!("{x}{y}")).to_stream().to("out");
    assert!(one.build().is_err_and(|error| error.to_string().contains("another StreamsBuilder")));
}

#[test]
fn a_table_that_keeps_versions_cannot_be_suppressed() {
    let builder = StreamsBuilder::new();
    let kept = Materialized::<String, String>::named("v").versioned(std::time::Duration::from_secs(60));
    let table = builder.table_with("in", Consumed::new(), kept).filter(|_, v| v != "x");
    let _ = table.suppress(Suppressed::until_time_limit(std::time::Duration::from_secs(1), BufferConfig::unbounded()));
    assert!(builder.build().is_err_and(|error| error.to_string().contains("keeps versions")));
}
