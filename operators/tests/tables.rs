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

/// A record cache of any kind: none, one that is too small for the rows, one that holds all of them until a commit.
fn caches() -> impl Strategy<Value = usize> {
    proptest::sample::select(vec![0, 500, 1 << 20])
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn show(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "-".to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_inner_join_is_the_rows_that_both_tables_have(steps in steps(), kept: bool, cache in caches()) {
        let (out, left, right) = played(cache, &steps, |b| {
            let (left, right) = tables(b);
            let join = |x: &String, y: &String| format!("{x}{y}");
            let joined = if kept { left.join_with(&right, join, Materialized::named("j")) } else { left.join(&right, join) };
            joined.to_stream().to("out");
        });
        let both = left.iter().filter_map(|(key, x)| Some((key.clone(), format!("{x}{}", right.get(key)?))));
        prop_assert_eq!(out, both.collect::<Rows>());
    }

    #[test]
    fn a_left_join_is_the_rows_of_the_left_table(steps in steps(), kept: bool, cache in caches()) {
        let (out, left, right) = played(cache, &steps, |b| {
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
    fn an_outer_join_of_what_is_computed_is_the_rows_of_either_table(steps in steps(), cache in caches()) {
        let (out, left, right) = played(cache, &steps, |b| {
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
    fn a_chain_of_joins_looks_through_what_is_not_kept(steps in steps(), cache in caches()) {
        let (out, left, right) = played(cache, &steps, |b| {
            let (left, right) = tables(b);
            let once = left.join(&right, |x, y| format!("{x}{y}"));
            // Both sides look into the same stores.
            once.left_join(&left.filter(|_, v| v != "b"), |xy, x| format!("{xy}{}", show(x))).to_stream().to("out");
        });
        let rows = left.iter().filter_map(|(key, x)| {
            let again = Some(x).filter(|x| *x != "b");
            Some((key.clone(), format!("{x}{}{}", right.get(key)?, show(again))))
        });
        prop_assert_eq!(out, rows.collect::<Rows>());
    }

    #[test]
    fn a_foreign_key_join_follows_the_key_in_the_row(
        steps in steps(),
        left_join: bool,
        kept: bool,
        cached: [bool; 2],
        cache in caches(),
    ) {
        let (out, left, right) = played(cache, &steps, |b| {
            // A table without a cache asks at once, and is answered while the other one holds its rows back.
            let table = |name: &str, cached| {
                b.table_with(name, Consumed::<String, String>::new(), Materialized::named(name).caching(cached))
            };
            let (left, right) = (table("left", cached[0]), table("right", cached[1]));
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
    fn a_group_of_joined_rows_counts_each_row_once(steps in steps(), inner: bool, cache in caches()) {
        let (out, left, right) = played(cache, &steps, |b| {
            let (left, right) = tables(b);
            let joined = match inner {
                true => left.join(&right, |_, y| y.clone()),
                false => left.outer_join(&right, |_, y| show(y)),
            };
            let counts = joined.group_by(|k, v| (v.clone(), k.clone())).count(Materialized::named("counts"));
            counts.filter(|_, count| *count != 0).map_values(|count| count.to_string()).to_stream().to("out");
        });
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for key in ["a", "b", "c"] {
            let (x, y) = (left.get(key), right.get(key));
            if if inner { x.is_some() && y.is_some() } else { x.is_some() || y.is_some() } {
                *counts.entry(show(y)).or_default() += 1;
            }
        }
        prop_assert_eq!(out, counts.into_iter().map(|(value, count)| (value, count.to_string())).collect::<Rows>());
    }

    #[test]
    fn a_group_is_what_its_rows_add_up_to(steps in steps(), cache in caches()) {
        let (out, left, _) = played(cache, &steps, |b| {
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

/// A simulated life ended with the row of a customer who had been deleted: the customer came and went between two
/// commits, and an order asked in between. The answer was the row that the record cache held back; the delete was then
/// told to nobody, since below the cache there had never been a row. Kafka Streams 4.3.1 does the same.
#[test]
fn a_row_that_comes_and_goes_between_two_commits_is_in_no_result() {
    let mut driver = Driver::cached(1 << 20, |b| {
        let rows = Materialized::<String, String>::named("orders").caching(false);
        let orders = b.table_with("orders", Consumed::<String, String>::new(), rows);
        let customers = b.table::<String, String>("customers");
        let key = |_: &String, order: &String| Some(order.clone());
        orders.left_join_on(&customers, key, |order, row| format!("{order}{}", show(row))).to_stream().to("out");
    });
    driver.pipe("customers", text("c"), Some(text("1")), 0);
    driver.pipe("orders", text("o"), Some(text("c")), 1);
    driver.pipe("customers", text("c"), None::<String>, 2);
    driver.settle();
    assert_eq!(driver.read::<String, Option<String>>("out"), [(text("o"), Some(text("c-")), 1)]);
    // A row that stays is told of at the commit, and so is its end.
    driver.pipe("customers", text("c"), Some(text("2")), 3);
    driver.settle();
    driver.pipe("customers", text("c"), None::<String>, 4);
    driver.settle();
    let row = |row: &str, time| (text("o"), Some(text(row)), time);
    assert_eq!(driver.read::<String, Option<String>>("out"), [row("c2", 3), row("c-", 4)]);
}

/// Both tables lose a row between two commits. Each side used to see that the other had nothing any more and to say
/// nothing, so that the result stayed, as it does in Kafka Streams 4.3.1.
#[test]
fn a_result_ends_when_both_tables_lose_its_row_between_two_commits() {
    let mut driver = Driver::cached(1 << 20, |b| {
        let (left, right) = tables(b);
        left.join(&right, |x, y| format!("{x}{y}")).to_stream().to("out");
    });
    let mut both = |value: Option<&str>, time| {
        for topic in ["left", "right"] {
            driver.pipe(topic, text("k"), value.map(text), time);
        }
        driver.settle();
        driver.read::<String, Option<String>>("out")
    };
    assert_eq!(both(Some("a"), 0), [(text("k"), Some(text("aa")), 0)]);
    assert_eq!(both(None, 1), [(text("k"), None, 1)]);
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
