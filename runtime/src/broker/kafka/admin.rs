//! Topics and offsets. Each call runs on a thread of its own, because some of them wait for open transactions and must not
//! keep the others waiting.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_state::model::{Position, TopicId, TopicPartition};
use rdkafka::admin::{self, AdminClient, AdminOptions, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaType;
use rdkafka::{Offset, TopicPartitionList};

use super::errors::Failure;
use super::leaders::{self, Leaders};
use super::native::{self, Element, TopicInfo};
use super::patience::Patience;
use super::{KafkaSettings, config, offsets};
use crate::broker::{
    Admin, BrokerError, Committed, ErrorClass, Isolation, NewTopic, Ticket, TopicDescription, TopicOutcome, Wake,
};

/// How many calls may be under way.
const CALLS: usize = 256;

/// How long the leaders of a topic may take to be told. Who asked for offsets asks again, of another broker if that one is
/// silent.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(5);

struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        super::consuming::log(level, fac, log_message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

/// An [`Admin`] over one client.
pub(super) struct KafkaAdmin {
    calls: Arc<Calls>,
    under_way: Arc<AtomicUsize>,
}

/// The calls themselves, blocking.
struct Calls {
    client: AdminClient<Logging>,
    groups: Groups,
    leaders: Leaders,
    patience: Patience,
}

/// The client that asks for the offsets of groups, made when it is needed first.
///
/// It is a consumer's, with a group of its own: where a coordinator says that it is not the one, or not ready, librdkafka
/// tells its own group to look for the coordinator again, and a client without a group ends the process with SIGSEGV
/// (librdkafka's issue 5040).
struct Groups {
    config: ClientConfig,
    client: Mutex<Option<Arc<Client<Logging>>>>,
}

impl Groups {
    fn client(&self) -> Result<Arc<Client<Logging>>, BrokerError> {
        // A client is stored whole or not at all.
        let mut stored = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*stored {
            return Ok(client.clone());
        }
        let native = self.config.create_native_config();
        let made = native.and_then(|native| Client::new(&self.config, native, RDKafkaType::RD_KAFKA_CONSUMER, Logging));
        let client = Arc::new(made.map_err(|error| config::not_made("make a client that asks for groups", &error))?);
        *stored = Some(client.clone());
        Ok(client)
    }
}

impl KafkaAdmin {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, BrokerError> {
        let client = AdminClient::from_config_and_context(&config::admin(settings), Logging)
            .map_err(|error| config::not_made("make an admin client", &error))?;
        let groups = Groups { config: config::groups(settings), client: Mutex::default() };
        let patience = Patience::new(settings.request_timeout);
        let calls = Calls { client, groups, leaders: Leaders::default(), patience };
        Ok(Self { calls: Arc::new(calls), under_way: Arc::default() })
    }

    fn start<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Calls) -> Result<T, BrokerError> + Send + 'static,
    ) -> Ticket<T> {
        let refuse = |reason: String| Ticket::ready(Err(BrokerError::new(ErrorClass::Retriable, what, reason)));
        if self.under_way.fetch_add(1, Ordering::AcqRel) >= CALLS {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return refuse(format!("{CALLS} calls are under way"));
        }
        let (done, ticket) = Ticket::pair(Wake::nobody());
        let (calls, under_way) = (self.calls.clone(), self.under_way.clone());
        let thread = std::thread::Builder::new().name(what.to_owned()).spawn(move || {
            let answer = work(&calls);
            under_way.fetch_sub(1, Ordering::AcqRel);
            done.complete(answer);
        });
        if let Err(error) = thread {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return refuse(error.to_string());
        }
        ticket
    }
}

impl Drop for KafkaAdmin {
    fn drop(&mut self) {
        self.calls.patience.end();
    }
}

impl Admin for KafkaAdmin {
    fn describe_topics(&self, topics: Vec<Arc<str>>) -> Ticket<Vec<Option<TopicDescription>>> {
        self.start("describe topics", move |calls| calls.describe_topics(&topics))
    }

    fn create_topics(&self, topics: Vec<NewTopic>) -> Ticket<Vec<TopicOutcome>> {
        self.start("create topics", move |calls| calls.create_topics(&topics))
    }

    fn delete_topics(&self, topics: Vec<Arc<str>>) -> Ticket<()> {
        self.start("delete topics", move |calls| calls.delete_topics(&topics))
    }

    fn start_positions(&self, partitions: Vec<TopicPartition>) -> Ticket<Vec<Position>> {
        self.start("list start offsets", move |calls| {
            calls.positions(&partitions, Offset::Beginning, Isolation::ReadUncommitted)
        })
    }

    fn end_positions(&self, partitions: Vec<TopicPartition>, isolation: Isolation) -> Ticket<Vec<Position>> {
        self.start("list end offsets", move |calls| calls.positions(&partitions, Offset::End, isolation))
    }

    fn committed(&self, group: &str, partitions: Vec<TopicPartition>) -> Ticket<Vec<Option<Committed>>> {
        let group = group.to_owned();
        self.start("read group offsets", move |calls| calls.committed(&group, &partitions))
    }

