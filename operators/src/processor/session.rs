//! Session stores as processors see them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::model::{Timestamp, Window, Windowed};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::SessionStore as Typed;

use super::context::StoreScope;
use super::handle::{Opener, StoreType};
use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::stored;
use crate::push::Flush;

/// The sessions of a scan. It reads as it goes and borrows the context: collect what you need before you forward or write.
pub type SessionEntries<'a, K, V> = Box<dyn Iterator<Item = Result<(Windowed<K>, V), StateError>> + 'a>;

type Cell<K, V> = RefCell<Typed<K, V>>;

struct WrittenBack<K, V> {
    store: Rc<Cell<K, V>>,
    name: Arc<str>,
}

impl<K, V> Flush for WrittenBack<K, V> {
    fn flush(&mut self, cx: &mut Context) -> Result<(), ProcessError> {
        self.store.borrow_mut().write_back(cx).map_err(stored::failed(&self.name))
    }
}

/// Sessions may have any time.
const EVER: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));

/// A session store (Kafka Streams' `SessionStore`), as [`Stores::session`](super::Stores::session) describes it: a value
/// per key and session, whose start and end are both included. What the value's serde writes as null removes the session.
pub struct SessionStore<K, V>(Rc<Cell<K, V>>);

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for SessionStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, (key, value): &Self::Serdes) -> Self {
        let alone = opener.alone;
        let store = opener.chain.shared_store(
            name,
            |chain, id, spec| RefCell::new(Typed::new(id, spec, key.clone(), value.clone(), chain.cache())),
            |chain, id, store| {
                if alone && store.borrow().is_cached() {
                    let flushed = WrittenBack { store: store.clone(), name: Arc::from(name) };
                    chain.stateful(id, Rc::new(RefCell::new(flushed)));
                }
            },
        );
        Self(store)
    }
}

impl<K: 'static, V: 'static> SessionStore<K, V> {
    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, in the order of
    /// their ends (`findSessions`).
    ///
    /// # Errors
    /// If the store cannot be read, or the key has no encoding.
    pub fn find_sessions<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan(cx, key, (earliest_end, latest_start), Direction::Forward)
    }

    /// As [`SessionStore::find_sessions`], from the last session back (`backwardFindSessions`).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn backward_find_sessions<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan(cx, key, (earliest_end, latest_start), Direction::Backward)
    }

    /// As [`SessionStore::find_sessions`], of the keys between two (both included, `None` is open), by segment and then
    /// by key (`findSessions` with two keys).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn find_sessions_of_keys<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        keys: (Option<&K>, Option<&K>),
        (earliest_end, latest_start): (Timestamp, Timestamp),
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan_keys(cx, keys, (earliest_end, latest_start), Direction::Forward)
    }

    /// As [`SessionStore::find_sessions_of_keys`], the other way round (`backwardFindSessions` with two keys).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn backward_find_sessions_of_keys<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        keys: (Option<&K>, Option<&K>),
        (earliest_end, latest_start): (Timestamp, Timestamp),
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan_keys(cx, keys, (earliest_end, latest_start), Direction::Backward)
    }

    /// All sessions of a key in the order of their ends (`fetch`).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn fetch<'a>(&self, cx: &'a mut impl StoreScope, key: &K) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan(cx, key, EVER, Direction::Forward)
    }

    /// All sessions of a key from the last one back (`backwardFetch`).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn backward_fetch<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        key: &K,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan(cx, key, EVER, Direction::Backward)
    }

    /// All sessions of the keys between two (both included, `None` is open), by segment and then by key (`fetch` with two
    /// keys).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn fetch_keys<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        from: Option<&K>,
        to: Option<&K>,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan_keys(cx, (from, to), EVER, Direction::Forward)
    }

    /// As [`SessionStore::fetch_keys`], the other way round (`backwardFetch` with two keys).
    ///
    /// # Errors
    /// As [`SessionStore::find_sessions`].
    pub fn backward_fetch_keys<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        from: Option<&K>,
        to: Option<&K>,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        self.scan_keys(cx, (from, to), EVER, Direction::Backward)
    }

    /// The value of one session (`fetchSession`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K, session: Window) -> Result<Option<V>, StateError>
    where
        V: Clone,
    {
        Ok(self.0.borrow_mut().read(cx.context(), key, session)?.map(|found| found.value.clone()))
    }

    /// Sets the value of a session (`put`). A session that has expired is not kept.
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be written.
    pub fn put(&self, cx: &mut impl StoreScope, key: &K, session: Window, value: V) -> Result<(), StateError> {
        self.0.borrow_mut().put(cx.context(), key, session, Some(value))
    }

    /// Removes a session (`remove`).
    ///
    /// # Errors
    /// If the key has no encoding, or the store cannot be written.
    pub fn remove(&self, cx: &mut impl StoreScope, key: &K, session: Window) -> Result<(), StateError> {
        self.0.borrow_mut().put(cx.context(), key, session, None)
    }

    fn scan<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        key: &K,
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        let entries = self.0.borrow_mut().find(cx.context(), key, times, direction)?;
        Ok(Box::new(entries.map(|entry| entry.map(|(key, found)| (key, found.value)))))
    }

    fn scan_keys<'a>(
        &self,
        cx: &'a mut impl StoreScope,
        keys: (Option<&K>, Option<&K>),
        times: (Timestamp, Timestamp),
        direction: Direction,
    ) -> Result<SessionEntries<'a, K, V>, StateError> {
        let entries = self.0.borrow_mut().find_keys(cx.context(), keys, times, direction)?;
        Ok(Box::new(entries.map(|entry| entry.map(|(key, found)| (key, found.value)))))
    }
}
