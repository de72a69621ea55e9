//! Joins of tables with the same key.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::serdes::{DefaultSerde, SerdeRef};
use millstream_state::store::{StoreKind, StoreSpec};

use super::builder::check_same_builder;
use super::materialize::Materialized;
use super::old_values::OldValues;
use super::serdes::{Serdes, required};
use super::table::KTable;
use super::view::View;
use crate::ops::lookup::Sees;
use crate::ops::table_join::{Needs, SideShows, TableJoinSide, TableMerge};
use crate::push::{NextApply, TableChildren};
use crate::topology::graph::{Graph, JoinSide, Kind, NodeId, TableJoin};
use crate::topology::names;
use crate::topology::port::{Factory, Port};

/// Which rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// Those that both tables have.
    Both,
    /// Those that the left table has.
    Left,
    /// Those that one of the tables has.
    Any,
}

/// The node below both sides.
type Merge<K, U> = Rc<RefCell<TableMerge<K, U>>>;

/// A store and its serdes.
type Kept<K, U> = (Arc<str>, SerdeRef<K>, SerdeRef<U>);

/// Where and how a result is kept.
struct KeptAs<K, U> {
    store: Option<Kept<K, U>>,
    spec: Option<StoreSpec>,
}

macro_rules! joins {
    ($(
        $(#[$doc:meta])*
        $join:ident, $filter:ident, $join_with:ident, $filter_with:ident, $rows:expr, ($($arg:ty),*), |$x:ident, $y:ident| $call:expr;
    )*) => {
        impl<K: 'static, V: Clone + 'static> KTable<K, V> {
            $(
                $(#[$doc])*
                pub fn $join<W: 'static, U: 'static>(
                    &self,
                    other: &KTable<K, W>,
                    joiner: impl Fn($($arg),*) -> U + Send + Sync + 'static,
                ) -> KTable<K, U> {
                    self.$filter(other, move |x, y| Some(joiner(x, y)))
                }

                #[doc = concat!(
                    "As [`KTable::", stringify!($join), "`], with a joiner that may answer `None`: then there is no row \
                     (Kafka Streams: a joiner that gives null)."
                )]
                pub fn $filter<W: 'static, U: 'static>(
                    &self,
                    other: &KTable<K, W>,
                    joiner: impl Fn($($arg),*) -> Option<U> + Send + Sync + 'static,
                ) -> KTable<K, U> {
                    self.join_as($rows, other, move |$x, $y| $call(&joiner), None)
                }

                #[doc = concat!(
                    "As [`KTable::", stringify!($join), "`], and the result is kept in a store (Kafka Streams: the join \
                     with `Materialized`)."
                )]
                pub fn $join_with<W: 'static, U: DefaultSerde>(
                    &self,
                    other: &KTable<K, W>,
                    joiner: impl Fn($($arg),*) -> U + Send + Sync + 'static,
                    materialized: Materialized<K, U>,
                ) -> KTable<K, U> {
                    self.$filter_with(other, move |x, y| Some(joiner(x, y)), materialized)
                }

                #[doc = concat!(
                    "As [`KTable::", stringify!($filter), "`], and the result is kept in a store."
                )]
                pub fn $filter_with<W: 'static, U: DefaultSerde>(
                    &self,
                    other: &KTable<K, W>,
                    joiner: impl Fn($($arg),*) -> Option<U> + Send + Sync + 'static,
                    materialized: Materialized<K, U>,
                ) -> KTable<K, U> {
                    self.join_as($rows, other, move |$x, $y| $call(&joiner), Some((materialized, U::serde())))
                }
            )*
        }
    };
}

