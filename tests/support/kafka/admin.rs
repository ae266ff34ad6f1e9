//! Topics and their configs through the admin client, as blocking calls.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

/// Longest time for a request and for its effect to be seen.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn create_topic(bootstrap_servers: &str, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let topic = configs.iter().fold(
        // as many replicas as the cluster gives by default: one on each node
        NewTopic::new(name, partitions, TopicReplication::Fixed(-1)),
        |topic, (config, value)| topic.set(config, value),
    );
    block_on(bootstrap_servers, async |client| {
        let results = client
            .create_topics([&topic], &options())
            .await
            .expect("an answer about the new topic");
        for result in results {
            if let Err((topic, error)) = result {
                panic!("topic {topic} was refused: {error}");
            }
        }
    });
    let client: BaseConsumer = config(bootstrap_servers).create().expect("a client");
    crate::wait_until(DEADLINE, "every partition of a new topic has a leader", || {
        let Ok(metadata) = client.fetch_metadata(Some(name), DEADLINE) else {
            return false;
        };
        let Some(topic) = metadata.topics().first() else {
            return false;
        };
        topic.partitions().len() == usize::try_from(partitions).expect("a positive number of partitions")
            && topic.partitions().iter().all(|partition| partition.leader() >= 0)
    });
}

pub(super) fn delete_topic(bootstrap_servers: &str, name: &str) {
    block_on(bootstrap_servers, async |client| {
        let results = client
            .delete_topics(&[name], &options())
            .await
            .expect("an answer about the topic");
        for result in results {
            if let Err((topic, error)) = result {
                panic!("topic {topic} was not deleted: {error}");
            }
        }
    });
}

pub(super) fn alter_topic_config(bootstrap_servers: &str, name: &str, config: &str, value: &str) {
    block_on(bootstrap_servers, async |client| {
        let topic = ResourceSpecifier::Topic(name);
        let described = client
            .describe_configs([&topic], &options())
            .await
            .expect("an answer about the topic");
        let resource = described
            .into_iter()
            .next()
            .expect("one resource")
            .expect("the topic's configs");
        // the request replaces all configs of the topic, so those that were set before are sent again
        let kept = resource
            .entries
            .iter()
            .filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic) && entry.name != config);
        let change = kept
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
            .chain([(config, value)])
            .fold(AlterConfig::new(topic), |change, (config, value)| {
                change.set(config, value)
            });
        let results = client
            .alter_configs([&change], &options())
            .await
            .expect("an answer about the change");
        for result in results {
            if let Err((_, error)) = result {
                panic!("{config}={value} was refused for topic {name}: {error}");
            }
        }
    });
}

pub(super) fn delete_records(bootstrap_servers: &str, topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, partition, Offset::Offset(before))
        .expect("an offset");
    block_on(bootstrap_servers, async |client| {
        let deleted = client
            .delete_records(&offsets, &options())
            .await
            .expect("an answer about the records");
        for element in deleted.elements() {
            element.error().expect("the records are deleted");
        }
    });
}

/// Partitions, replicas of the first one, and the configs that were set for the topic itself.
pub(super) fn describe_topic(
    bootstrap_servers: &str,
    name: &str,
) -> (usize, usize, BTreeMap<String, String>) {
    let client: BaseConsumer = config(bootstrap_servers).create().expect("a client");
    let metadata = client
        .fetch_metadata(Some(name), DEADLINE)
        .expect("metadata of the topic");
    let partitions = metadata
        .topics()
        .first()
        .map_or(&[][..], |topic| topic.partitions());
    let replicas = partitions
        .first()
        .map_or(0, |partition| partition.replicas().len());
    let mut configs = BTreeMap::new();
    block_on(bootstrap_servers, async |client| {
        let topic = ResourceSpecifier::Topic(name);
        let described = client
            .describe_configs([&topic], &options())
            .await
            .expect("an answer about the topic");
        let resource = described
            .into_iter()
            .next()
            .expect("one resource")
            .expect("the topic's configs");
        let own = resource
            .entries
            .into_iter()
            .filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
        configs.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
    });
    (partitions.len(), replicas, configs)
}

fn config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE))
}

/// Runs a request on a thread of its own, so that tests with and without a runtime may call.
fn block_on(bootstrap_servers: &str, request: impl AsyncFnOnce(AdminClient<DefaultClientContext>) + Send) {
    let client = config(bootstrap_servers).create().expect("an admin client");
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime.block_on(request(client));
        });
        if let Err(panic) = worker.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
