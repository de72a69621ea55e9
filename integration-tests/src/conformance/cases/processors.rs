//! Processors of the user's own, and the stores they use.

use std::time::Duration;

use millstream::operators::dsl::StreamsBuilder;
use millstream::operators::processor::{
    FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValueStore, Outcome, Processor, ProcessorContext,
    Punctuation, SessionStore, Stores, Timer, TimestampedKeyValueStore, VersionedKeyValueStore, WindowEntries,
    WindowStore,
};
use millstream::operators::push::Record;
use millstream::state::model::{Timestamp, Window, Windowed};
use millstream::state::store::{Placed, Version};

use super::windows::named;
use super::{Journal, Recipe, Text, show};

pub(super) const CASES: &[(&str, Recipe)] = &[
    ("process-kv-store", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, i64>("st"));
        b.stream::<Text, Text>("in").process(&st, Counting).to("out");
    }),
    ("process-store-operations", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, String>("st"));
        b.stream::<String, String>("in").process(&st, Operations).to("out");
    }),
    ("process-cached-store", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, String>("st").caching(true));
        b.stream::<String, String>("in").process(&st, Rewriting).to("out");
    }),
    ("process-timestamped-store", |b, _| {
        let st = b.add_state_store(Stores::timestamped_key_value::<String, Text>("st"));
        b.stream::<String, Text>("in").process(&st, Latest).to("out");
    }),
    ("process-window-store", |b, _| {
        let times = (Duration::from_secs(10), Duration::from_secs(30));
        let ws = b.add_state_store(Stores::window::<String, Text>("ws", times.0, times.1));
        let wd = b.add_state_store(Stores::window::<String, Text>("wd", times.0, times.1).retain_duplicates());
        b.stream::<String, Text>("in").process((&ws, &wd), |(ws, wd)| Windows { ws, wd }).to("out");
    }),
    ("process-session-store", |b, _| {
        let ss = b.add_state_store(Stores::session::<String, Text>("ss", Duration::from_secs(60)));
        b.stream::<String, Text>("in").process(&ss, Sessions).to("out");
    }),
    ("process-versioned-store", |b, _| {
        let store = Stores::versioned::<String, Text>("vs", Duration::from_millis(20_000));
        let vs = b.add_state_store(store.segment_interval(Duration::from_millis(5_000)));
        b.stream::<String, Text>("in").process(&vs, Versions).to("out");
    }),
    ("process-values-fixed-key", process_values_fixed_key),
    ("process-then-group", process_then_group),
    ("punctuate-wall-clock", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, Text>("st"));
        b.stream::<String, Text>("in").process(&st, Draining).to("out");
    }),
    ("punctuate-stream-time", |b, _| b.stream::<Text, Text>("in").process((), |()| Ticking).to("out")),
    ("punctuate-cancel", |b, _| {
        b.stream::<Text, Text>("in").process((), |()| Cancelling::default()).to("out");
    }),
    ("read-kv-store", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, Text>("st"));
        b.stream::<String, Text>("in").process(&st, Keeping);
    }),
    ("read-kv-store-in-memory", |b, _| {
        let st = b.add_state_store(Stores::key_value::<String, Text>("st").in_memory());
        b.stream::<String, Text>("in").process(&st, Keeping);
    }),
];

type Cx<'a, V> = ProcessorContext<'a, Text, V>;

/// Counts keys, and forgets those with a null value.
struct Counting(KeyValueStore<String, i64>);

impl Processor<Text, Text, Text, i64> for Counting {
    fn process(&mut self, cx: &mut Cx<'_, i64>, record: Record<'_, Text, Text>) -> Outcome {
        let Some(key) = record.key else {
            return cx.forward(record.with_key(&Some("null-key".to_owned())).with_value(&-1));
        };
        if record.value.is_none() {
            self.0.delete(cx, key)?;
            return Ok(());
        }
        let count = self.0.get(cx, key)?.unwrap_or(0) + 1;
        self.0.put(cx, key, count)?;
        cx.forward(record.with_value(&count))?;
        if count % 3 == 0 {
            let later = Timestamp::from_millis(record.timestamp.millis() + 7);
            cx.forward(record.with_key(&Some(format!("{key}!"))).with_value(&count).with_timestamp(later))?;
        }
        Ok(())
    }
}

/// Does to the store what the value says.
struct Operations(KeyValueStore<String, String>);

impl Processor<String, String, String, String> for Operations {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Outcome {
        let (store, key) = (&self.0, record.key);
        let result = match record.value.as_str() {
            "p" => show(&store.put_if_absent(cx, key, record.timestamp.to_string())?),
            "q" => show(&store.delete(cx, key)?),
            "r" => {
                store.set(cx, key, None)?;
                "put-null".to_owned()
            }
            "s" => show(&store.get(cx, key)?),
            value => {
                store.put(cx, key, value.to_owned())?;
                "put".to_owned()
            }
        };
        cx.forward(record.with_value(&format!("{}={result}", record.value)))
    }
}

