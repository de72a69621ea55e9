//! Plays the steps of a run through the test driver and writes down what happens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use millstream::operators::topology::Topology;
use millstream::state::engine::Storage;
use millstream::state::model::{Headers, Timestamp};
use millstream::testing::{RawTestRecord, TestConfig, TopologyTestDriver};

use super::compare::{Played, Written};
use super::typed::Type;
use super::vector::{CaseFile, Pipe, Run, Step};

/// A driver for one run of a case.
pub(crate) fn driver(file: &CaseFile, topology: Topology, storage: Arc<dyn Storage>) -> Result<TopologyTestDriver> {
    let setting = |name: &str| file.config.get(name).ok_or_else(|| anyhow!("config has no {name}"));
    let config = TestConfig {
        application_id: setting("application.id")?.as_str().unwrap_or_default().to_owned(),
        cache_max_bytes: file.cache_max_bytes(),
        wall_clock: Timestamp::from_millis(0),
        storage,
        emit_pauses: true,
        ..TestConfig::default()
    };
    Ok(TopologyTestDriver::new(topology, config)?)
}

/// Plays all steps, or until one fails.
pub(crate) fn play(file: &CaseFile, run: &Run, driver: &TopologyTestDriver) -> Result<Played> {
    let mut played = Played::default();
    for (index, step) in run.steps.iter().enumerate() {
        let outcome = match step {
            Step::Pipe(pipe) => driver.pipe_raw(&pipe.topic, raw(file, pipe)?),
            Step::AdvanceWallClockMs(millis) => {
                driver.advance_wall_clock(Duration::from_millis(u64::try_from(*millis)?))
            }
        };
        let counts = driver.written_topics().into_iter().map(|(topic, count)| (topic.to_string(), count));
        played.after.push(counts.collect());
        if let Err(error) = outcome {
            played.error = Some((index, error.to_string()));
            break;
        }
    }
    for (topic, _) in driver.written_topics() {
        let records = driver.written(&topic).into_iter().map(written).collect();
        played.written.insert(topic.to_string(), records);
    }
    Ok(played)
}

pub(super) fn raw(file: &CaseFile, pipe: &Pipe) -> Result<RawTestRecord> {
    let types = file
        .inputs
        .iter()
        .chain(&file.sinks)
        .find(|types| types.topic == pipe.topic)
        .ok_or_else(|| anyhow!("the file declares no types for topic {}", pipe.topic))?;
    let encode =
        |of_type: &str, value| Type::parse(of_type)?.encode(value).with_context(|| format!("topic {}", pipe.topic));
    let mut headers = Headers::new();
    for (name, value) in &pipe.headers {
        headers.add(name.as_str(), value.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes())));
    }
    Ok(RawTestRecord {
        key: encode(&types.key, &pipe.key)?,
        value: encode(&types.value, &pipe.value)?,
        timestamp: Some(Timestamp::from_millis(pipe.timestamp)),
        headers,
    })
}

pub(super) fn written(record: RawTestRecord) -> Written {
    Written {
        key: record.key,
        value: record.value,
        timestamp: record.timestamp.map(Timestamp::millis),
        headers: record
            .headers
            .iter()
            .map(|header| (header.name.to_string(), header.value.as_ref().map(|value| value.to_vec())))
            .collect(),
    }
}
