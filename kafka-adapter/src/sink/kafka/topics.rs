//! Topics at start: are they there, and if not, which command creates them.
//!
//! Responsible for the check and for `--create-topics`. Refuses to let a broker create a topic by itself, with
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

/// A topic as the adapter would create it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas.
    pub replication_factor: i32,
    /// How long records stay, in milliseconds (`retention.ms`); `cleanup.policy` is `delete`.
    pub retention_ms: u64,
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
            retention_ms: days * DAY_MS,
        }
    }

    /// The equivalent command of Kafka's own tool.
    #[must_use]
    pub fn command(&self, bootstrap_servers: &str) -> String {
        format!(
            "kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic {} --partitions {} \
             --replication-factor {} --config cleanup.policy=delete --config retention.ms={}",
            self.name, self.partitions, self.replication_factor, self.retention_ms
        )
    }
}

/// The plans of the topics that the brokers do not show; routes that share a topic are planned once.
pub(super) fn missing(settings: &KafkaSettings, routes: &[Route], metadata: &Metadata) -> Vec<TopicPlan> {
    let mut plans: Vec<TopicPlan> = Vec::new();
    for &route in routes {
        let plan = TopicPlan::of(settings, route);
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
    let retentions: Vec<String> = plans.iter().map(|plan| plan.retention_ms.to_string()).collect();
    let topics: Vec<NewTopic<'_>> = plans
        .iter()
        .zip(&retentions)
        .map(|(plan, retention)| {
            let replication = TopicReplication::Fixed(plan.replication_factor);
            NewTopic::new(&plan.name, plan.partitions, replication)
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
        })
        .collect();
    let wait = Some(Duration::from_millis(settings.start_timeout_ms));
    let options = AdminOptions::new().request_timeout(wait).operation_timeout(wait);
    let results = wait_for(admin.create_topics(&topics, &options)).map_err(|error| error.to_string())?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(format!("{name}: {code}")),
        }
    }
    Ok(())
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