    fn delete_records(&self, before: Vec<(TopicPartition, Position)>) -> Ticket<()> {
        self.start("delete records", move |calls| calls.delete_records(&before))
    }
}

impl Calls {
    fn options(&self) -> AdminOptions {
        let timeout = Some(self.patience.timeout());
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }

    /// What those topics are that exist.
    fn found(&self, topics: &[Arc<str>], timeout: Duration) -> Result<HashMap<String, TopicInfo>, BrokerError> {
        let names = topics.iter().map(|topic| CString::new(&**topic)).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|error| BrokerError::new(ErrorClass::Fatal, "describe topics", error.to_string()))?;
        let described = native::describe_topics(self.client.inner(), &names, timeout, &self.patience)
            .map_err(|failure| failure.error("describe topics"))?;
        described.iter().for_each(|(name, answer)| self.leaders.note(name, answer));
        let mut found = HashMap::new();
        for (name, answer) in described {
            match answer {
                Ok(info) => {
                    found.insert(name, info);
                }
                Err(failure) if failure.class() == ErrorClass::UnknownTopic => {}
                Err(failure) => return Err(failure.error(format!("describe topic {name}"))),
            }
        }
        Ok(found)
    }

    /// To be done before every call of librdkafka's that looks for leaders.
    fn meet_leaders(&self, call: &str, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        let unknown = self.leaders.to_describe(partitions);
        if unknown.is_empty() {
            return Ok(());
        }
        let found = self.found(&unknown, LEADERS_TIMEOUT.min(self.patience.timeout()))?;
        let described = partitions.iter().filter(|partition| unknown.contains(&partition.topic));
        leaders::check(call, described, &found)
    }

    fn describe_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Option<TopicDescription>>, BrokerError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        self.patience.retry(1, || {
            let found = self.found(topics, self.patience.timeout())?;
            let mut configs = self.configs(topics.iter().filter(|topic| found.contains_key(&***topic)))?;
            let describe = |topic: &Arc<str>| {
                let TopicInfo { id, led } = found.get(&**topic)?;
                let (id, partitions) = (TopicId(*id), i32::try_from(led.len()).unwrap_or(i32::MAX));
                // Absent if it was deleted between the two calls.
                let config = configs.remove(&**topic)?;
                Some(TopicDescription { name: topic.clone(), id, partitions, config })
            };
            Ok(topics.iter().map(describe).collect())
        })
    }

    fn configs<'a>(
        &self,
        topics: impl Iterator<Item = &'a Arc<str>>,
    ) -> Result<HashMap<String, BTreeMap<String, String>>, BrokerError> {
        let resources: Vec<_> = topics.map(|topic| ResourceSpecifier::Topic(topic)).collect();
        if resources.is_empty() {
            return Ok(HashMap::new());
        }
        let answers = self
            .patience
            .answer(self.client.describe_configs(&resources, &self.options()))
            .map_err(|error| Failure::from(error).error("describe topic settings"))?;
        let mut configs = HashMap::new();
        for answer in answers {
            match answer {
                Ok(resource) => {
                    let admin::OwnedResourceSpecifier::Topic(name) = resource.specifier else { continue };
                    let entries = resource.entries.into_iter();
                    configs.insert(name, entries.filter_map(|e| e.value.map(|value| (e.name, value))).collect());
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => return Err(Failure::of(code).error("describe topic settings")),
            }
        }
        Ok(configs)
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<TopicOutcome>, BrokerError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = topics.iter().map(|topic| admin::NewTopic {
            name: &topic.name,
            num_partitions: topic.partitions,
            // -1 is the broker's default.
            replication: TopicReplication::Fixed(topic.replication.unwrap_or(-1).into()),
            config: topic.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        });
        let wanted: Vec<_> = wanted.collect();
        let answers = self
            .patience
            .answer(self.client.create_topics(&wanted, &self.options()))
            .map_err(|error| Failure::from(error).error("create topics"))?;
        let mut outcomes: HashMap<String, TopicOutcome> = HashMap::new();
        for answer in answers {
            let (name, outcome) = match answer {
                Ok(name) => (name, TopicOutcome::Created),
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => (name, TopicOutcome::Existed),
                Err((name, code)) => (name, TopicOutcome::Refused(format!("{code} ({code:?})"))),
            };
            outcomes.insert(name, outcome);
        }
        let created: Vec<Arc<str>> = topics.iter().map(|topic| topic.name.clone()).collect();
        let created =
            created.into_iter().filter(|name| outcomes.get(&**name) == Some(&TopicOutcome::Created)).collect();
        self.wait_until_known(created, true)?;
        let unanswered = || TopicOutcome::Refused("the broker did not say".to_owned());
        Ok(topics.iter().map(|topic| outcomes.remove(&*topic.name).unwrap_or_else(unanswered)).collect())
    }

    /// The controller answers before every broker has heard of it; a producer or consumer made right away would not find
    /// the topic, or would find the old one.
    fn wait_until_known(&self, topics: Vec<Arc<str>>, exists: bool) -> Result<(), BrokerError> {
        if topics.is_empty() {
            return Ok(());
        }
        self.patience.retry(1, || {
            let found = self.found(&topics, self.patience.timeout())?.len();
            if found == if exists { topics.len() } else { 0 } {
                return Ok(());
            }
            let reason = "the brokers have not all heard of it yet";
            Err(BrokerError::new(ErrorClass::Retriable, "create or delete topics", reason))
        })
    }

    fn delete_topics(&self, topics: &[Arc<str>]) -> Result<(), BrokerError> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let answers = self
            .patience
            .answer(self.client.delete_topics(&names, &self.options()))
            .map_err(|error| Failure::from(error).error("delete topics"))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => return Err(Failure::of(code).error(format!("delete topic {name}"))),
            }
        }
        self.wait_until_known(topics.to_vec(), false)
    }

    fn positions(
        &self,
        partitions: &[TopicPartition],
        which: Offset,
        isolation: Isolation,
    ) -> Result<Vec<Position>, BrokerError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            wanted
                .add_partition_offset(&partition.topic, partition.partition, which)
                .map_err(|error| Failure::from(error).error(format!("list offsets of {partition}")))?;
        }
        self.patience.retry(1, || {
            let answer = self
                .meet_leaders("list offsets", partitions)
                .and_then(|()| self.list_offsets(partitions, &wanted, isolation == Isolation::ReadCommitted));
            answer.inspect_err(|error| self.leaders.doubt(partitions, error))
        })
    }

    fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        wanted: &TopicPartitionList,
        committed_only: bool,
    ) -> Result<Vec<Position>, BrokerError> {
        let answer = native::list_offsets(self.client.inner(), wanted, committed_only, &self.patience)
            .map_err(|failure| of_leaders("list offsets", failure))?;
        let answers = partitions.iter().zip(offsets::in_order(partitions, answer));
        answers.map(|(partition, element)| position_of(partition, element)).collect()
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, BrokerError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let call = || format!("read offsets of group {group}");
        let name =
            CString::new(group).map_err(|error| BrokerError::new(ErrorClass::Fatal, call(), error.to_string()))?;
        let wanted = offsets::without_offsets(partitions);
        let client = self.groups.client()?;
        self.patience.retry(4, || {
            let answer = native::group_offsets(&client, &name, &wanted, &self.patience)
                .map_err(|failure| failure.error(call()))?;
            let answers = partitions.iter().zip(offsets::in_order(partitions, answer));
            answers.map(|(partition, element)| committed_of(group, partition, element)).collect()
        })
    }

    fn delete_records(&self, before: &[(TopicPartition, Position)]) -> Result<(), BrokerError> {
        if before.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, position) in before {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(position.number()))
                .map_err(|error| Failure::from(error).error(format!("delete records of {partition}")))?;
        }
        let partitions: Vec<TopicPartition> = before.iter().map(|(partition, _)| partition.clone()).collect();
        let deleted = self.meet_leaders("delete records", &partitions).and_then(|()| self.delete_records_of(&list));
        deleted.inspect_err(|error| self.leaders.doubt(&partitions, error))
    }

    fn delete_records_of(&self, list: &TopicPartitionList) -> Result<(), BrokerError> {
        let answer = self
            .patience
            .answer(self.client.delete_records(list, &self.options()))
            .map_err(|error| of_leaders("delete records", Failure::from(error)))?;
        match native::elements(&answer).into_iter().find(|element| element.code != RDKafkaErrorCode::NoError) {
            None => Ok(()),
            Some(element) => {
                let call = format!("delete records of {}-{}", element.topic, element.partition);
                Err(Failure::of(element.code).error(call))
            }
        }
    }
}

