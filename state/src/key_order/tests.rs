//! Properties of the key layouts.

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn window_keys_are_those_of_kafka_streams() {
    let bytes = window_key(b"a", at(1_700_000_000_000), 258);
    assert_eq!(bytes, b"a\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\x00\x01\x02");
}

#[test]
fn a_prefix_of_only_the_largest_byte_has_no_end() {
    assert_eq!(prefix_end(&[0xff, 0xff]), Bound::Unbounded);
    assert_eq!(prefix_end(&[1, 0xff]), Bound::Excluded(vec![2]));
    assert_eq!(prefix_end(&[]), Bound::Unbounded);
}

proptest! {
    #[test]
    fn a_window_key_comes_apart_into_its_parts(key: Vec<u8>, start: i64, sequence: u32) {
        let bytes = window_key(&key, at(start), sequence);
        prop_assert_eq!(split_window_key(&bytes), Some(WindowKey { key: &key, start: at(start), sequence }));
    }

    #[test]
    fn a_session_key_comes_apart_into_its_parts(key: Vec<u8>, start: i64, end: i64) {
        let window = Window { start: at(start), end: at(end) };
        let bytes = session_key(&key, window);
        prop_assert_eq!(split_session_key(&bytes), Some((&key[..], window)));
    }

    #[test]
    fn any_bytes_are_taken_apart_or_refused(bytes: Vec<u8>) {
        if let Some(parts) = split_window_key(&bytes) {
            prop_assert_eq!(window_key(parts.key, parts.start, parts.sequence), bytes.clone());
        }
        if let Some((key, window)) = split_session_key(&bytes) {
            prop_assert_eq!(session_key(key, window), bytes);
        }
    }

    #[test]
    fn windows_of_one_key_are_in_the_order_of_time(
        key: Vec<u8>, a in 0..i64::MAX, b in 0..i64::MAX, one: u32, two: u32,
    ) {
        prop_assert_eq!(window_key(&key, at(a), one).cmp(&window_key(&key, at(b), two)), (a, one).cmp(&(b, two)));
    }

    #[test]
    fn a_prefix_range_holds_exactly_the_keys_with_the_prefix(
        prefix in proptest::collection::vec(250u8.., 0..3), key in proptest::collection::vec(250u8.., 0..5),
    ) {
        let in_range = key >= prefix && match prefix_end(&prefix) {
            Bound::Excluded(end) => key < end,
            _ => true,
        };
        prop_assert_eq!(in_range, key.starts_with(&prefix));
    }
}