joins! {
    /// The rows that both tables have (Kafka Streams: `KTable.join`). A change of either table changes the row. Tables
    /// that are read from a topic and not kept yet are kept in a store from now on, because the other one looks into
    /// them. Both topics must have equally many partitions.
    ///
    /// With a record cache, each table is joined with the rows of the other one that have been handed on; what is held back
    /// joins when it is. So the result is exact, also where rows come and go between two commits.
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// let stock = builder.table::<String, i64>("stock");
    /// prices.join(&stock, |price, count| price * count).to_stream().to("worth");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    /// ```compile_fail
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// // The keys are of different types; a join by another key takes an extractor.
    /// let prices = builder.table::<String, i64>("prices");
    /// prices.join(&builder.table::<i64, i64>("stock"), |price, count| price * count);
    /// ```
    join, filter_join, join_with, filter_join_with, Rows::Both, (&V, &W), |x, y| |joiner: &_| match (x, y) {
        (Some(x), Some(y)) => call(joiner, x, y),
        _ => None,
    };

    /// The rows that this table has, with the other table's value where it has one (Kafka Streams: `KTable.leftJoin`);
    /// see [`KTable::join`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices");
    /// let stock = builder.table::<String, i64>("stock");
    /// prices.left_join(&stock, |price, count| price * count.copied().unwrap_or(0)).to_stream().to("worth");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    left_join, filter_left_join, left_join_with, filter_left_join_with, Rows::Left, (&V, Option<&W>),
        |x, y| |joiner: &_| x.and_then(|x| call(joiner, x, y));

    /// The rows that at least one of the tables has (Kafka Streams: `KTable.outerJoin`); see [`KTable::join`].
    ///
    /// ```
    /// # use millstream_operators::dsl::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// let (new, old) = (builder.table::<String, i64>("new"), builder.table::<String, i64>("old"));
    /// new.outer_join(&old, |new, old| format!("{old:?} -> {new:?}")).to_stream().to("changes");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    outer_join, filter_outer_join, outer_join_with, filter_outer_join_with, Rows::Any, (Option<&V>, Option<&W>),
        |x, y| |joiner: &_| call(joiner, x, y);
}

/// Lets the compiler find a joiner's argument types.
fn call<X, Y, U>(joiner: &impl Fn(X, Y) -> Option<U>, x: X, y: Y) -> Option<U> {
    joiner(x, y)
}

/// A join's node and what its sides need to build theirs.
struct Sides<K, U, F> {
    node: NodeId,
    rows: Rows,
    /// The names of the sides' nodes.
    this: Arc<str>,
    other: Arc<str>,
    joiner: Arc<F>,
    old: OldValues,
    /// Builds the node below both sides, once per chain.
    merge: Factory<Merge<K, U>>,
}

impl<K: 'static, V: Clone + 'static> KTable<K, V> {
    fn join_as<W: 'static, U: 'static>(
        &self,
        rows: Rows,
        other: &KTable<K, W>,
        joiner: impl Fn(Option<&V>, Option<&W>) -> Option<U> + Send + Sync + 'static,
        materialized: Option<(Materialized<K, U>, SerdeRef<U>)>,
    ) -> KTable<K, U> {
        let mut graph = self.graph.lock();
        let store = materialized.as_ref().map(|(kept, _)| kept.store_name(&mut graph.names, names::TABLE_MERGE));
        let merge = graph.names.node(&self.next_name, names::TABLE_MERGE);
        let same = self.graph.same(&other.graph);
        check_same_builder(&mut graph, same, &merge);
        if rows != Rows::Both {
            self.old.demand();
        }
        if rows == Rows::Any {
            other.old.demand();
        }
        let this = graph.names.suffixed(&self.next_name, "-join-this", names::TABLE_JOIN_THIS);
        let that = graph.names.suffixed(&self.next_name, "-join-other", names::TABLE_JOIN_OTHER);
        let (kept, serdes) = self.kept_as(&mut graph, &merge, materialized, store);
        let join = TableJoin {
            this: JoinSide { name: this.clone(), reads: other.view.require(&mut graph) },
            other: JoinSide { name: that.clone(), reads: self.view.require(&mut graph) },
            merge: merge.clone(),
            store: kept.spec.clone(),
        };
        let parents = if same { [self.node, other.node] } else { [self.node; 2] };
        let node = graph.add(Kind::TableJoin(join), &parents);
        drop(graph);

        let (port, old): (Port<NextApply<K, U>>, _) = (Port::default(), OldValues::joined(&self.old, &other.old));
        let joiner = Arc::new(joiner);
        let view = match &kept.store {
            Some((store, key, value)) => View::stored(store.clone(), (key.clone(), value.clone()), None),
            None => View::joined(&self.view, &other.view, needs(rows), joiner.clone()),
        };
        let versioned = kept.spec.is_some_and(|spec| matches!(spec.kind, StoreKind::VersionedKeyValue(_)));
        let merge = merge_node((node, merge), kept.store, old.clone(), port.clone());
        self.add_sides(other, Sides { node, rows, this, other: that, joiner, old: old.clone(), merge });
        KTable::new(self.graph.clone(), node, port, serdes, old).seen_by(view).with_versions(versioned)
    }

