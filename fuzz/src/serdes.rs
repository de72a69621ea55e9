//! The serdes of the built-in types, JSON and bincode.

use std::collections::BTreeMap;
use std::fmt::Debug;

use arbitrary::Arbitrary;
use bytes::Bytes;
use millstream_state::serdes::{self, Bincode, DefaultSerde, Json};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Must as _;
use crate::{canonical, encoded, reread, round_trip};

/// A type of one's own, with what serde knows of shapes.
#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    One(i64),
    Several(u8, i128, char),
    Named { text: String, list: Vec<u16>, map: BTreeMap<String, Option<bool>>, bytes: Vec<u8> },
    Nested(Option<(u64, i8)>, [u32; 3], ()),
    Number(f64),
}

#[derive(Arbitrary, Debug)]
struct Parts {
    text: String,
    bytes: Vec<u8>,
    signed: (i16, i32, i64),
    unsigned: (u32, u64),
    float: (f32, f64),
    flag: bool,
    uuid: u128,
    shapes: Vec<Shape>,
}

/// Checks all serdes.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary(bytes) {
        made(parts);
    }
    numbers_read(bytes);
    texts_read(bytes);
    own_types_read(bytes);
}

/// A value comes back, also into a slot that holds another, and as an option.
fn comes_back<T: DefaultSerde + Clone + PartialEq + Debug>(value: T, other: T) {
    let serde = T::serde();
    round_trip(&*serde, &value);
    let mut slot = Some(other);
    serde.decode_into(Some(&encoded(&*serde, &value)), &mut slot).must("what was written can be read");
    assert_eq!(slot.as_ref(), Some(&value));
    let optional = Option::<T>::serde();
    assert!(optional.is_null(&None) && optional.decode(None).is_ok_and(|none| none.is_none()));
    round_trip(&*optional, &Some(value));
}

fn made(parts: Parts) {
    comes_back(parts.text.clone(), "other".to_owned());
    comes_back(parts.bytes.clone(), vec![1]);
    comes_back(Bytes::from(parts.bytes), Bytes::from_static(&[1]));
    comes_back(parts.signed.0, 1);
    comes_back(parts.signed.1, 1);
    comes_back(parts.signed.2, 1);
    comes_back(parts.unsigned.0, 1);
    comes_back(parts.unsigned.1, 1);
    comes_back(parts.flag, true);
    comes_back(Uuid::from_u128(parts.uuid), Uuid::nil());
    // Numbers that are none are not equal to themselves.
    let (single, double) = (f32::serde(), f64::serde());
    let back = single.decode(Some(&encoded(&*single, &parts.float.0))).must("what was written can be read");
    assert_eq!(back.to_bits(), parts.float.0.to_bits());
    let back = double.decode(Some(&encoded(&*double, &parts.float.1))).must("what was written can be read");
    assert_eq!(back.to_bits(), parts.float.1.to_bits());
    for shape in parts.shapes {
        // JSON has no numbers that are none.
        if matches!(shape, Shape::Number(number) if !number.is_finite()) {
            let bits = |shape: Shape| if let Shape::Number(number) = shape { number.to_bits() } else { 0 };
            let serde = serdes::bincode::<Shape>();
            let back = serde.decode(Some(&encoded(&*serde, &shape))).must("what was written can be read");
            assert_eq!(bits(back), bits(shape));
            continue;
        }
        comes_back(Json(shape.clone()), Json(Shape::Unit));
        comes_back(Bincode(shape), Bincode(Shape::Unit));
    }
}

fn numbers_read(bytes: &[u8]) {
    canonical(&*serdes::i16(), bytes);
    canonical(&*serdes::i32(), bytes);
    canonical(&*serdes::i64(), bytes);
    canonical(&*serdes::u32(), bytes);
    canonical(&*serdes::u64(), bytes);
    canonical(&*serdes::bool(), bytes);
    // Compared as bytes: a number that is none is not equal to itself.
    let (single, double) = (f32::serde(), f64::serde());
    let again = single.decode(Some(bytes)).ok().map(|value| encoded(&*single, &value));
    assert_eq!(again.as_deref(), (bytes.len() == 4).then_some(bytes));
    let again = double.decode(Some(bytes)).ok().map(|value| encoded(&*double, &value));
    assert_eq!(again.as_deref(), (bytes.len() == 8).then_some(bytes));
    assert!(serdes::unit().decode(Some(bytes)).is_err());
    for refused in [serdes::i64().decode(None).is_err(), serdes::uuid().decode(None).is_err()] {
        assert!(refused, "a null is no value");
    }
}

fn texts_read(bytes: &[u8]) {
    canonical(&*serdes::string(), bytes);
    canonical(&*serdes::byte_vec(), bytes);
    canonical(&*serdes::bytes(), bytes);
    canonical(&*serdes::option(serdes::string()), bytes);
    if let Some(uuid) = reread(&*serdes::uuid(), bytes) {
        // Both cases are read.
        assert_eq!(encoded(&*serdes::uuid(), &uuid), bytes.to_ascii_lowercase());
    }
    assert_eq!(serdes::string().decode(Some(bytes)).is_ok(), std::str::from_utf8(bytes).is_ok());
}

fn own_types_read(bytes: &[u8]) {
    json_read::<Shape>(bytes);
    json_read::<BTreeMap<String, Vec<i32>>>(bytes);
    json_read::<serde_json::Value>(bytes);
    bincode_read::<Shape>(bytes);
    bincode_read::<(String, Vec<Shape>)>(bytes);
    bincode_read::<BTreeMap<u16, Option<Vec<u8>>>>(bytes);
    bincode_read::<Vec<String>>(bytes);
}

fn json_read<T: OwnType>(bytes: &[u8]) {
    reread(&*serdes::json::<T>(), bytes);
}

fn bincode_read<T: OwnType>(bytes: &[u8]) {
    let serde = serdes::bincode::<T>();
    // Compared as bytes: a number that is none may be among them.
    if let Ok(value) = serde.decode(Some(bytes)) {
        let again = encoded(&*serde, &value);
        let back = serde.decode(Some(&again)).must("what was written can be read");
        assert_eq!(encoded(&*serde, &back), again);
    }
    let with_version = [&[1], bytes].concat();
    if let Ok(value) = serde.decode(Some(&with_version)) {
        // Written as short as can be, which what was read need not have been.
        assert!(encoded(&*serde, &value).len() <= with_version.len());
    }
}

trait OwnType: Serialize + for<'de> Deserialize<'de> + PartialEq + Debug + 'static {}

impl<T: Serialize + for<'de> Deserialize<'de> + PartialEq + Debug + 'static> OwnType for T {}
