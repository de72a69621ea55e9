//! Counts the words of a text: the smallest whole program.
//!
//! ```text
//!   text ──▶ APP.lines ──▶ words ──▶ group by word ──▶ count ──▶ APP.word-counts
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use millstream::broker::embedded::EmbeddedBroker;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream::broker::{Broker, OutRecord, ProducerSettings};
use millstream::clock::SystemClock;
use millstream::prelude::*;
use millstream_examples::calls::{self, answer, notifying, progress};
use millstream_examples::drained::{Drained, Status};
use millstream_examples::{logs, outputs, screen, topics};
use tokio::time::{Duration, sleep};

/// Shipped inside the program; see `examples/data/README.md`.
const TEXT: &str = include_str!("../../data/mill.txt");

/// Partitions of both topics.
const PARTITIONS: i32 = 2;

/// Counts the words of a text.
///
/// Without --bootstrap-servers everything happens in this process, on the embedded broker. On a real Kafka each run adds
/// its text to what is there.
#[derive(Parser)]
#[command(name = "word_count", version)]
struct Cli {
    /// A text to count instead of the one that comes with the program
    text: Option<PathBuf>,

    /// A Kafka cluster to run on, as HOST:PORT[,HOST:PORT...]
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,

    /// Names the group, the topics and the state
    #[arg(long, default_value = "word-count", value_name = "NAME")]
    application_id: String,

    /// How many of the most frequent words to show
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
}

fn topology(lines: &str, counts: &str) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>(lines)
        .flat_map_values(|line| words(line))
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to(counts);
    Ok(builder.build()?)
}

fn words(line: &str) -> Vec<String> {
    line.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    logs::init("warn");
    screen::ended(run(&cli).await)
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let text = match &cli.text {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        None => TEXT.to_owned(),
    };
    let broker: Arc<dyn Broker> = match &cli.bootstrap_servers {
        Some(servers) => Arc::new(KafkaBroker::new(KafkaSettings::new(servers))?),
        None => Arc::new(EmbeddedBroker::new(Arc::new(SystemClock::default()))),
    };
    let app = &cli.application_id;
    let lines: Arc<str> = format!("{app}.lines").into();
    let counts: Arc<str> = format!("{app}.word-counts").into();
    let create = vec![
        topics::topic(lines.clone(), PARTITIONS, &[]),
        topics::topic(counts.clone(), PARTITIONS, &[("cleanup.policy", "compact")]),
    ];
    if let Some(servers) = &cli.bootstrap_servers {
        calls::reach(&*broker, &lines).await.with_context(|| format!("no Kafka broker answers at {servers}"))?;
    }
    topics::create(&*broker.admin(), create).await?;
    produce(&*broker, app, &lines, &text).await?;

    let scratch = tempfile::tempdir().context("a folder for temporary files")?;
    let servers = cli.bootstrap_servers.as_deref().unwrap_or("embedded");
    let mut config = StreamsConfig::new(app, servers).commit_interval(Duration::from_millis(100));
    if cli.bootstrap_servers.is_none() {
        // What the embedded broker holds ends with the process; so does the state that belongs to it.
        config = config.state_dir(scratch.path());
    }
    let mut streams = Streams::on(broker.clone(), topology(&lines, &counts)?, config)?;
    streams.start()?;
    let repartition = format!("{app}-counts-repartition").into();
    let all = Drained { group: app.clone(), inputs: vec![lines, repartition], outputs: vec![counts.clone()] };
    while all.check(&*broker).await? != Status::Drained && !streams.state().is_final() {
        sleep(Duration::from_millis(50)).await;
    }
    streams.shutdown().await?;
    show(&*broker, &counts, cli.top).await
}

/// Writes each line of the text as a record without a key.
async fn produce(broker: &dyn Broker, app: &str, topic: &Arc<str>, text: &str) -> anyhow::Result<()> {
    let (wake, notify) = notifying();
    let settings = ProducerSettings {
        client_id: format!("{app}-text"),
        transactional_id: None,
        transaction_timeout: Duration::from_secs(10),
    };
    let mut producer = broker.producer(settings, wake)?;
    for (partition, line) in (0..PARTITIONS).cycle().zip(text.lines()) {
        let value = Some(line.as_bytes());
        let record = OutRecord { topic, partition, timestamp: None, key: None, value, headers: &Headers::new() };
        while !producer.produce(record)? {
            progress(&notify).await;
        }
    }
    Ok(answer(producer.flush()).await?)
}

/// Shows the most frequent words, as the output topic tells them.
async fn show(broker: &dyn Broker, counts: &Arc<str>, top: usize) -> anyhow::Result<()> {
    let mut words = Vec::new();
    for (word, count) in outputs::table(broker, counts).await? {
        let count = i64::from_be_bytes(count.as_slice().try_into().context("a count has eight bytes")?);
        words.push((count, String::from_utf8(word)?));
    }
    words.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let lines: String = words.iter().take(top).map(|(count, word)| format!("{count:>6} {word}\n")).collect();
    screen::show(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_between_other_signs_in_lower_case() {
        assert_eq!(words("The mill, the Stream; 2 sacks!"), ["the", "mill", "the", "stream", "2", "sacks"]);
        assert_eq!(words(" -- "), [""; 0]);
    }
}
