//! What each serde writes, and what it refuses.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::*;
use crate::model::{Timestamp, Window, Windowed};

fn encoded<T>(serde: &SerdeRef<T>, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    serde.encode(value, &mut out).unwrap();
    out
}

fn comes_back<T: PartialEq + std::fmt::Debug>(serde: &SerdeRef<T>, value: &T) {
    let bytes = encoded(serde, value);
    assert_eq!(&serde.decode(Some(&bytes)).unwrap(), value);
    let mut slot = None;
    serde.decode_into(Some(&bytes), &mut slot).unwrap();
    serde.decode_into(Some(&bytes), &mut slot).unwrap();
    assert_eq!(slot.as_ref(), Some(value));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flight {
    carrier: String,
    delay: Option<i64>,
}

/// Lost once: numbers in JSON came back as their neighbours, so a value changed by being written and read, and a store
/// that was restored was not equal to the one that had been lost.
#[test]
fn floating_point_numbers_in_json_are_the_same_after_many_rounds() {
    let serde = json::<f64>();
    // 4.1666666666666667e27 was found by the fuzzer; the others are at the ends of what there is.
    for number in [4.166_666_666_666_666_7e27, 0.1 + 0.2, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0] {
        comes_back(&serde, &number);
        assert_eq!(serde.decode(Some(&encoded(&serde, &number))).unwrap().to_bits(), number.to_bits());
    }
}

#[test]
fn numbers_are_written_as_kafkas_serializers_write_them() {
    assert_eq!(encoded(&i16(), &-2), [0xff, 0xfe]);
    assert_eq!(encoded(&i32(), &1), [0, 0, 0, 1]);
    assert_eq!(encoded(&i64(), &258), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(encoded(&f64(), &1.0), [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&f32(), &-2.0), [0xc0, 0, 0, 0]);
    assert_eq!(encoded(&self::bool(), &true), [1]);
}

#[test]
fn a_uuid_is_written_as_its_text() {
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(encoded(&uuid(), &id), b"01234567-89ab-cdef-0123-456789abcdef");
    comes_back(&uuid(), &id);
}

#[test]
fn windowed_keys_carry_their_times_behind_the_key() {
    let window = Window { start: Timestamp::from_millis(20), end: Timestamp::from_millis(30) };
    let key = Windowed { key: "a".to_owned(), window };
    let timed = time_windowed(string(), Some(10));
    assert_eq!(encoded(&timed, &key), b"a\0\0\0\0\0\0\0\x14");
    comes_back(&timed, &key);
    let session = session_windowed(string());
    assert_eq!(encoded(&session, &key), b"a\0\0\0\0\0\0\0\x1e\0\0\0\0\0\0\0\x14");
    comes_back(&session, &key);
    let endless = Windowed::<String>::serde().decode(Some(&encoded(&timed, &key))).unwrap();
    assert_eq!(endless.window.end.millis(), i64::MAX);
}

#[test]
fn windows_of_a_key_are_hashed_by_the_key_alone() {
    let window = Window { start: Timestamp::from_millis(20), end: Timestamp::from_millis(30) };
    let key = Windowed { key: "a".to_owned(), window };
    let hashed = |bytes: Vec<u8>, suffix: usize| bytes[..bytes.len() - suffix].to_vec();
    for serde in [time_windowed(string(), Some(10)), session_windowed(string())] {
        assert_eq!(hashed(encoded(&serde, &key), serde.unhashed_suffix()), b"a");
        let optional = option(serde);
        assert_eq!(hashed(encoded(&optional, &Some(key.clone())), optional.unhashed_suffix()), b"a");
    }
    assert_eq!(string().unhashed_suffix(), 0);
}

#[test]
fn an_error_says_what_was_expected_and_what_was_found() {
    assert_eq!(i64().decode(Some(b"abc")).unwrap_err().to_string(), "i64 (8 bytes big-endian): found 3 bytes");
    assert_eq!(string().decode(None).unwrap_err().to_string(), "a string (UTF-8): found null");
    assert!(string().decode(Some(&[0xff])).is_err());
    assert!(self::bool().decode(Some(&[2])).is_err());
    assert!(uuid().decode(Some(&[b'z'; 36])).is_err());
}

#[test]
fn only_an_option_takes_a_null() {
    let optional = Option::<String>::serde();
    assert_eq!(optional.decode(None).unwrap(), None);
    assert!(optional.is_null(&None));
    assert!(!optional.is_null(&Some(String::new())));
    assert!(i32().decode(None).is_err());
    assert!(unit().is_null(&()));
    assert!(unit().decode(Some(b"")).is_err());
}

#[test]
fn bincode_refuses_another_version_trailing_bytes_and_endless_lengths() {
    let serde = bincode::<String>();
    let mut bytes = encoded(&serde, &"text".to_owned());
    assert_eq!(bytes[0], 1);
    bytes.push(0);
    assert!(serde.decode(Some(&bytes)).unwrap_err().to_string().contains("1 bytes follow"));
    assert!(serde.decode(Some(&[2, 0])).unwrap_err().to_string().contains("version byte 2"));
    assert!(serde.decode(Some(&[])).is_err());
    assert!(serde.decode(Some(&[1, 253, 255, 255, 255, 255, 255, 255, 255, 127])).is_err());
}

#[test]
fn a_text_is_read_into_the_memory_of_the_last_one() {
    let mut slot = Some(String::with_capacity(100));
    let memory = slot.as_ref().unwrap().as_ptr();
    string().decode_into(Some(b"new"), &mut slot).unwrap();
    assert_eq!(slot.as_deref(), Some("new"));
    assert_eq!(slot.as_ref().unwrap().as_ptr(), memory);
}

proptest! {
    #[test]
    fn what_is_written_comes_back(text: String, bytes: Vec<u8>, number: i64, real in any::<f64>(), delay: Option<i64>) {
        comes_back(&string(), &text);
        comes_back(&byte_vec(), &bytes);
        comes_back(&self::bytes(), &bytes::Bytes::from(bytes));
        comes_back(&i64(), &number);
        comes_back(&u64(), &(number as u64));
        comes_back(&f64(), &real);
        comes_back(&json::<f64>(), &real);
        comes_back(&option(string()), &Some(text.clone()));
        comes_back(&json::<Flight>(), &Flight { carrier: text.clone(), delay });
        comes_back(&bincode::<Flight>(), &Flight { carrier: text.clone(), delay });
        comes_back(&Json::<String>::serde(), &Json(text.clone()));
        comes_back(&Bincode::<String>::serde(), &Bincode(text));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = string().decode(Some(&bytes));
        let _ = uuid().decode(Some(&bytes));
        let _ = json::<Flight>().decode(Some(&bytes));
        let _ = bincode::<Vec<Flight>>().decode(Some(&bytes));
        let _ = time_windowed(string(), Some(1)).decode(Some(&bytes));
        let _ = session_windowed(i64()).decode(Some(&bytes));
    }
}