    /// How the result is kept, and its serdes.
    fn kept_as<U: 'static>(
        &self,
        graph: &mut Graph,
        node: &str,
        materialized: Option<(Materialized<K, U>, SerdeRef<U>)>,
        store: Option<Arc<str>>,
    ) -> (KeptAs<K, U>, Serdes<K, U>) {
        let (Some((materialized, own)), Some(store)) = (materialized, store) else {
            return (KeptAs { store: None, spec: None }, Serdes::new(self.serdes.key.clone(), None));
        };
        let key = materialized.serdes.key.clone().or_else(|| self.serdes.key.clone());
        let key = required(key, graph, node, "key");
        let value = materialized.serdes.value.clone().unwrap_or(own);
        let spec = Some(materialized.key_value(store.clone(), &graph.settings));
        let serdes = Serdes::new(Some(key.clone()), Some(value.clone()));
        (KeptAs { store: Some((store, key, value)), spec }, serdes)
    }

    fn add_sides<W, U, F>(&self, other: &KTable<K, W>, sides: Sides<K, U, F>)
    where
        W: 'static,
        U: 'static,
        F: Fn(Option<&V>, Option<&W>) -> Option<U> + Send + Sync + 'static,
    {
        let Sides { node, rows, this, other: that, joiner, old, merge } = sides;
        let (needs, versions, looks) = (needs(rows), self.versioned, other.view.clone());
        let (asked, into, join) = (old.clone(), merge.clone(), joiner.clone());
        self.port.add(
            node,
            Arc::new(move |chain| {
                let shows = SideShows { needs, old: asked.asked(), versions };
                let (merge, looks, join) = (into(chain), looks.lookup(chain, &this, Sees::HandedOn), join.clone());
                let side = TableJoinSide::new(looks, move |x: Option<&V>, y: Option<&W>| join(x, y), shows, merge);
                Rc::new(RefCell::new(side)) as NextApply<K, V>
            }),
        );
        let needs = Needs { own: needs.other, other: needs.own };
        let (versions, looks) = (other.versioned, self.view.clone());
        other.port.add(
            node,
            Arc::new(move |chain| {
                let shows = SideShows { needs, old: old.asked(), versions };
                let (into, looks, join) = (merge(chain), looks.lookup(chain, &that, Sees::HandedOn), joiner.clone());
                let side = TableJoinSide::new(looks, move |y: Option<&W>, x: Option<&V>| join(x, y), shows, into);
                Rc::new(RefCell::new(side)) as NextApply<K, W>
            }),
        );
    }
}

/// Builds the node below both sides.
fn merge_node<K: 'static, U: 'static>(
    (node, name): (NodeId, Arc<str>),
    kept: Option<Kept<K, U>>,
    old: OldValues,
    below: Port<NextApply<K, U>>,
) -> Factory<Merge<K, U>> {
    Arc::new(move |chain| {
        chain.once(node, |chain| {
            let down = TableChildren::new(below.build(chain));
            let store = kept.as_ref().map(|(store, key, value)| chain.key_value(store, key, value));
            let built = Rc::new(RefCell::new(TableMerge::new(name.clone(), store, old.asked(), down)));
            if let Some((store, ..)) = &kept {
                let (id, _) = chain.store(store);
                chain.stateful(id, built.clone());
            }
            built
        })
    })
}

/// What the left side needs.
fn needs(rows: Rows) -> Needs {
    Needs { own: rows != Rows::Any, other: rows == Rows::Both }
}