fn position_of(partition: &TopicPartition, element: Option<Element>) -> Result<Position, BrokerError> {
    let call = || format!("list offsets of {partition}");
    match element {
        Some(element) if element.code == RDKafkaErrorCode::NoError => Ok(Position::new(element.offset)),
        Some(element) => Err(Failure::of(element.code).error(call())),
        None => Err(Failure::of(RDKafkaErrorCode::UnknownTopicOrPartition).error(call())),
    }
}

/// The failure of a whole call. «No such entry» is that no leader is known: they were a moment ago.
fn of_leaders(call: &str, failure: Failure) -> BrokerError {
    match failure.code {
        RDKafkaErrorCode::NoEnt => BrokerError::new(ErrorClass::Retriable, call, failure.reason),
        _ => failure.error(call),
    }
}

fn committed_of(
    group: &str,
    partition: &TopicPartition,
    element: Option<Element>,
) -> Result<Option<Committed>, BrokerError> {
    match element {
        Some(element) if element.code == RDKafkaErrorCode::NoError => Ok((element.offset >= 0)
            .then(|| Committed { position: Position::new(element.offset), metadata: element.metadata })),
        Some(element) => Err(Failure::of(element.code).error(format!("read offsets of group {group} for {partition}"))),
        None => Ok(None),
    }
}
