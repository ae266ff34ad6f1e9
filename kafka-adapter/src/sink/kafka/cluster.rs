//! What a cluster says of itself and of the topics: brokers, partitions, replicas, the settings that decide what becomes of
//! a record, and the rights of this user.
//!
//! Responsible for asking, on the configuration of the producer, and for reading a shard's position. Refuses to change
//! anything: it creates no topic, sends no record and asks for no producer id, so that it can run beside a live adapter. Invariant: what a broker does not
//! tell is a reason, not a guess.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::Producer as _;

use super::positions;
use super::rights::Rights;
use super::settings::KafkaSettings;
use super::topics::{TopicPlan, refused, wait_for};
use super::{StartError, client_error, connect, metadata};

/// A cluster and the topics that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Number of brokers.
    pub brokers: usize,
    /// The topics, in the order in which they were asked for; none where it is absent or invisible.
    pub topics: Vec<Option<TopicState>>,
    /// In the same order, why the brokers would not create a topic; none where they would, where it is there, and where a
    /// run would not ask them to.
    pub uncreatable: Vec<Option<String>>,
    /// In the same order, the rights of this user.
    pub rights: Vec<Rights>,
    /// Whether the shard has a position; none without transactions or their topic.
    pub position: Option<Position>,
}

/// What reading the last position of a shard came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The shard has one.
    Found,
    /// It has none yet.
    Absent,
    /// The end of the topic was not reached in time.
    Late,
    /// It cannot be read; why.
    Unread(String),
}

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: usize,
    /// Partitions without a leader, which take no record.
    pub leaderless: usize,
    /// Replicas of the partition that has the fewest.
    pub replicas: usize,
    /// Replicas in sync of the partition that has the fewest.
    pub in_sync: usize,
    /// Its settings, or why the broker does not tell them.
    pub settings: Result<TopicSettings, String>,
}

/// The settings in force for a topic, whether its own or the broker's; absent where the broker does not name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// `cleanup.policy`.
    pub cleanup_policy: Option<String>,
    /// `retention.ms`; -1 keeps records for ever.
    pub retention_ms: Option<i64>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: Option<usize>,
    /// `max.message.bytes`.
    pub max_message_bytes: Option<u64>,
    /// Whether `max.message.bytes` is the topic's own, and not the broker's `message.max.bytes`.
    pub own_max_message_bytes: bool,
}

impl Cluster {
    /// Asks a cluster for topics as they are planned, for at most [`Self::most_ms`], and hands the answer to `tell` before the connections are
    /// closed, which may take longer than the asking.
    ///
    /// # Errors
    /// `tell` is given [`StartError::Settings`] if librdkafka refuses a property, and [`StartError::Unreachable`] if no
    /// broker answered within `start_timeout_ms`.
    pub fn ask(settings: &KafkaSettings, topics: &[TopicPlan], tell: impl FnOnce(Result<Self, StartError>)) {
        let states = Arc::default();
        // a client that administers keeps its log to itself, and with it why it reaches nobody
        let (outcomes, _no_outcomes) = bounded(1);
        let asking = match connect(settings.admin_config(), outcomes, &states) {
            Ok(made) => made,
            Err(reason) => return tell(Err(StartError::Settings(reason))),
        };
        let deadline = Instant::now() + Duration::from_millis(settings.start_timeout_ms);
        let metadata = match metadata(asking.client(), settings, deadline, &states) {
            Ok(metadata) => metadata,
            Err(error) => return tell(Err(error)),
        };
        let client: AdminClient<DefaultClientContext> = match settings.admin_config().create() {
            Ok(client) => client,
            Err(error) => return tell(Err(StartError::Settings(client_error(error)))),
        };
        tell(Ok(Self::described(settings, topics, &client, &metadata)));
    }

    /// Longest time that asking takes, in milliseconds.
    #[must_use]
    pub fn most_ms(settings: &KafkaSettings) -> u64 {
        let questions = 3 + u64::from(settings.create_topics) + u64::from(settings.transactions.is_some());
        let reading_ms = settings.transactions.as_ref().map_or(0, |_| positions::ANSWER_MS);
        settings.start_timeout_ms.saturating_mul(questions) + reading_ms
    }

