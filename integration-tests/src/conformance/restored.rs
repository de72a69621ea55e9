//! Restores stores from the recorded changelogs: a program here must be able to go on from Kafka Streams' own.

use anyhow::{Context, Result};
use bytes::Bytes;
use millstream::operators::topology::Topology;
use millstream::state::commit::ChangelogMark;
use millstream::state::engine::MemoryEngine;
use millstream::state::model::{Headers, Offset, Position, RawRecord, Timestamp, TopicId};
use millstream::state::store::{Changelog, StoreId, StoreKind, TaskStores};
use millstream::testing::TestBuffer;

use super::compare::Difference;
use super::stores::{self, Dump};
use super::typed::unhex;
use super::vector::{Internal, Run};
use super::versions;

/// Restores each store that has a recorded changelog and compares what it then holds.
pub(crate) fn compare(application_id: &str, topology: &Topology, run: &Run) -> Result<Option<Difference>> {
    for part in topology.sub_topologies() {
        let specs = &part.spec().stores;
        for (index, spec) in specs.iter().enumerate() {
            let (Changelog::Topic(_), Some(should)) = (&spec.changelog, run.stores.get(&*spec.name)) else { continue };
            let mut restored = TaskStores::open(specs, Box::new(MemoryEngine::new()))?;
            let id = StoreId(index as u32);
            let changelog = format!("{application_id}-{}-changelog", spec.name);
            restore(&mut restored, id, run, &changelog).with_context(|| format!("restoring from {changelog}"))?;
            let difference = if spec.kind == StoreKind::TimeOrderedBuffer {
                stores::buffer(&spec.name, should, waiting(&restored, id)?)
            } else if should.kind == versions::KIND {
                versions::of_stores(&mut restored, id, (&spec.name, should))?
            } else {
                let is = dump(&mut restored, id)?;
                stores::content(&spec.name, should, is, &|key| Ok(restored.stored_key(id, key)?))?
            };
            if let Some(mut difference) = difference {
                difference.place = format!("restored from {changelog}: {}", difference.place);
                return Ok(Some(difference));
            }
        }
    }
    Ok(None)
}

fn restore(stores: &mut TaskStores, store: StoreId, run: &Run, changelog: &str) -> Result<()> {
    let records = run.internal.get(changelog).map(Vec::as_slice).unwrap_or_default();
    let bytes = |text: &Option<String>| text.as_deref().map(unhex).transpose();
    let bytes = records.iter().map(|record| Ok((bytes(&record.key_hex)?, bytes(&record.value_hex)?)));
    let bytes = bytes.collect::<Result<Vec<_>>>()?;
    let headers = records.iter().map(headers).collect::<Result<Vec<_>>>()?;
    let mut raw = records.iter().zip(&bytes).enumerate().map(|(index, (record, (key, value)))| RawRecord {
        offset: Offset::new(index as i64),
        timestamp: Timestamp::from_millis(record.timestamp.unwrap_or(-1)),
        key: key.as_deref(),
        value: value.as_deref(),
        headers: &headers[index],
    });
    let position = Position::new(records.len() as i64);
    let mark = ChangelogMark { topic: TopicId(1), position, applied_at: Timestamp::from_millis(0) };
    stores.restore(store, &mut raw, mark)?;
    Ok(())
}

fn headers(record: &Internal) -> Result<Headers> {
    let mut headers = Headers::new();
    for (name, value) in &record.headers_hex {
        headers.add(name.as_str(), value.as_deref().map(unhex).transpose()?.map(Bytes::from));
    }
    Ok(headers)
}

fn waiting(stores: &TaskStores, store: StoreId) -> Result<TestBuffer> {
    Ok(TestBuffer {
        records: stores.buffer_len(store)?,
        bytes: stores.buffer_bytes(store)?,
        first_time: stores.buffer_first_time(store)?,
    })
}

fn dump(stores: &mut TaskStores, store: StoreId) -> Result<Dump> {
    let entries = stores.all(store)?;
    entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).map_err(Into::into)).collect()
}
