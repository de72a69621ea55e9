//! Window stores as processors see them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::engine::Direction;
use millstream_state::error::StateError;
use millstream_state::model::{Timestamp, Windowed};
use millstream_state::serdes::SerdeRef;
use millstream_state::store::{Stamped, WindowStore as Typed};

use super::context::StoreScope;
use super::handle::{Opener, StoreType};
use crate::context::Context;
use crate::error::ProcessError;
use crate::ops::stored;
use crate::push::Flush;

/// The windows of a scan. It reads as it goes and borrows the context: collect what you need before you forward or write.
pub type WindowEntries<'a, K, V> = Box<dyn Iterator<Item = Result<(Windowed<K>, V), StateError>> + 'a>;

/// As [`WindowEntries`], with times.
pub type TimestampedWindowEntries<'a, K, V> =
    Box<dyn Iterator<Item = Result<(Windowed<K>, Stamped<V>), StateError>> + 'a>;

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

fn open<K: 'static, V: 'static>(
    opener: &mut Opener<'_, '_>,
    name: &str,
    (key, value): &(SerdeRef<K>, SerdeRef<V>),
) -> Rc<Cell<K, V>> {
    let alone = opener.alone;
    opener.chain.shared_store(
        name,
        |chain, id, spec| RefCell::new(Typed::new(id, spec, key.clone(), value.clone(), chain.cache())),
        |chain, id, store| {
            if alone && store.borrow().is_cached() {
                let flushed = WrittenBack { store: store.clone(), name: Arc::from(name) };
                chain.stateful(id, Rc::new(RefCell::new(flushed)));
            }
        },
    )
}

const EVER: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));

/// What both kinds of window stores can do; the macro writes it out for each.
macro_rules! scans {
    ($entries:ident, $show:expr) => {
        /// The windows of a key that start between two times (both included), in the order of time (Kafka Streams:
        /// `fetch`).
        ///
        /// # Errors
        /// If the store cannot be read, or the key has no encoding.
        pub fn fetch<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            key: &K,
            from: Timestamp,
            to: Timestamp,
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().fetch(cx.context(), key, (from, to), Direction::Forward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// As [`Self::fetch`], from the last window back (`backwardFetch`).
        ///
        /// # Errors
        /// As [`Self::fetch`].
        pub fn backward_fetch<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            key: &K,
            from: Timestamp,
            to: Timestamp,
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().fetch(cx.context(), key, (from, to), Direction::Backward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// The windows of the keys between two (both included, `None` is open) that start between two times (both
        /// included), by segment and then by key (`fetch` with two keys).
        ///
        /// # Errors
        /// As [`Self::fetch`].
        pub fn fetch_keys<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            keys: (Option<&K>, Option<&K>),
            times: (Timestamp, Timestamp),
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().fetch_keys(cx.context(), keys, times, Direction::Forward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// As [`Self::fetch_keys`], the other way round (`backwardFetch` with two keys).
        ///
        /// # Errors
        /// As [`Self::fetch`].
        pub fn backward_fetch_keys<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            keys: (Option<&K>, Option<&K>),
            times: (Timestamp, Timestamp),
        ) -> Result<$entries<'a, K, V>, StateError> {
            let entries = self.0.borrow_mut().fetch_keys(cx.context(), keys, times, Direction::Backward)?;
            Ok(Box::new(entries.map($show)))
        }

        /// The windows of all keys that start between two times (both included), by segment and then by key (`fetchAll`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn fetch_all<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            from: Timestamp,
            to: Timestamp,
        ) -> Result<$entries<'a, K, V>, StateError> {
            self.fetch_keys(cx, (None, None), (from, to))
        }

        /// As [`Self::fetch_all`], the other way round (`backwardFetchAll`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn backward_fetch_all<'a>(
            &self,
            cx: &'a mut impl StoreScope,
            from: Timestamp,
            to: Timestamp,
        ) -> Result<$entries<'a, K, V>, StateError> {
            self.backward_fetch_keys(cx, (None, None), (from, to))
        }

        /// All windows, by segment and then by key (`all`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn all<'a>(&self, cx: &'a mut impl StoreScope) -> Result<$entries<'a, K, V>, StateError> {
            self.fetch_keys(cx, (None, None), EVER)
        }

        /// As [`Self::all`], the other way round (`backwardAll`).
        ///
        /// # Errors
        /// If the store cannot be read.
        pub fn backward_all<'a>(&self, cx: &'a mut impl StoreScope) -> Result<$entries<'a, K, V>, StateError> {
            self.backward_fetch_keys(cx, (None, None), EVER)
        }
    };
}