    fn described(
        settings: &KafkaSettings,
        plans: &[TopicPlan],
        client: &AdminClient<DefaultClientContext>,
        metadata: &Metadata,
    ) -> Self {
        let wait = Duration::from_millis(settings.start_timeout_ms);
        let topics: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        let found: Vec<Option<&MetadataTopic>> = topics.iter().map(|name| found(metadata, name)).collect();
        let mut told = told(client, &topics, &found, wait).into_iter();
        let absent = plans.iter().zip(&found).filter(|(_, topic)| topic.is_none());
        let mut absent: Vec<TopicPlan> = absent.map(|(plan, _)| plan.clone()).collect();
        // a broker is asked once for a topic that two routes share
        absent.sort_unstable_by(|plan, other| plan.name.cmp(&other.name));
        absent.dedup_by(|plan, other| plan.name == other.name);
        let refused = if settings.create_topics && !absent.is_empty() {
            refused(client, settings, &absent)
        } else {
            Vec::new()
        };
        let reason = |name: &str| {
            let refused = refused.iter().find(|(other, _)| other == name);
            refused.map(|(_, reason)| reason.clone())
        };
        let uncreatable = topics.iter().map(|name| reason(name)).collect();
        let rights = Rights::ask(client.inner(), &topics, wait);
        let has_positions = topics
            .iter()
            .zip(&found)
            .any(|(name, topic)| *name == settings.topics.positions && topic.is_some());
        let topics = found
            .into_iter()
            .map(|topic| {
                let topic = topic?;
                let settings = told.next();
                Some(state(
                    topic,
                    settings.unwrap_or_else(|| Err("the broker left it out".to_owned())),
                ))
            })
            .collect();
        Self {
            brokers: metadata.brokers().len(),
            topics,
            uncreatable,
            rights,
            position: has_positions.then(|| position(settings)).flatten(),
        }
    }
}

/// Reads the last position of the shard, as a start does, for about `start_timeout_ms`.
fn position(settings: &KafkaSettings) -> Option<Position> {
    let shard = &settings.transactions.as_ref()?.shard;
    let until = Instant::now() + Duration::from_millis(settings.start_timeout_ms);
    Some(
        match positions::last(settings, shard, &|| Instant::now() >= until) {
            Ok(Some(Some(_))) => Position::Found,
            Ok(Some(None)) => Position::Absent,
            Ok(None) => Position::Late,
            Err(reason) => Position::Unread(reason),
        },
    )
}

fn found<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a MetadataTopic> {
    let mut topics = metadata.topics().iter();
    topics.find(|topic| topic.name() == name && !topic.partitions().is_empty())
}

fn state(topic: &MetadataTopic, settings: Result<TopicSettings, String>) -> TopicState {
    let partitions = topic.partitions();
    let fewest = |count: fn(&rdkafka::metadata::MetadataPartition) -> usize| {
        partitions.iter().map(count).min().unwrap_or(0)
    };
    TopicState {
        partitions: partitions.len(),
        leaderless: partitions
            .iter()
            .filter(|partition| partition.leader() < 0)
            .count(),
        replicas: fewest(|partition| partition.replicas().len()),
        in_sync: fewest(|partition| partition.isr().len()),
        settings,
    }
}

/// The settings of the topics that are there, in their order; one request for all.
fn told(
    client: &AdminClient<DefaultClientContext>,
    topics: &[&str],
    found: &[Option<&MetadataTopic>],
    wait: Duration,
) -> Vec<Result<TopicSettings, String>> {
    let there = topics.iter().zip(found).filter(|(_, topic)| topic.is_some());
    let mut names: Vec<&str> = there.map(|(name, _)| *name).collect();
    let asked = names.clone();
    // a broker answers once for a topic that two routes share
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Vec::new();
    }
    let specifiers: Vec<ResourceSpecifier<'_>> =
        names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new()
        .request_timeout(Some(wait))
        .operation_timeout(Some(wait));
    let answer = wait_for(client.describe_configs(&specifiers, &options));
    let resources = match answer {
        Ok(resources) => resources,
        Err(error) => {
            let reason = match &error {
                KafkaError::AdminOp(code) => code.to_string(),
                other => other.to_string(),
            };
            return asked.iter().map(|_| Err(reason.clone())).collect();
        }
    };
    // librdkafka sorts the answers in the order of the request
    let by_name = |name: &str| {
        let at = names.binary_search(&name).ok()?;
        resources.get(at)
    };
    asked
        .into_iter()
        .map(|name| match by_name(name) {
            Some(Ok(resource)) => Ok(TopicSettings::of(resource)),
            Some(Err(code)) => Err(code.to_string()),
            None => Err("the broker left it out".to_owned()),
        })
        .collect()
}

impl TopicSettings {
    fn of(resource: &ConfigResource) -> Self {
        let entry = |name| resource.get(name);
        let value = |name| entry(name).and_then(|entry| entry.value.as_deref());
        Self {
            cleanup_policy: value("cleanup.policy").map(str::to_owned),
            retention_ms: value("retention.ms").and_then(|value| value.parse().ok()),
            min_insync_replicas: value("min.insync.replicas").and_then(|value| value.parse().ok()),
            max_message_bytes: value("max.message.bytes").and_then(|value| value.parse().ok()),
            own_max_message_bytes: entry("max.message.bytes")
                .is_some_and(|entry| matches!(entry.source, ConfigSource::DynamicTopic)),
        }
    }
}
