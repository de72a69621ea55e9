//! What a source can be told to read.

use std::sync::Arc;

/// One topic name or several: `"a"`, a `String`, `["a", "b"]`, a `Vec` of them.
pub trait IntoTopics {
    /// The topic names.
    fn into_topics(self) -> Vec<Arc<str>>;
}

impl IntoTopics for &str {
    fn into_topics(self) -> Vec<Arc<str>> {
        vec![self.into()]
    }
}

impl IntoTopics for String {
    fn into_topics(self) -> Vec<Arc<str>> {
        vec![self.into()]
    }
}

impl IntoTopics for Arc<str> {
    fn into_topics(self) -> Vec<Arc<str>> {
        vec![self]
    }
}

impl<T: Into<Arc<str>>, const N: usize> IntoTopics for [T; N] {
    fn into_topics(self) -> Vec<Arc<str>> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Arc<str>>> IntoTopics for Vec<T> {
    fn into_topics(self) -> Vec<Arc<str>> {
        self.into_iter().map(Into::into).collect()
    }
}
