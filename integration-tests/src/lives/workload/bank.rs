//! Transfers between the accounts of a bank: the sum is constant, and no account is ever overdrawn.

use millstream::operators::dsl::{Materialized, StreamsBuilder};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, Workload, time};

/// `transfers` (bank → from, to, amount) → the balances of each bank → `balances`.
pub(super) struct Bank;

const BANKS: u64 = 5;
const ACCOUNTS: usize = 4;
const AT_FIRST: i64 = 100;

fn parse(balances: &str) -> Vec<i64> {
    balances.split(',').filter_map(|balance| balance.parse().ok()).collect()
}

fn format(balances: &[i64]) -> String {
    balances.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn open() -> String {
    format(&[AT_FIRST; ACCOUNTS])
}

/// Carries a transfer out, unless the account has not enough.
fn transfer(balances: &str, order: &str) -> String {
    let (mut balances, order) = (parse(balances), parse(order));
    let [from, to, amount] = order[..] else { return format(&balances) };
    if balances[from as usize] >= amount {
        balances[from as usize] -= amount;
        balances[to as usize] += amount;
    }
    format(&balances)
}

impl Workload for Bank {
    fn name(&self) -> &'static str {
        "bank"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["transfers"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["balances"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let transfers = builder.stream::<String, String>("transfers").peek(move |_, _| fuse.burn());
        let apply = |_: &String, order: &String, balances: String| transfer(&balances, order);
        let balances = transfers.group_by_key().aggregate(open, apply, Materialized::named("bank"));
        balances.to_stream().to("balances");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let from = dice.below(ACCOUNTS as u64);
        let to = (from + dice.between(1, ACCOUNTS as u64 - 1)) % ACCOUNTS as u64;
        let value = format!("{from},{to},{}", dice.between(1, 90));
        Input { topic: "transfers", key: format!("bank{}", dice.below(BANKS)), value, timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        for input in inputs {
            let table = expected.stores.entry("bank").or_default();
            let key = input.key.clone().into_bytes();
            let before = table.get(&key).map_or_else(open, |bytes| String::from_utf8_lossy(bytes).into_owned());
            let after = transfer(&before, &input.value).into_bytes();
            table.insert(key.clone(), after.clone());
            expected.outputs.entry("balances").or_default().entry(key).or_default().push(Some(after));
        }
        expected
    }

    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        let Some(found) = found else { return wanted.is_none() };
        let balances = parse(&String::from_utf8_lossy(found));
        let sum: i64 = balances.iter().sum();
        wanted.is_some() && sum == AT_FIRST * ACCOUNTS as i64 && balances.iter().all(|balance| *balance >= 0)
    }
}
