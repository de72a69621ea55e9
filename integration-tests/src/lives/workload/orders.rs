//! A table of orders, each with the row of a table of customers that it names: a join by foreign key.

use std::collections::{BTreeMap, BTreeSet};

use millstream::operators::dsl::{Consumed, Materialized, StreamsBuilder, TableJoined};
use millstream::operators::topology::Topology;

use crate::support::built;

use super::{Dice, Expected, Fuse, Input, TOMBSTONE, Workload, time};

/// `orders` (order → customer, number), `customers` → left join of each order with its customer → `named-orders`.
///
/// What comes out in between depends on which side is ahead; what comes out last for an order does not, since every change of
/// either side ends in an answer made of the last of both. Every order has another value, so that an answer to one
/// that was replaced is known by its hash. In between, only what could be there at some time may come out.
pub(super) struct Orders;

const CUSTOMERS: u64 = 4;
const ORDERS: u64 = 6;

fn customer_of(order: &str) -> Option<String> {
    order.split_once(':').map(|(customer, _)| customer.to_owned())
}

fn joined(order: &str, customer: Option<&String>) -> String {
    format!("{order} of {}", customer.map_or("nobody", String::as_str))
}

/// A subscription's key: the length of the foreign key, the foreign key, the key.
fn subscription(order: &str, customer: &str) -> Vec<u8> {
    [&(customer.len() as u32).to_be_bytes(), customer.as_bytes(), order.as_bytes()].concat()
}

impl Workload for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["orders", "customers"]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["named-orders"]
    }

    fn topology(&self, fuse: &Fuse) -> Topology {
        let fuse = fuse.clone();
        let builder = StreamsBuilder::new();
        let table = |name: &'static str| {
            let rows = Materialized::<String, String>::named(name);
            builder.table_with(name, Consumed::<String, String>::new(), rows)
        };
        let (orders, customers) = (table("orders"), table("customers"));
        let extract = |_: &String, order: &String| customer_of(order);
        let join = move |order: &String, customer: Option<&String>| {
            fuse.burn();
            joined(order, customer)
        };
        let how = TableJoined::named("named").materialized(Materialized::named("named-orders"));
        orders.left_join_on_with(&customers, extract, join, how).to_stream().to("named-orders");
        built(&builder)
    }

    fn input(&self, dice: &mut Dice, index: u64) -> Input {
        let is_order = dice.chance(600);
        let gone = dice.chance(150);
        let (topic, key, value) = match is_order {
            true => ("orders", format!("o{}", dice.below(ORDERS)), format!("c{}:{index}", dice.below(CUSTOMERS))),
            false => ("customers", format!("c{}", dice.below(CUSTOMERS)), format!("n{index}")),
        };
        let value = if gone { TOMBSTONE.to_owned() } else { value };
        Input { topic, key, value, timestamp: time(index) }
    }

    fn expected(&self, inputs: &[Input], _: i32) -> Expected {
        let mut expected = Expected::default();
        let mut tables = BTreeMap::<&str, BTreeMap<String, String>>::new();
        let mut ever = BTreeMap::<&str, BTreeSet<(String, String)>>::new();
        for input in inputs {
            let table = tables.entry(input.topic).or_default();
            if input.value == TOMBSTONE {
                table.remove(&input.key);
            } else {
                table.insert(input.key.clone(), input.value.clone());
                ever.entry(input.topic).or_default().insert((input.key.clone(), input.value.clone()));
            }
        }
        let all = |name: &str| tables.get(name).cloned().unwrap_or_default();
        let (orders, customers) = (all("orders"), all("customers"));
        let bytes = |table: &BTreeMap<String, String>| {
            table.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes())).collect()
        };
        expected.stores.insert("orders", bytes(&orders));
        expected.stores.insert("customers", bytes(&customers));

        // Every result that an order can have had, and then the one that it must have in the end.
        let steps = expected.outputs.entry("named-orders").or_default();
        for (order, value) in ever.get("orders").into_iter().flatten() {
            let customer = customer_of(value);
            let rows = ever.get("customers").into_iter().flatten().filter(|(key, _)| Some(key) == customer.as_ref());
            let may_be = rows.map(|(_, row)| Some(row)).chain([None]).map(|row| joined(value, row).into_bytes());
            steps.entry(order.clone().into_bytes()).or_default().extend(may_be.map(Some).chain([None]));
        }
        for (order, steps) in steps {
            let order = String::from_utf8_lossy(order).into_owned();
            let value = orders.get(&order);
            let customer = value.and_then(|value| customer_of(value));
            let last =
                value.map(|value| joined(value, customer.as_ref().and_then(|key| customers.get(key))).into_bytes());
            steps.push(last.clone());
            let Some((last, customer)) = last.zip(customer) else { continue };
            let key = subscription(&order, &customer);
            expected.stores.entry("named-subscription-store").or_default().insert(key, Vec::new());
            expected.stores.entry("named-orders").or_default().insert(order.into_bytes(), last);
        }
        // Orders that were only ever deleted may be deleted once more.
        for input in inputs.iter().filter(|input| input.topic == "orders") {
            expected
                .outputs
                .entry("named-orders")
                .or_default()
                .entry(input.key.clone().into_bytes())
                .or_insert(vec![None]);
        }
        expected
    }

    /// Of a subscription, who subscribes to what; its hash is the operator's own affair.
    fn seen(&self, store: &str, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let value = if store == "named-subscription-store" { &[] } else { value };
        (key.to_vec(), value.to_vec())
    }

    fn steps_are_right(&self, found: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>], _: bool) -> bool {
        found.iter().all(|step| wanted.contains(step))
    }

    /// Without transactions a row can be in the changelog when what follows from it was lost: processed again, the row
    /// before it is not known any more, and a delete finds nothing to delete, as in Kafka Streams. A subscription that
    /// has ended or the result of a deleted order can then stay.
    fn will_do(&self, found: Option<&[u8]>, wanted: Option<&[u8]>) -> bool {
        found == wanted || wanted.is_none()
    }
}
