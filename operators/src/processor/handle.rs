//! Handles of stores, and how they are connected to processors.

use std::fmt;
use std::sync::Arc;

use crate::topology::chain::ChainBuilder;

/// A store as processors see it: what a [`StoreBuilder`](super::StoreBuilder) describes, and how it is opened.
pub trait StoreType: Sized + 'static {
    /// How keys and values become bytes.
    type Serdes: Clone + Send + Sync + 'static;

    /// Opens the store of this name for one task.
    fn open(opener: &mut Opener<'_, '_>, name: &str, serdes: &Self::Serdes) -> Self;
}

/// Opens a store for one task.
type Open<S> = Arc<dyn Fn(&mut Opener<'_, '_>, &str) -> S + Send + Sync>;

/// A store of the topology, to be connected to processors: `S` is what they get, e.g.
/// [`KeyValueStore`](super::KeyValueStore). Cheap to clone; one store can be connected to several processors, which then
/// run in one task.
pub struct StoreHandle<S> {
    name: Arc<str>,
    open: Open<S>,
    /// Whether the store belongs to the sub-topology of the processors that use it.
    connected: bool,
}

impl<S> Clone for StoreHandle<S> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), open: self.open.clone(), connected: self.connected }
    }
}

impl<S> fmt::Debug for StoreHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreHandle").field(&self.name).finish()
    }
}

impl<S: StoreType> StoreHandle<S> {
    /// The handle of a store that processors are connected to.
    pub(crate) fn new(name: Arc<str>, serdes: S::Serdes) -> Self {
        Self { name, open: Arc::new(move |opener, name| S::open(opener, name, &serdes)), connected: true }
    }

    /// The handle of a table's store, which the table's own node writes back.
    pub(crate) fn of_table(name: Arc<str>, serdes: S::Serdes) -> Self {
        let open: Open<S> = Arc::new(move |opener, name| S::open(&mut opener.of_table(), name, &serdes));
        Self { name, open, connected: true }
    }

    /// The handle of a store that all processors can use.
    pub(crate) fn global(name: Arc<str>, serdes: S::Serdes) -> Self {
        Self { connected: false, ..Self::new(name, serdes) }
    }
}

impl<S> StoreHandle<S> {
    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Opens stores while a task's operators are built.
pub struct Opener<'a, 'b> {
    pub(super) chain: &'a mut ChainBuilder<'b>,
    /// Whether nobody but the processors writes back what the record cache of a store holds.
    pub(super) alone: bool,
}

impl<'a, 'b> Opener<'a, 'b> {
    pub(crate) fn new(chain: &'a mut ChainBuilder<'b>) -> Self {
        Self { chain, alone: true }
    }

    fn of_table(&mut self) -> Opener<'_, 'b> {
        Opener { chain: self.chain, alone: false }
    }
}

/// Opens several stores for one task.
pub type OpenAll<O> = Box<dyn Fn(&mut Opener<'_, '_>) -> O + Send + Sync>;

/// Handles of the stores that a processor uses: a reference to one, a tuple of up to six, or `()` for none.
pub trait ConnectStores {
    /// What the processor's supplier gets.
    type Opened: 'static;

    /// The names of the stores that the processor is to be connected to.
    fn names(&self) -> Vec<Arc<str>>;

    /// How the stores are opened for one task.
    fn opener(&self) -> OpenAll<Self::Opened>;
}

impl ConnectStores for () {
    type Opened = ();

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn opener(&self) -> OpenAll<()> {
        Box::new(|_| ())
    }
}

impl<S: 'static> ConnectStores for StoreHandle<S> {
    type Opened = S;

    fn names(&self) -> Vec<Arc<str>> {
        self.connected.then(|| self.name.clone()).into_iter().collect()
    }

    fn opener(&self) -> OpenAll<S> {
        let Self { name, open, .. } = self.clone();
        Box::new(move |opener| open(opener, &name))
    }
}

impl<C: ConnectStores> ConnectStores for &C {
    type Opened = C::Opened;

    fn names(&self) -> Vec<Arc<str>> {
        (**self).names()
    }

    fn opener(&self) -> OpenAll<C::Opened> {
        (**self).opener()
    }
}

macro_rules! tuple {
    ($($part:ident $index:tt),+) => {
        impl<$($part: ConnectStores),+> ConnectStores for ($($part,)+) {
            type Opened = ($($part::Opened,)+);

            fn names(&self) -> Vec<Arc<str>> {
                let mut names = Vec::new();
                $(names.extend(self.$index.names());)+
                names
            }

            fn opener(&self) -> OpenAll<Self::Opened> {
                let openers = ($(self.$index.opener(),)+);
                Box::new(move |opener| ($(openers.$index(opener),)+))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
