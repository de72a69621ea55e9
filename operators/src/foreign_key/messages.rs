//! Subscriptions to foreign keys, and the answers to them.

use std::sync::Arc;

use millstream_state::error::SerdeError;
use millstream_state::serdes::{Serde, SerdeRef};

use super::murmur3::Hash;

/// The newest version of a subscription; older ones are read.
const SUBSCRIPTION_VERSION: u8 = 1;
/// The only version of a response.
const RESPONSE_VERSION: u8 = 0;
/// Set in the version byte of a message without a hash.
const NO_HASH: u8 = 0x80;

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// End the subscription, without an answer.
    DeleteSilently = 0,
    /// End the subscription and answer that there is no value.
    DeleteAndAnswer = 1,
    /// Subscribe and answer in any case.
    AnswerAlways = 2,
    /// Subscribe and answer if there is a value.
    AnswerIfPresent = 3,
}

impl Instruction {
    fn of(byte: u8) -> Option<Self> {
        [Self::DeleteSilently, Self::DeleteAndAnswer, Self::AnswerAlways, Self::AnswerIfPresent]
            .into_iter()
            .find(|instruction| *instruction as u8 == byte)
    }

    /// Whether the subscription ends.
    pub fn deletes(self) -> bool {
        matches!(self, Self::DeleteSilently | Self::DeleteAndAnswer)
    }
}

/// A row's subscription to a foreign key (Kafka Streams' `SubscriptionWrapper`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription<K> {
    /// The hash of the row's value; `None` if the row is deleted.
    pub hash: Option<Hash>,
    /// What is asked for.
    pub instruction: Instruction,
    /// The row's key.
    pub primary_key: K,
    /// The partition that the row is in, where the answer goes; `None` in version 0, which leaves that to the key's hash.
    pub primary_partition: Option<i32>,
}

/// An answer to a subscription (Kafka Streams' `SubscriptionResponseWrapper`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<V> {
    /// The hash that came with the subscription.
    pub hash: Option<Hash>,
    /// The value of the foreign key, if it has one.
    pub foreign_value: Option<V>,
    /// Where the answer goes; not part of the message.
    pub primary_partition: Option<i32>,
}

/// The serde of subscriptions, over that of the primary key.
pub fn subscription<K: 'static>(primary_key: SerdeRef<K>) -> SerdeRef<Subscription<K>> {
    Arc::new(SubscriptionSerde(primary_key))
}

/// The serde of responses, over that of the foreign value.
pub fn response<V: 'static>(foreign_value: SerdeRef<V>) -> SerdeRef<Response<V>> {
    Arc::new(ResponseSerde(foreign_value))
}

struct SubscriptionSerde<K>(SerdeRef<K>);

impl<K: 'static> Serde<Subscription<K>> for SubscriptionSerde<K> {
    fn encode(&self, value: &Subscription<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let version = if value.primary_partition.is_some() { SUBSCRIPTION_VERSION } else { 0 };
        out.push(version | if value.hash.is_none() { NO_HASH } else { 0 });
        out.push(value.instruction as u8);
        push_hash(out, value.hash);
        self.0.encode(&value.primary_key, out)?;
        if let Some(partition) = value.primary_partition {
            out.extend_from_slice(&partition.to_be_bytes());
        }
        Ok(())
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Subscription<K>, SerdeError> {
        let bad = || SerdeError::new("a subscription of a foreign-key join", format!("{bytes:02x?}"));
        let (version, rest) = bytes.and_then(<[u8]>::split_first).ok_or_else(bad)?;
        let (instruction, rest) = rest.split_first().ok_or_else(bad)?;
        let instruction = Instruction::of(*instruction).ok_or_else(bad)?;
        let (hash, mut rest) = split_hash(*version, rest).ok_or_else(bad)?;
        let mut primary_partition = None;
        match version & !NO_HASH {
            0 => {}
            SUBSCRIPTION_VERSION => {
                let (key, partition) = rest.split_last_chunk::<4>().ok_or_else(bad)?;
                primary_partition = Some(i32::from_be_bytes(*partition));
                rest = key;
            }
            other => return Err(newer("subscription", other, SUBSCRIPTION_VERSION)),
        }
        let primary_key = self.0.decode(Some(rest))?;
        Ok(Subscription { hash, instruction, primary_key, primary_partition })
    }
}

struct ResponseSerde<V>(SerdeRef<V>);

impl<V: 'static> Serde<Response<V>> for ResponseSerde<V> {
    fn encode(&self, value: &Response<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(RESPONSE_VERSION | if value.hash.is_none() { NO_HASH } else { 0 });
        push_hash(out, value.hash);
        match &value.foreign_value {
            Some(foreign) if !self.0.is_null(foreign) => self.0.encode(foreign, out),
            _ => Ok(()),
        }
    }

    fn decode(&self, bytes: Option<&[u8]>) -> Result<Response<V>, SerdeError> {
        let bad = || SerdeError::new("a response of a foreign-key join", format!("{bytes:02x?}"));
        let (version, rest) = bytes.and_then(<[u8]>::split_first).ok_or_else(bad)?;
        if version & !NO_HASH != RESPONSE_VERSION {
            return Err(newer("response", version & !NO_HASH, RESPONSE_VERSION));
        }
        let (hash, rest) = split_hash(*version, rest).ok_or_else(bad)?;
        // An empty value reads as none, as in Kafka Streams.
        let foreign_value = if rest.is_empty() { None } else { Some(self.0.decode(Some(rest))?) };
        Ok(Response { hash, foreign_value, primary_partition: None })
    }
}

fn newer(what: &str, version: u8, known: u8) -> SerdeError {
    SerdeError::new(
        "a message of a foreign-key join that this version knows",
        format!("a {what} of version {version} (known is {known}); upgrade this instance"),
    )
}

fn push_hash(out: &mut Vec<u8>, hash: Option<Hash>) {
    for half in hash.into_iter().flatten() {
        out.extend_from_slice(&half.to_be_bytes());
    }
}

fn split_hash(version: u8, bytes: &[u8]) -> Option<(Option<Hash>, &[u8])> {
    if version & NO_HASH != 0 {
        return Some((None, bytes));
    }
    let (h1, rest) = bytes.split_first_chunk::<8>()?;
    let (h2, rest) = rest.split_first_chunk::<8>()?;
    Some((Some([u64::from_be_bytes(*h1), u64::from_be_bytes(*h2)]), rest))
}