/// A window store (Kafka Streams' `WindowStore`), as [`Stores::window`](super::Stores::window) describes it. What the
/// value's serde writes as null deletes the window; a null key is an error.
pub struct WindowStore<K, V>(Rc<Cell<K, V>>);

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for WindowStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, serdes: &Self::Serdes) -> Self {
        Self(open(opener, name, serdes))
    }
}

impl<K: 'static, V: 'static> WindowStore<K, V> {
    /// The value of a key in the window that starts at `start` (`fetch`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K, start: Timestamp) -> Result<Option<V>, StateError>
    where
        V: Clone,
    {
        Ok(self.0.borrow_mut().read(cx.context(), key, start)?.map(|found| found.value.clone()))
    }

    /// Sets the value of a key in the window that starts at `start` (`put`). A window that has expired is not kept.
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be written.
    pub fn put(&self, cx: &mut impl StoreScope, key: &K, value: V, start: Timestamp) -> Result<(), StateError> {
        self.set(cx, key, Some(value), start)
    }

    /// Sets the value of a key in the window that starts at `start`, or deletes it.
    ///
    /// # Errors
    /// As [`WindowStore::put`].
    pub fn set(&self, cx: &mut impl StoreScope, key: &K, value: Option<V>, start: Timestamp) -> Result<(), StateError> {
        let value = value.map(|value| Stamped::new(value, Timestamp::UNKNOWN));
        self.0.borrow_mut().put(cx.context(), key, start, value)
    }

    scans!(WindowEntries, |entry| entry.map(|(key, found)| (key, found.value)));
}

/// A window store with a time per value (Kafka Streams' `TimestampedWindowStore`), as
/// [`Stores::timestamped_window`](super::Stores::timestamped_window) describes it. What the value's serde writes as null
/// deletes the window; a null key is an error.
pub struct TimestampedWindowStore<K, V>(Rc<Cell<K, V>>);

impl<K, V> Clone for TimestampedWindowStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: 'static, V: 'static> StoreType for TimestampedWindowStore<K, V> {
    type Serdes = (SerdeRef<K>, SerdeRef<V>);

    fn open(opener: &mut Opener<'_, '_>, name: &str, serdes: &Self::Serdes) -> Self {
        Self(open(opener, name, serdes))
    }
}

impl<K: 'static, V: 'static> TimestampedWindowStore<K, V> {
    /// The value of a key in the window that starts at `start`, and its time (`fetch`).
    ///
    /// # Errors
    /// If the store cannot be read, or holds something else than `V`.
    pub fn get(&self, cx: &mut impl StoreScope, key: &K, start: Timestamp) -> Result<Option<Stamped<V>>, StateError>
    where
        V: Clone,
    {
        let mut store = self.0.borrow_mut();
        let found = store.read(cx.context(), key, start)?;
        Ok(found.map(|found| Stamped::new(found.value.clone(), found.timestamp)))
    }

    /// Sets the value of a key in the window that starts at `start`, or deletes it (`put`). A window that has expired is
    /// not kept.
    ///
    /// # Errors
    /// If key or value has no encoding, or the store cannot be written.
    pub fn set(
        &self,
        cx: &mut impl StoreScope,
        key: &K,
        value: Option<Stamped<V>>,
        start: Timestamp,
    ) -> Result<(), StateError> {
        self.0.borrow_mut().put(cx.context(), key, start, value)
    }

    scans!(TimestampedWindowEntries, |entry| entry);
}
