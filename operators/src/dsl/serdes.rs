//! Which serde a node uses: the one given to it, else the one that came along with the stream, else the type's own.

use std::any::type_name;
use std::sync::Arc;

use millstream_state::error::SerdeError;
use millstream_state::serdes::{DefaultSerde, Serde, SerdeRef};

use crate::error::BuildError;
use crate::topology::graph::Graph;

/// The serdes that are known for a stream or table, or given in settings.
pub(crate) struct Serdes<K, V> {
    pub(crate) key: Option<SerdeRef<K>>,
    pub(crate) value: Option<SerdeRef<V>>,
}

impl<K, V> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone() }
    }
}

impl<K, V> Default for Serdes<K, V> {
    fn default() -> Self {
        Self { key: None, value: None }
    }
}

impl<K: 'static, V: 'static> Serdes<K, V> {
    pub(crate) fn new(key: Option<SerdeRef<K>>, value: Option<SerdeRef<V>>) -> Self {
        Self { key, value }
    }

    /// These, and where there is none the other's.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { key: self.key.or(other.key), value: self.value.or(other.value) }
    }

    /// These, and where there is none the type's own.
    pub(crate) fn or_default(self) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self { key: self.key.or_else(|| Some(K::serde())), value: self.value.or_else(|| Some(V::serde())) }
    }

    /// Both serdes; what is missing makes the build fail with the node's name.
    pub(crate) fn required(self, graph: &mut Graph, node: &str) -> (SerdeRef<K>, SerdeRef<V>) {
        (required(self.key, graph, node, "key"), required(self.value, graph, node, "value"))
    }
}

/// The serde, or if there is none one that refuses everything, and a build that fails.
pub(crate) fn required<T: 'static>(
    serde: Option<SerdeRef<T>>,
    graph: &mut Graph,
    node: &str,
    what: &str,
) -> SerdeRef<T> {
    serde.unwrap_or_else(|| {
        let reason = format!("no serde is known for its {what} of type {}; give it one", type_name::<T>());
        graph.fail(BuildError::BadSetting { node: node.to_owned(), reason });
        Arc::new(Missing)
    })
}

struct Missing;

impl<T> Serde<T> for Missing {
    fn encode(&self, _value: &T, _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Err(SerdeError::new("a serde", "none was given"))
    }

    fn decode(&self, _bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        Err(SerdeError::new("a serde", "none was given"))
    }
}
