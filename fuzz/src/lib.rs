//! What has to hold for every binary format that Millstream reads, on any bytes: one module per family of formats.
//!
//! ```text
//!  bytes ─┬─ as they are ──▶ decode: a value or a refusal, never a panic ──▶ encode: the same bytes again
//!         └─ as a value (arbitrary) ──▶ encode ──▶ decode: the same value again
//! ```
//! The fuzzer's targets and a test on fixed random bytes call the same functions. Decoders that the crates keep to
//! themselves are compiled in from their own files, so that nothing need be made public for this.

pub mod buffers;
pub mod journal;
pub mod keys;
pub mod messages;
pub mod serdes;
pub mod stores;
pub mod values;
pub mod wire;

// Where files that are compiled in from another crate look for its modules.
#[doc(hidden)]
pub use millstream_state::{engine, model, store};

use arbitrary::{Arbitrary, Unstructured};
use millstream_state::serdes::Serde;

/// A check of some formats.
pub type Check = fn(&[u8]);

/// All checks by the name of their target.
pub const CHECKS: [(&str, Check); 7] = [
    ("journal", journal::check),
    ("keys", keys::check),
    ("messages", messages::check),
    ("serdes", serdes::check),
    ("stores", stores::check),
    ("values", values::check),
    ("wire", wire::check),
];

/// What a check demands: there must be a value. That there is none is what a fuzzer looks for.
trait Must<T> {
    fn must(self, what: &str) -> T;
}

impl<T, E: std::fmt::Debug> Must<T> for Result<T, E> {
    fn must(self, what: &str) -> T {
        self.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }
}

impl<T> Must<T> for Option<T> {
    fn must(self, what: &str) -> T {
        self.unwrap_or_else(|| panic!("{what}"))
    }
}

/// The bytes as a value of any type; `None` if there are too few.
fn arbitrary<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// What a serde writes.
fn encoded<T>(serde: &dyn Serde<T>, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    serde.encode(value, &mut out).must("the value has an encoding");
    out
}

/// A value comes back as it was written.
fn round_trip<T: PartialEq + std::fmt::Debug>(serde: &dyn Serde<T>, value: &T) {
    let bytes = encoded(serde, value);
    let back = serde.decode(Some(&bytes)).must("what was written can be read");
    assert_eq!(&back, value, "read from {bytes:02x?}");
}

/// Any bytes are refused or read; what was read comes back when it is written and read again. Answers it.
fn reread<T: PartialEq + std::fmt::Debug>(serde: &dyn Serde<T>, bytes: &[u8]) -> Option<T> {
    let value = serde.decode(Some(bytes)).ok()?;
    round_trip(serde, &value);
    Some(value)
}

/// As [`reread`] for formats with one encoding per value: the bytes are the same again.
fn canonical<T: PartialEq + std::fmt::Debug>(serde: &dyn Serde<T>, bytes: &[u8]) {
    if let Some(value) = reread(serde, bytes) {
        assert_eq!(encoded(serde, &value), bytes, "the encoding of {value:?}");
    }
}
