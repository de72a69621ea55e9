//! The Processor API: your own operators, with state, timers and full control over what is handed on.
//!
//! ```text
//!  KStream::process(stores, supplier) ─→ supplier(opened stores) ─→ Processor: init → process … punctuate … → close
//!                                                                     │ forward        │ get, put
//!                                                                     ▼                ▼
//!                                                                  children         stores
//! ```
//! Stores are connected by typed handles: what [`StreamsBuilder::add_state_store`](crate::dsl::StreamsBuilder::add_state_store)
//! answers is handed to `process`, and the supplier gets the opened stores. A store that was not connected cannot be
//! used, nor one used with other types.
//!
//! ```
//! use millstream_operators::dsl::StreamsBuilder;
//! use millstream_operators::processor::{KeyValueStore, Outcome, Processor, ProcessorContext, Stores};
//! use millstream_operators::push::Record;
//!
//! struct Numbered {
//!     counts: KeyValueStore<String, i64>,
//! }
//!
//! impl Processor<String, String, String, String> for Numbered {
//!     fn process(
//!         &mut self,
//!         cx: &mut ProcessorContext<'_, String, String>,
//!         record: Record<'_, String, String>,
//!     ) -> Outcome {
//!         let count = self.counts.get(cx, record.key)?.unwrap_or(0) + 1;
//!         self.counts.put(cx, record.key, count)?;
//!         cx.forward(record.with_value(&format!("{count}: {}", record.value)))
//!     }
//! }
//!
//! let builder = StreamsBuilder::new();
//! let counts = builder.add_state_store(Stores::key_value::<String, i64>("counts"));
//! builder.stream::<String, String>("lines").process(&counts, |counts| Numbered { counts }).to("numbered");
//! # builder.build()?;
//! # Ok::<(), millstream_operators::error::BuildError>(())
//! ```
//! A handle of other types does not go with the processor:
//!
//! ```compile_fail
//! # use millstream_operators::dsl::StreamsBuilder;
//! # use millstream_operators::processor::*;
//! # use millstream_operators::push::Record;
//! struct Counts(KeyValueStore<String, i64>);
//! impl Processor<String, String, String, i64> for Counts {
//!     fn process(&mut self, cx: &mut ProcessorContext<'_, String, i64>, r: Record<'_, String, String>) -> Outcome {
//!         Ok(())
//!     }
//! }
//! let builder = StreamsBuilder::new();
//! // The store holds text, the processor wants numbers.
//! let texts = builder.add_state_store(Stores::key_value::<String, String>("texts"));
//! builder.stream::<String, String>("in").process(&texts, |texts| Counts(texts)).to("out");
//! ```

mod context;
mod fixed_key;
mod global;
mod handle;
mod key_value;
pub(crate) mod node;
mod session;
mod stores;
pub mod timers;
pub(crate) mod value_transformer;
mod versioned;
mod window;

pub use context::{ProcessorContext, RecordMetadata, StoreScope};
pub use fixed_key::{FixedKeyContext, FixedKeyProcessor, FixedKeyRecord};
pub use global::{GlobalKeyValueStore, GlobalStoreType};
pub use handle::{ConnectStores, OpenAll, Opener, StoreHandle, StoreType};
pub use key_value::{KeyValueEntries, KeyValueStore, TimestampedEntries, TimestampedKeyValueStore};
pub use session::{SessionEntries, SessionStore};
pub use stores::{StoreBuilder, Stores};
pub use timers::{Punctuation, Timer};
pub use value_transformer::{TransformerContext, ValueTransformer};
pub use versioned::VersionedKeyValueStore;
pub use window::{TimestampedWindowEntries, TimestampedWindowStore, WindowEntries, WindowStore};

pub(crate) use fixed_key::FixedKey;

use millstream_state::error::BoxError;
use millstream_state::model::Timestamp;

use crate::push::Record;

/// What a processor's hooks answer. Errors of stores and of nodes below can be passed on with `?`, and so can your own:
/// the task then stops at the record, and nothing of it is committed.
pub type Outcome = Result<(), BoxError>;

/// An operator of your own (Kafka Streams' `Processor`): takes records of `K` and `V`, forwards records of `L` and `U`.
///
/// One is made per task, on the thread where the task runs, and again after an abort; what must survive belongs in
/// stores. A closure over a context and a record is a processor too:
///
/// ```
/// # use millstream_operators::dsl::StreamsBuilder;
/// # use millstream_operators::processor::ProcessorContext;
/// # use millstream_operators::push::Record;
/// # let builder = StreamsBuilder::new();
/// builder
///     .stream::<String, String>("in")
///     .process((), |()| {
///         |cx: &mut ProcessorContext<'_, String, i64>, record: Record<'_, String, String>| {
///             cx.forward(record.with_value(&(record.value.len() as i64)))
///         }
///     })
///     .to("lengths");
/// # builder.build()?;
/// # Ok::<(), millstream_operators::error::BuildError>(())
/// ```
pub trait Processor<K, V, L, U> {
    /// Called once before the first record: the place to schedule timers.
    ///
    /// # Errors
    /// Whatever is to stop the task.
    fn init(&mut self, cx: &mut ProcessorContext<'_, L, U>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Called for each record. What is forwarded has been processed to the end when
    /// [`ProcessorContext::forward`] answers.
    ///
    /// # Errors
    /// Whatever is to stop the task at this record.
    fn process(&mut self, cx: &mut ProcessorContext<'_, L, U>, record: Record<'_, K, V>) -> Outcome;

    /// Called when a timer is due that this processor has scheduled with [`ProcessorContext::schedule`] (Kafka Streams'
    /// `Punctuator`). `now` is the stream time or the wall-clock time of the call. What it writes is committed with the
    /// task's records, even if there are none.
    ///
    /// # Errors
    /// Whatever is to stop the task.
    fn punctuate(&mut self, cx: &mut ProcessorContext<'_, L, U>, timer: Timer, now: Timestamp) -> Outcome {
        let _ = (cx, timer, now);
        Ok(())
    }

    /// Called when the task is closed or goes back to its last commit; not if the process is killed.
    fn close(&mut self) {}
}

impl<F, K, V, L, U> Processor<K, V, L, U> for F
where
    F: FnMut(&mut ProcessorContext<'_, L, U>, Record<'_, K, V>) -> Outcome,
{
    fn process(&mut self, cx: &mut ProcessorContext<'_, L, U>, record: Record<'_, K, V>) -> Outcome {
        self(cx, record)
    }
}
