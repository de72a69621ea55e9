//! The messages and keys of foreign-key joins, byte for byte as Kafka Streams writes them.
//!
//! ```text
//!  subscription   version | no hash (top bit) (1), instruction (1), hash (16)?, primary key, partition (4, from version 1)
//!  response       version | no hash (top bit) (1), hash (16)?, foreign value?
//!  store key      length of the foreign key (4), foreign key, primary key
//! ```
//! Integers are big-endian. The hash is that of the left row's value when the message was sent; a response whose hash is not
//! that of the row now is out of date.

mod messages;
mod murmur3;

pub use messages::{Instruction, Response, Subscription, response, subscription};
pub use murmur3::{Hash, hash};

use millstream_state::error::SerdeError;
use millstream_state::serdes::Serde;

/// The key of a subscription in its store.
///
/// # Errors
/// If a key cannot be encoded.
pub fn store_key<F, K>(foreign: (&F, &dyn Serde<F>), primary: (&K, &dyn Serde<K>)) -> Result<Vec<u8>, SerdeError> {
    let mut bytes = store_prefix(foreign)?;
    primary.1.encode(primary.0, &mut bytes)?;
    Ok(bytes)
}

/// What the keys of all subscriptions to a foreign key begin with.
///
/// # Errors
/// If the key cannot be encoded.
pub fn store_prefix<F>((key, serde): (&F, &dyn Serde<F>)) -> Result<Vec<u8>, SerdeError> {
    let mut bytes = vec![0; 4];
    serde.encode(key, &mut bytes)?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}
