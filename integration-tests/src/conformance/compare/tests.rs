//! The comparer must agree with a perfect run, and notice any change of it.

use super::super::typed::unhex;
use super::super::vector::CaseFile;
use super::*;

fn cases() -> Vec<CaseFile> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let values = texts.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let values = values.map(|path| serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap());
    values.filter(|value| value.get("runs").is_some()).map(|value| serde_json::from_value(value).unwrap()).collect()
}

fn sinks(file: &CaseFile) -> SinkTypes {
    let types = |text: &str| Type::parse(text).unwrap();
    file.sinks.iter().map(|sink| (sink.topic.clone(), (types(&sink.key), types(&sink.value)))).collect()
}

/// What a runtime that does everything as recorded would have done.
fn perfect(run: &Run, sinks: &SinkTypes) -> Played {
    let mut played = Played::default();
    let hex = |text: &Option<String>| text.as_deref().map(|text| unhex(text).unwrap());
    for (topic, records) in &run.outputs {
        let (key, value) = sinks[topic];
        let written = records.iter().map(|record| Written {
            key: key.encode(&record.key).unwrap(),
            value: value.encode(&record.value).unwrap(),
            timestamp: record.timestamp,
            headers: record
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_ref().map(|text| text.clone().into_bytes())))
                .collect(),
        });
        played.written.insert(topic.clone(), written.collect());
    }
    for (topic, records) in &run.internal {
        let written = records.iter().map(|record| Written {
            key: hex(&record.key_hex),
            value: hex(&record.value_hex),
            timestamp: record.timestamp,
            headers: record.headers_hex.iter().map(|(name, value)| (name.clone(), hex(value))).collect(),
        });
        played.written.insert(topic.clone(), written.collect());
    }
    let counts = |step: usize| {
        let all = run.outputs_after.iter().chain(&run.internal_after);
        all.filter_map(|(topic, after)| Some((topic.clone(), *after.get(step)?))).collect()
    };
    played.after = (0..run.steps.len()).map(counts).collect();
    played.error = run.error.as_ref().map(|error| (error.step, "failed".to_owned()));
    played
}

#[test]
fn every_recorded_run_agrees_with_itself() {
    let mut runs = 0;
    for file in cases() {
        let sinks = sinks(&file);
        for run in &file.runs {
            let difference = records(run, &sinks, &perfect(run, &sinks), Order::Exact).unwrap();
            assert_eq!(difference, None, "{}, {}", file.case, run.label());
            runs += 1;
        }
    }
    assert!(runs > 200, "{runs}");
}

#[test]
fn any_changed_missing_or_late_record_is_noticed() {
    type Change = fn(&mut Played, &str);
    let changes: [(&str, Change); 6] = [
        ("timestamp", |played, topic| played.written.get_mut(topic).unwrap()[0].timestamp = Some(-77)),
        ("value", |played, topic| played.written.get_mut(topic).unwrap()[0].value = Some(b"?".to_vec())),
        ("key", |played, topic| played.written.get_mut(topic).unwrap()[0].key = Some(b"?12345678".to_vec())),
        ("headers", |played, topic| played.written.get_mut(topic).unwrap()[0].headers.push(("h".into(), None))),
        ("missing topic", |played, topic| drop(played.written.remove(topic))),
        ("late", |played, topic| {
            let first = played.after.iter_mut().find(|after| after.get(topic).is_some_and(|count| *count > 0)).unwrap();
            *first.get_mut(topic).unwrap() -= 1;
        }),
    ];
    for file in cases() {
        let sinks = sinks(&file);
        for run in &file.runs {
            let full = perfect(run, &sinks);
            for topic in full.written.iter().filter(|(_, records)| !records.is_empty()).map(|(topic, _)| topic) {
                for (what, change) in changes {
                    let mut played = perfect(run, &sinks);
                    change(&mut played, topic);
                    let noticed = records(run, &sinks, &played, Order::Exact).unwrap().is_some();
                    assert!(noticed, "{what} of {topic} in {}, {}", file.case, run.label());
                }
            }
        }
    }
}

#[test]
fn a_record_in_a_topic_that_should_not_be_there_is_noticed() {
    let file = &cases()[0];
    let (sinks, run) = (sinks(file), &file.runs[0]);
    let mut played = perfect(run, &sinks);
    let record = played.written.values().flatten().next().unwrap().clone();
    played.written.insert("elsewhere".to_owned(), vec![record]);
    played.after.last_mut().unwrap().insert("elsewhere".to_owned(), 1);
    assert!(records(run, &sinks, &played, Order::Exact).unwrap().is_some());
}

#[test]
fn a_run_that_fails_elsewhere_is_noticed() {
    let file = &cases()[0];
    let (sinks, run) = (sinks(file), &file.runs[0]);
    let mut played = perfect(run, &sinks);
    played.error = Some((1, "failed".to_owned()));
    assert!(records(run, &sinks, &played, Order::Exact).unwrap().is_some());
}