/// Writes several times to the same keys.
struct Rewriting(KeyValueStore<String, String>);

impl Processor<String, String, String, String> for Rewriting {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, String>,
    ) -> Outcome {
        let (key, value, y) = (record.key, record.value, "y".to_owned());
        self.0.put(cx, key, value.clone())?;
        self.0.put(cx, &"z".to_owned(), key.clone())?;
        self.0.put(cx, key, value.repeat(2))?;
        self.0.delete(cx, &y)?;
        if value.as_str() > "s" {
            self.0.put(cx, &y, value.clone())?;
        }
        cx.forward(record)
    }
}

/// Keeps the record with the largest time.
struct Latest(TimestampedKeyValueStore<String, Text>);

impl Processor<String, Text, String, Text> for Latest {
    fn process(&mut self, cx: &mut ProcessorContext<'_, String, Text>, record: Record<'_, String, Text>) -> Outcome {
        match self.0.get(cx, record.key)?.filter(|old| old.timestamp > record.timestamp) {
            None => {
                self.0.put(cx, record.key, record.value.clone(), record.timestamp)?;
                cx.forward(record)
            }
            Some(old) => {
                let late = Some(format!("late-{}", show(record.value)));
                cx.forward(record.with_value(&late).with_timestamp(old.timestamp))
            }
        }
    }
}

/// Keeps values by window, and shows what is there.
struct Windows {
    ws: WindowStore<String, Text>,
    wd: WindowStore<String, Text>,
}

impl Processor<String, Text, String, Text> for Windows {
    fn process(&mut self, cx: &mut ProcessorContext<'_, String, Text>, record: Record<'_, String, Text>) -> Outcome {
        let (key, time) = (record.key, record.timestamp.millis());
        let at = Timestamp::from_millis;
        self.ws.put(cx, key, record.value.clone(), at(time / 10_000 * 10_000))?;
        if record.value.is_some() {
            self.wd.put(cx, key, record.value.clone(), at(time))?;
        }
        let show = |found: WindowEntries<'_, String, Text>| {
            let line = |(key, value): (Windowed<String>, Text)| format!("{}:{} ", key.window.start, show(&value));
            found.map(|entry| entry.map(line)).collect::<Result<String, _>>()
        };
        let since = show(self.ws.fetch(cx, key, at(time - 20_000), at(time))?)?;
        let back = show(self.wd.backward_fetch(cx, key, at(time - 5_000), at(time))?)?;
        cx.forward(record.with_value(&Some(format!("{since}/{back}"))))
    }
}

/// Merges sessions by hand.
struct Sessions(SessionStore<String, Text>);

impl Processor<String, Text, String, Text> for Sessions {
    fn process(&mut self, cx: &mut ProcessorContext<'_, String, Text>, record: Record<'_, String, Text>) -> Outcome {
        let (key, time, gap) = (record.key, record.timestamp, 4000);
        let (since, until) = (time.millis() - gap, time.millis() + gap);
        let found = self.0.find_sessions(cx, key, Timestamp::from_millis(since), Timestamp::from_millis(until))?;
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let mut session = Window { start: time, end: time };
        let mut text = String::new();
        for (key, value) in &found {
            session.start = session.start.min(key.window.start);
            session.end = session.end.max(key.window.end);
            text.push_str(&show(value));
        }
        text.push_str(&show(record.value));
        for (key, _) in &found {
            self.0.remove(cx, &key.key, key.window)?;
        }
        self.0.put(cx, key, session, Some(text.clone()))?;
        cx.forward(record.with_value(&Some(format!("{}-{}:{text}", session.start, session.end))))
    }
}

/// Puts and deletes versions, and looks back.
struct Versions(VersionedKeyValueStore<String, Text>);

impl Processor<String, Text, String, Text> for Versions {
    fn process(&mut self, cx: &mut ProcessorContext<'_, String, Text>, record: Record<'_, String, Text>) -> Outcome {
        let (key, time) = (record.key, record.timestamp);
        let at = |version: &Version<Text>| format!("{}@{}", show(&version.value), version.valid_from);
        let done = if record.value.as_deref() == Some("p") {
            show(&self.0.delete(cx, key, time)?.as_ref().map(at))
        } else {
            match self.0.set(cx, key, record.value.clone().map(Some), time)? {
                Placed::Latest => "-1".to_owned(),
                Placed::Until(end) => end.to_string(),
                Placed::TooOld => i64::MIN.to_string(),
            }
        };
        let before = self.0.get_as_of(cx, key, Timestamp::from_millis(time.millis() - 3000))?;
        // The reference's processors are not told until when a version was valid; ours are.
        let before = before.as_ref().map(|version| format!("{}..-", at(version)));
        cx.forward(record.with_value(&Some(format!("{}={done}/{}", show(record.value), show(&before)))))
    }
}

