//! Reading a table from the side: what joins look values up in.
//!
//! ```text
//!  table with a store:     look → its store, through the record cache
//!  filter, map_values:     look → look in the table above → the function
//! ```
//! A value is handed to a closure instead of being returned: a store's value is borrowed from its cache, a computed one
//! lives only as long as the call.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::model::{Timestamp, Windowed};
use millstream_state::store::{KeyValue, SessionStore, Stamped, WindowStore};

use super::stored;
use crate::context::Context;
use crate::error::ProcessError;

/// Sees the value of a key, or that there is none.
pub(crate) type Seen<'a, V> = &'a mut dyn FnMut(Option<Stamped<&V>>);

/// Which value of a table a look shows while its record cache holds an update back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The newest one: what a stream is joined with.
    Newest,
    /// The one that those below the table have been told of: what another table is joined with. Each change of either side
    /// then meets what the join knows of the other one, so that a result is replaced exactly once by what follows from the
    /// next change. Joined with a row that is held back, a result would stay if that row is deleted before anybody
    /// is told of it.
    HandedOn,
}

/// A table seen from the side (Kafka Streams' `KTableValueGetter`).
pub(crate) trait Lookup<K, V> {
    /// Shows the value of a key to `seen`, once. A table that keeps versions gives the one that was valid at `as_of`,
    /// others give the one they have.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, V>) -> Result<(), ProcessError>;
}

/// A table that is kept in a key-value store.
pub(crate) struct StoreLookup<K, V> {
    node: Arc<str>,
    store: Rc<RefCell<KeyValue<K, V>>>,
    sees: Sees,
}

impl<K, V> StoreLookup<K, V> {
    /// Looks into `store`; `node` is who is at fault if that fails.
    pub(crate) fn new(node: Arc<str>, store: Rc<RefCell<KeyValue<K, V>>>, sees: Sees) -> Self {
        Self { node, store, sees }
    }
}

impl<K, V> Lookup<K, V> for StoreLookup<K, V> {
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, V>) -> Result<(), ProcessError> {
        let mut store = self.store.borrow_mut();
        let found = match self.sees {
            Sees::Newest => store.read_as_of(cx, key, as_of),
            Sees::HandedOn => store.read_handed_on(cx, key),
        };
        seen(found.map_err(stored::failed(&self.node))?);
        Ok(())
    }
}

/// A table of windows that is kept in a window store.
pub(crate) struct WindowLookup<K, V> {
    node: Arc<str>,
    store: Rc<RefCell<WindowStore<K, V>>>,
    sees: Sees,
}

impl<K, V> WindowLookup<K, V> {
    /// Looks into `store`; `node` is who is at fault if that fails.
    pub(crate) fn new(node: Arc<str>, store: Rc<RefCell<WindowStore<K, V>>>, sees: Sees) -> Self {
        Self { node, store, sees }
    }
}

impl<K, V> Lookup<Windowed<K>, V> for WindowLookup<K, V> {
    fn look(
        &mut self,
        cx: &mut Context,
        key: &Windowed<K>,
        _as_of: Timestamp,
        seen: Seen<'_, V>,
    ) -> Result<(), ProcessError> {
        let mut store = self.store.borrow_mut();
        let found = match self.sees {
            Sees::Newest => store.read(cx, &key.key, key.window.start),
            Sees::HandedOn => store.read_handed_on(cx, &key.key, key.window.start),
        };
        seen(found.map_err(stored::failed(&self.node))?);
        Ok(())
    }
}

/// A table of sessions that is kept in a session store.
pub(crate) struct SessionLookup<K, V> {
    node: Arc<str>,
    store: Rc<RefCell<SessionStore<K, V>>>,
    sees: Sees,
}

impl<K, V> SessionLookup<K, V> {
    /// Looks into `store`; `node` is who is at fault if that fails.
    pub(crate) fn new(node: Arc<str>, store: Rc<RefCell<SessionStore<K, V>>>, sees: Sees) -> Self {
        Self { node, store, sees }
    }
}

impl<K, V> Lookup<Windowed<K>, V> for SessionLookup<K, V> {
    fn look(
        &mut self,
        cx: &mut Context,
        key: &Windowed<K>,
        _as_of: Timestamp,
        seen: Seen<'_, V>,
    ) -> Result<(), ProcessError> {
        let mut store = self.store.borrow_mut();
        let found = match self.sees {
            Sees::Newest => store.read(cx, &key.key, key.window),
            Sees::HandedOn => store.read_handed_on(cx, &key.key, key.window),
        };
        let found = found.map_err(stored::failed(&self.node))?;
        seen(found.map(|found| Stamped { timestamp: key.window.end, ..found }));
        Ok(())
    }
}

/// A table that is computed from another value by value and not kept.
pub(crate) struct Computed<K, P, F> {
    above: Box<dyn Lookup<K, P>>,
    compute: F,
}

impl<K, P, F> Computed<K, P, F> {
    /// Shows what `compute` makes of the values of `above`; it hands its result to the closure it is given.
    pub(crate) fn new(above: Box<dyn Lookup<K, P>>, compute: F) -> Self {
        Self { above, compute }
    }
}

impl<K, P, V, F> Lookup<K, V> for Computed<K, P, F>
where
    F: Fn(&K, &P, &mut dyn FnMut(Option<&V>)),
{
    fn look(&mut self, cx: &mut Context, key: &K, as_of: Timestamp, seen: Seen<'_, V>) -> Result<(), ProcessError> {
        let compute = &self.compute;
        self.above.look(cx, key, as_of, &mut |found| match found {
            None => seen(None),
            Some(Stamped { value, timestamp }) => {
                compute(key, value, &mut |value| seen(value.map(|value| Stamped { value, timestamp })));
            }
        })
    }
}
