//! What left and outer stream–stream joins remember of records without a partner, as bytes: Kafka Streams' layout.
//!
//! ```text
//!  key:      timestamp (8) | side (1: 1 left, 0 right) | key          so that the oldest come first
//!  value:    a list of sided values, for records with equal key and time
//!  list:     01 | count (4) | per element: length (4) | bytes
//!  sided:    side (1) | value
//! ```

use crate::model::Timestamp;

/// A key of the store, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingKey<'a> {
    /// The time of the record that waits.
    pub time: Timestamp,
    /// Whether it is one of the left stream.
    pub left: bool,
    /// Its key.
    pub key: &'a [u8],
}

/// Appends what comes before the key of a record in the store's key.
pub fn push_prefix(out: &mut Vec<u8>, time: Timestamp, left: bool) {
    out.extend_from_slice(&time.millis().to_be_bytes());
    out.push(u8::from(left));
}

/// Takes a key of the store apart; `None` if it is too short to be one.
pub fn split_key(bytes: &[u8]) -> Option<WaitingKey<'_>> {
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    let (side, key) = rest.split_first()?;
    Some(WaitingKey { time: Timestamp::from_millis(i64::from_be_bytes(*time)), left: *side == 1, key })
}

/// Appends what comes before a value that says whose it is.
pub fn push_side(out: &mut Vec<u8>, left: bool) {
    out.push(u8::from(left));
}

/// Takes a sided value apart: whether it is of the left stream, and the value.
pub fn split_side(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (side, value) = bytes.split_first()?;
    Some((*side == 1, value))
}

/// The elements are of different lengths.
const VARIABLE: u8 = 1;
/// What comes before the elements.
const LIST_HEAD: usize = 5;

/// An empty list.
pub fn empty_list() -> Vec<u8> {
    vec![VARIABLE, 0, 0, 0, 0]
}

/// Adds an element at the end of a list.
pub fn push_element(list: &mut Vec<u8>, element: &[u8]) {
    if let Some(count) = list.get_mut(1..LIST_HEAD).and_then(|count| count.first_chunk_mut::<4>()) {
        *count = u32::from_be_bytes(*count).wrapping_add(1).to_be_bytes();
    }
    list.extend_from_slice(&(element.len() as u32).to_be_bytes());
    list.extend_from_slice(element);
}

/// How many elements a list says it has; `None` if the bytes are no list.
pub fn count(list: &[u8]) -> Option<u32> {
    list.get(1..LIST_HEAD).and_then(|count| count.try_into().ok()).map(u32::from_be_bytes)
}

/// The elements of a list in their order; `None` if the bytes are no list.
pub fn elements(list: &[u8]) -> Option<Vec<&[u8]>> {
    let (head, mut rest) = list.split_at_checked(LIST_HEAD)?;
    let count = u32::from_be_bytes(head.get(1..)?.try_into().ok()?);
    let mut elements = Vec::new();
    for _ in 0..count {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        let (element, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        elements.push(element);
        rest = tail;
    }
    (head[0] == VARIABLE && rest.is_empty()).then_some(elements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_comes_apart_into_its_parts(time: i64, left: bool, key: Vec<u8>) {
            let mut bytes = Vec::new();
            push_prefix(&mut bytes, Timestamp::from_millis(time), left);
            bytes.extend_from_slice(&key);
            let time = Timestamp::from_millis(time);
            prop_assert_eq!(split_key(&bytes), Some(WaitingKey { time, left, key: &key }));
        }

        #[test]
        fn a_list_gives_back_its_elements(wanted: Vec<Vec<u8>>) {
            let mut list = empty_list();
            wanted.iter().for_each(|element| push_element(&mut list, element));
            let wanted: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(count(&list), Some(wanted.len() as u32));
            prop_assert_eq!(elements(&list), Some(wanted));
        }

        #[test]
        fn bytes_that_are_no_list_are_refused_without_harm(bytes: Vec<u8>) {
            let _ = elements(&bytes);
            let _ = split_key(&bytes);
        }
    }

    #[test]
    fn a_list_with_a_missing_end_is_refused() {
        let mut list = empty_list();
        push_element(&mut list, b"abc");
        assert_eq!(elements(&list[..list.len() - 1]), None);
        list.push(0);
        assert_eq!(elements(&list), None);
    }
}
