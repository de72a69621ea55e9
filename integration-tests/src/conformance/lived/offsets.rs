//! Offsets in the changelog of a suppress buffer, as a log without control records counts them.
//!
//! A buffered record is written with the place that it came from: `timestamp(8) offset(8) length(4) topic partition(4) …`. In
//! a topic that the application writes itself, each transaction's control record takes an offset too; the reference's
//! driver has none. So the offset is translated to the number of records before it, which is what the driver writes:
//! whatever else differs, a wrong place too, still shows.

use std::sync::Arc;

use millstream::operators::topology::Topology;
use millstream::state::store::{Changelog, StoreKind};

use super::super::compare::Written;

/// Where the offset is in a value.
const OFFSET: std::ops::Range<usize> = 8..16;

/// Where the length of the topic's name is.
const LENGTH: std::ops::Range<usize> = 16..20;

/// The changelogs of a topology's buffers.
pub(super) fn changelogs(application_id: &str, topology: &Topology) -> Vec<String> {
    let specs = topology.sub_topologies().iter().flat_map(|part| &part.spec().stores);
    let buffers = specs
        .filter(|spec| spec.kind == StoreKind::TimeOrderedBuffer && matches!(spec.changelog, Changelog::Topic(_)))
        .map(|spec| format!("{application_id}-{}-changelog", spec.name));
    buffers.collect()
}

/// Translates the offset in a record of such a changelog. `offsets` answers those of a partition's records, in order; an
/// offset at which there is no record stays as it is.
pub(super) fn translate(record: &mut Written, offsets: &mut dyn FnMut(&Arc<str>, i32) -> Vec<i64>) {
    let Some(value) = &mut record.value else { return };
    let Some((offset, topic, partition)) = place(value) else { return };
    let Some(number) = offsets(&topic, partition).iter().position(|at| *at == offset) else { return };
    value[OFFSET].copy_from_slice(&(number as i64).to_be_bytes());
}

fn place(value: &[u8]) -> Option<(i64, Arc<str>, i32)> {
    let offset = i64::from_be_bytes(value.get(OFFSET)?.try_into().ok()?);
    let length = u32::from_be_bytes(value.get(LENGTH)?.try_into().ok()?) as usize;
    let topic_end = LENGTH.end.checked_add(length)?;
    let topic = std::str::from_utf8(value.get(LENGTH.end..topic_end)?).ok()?;
    let partition = i32::from_be_bytes(value.get(topic_end..topic_end + 4)?.try_into().ok()?);
    Some((offset, topic.into(), partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffered(offset: i64, topic: &str, partition: i32) -> Written {
        let mut value = 7i64.to_be_bytes().to_vec();
        value.extend(offset.to_be_bytes());
        value.extend((topic.len() as u32).to_be_bytes());
        value.extend(topic.as_bytes());
        value.extend(partition.to_be_bytes());
        value.extend(b"rest");
        Written { key: Some(b"k".to_vec()), value: Some(value), timestamp: None, headers: Vec::new() }
    }

    /// Records at 0, 2 and 4 of partition 1, with a control record after each.
    fn offsets(topic: &Arc<str>, partition: i32) -> Vec<i64> {
        if (&**topic, partition) == ("in", 1) { vec![0, 2, 4] } else { Vec::new() }
    }

    fn translated(mut record: Written) -> Written {
        translate(&mut record, &mut offsets);
        record
    }

    #[test]
    fn an_offset_becomes_the_number_of_records_before_it() {
        assert_eq!(translated(buffered(4, "in", 1)), buffered(2, "in", 1));
    }

    #[test]
    fn an_offset_at_which_there_is_no_record_stays() {
        assert_eq!(translated(buffered(3, "in", 1)), buffered(3, "in", 1));
        assert_eq!(translated(buffered(4, "in", 0)), buffered(4, "in", 0));
    }

    #[test]
    fn a_tombstone_and_a_short_value_stay() {
        let tombstone = Written { value: None, ..buffered(4, "in", 1) };
        assert_eq!(translated(tombstone.clone()), tombstone);
        let short = Written { value: Some(vec![0; 18]), ..buffered(4, "in", 1) };
        assert_eq!(translated(short.clone()), short);
    }
}
