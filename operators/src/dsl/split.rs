//! `split`: one stream into several by predicates.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::stream::KStream;
use crate::error::BuildError;
use crate::ops::branch::{Branch, Wants};
use crate::ops::pass::Pass;
use crate::push::{Children, Next};
use crate::topology::graph::{Kind, NodeId};
use crate::topology::names::{self, Given};
use crate::topology::port::Port;

type Consumer<K, V> = Box<dyn FnOnce(KStream<K, V>)>;
type Function<K, V> = Box<dyn FnOnce(KStream<K, V>) -> KStream<K, V>>;

enum Then<K, V> {
    Keep,
    Consume(Consumer<K, V>),
    Transform(Function<K, V>),
}

/// What a branch is called and what becomes of it (Kafka Streams' `Branched`).
pub struct Branched<K, V> {
    name: Given,
    then: Then<K, V>,
}

impl<K, V> Default for Branched<K, V> {
    fn default() -> Self {
        Self { name: None, then: Then::Keep }
    }
}

impl<K, V> Branched<K, V> {
    /// A branch found in [`Branches`] under the splitter's name and this one.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self::default().name(name)
    }

    /// A branch that is handed to `consumer` and does not appear in [`Branches`].
    pub fn with_consumer(consumer: impl FnOnce(KStream<K, V>) + 'static) -> Self {
        Self { name: None, then: Then::Consume(Box::new(consumer)) }
    }

    /// A branch that appears in [`Branches`] as what `function` makes of it.
    pub fn with_function(function: impl FnOnce(KStream<K, V>) -> KStream<K, V> + 'static) -> Self {
        Self { name: None, then: Then::Transform(Box::new(function)) }
    }

    /// Sets the name; without one it is the branch's number, counted from 1, and 0 for the default branch.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

struct Arm<K, V> {
    wants: Wants<K, V>,
    port: Port<Next<K, V>>,
}

/// A stream being split (Kafka Streams' `BranchedKStream`). End it with [`Split::default_branch`] or
/// [`Split::no_default_branch`]; without that no record comes through.
#[must_use = "a split that is not ended hands nothing down"]
pub struct Split<K, V> {
    stream: KStream<K, V>,
    node: NodeId,
    name: Arc<str>,
    arms: Vec<Arm<K, V>>,
    branches: Branches<K, V>,
}

impl<K: 'static, V: 'static> KStream<K, V> {
    /// Splits the stream: each record goes to the first branch that wants it, to the default branch if none does, or
    /// nowhere (Kafka Streams: `split`). `stream.named("prefix-").split()` prefixes the names of the branches.
    ///
    /// ```
    /// # use millstream_operators::dsl::{Branched, StreamsBuilder};
    /// # let builder = StreamsBuilder::new();
    /// let branches = builder
    ///     .stream::<String, i64>("in")
    ///     .named("by-size-")
    ///     .split()
    ///     .branch_with(|_, n| *n > 100, Branched::named("large"))
    ///     .default_branch_with(Branched::named("small"));
    /// branches.get("by-size-large").to("large");
    /// branches.get("by-size-small").map_values(|n| n * 2).to("small");
    /// # builder.build()?;
    /// # Ok::<(), millstream_operators::error::BuildError>(())
    /// ```
    pub fn split(&self) -> Split<K, V> {
        let mut graph = self.graph.lock();
        let node = graph.add_processor(&self.next_name, names::BRANCH, &[self.node]);
        let name = graph.name(node);
        drop(graph);
        let branches = Branches { name: name.clone(), streams: BTreeMap::new(), origin: self.clone() };
        Split { stream: self.clone(), node, name, arms: Vec::new(), branches }
    }
}

impl<K: 'static, V: 'static> Split<K, V> {
    /// A branch for the records that the predicate wants and no earlier branch did.
    pub fn branch(self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.branch_with(predicate, Branched::default())
    }

    /// As [`Split::branch`], with a name, or with what becomes of it.
    pub fn branch_with(
        mut self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        branched: Branched<K, V>,
    ) -> Self {
        let number = self.arms.len() + 1;
        self.add(Arc::new(predicate), number, branched);
        self
    }

    /// Ends the split with a branch for the records that no other branch wanted.
    pub fn default_branch(self) -> Branches<K, V> {
        self.default_branch_with(Branched::default())
    }

    /// As [`Split::default_branch`], with a name, or with what becomes of it.
    pub fn default_branch_with(mut self, branched: Branched<K, V>) -> Branches<K, V> {
        self.add(Arc::new(|_, _| true), 0, branched);
        self.no_default_branch()
    }

    /// Ends the split; records that no branch wanted are dropped.
    pub fn no_default_branch(self) -> Branches<K, V> {
        let arms = self.arms;
        self.stream.below(self.node, move |chain| {
            Branch::new(
                arms.iter()
                    .map(|arm| {
                        let down = Children::new(arm.port.build(chain));
                        let node = Rc::new(RefCell::new(Pass::new(down)));
                        (arm.wants.clone(), node as Next<K, V>)
                    })
                    .collect(),
            )
        });
        self.branches
    }

    fn add(&mut self, wants: Wants<K, V>, number: usize, branched: Branched<K, V>) {
        let mut graph = self.stream.graph.lock();
        let name: Arc<str> = match &branched.name {
            Some(name) => format!("{}{name}", self.name).into(),
            None => format!("{}{number}", self.name).into(),
        };
        graph.names.burn();
        let node = graph.add(Kind::Processor { name: name.clone(), stores: Vec::new() }, &[self.node]);
        drop(graph);
        let port: Port<Next<K, V>> = Port::default();
        self.arms.push(Arm { wants, port: port.clone() });
        let stream = KStream { node, port, next_name: None, ..self.stream.clone() };
        match branched.then {
            Then::Keep => self.branches.add(name, stream),
            Then::Consume(consumer) => consumer(stream),
            Then::Transform(function) => self.branches.add(name, function(stream)),
        }
    }
}

/// The streams that a split has made, by name: the splitter's name followed by the branch's name or number.
pub struct Branches<K, V> {
    name: Arc<str>,
    streams: BTreeMap<Arc<str>, KStream<K, V>>,
    origin: KStream<K, V>,
}

impl<K: 'static, V: 'static> Branches<K, V> {
    fn add(&mut self, name: Arc<str>, stream: KStream<K, V>) {
        self.streams.insert(name, stream);
    }

    /// The branch of this name. If there is none, the build fails and says which there are.
    pub fn get(&self, name: &str) -> KStream<K, V> {
        if let Some(stream) = self.streams.get(name) {
            return stream.clone();
        }
        let known = self.names().collect::<Vec<_>>().join(", ");
        let reason = format!("is none of its branches ({known})");
        let (node, missing) = (self.name.to_string(), name.to_owned());
        self.origin.graph.lock().fail(BuildError::BadReference { node, missing, reason });
        self.origin.clone()
    }

    /// The names of the branches, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.streams.keys().map(|name| &**name)
    }

    /// The branches with their names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &KStream<K, V>)> {
        self.streams.iter().map(|(name, stream)| (&**name, stream))
    }
}