/// Passes changes of value on, a "p" twice.
struct Changes(KeyValueStore<String, Text>);

impl FixedKeyProcessor<Text, Text, Text> for Changes {
    fn process(
        &mut self,
        cx: &mut FixedKeyContext<'_, '_, Text, Text>,
        record: FixedKeyRecord<'_, Text, Text>,
    ) -> Outcome {
        let Some(key) = record.key() else { return Ok(()) };
        if self.0.get(cx, key)?.flatten() == *record.value() {
            return Ok(());
        }
        self.0.put(cx, key, record.value().clone())?;
        cx.forward(record)?;
        if record.value().as_deref() == Some("p") {
            cx.forward(record.with_value(&Some("p2".to_owned())))?;
        }
        Ok(())
    }
}

fn process_values_fixed_key(b: &StreamsBuilder, _: &Journal) {
    let last = b.add_state_store(Stores::key_value::<String, Text>("last"));
    let changes = b.stream::<Text, Text>("in").process_values(&last, Changes);
    changes.group_by_key().count(named("cnt")).to_stream().to("out");
}

fn process_then_group(b: &StreamsBuilder, _: &Journal) {
    let same = |cx: &mut Cx<'_, Text>, record: Record<'_, Text, Text>| cx.forward(record);
    let processed = b.stream::<Text, Text>("in").process((), move |()| same);
    processed.group_by_key().count(named("cnt")).to_stream().to("out");
}

/// Hands out once a second what it has kept.
struct Draining(KeyValueStore<String, Text>);

impl Processor<String, Text, String, Text> for Draining {
    fn init(&mut self, cx: &mut ProcessorContext<'_, String, Text>) -> Outcome {
        cx.schedule(Duration::from_millis(1000), Punctuation::WallClock);
        Ok(())
    }

    fn process(&mut self, cx: &mut ProcessorContext<'_, String, Text>, record: Record<'_, String, Text>) -> Outcome {
        Ok(self.0.put(cx, record.key, record.value.clone())?)
    }

    fn punctuate(&mut self, cx: &mut ProcessorContext<'_, String, Text>, _: Timer, now: Timestamp) -> Outcome {
        let kept = self.0.all(cx)?.collect::<Result<Vec<_>, _>>()?;
        if kept.is_empty() {
            cx.forward(Record::new(&"empty".to_owned(), &Some(now.to_string()), now))?;
        }
        for (key, value) in kept {
            cx.forward(Record::new(&key, &Some(format!("{}@{now}", show(&value))), now))?;
            self.0.delete(cx, &key)?;
        }
        Ok(())
    }
}

/// Says how late it is every five seconds of stream time.
struct Ticking;

impl Processor<Text, Text, Text, Text> for Ticking {
    fn init(&mut self, cx: &mut Cx<'_, Text>) -> Outcome {
        cx.schedule(Duration::from_millis(5000), Punctuation::StreamTime);
        Ok(())
    }

    fn process(&mut self, cx: &mut Cx<'_, Text>, record: Record<'_, Text, Text>) -> Outcome {
        cx.forward(record)
    }

    fn punctuate(&mut self, cx: &mut Cx<'_, Text>, _: Timer, now: Timestamp) -> Outcome {
        cx.forward(Record::new(&Some("tick".to_owned()), &Some(now.to_string()), now))
    }
}

/// Two timers, one of which ends itself after three calls.
#[derive(Default)]
struct Cancelling {
    stream: Option<Timer>,
    calls: u32,
}

impl Processor<Text, Text, Text, Text> for Cancelling {
    fn init(&mut self, cx: &mut Cx<'_, Text>) -> Outcome {
        self.stream = Some(cx.schedule(Duration::from_millis(2000), Punctuation::StreamTime));
        cx.schedule(Duration::from_millis(700), Punctuation::WallClock);
        Ok(())
    }

    fn process(&mut self, _: &mut Cx<'_, Text>, _: Record<'_, Text, Text>) -> Outcome {
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Cx<'_, Text>, timer: Timer, now: Timestamp) -> Outcome {
        let which = if self.stream == Some(timer) { "s" } else { "w" };
        cx.forward(Record::new(&Some(which.to_owned()), &Some(now.to_string()), now))?;
        if self.stream == Some(timer) {
            self.calls += 1;
            if self.calls == 3 {
                cx.cancel(timer);
            }
        }
        Ok(())
    }
}

/// Keeps the last value of each key.
struct Keeping(KeyValueStore<String, Text>);

impl Processor<String, Text, (), ()> for Keeping {
    fn process(&mut self, cx: &mut ProcessorContext<'_, (), ()>, record: Record<'_, String, Text>) -> Outcome {
        Ok(self.0.put(cx, record.key, record.value.clone())?)
    }
}
