//! What a record in a dead-letter topic says of itself (KIP-1034).

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use millstream_state::model::{Headers, Offset};

/// Why a record is a dead letter, and where it was.
pub(super) struct DeadLetter<'a> {
    pub(super) exception: &'a str,
    pub(super) message: &'a dyn Display,
    /// The node that refused it, if one did.
    pub(super) node: Option<&'a str>,
    pub(super) topic: &'a Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: Offset,
}

impl DeadLetter<'_> {
    /// The headers that it came with, and those that tell.
    pub(super) fn headers(&self, original: &Headers) -> Headers {
        let mut headers = original.clone();
        let mut add = |name: &str, text: String| {
            headers.add(format!("__streams.errors.{name}"), Some(Bytes::from(text.into_bytes())));
        };
        add("exception", self.exception.to_owned());
        add("message", self.message.to_string());
        if let Some(node) = self.node {
            add("node", node.to_owned());
        }
        add("topic", self.topic.to_string());
        add("partition", self.partition.to_string());
        add("offset", self.offset.to_string());
        headers
    }
}
