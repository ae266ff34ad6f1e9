//! Topics at start: are they there, and if not, which command creates them.
//!
//! Responsible for the check and for `--create-topics`, also for asking whether they would be created. Refuses to let a broker create a topic by itself, with
//! settings that nobody chose. Invariant: the sink starts only when every topic that it will use exists.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use super::super::Route;
use super::settings::KafkaSettings;

/// One day, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// How long records stay, in days: events as long as Kafka's own default; dead letters and control records long
/// enough for an investigation; audit records for the year that data-protection reviews look back.
const RETENTION_DAYS: [(Route, u64); 4] = [
    (Route::Event, 7),
    (Route::Audit, 365),
    (Route::DeadLetter, 30),
    (Route::Control, 30),
];

/// Size of a segment of the positions topic, in bytes: compaction leaves the last one as it is, and a start reads it.
const POSITIONS_SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// A topic as the adapter would create it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas.
    pub replication_factor: i32,
    /// How long records stay, in milliseconds (`retention.ms`); without it the topic is compacted, and the last record of
    /// each key stays.
    pub retention_ms: Option<u64>,
}

impl TopicPlan {
    /// The plan of a route's topic.
    #[must_use]
    pub fn of(settings: &KafkaSettings, route: Route) -> Self {
        let days = RETENTION_DAYS
            .iter()
            .find(|(other, _)| *other == route)
            .map_or(30, |(_, days)| *days);
        Self {
            name: settings.topics.of(route).to_owned(),
            partitions: settings.partitions,
            replication_factor: settings.replication_factor,
            retention_ms: Some(days * DAY_MS),
        }
    }

    /// The plan of the positions topic: one partition, since a start reads all of it.
    #[must_use]
    pub fn of_positions(settings: &KafkaSettings) -> Self {
        Self {
            name: settings.topics.positions.clone(),
            partitions: 1,
            replication_factor: settings.replication_factor,
            retention_ms: None,
        }
    }

    /// The plans of the topics that a sink with these routes uses.
    pub(super) fn all(settings: &KafkaSettings, routes: &[Route]) -> Vec<Self> {
        let positions = settings
            .transactions
            .is_some()
            .then(|| Self::of_positions(settings));
        let of_routes = routes.iter().map(|route| Self::of(settings, *route));
        of_routes.chain(positions).collect()
    }

    /// The topic's own settings, as Kafka names them.
    fn configs(&self) -> Vec<(&'static str, String)> {
        match self.retention_ms {
            Some(retention_ms) => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", retention_ms.to_string()),
            ],
            None => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", POSITIONS_SEGMENT_BYTES.to_string()),
            ],
        }
    }

    /// Whether so many brokers can hold the replicas; a negative number leaves it to them.
    #[must_use]
    pub fn fits(&self, brokers: usize) -> bool {
        usize::try_from(self.replication_factor).is_ok_and(|replicas| replicas <= brokers)
            || self.replication_factor < 0
    }

    /// The equivalent command of Kafka's own tool.
    #[must_use]
    pub fn command(&self, bootstrap_servers: &str) -> String {
        let configs: String = self
            .configs()
            .iter()
            .map(|(name, value)| format!(" --config {name}={value}"))
            .collect();
        format!(
            "kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic {} --partitions {} \
             --replication-factor {}{configs}",
            self.name, self.partitions, self.replication_factor
        )
    }
}

/// The plans of the topics that the brokers do not show; routes that share a topic are planned once.
pub(super) fn missing(settings: &KafkaSettings, routes: &[Route], metadata: &Metadata) -> Vec<TopicPlan> {
    let mut plans: Vec<TopicPlan> = Vec::new();
    for plan in TopicPlan::all(settings, routes) {
        let is_there = metadata
            .topics()
            .iter()
            .any(|topic| topic.name() == plan.name && !topic.partitions().is_empty());
        if !is_there && plans.iter().all(|other| other.name != plan.name) {
            plans.push(plan);
        }
    }
    plans
}

/// Creates topics; one that someone else has created meanwhile is fine.
pub(super) fn create(settings: &KafkaSettings, plans: &[TopicPlan]) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = settings
        .client_config()
        .create()
        .map_err(|error| error.to_string())?;
    match request(&admin, settings, plans, false)?.into_iter().next() {
        Some((name, code)) => Err(format!("{name}: {code}")),
        None => Ok(()),
    }
}

/// Asks whether topics would be created, and creates none; says of each that would not be why.
pub(super) fn refused(
    admin: &AdminClient<DefaultClientContext>,
    settings: &KafkaSettings,
    plans: &[TopicPlan],
) -> Vec<(String, String)> {
    // brokers that do not answer this refuse nothing: older ones do not know the question
    let refused = request(admin, settings, plans, true).unwrap_or_default();
    let told = refused.into_iter().map(|(name, code)| (name, code.to_string()));
    told.collect()
}

/// Asks for topics, in earnest or not; answers with those that were refused.
fn request(
    admin: &AdminClient<DefaultClientContext>,
    settings: &KafkaSettings,
    plans: &[TopicPlan],
    is_trial: bool,
) -> Result<Vec<(String, RDKafkaErrorCode)>, String> {
    let configs: Vec<Vec<(&'static str, String)>> = plans.iter().map(TopicPlan::configs).collect();
    let topics: Vec<NewTopic<'_>> = plans
        .iter()
        .zip(&configs)
        .map(|(plan, configs)| {
            let replication = TopicReplication::Fixed(plan.replication_factor);
            let topic = NewTopic::new(&plan.name, plan.partitions, replication);
            configs
                .iter()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let wait = Some(Duration::from_millis(settings.start_timeout_ms));
    let options = AdminOptions::new()
        .request_timeout(wait)
        .operation_timeout(wait)
        .validate_only(is_trial);
    let results = wait_for(admin.create_topics(&topics, &options)).map_err(|error| error.to_string())?;
    let refused = results.into_iter().filter_map(Result::err);
    Ok(refused
        .filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists)
        .collect())
}

/// Runs a future on this thread; the admin request behind it has its own time-out.
pub(super) fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::TransactionSettings;
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn the_command_creates_what_the_adapter_would_create() {
        let plan = TopicPlan::of(&settings(), Route::Audit);
        assert_eq!(
            plan.command("broker:9092"),
            "kafka-topics.sh --bootstrap-server broker:9092 --create --topic genesys.audit --partitions 4 \
             --replication-factor 1 --config cleanup.policy=delete --config retention.ms=31536000000"
        );
    }

    #[test]
    fn positions_are_planned_only_where_transactions_write_them_and_are_compacted() {
        let mut settings = settings();
        assert_eq!(TopicPlan::all(&settings, &[Route::Event]).len(), 1);
        settings.transactions = Some(TransactionSettings {
            shard: "main".to_owned(),
            timeout_ms: 60_000,
        });
        let plans = TopicPlan::all(&settings, &[Route::Event]);
        assert_eq!(
            plans.last().unwrap().command("broker:9092"),
            "kafka-topics.sh --bootstrap-server broker:9092 --create --topic genesys.positions --partitions 1 \
             --replication-factor 1 --config cleanup.policy=compact --config segment.bytes=16777216"
        );
        assert_eq!(plans.len(), 2);
    }

    #[test]
    fn a_future_that_is_woken_by_another_thread_is_waited_for() {
        let mut polled = false;
        let answer = wait_for(std::future::poll_fn(move |context| {
            if polled {
                return Poll::Ready(42);
            }
            polled = true;
            let waker = context.waker().clone();
            drop(thread::spawn(move || waker.wake()));
            Poll::Pending
        }));
        assert_eq!(answer, 42);
    }
}
