//! In which order the changelog of a session store is written when no transaction holds its records together.
//!
//! ```text
//!  a session grows:   delete [a, b], put [a, c]        as the operator does it, and as it is in a transaction
//!  at least once:     put [a, c], delete [a, b]        a crash in between leaves both, and the record is read again
//! ```
//! The other way round, a crash between the two would leave neither, and the records of `[a, b]` are not read again: they
//! would count less than once.

use std::collections::HashMap;

use millstream_state::model::{BufferedRecord, RecordBuffer};
use millstream_state::store::{StoreKind, StoreSpec};

/// Whether any of these stores keeps sessions in a changelog.
pub(super) fn are_among(stores: &[StoreSpec]) -> bool {
    stores.iter().any(|store| matches!(store.kind, StoreKind::Session(_)))
}

/// Puts the deletes of sessions after everything else. Of several changes of a session only the last remains: a delete must
/// not come after the put that was to follow it.
pub(super) fn put_before_deletes(changes: &mut RecordBuffer, stores: &[StoreSpec]) {
    let is_session = |record: &BufferedRecord<'_>| {
        stores.get(record.meta.target as usize).is_some_and(|store| matches!(store.kind, StoreKind::Session(_)))
    };
    let mut last = HashMap::new();
    for (at, record) in changes.iter().enumerate().filter(|(_, record)| is_session(record)) {
        last.insert((record.meta.target, record.key), at);
    }
    let mut ordered = RecordBuffer::default();
    for deletes in [false, true] {
        for (at, record) in changes.iter().enumerate() {
            let session = is_session(&record);
            let is_last = !session || last.get(&(record.meta.target, record.key)) == Some(&at);
            if is_last && deletes == (session && record.value.is_none()) {
                ordered.append(record.meta, record.headers, record.key, record.value);
            }
        }
    }
    *changes = ordered;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use millstream_operators::dsl::{Materialized, SessionWindows, StreamsBuilder};
    use millstream_state::model::{Headers, RecordMeta};

    use super::super::TaskPlan;
    use super::*;

    /// Lost once: a process died between the two records, and a session that had been committed was gone.
    #[test]
    fn a_session_is_deleted_after_the_one_that_replaces_it_is_put() {
        let builder = StreamsBuilder::new();
        let visits = builder.stream::<String, String>("visits").group_by_key();
        visits.count(Materialized::named("all")).to_stream().to("counts");
        let windows = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(1));
        visits.windowed_by(windows).count(Materialized::named("sessions")).to_stream().to("per-session");
        let plan = TaskPlan::new(Arc::new(builder.build().unwrap()), 0);
        let stores = &plan.sub_topology().spec().stores;
        assert!(are_among(stores));
        let of = |name: &str| stores.iter().position(|store| &*store.name == name).unwrap() as u32;
        let (all, sessions) = (of("all"), of("sessions"));

        let mut changes = RecordBuffer::default();
        for (target, key, value) in [
            (sessions, "a", None),
            (sessions, "ab", Some("1")),
            (all, "k", None),
            (sessions, "ab", None),
            (all, "k", Some("2")),
            (sessions, "ab", Some("3")),
            (sessions, "c", Some("4")),
            (sessions, "c", None),
        ] {
            let meta = RecordMeta { target, partition: None, timestamp: None };
            changes.append(meta, &Headers::new(), Some(key.as_bytes()), value.map(str::as_bytes));
        }
        put_before_deletes(&mut changes, stores);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ordered: Vec<_> =
            changes.iter().map(|it| (it.meta.target, text(it.key.unwrap()), it.value.map(text))).collect();
        let record = |target, key: &str, value: Option<&str>| (target, key.to_owned(), value.map(str::to_owned));
        assert_eq!(
            ordered,
            [
                record(all, "k", None),
                record(all, "k", Some("2")),
                record(sessions, "ab", Some("3")),
                record(sessions, "a", None),
                record(sessions, "c", None),
            ]
        );
    }
}
