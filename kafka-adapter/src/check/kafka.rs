//! The rows about Kafka: the brokers, and each topic that records go to.
//!
//! Responsible for asking in time; what is found is judged in [`topic`]. Refuses to create a topic, to send a record and
//! to take a producer id. Invariant: where no broker answers, the rows of the topics are shown as not examined.

mod topic;

use std::time::Duration;

use super::OFFLINE;
use super::aside::{Aside, NoAnswer};
use super::item::{Item, Subject};
use crate::config::Config;
use crate::exit::Exit;
use crate::run;
use crate::sink::{Cluster as Found, KafkaSettings, KafkaStartError, Outlet, Route};

/// The brokers, which come before every topic.
pub(super) const BROKERS: Subject = Subject::new("kafka.brokers", "brokers");

const MEND: &str = "check kafka.bootstrap_servers and [kafka.librdkafka]";
/// How much longer than its own deadlines the client may take, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// A cluster that is being asked.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: KafkaSettings,
    routes: Vec<Route>,
    asked: Option<Aside<Result<Found, KafkaStartError>>>,
}

impl Cluster {
    /// Begins to ask for the brokers and for the topics of the routes that go to Kafka.
    pub(super) fn begin(config: &Config, offline: bool) -> Self {
        let settings = run::kafka_settings(config);
        let routing = run::routing(config);
        let to_kafka = routing
            .table()
            .into_iter()
            .filter(|(_, outlet)| **outlet == Outlet::Kafka);
        let routes: Vec<Route> = to_kafka.map(|(route, _)| route).collect();
        let asked = (!offline).then(|| {
            let within = Duration::from_millis(settings.start_timeout_ms.saturating_mul(2) + GRACE_MS);
            let (settings, routes) = (settings.clone(), routes.clone());
            Aside::begin("check-kafka", within, move |answer| {
                let topics: Vec<&str> = routes.iter().map(|route| settings.topics.of(*route)).collect();
                // nobody waits any more if it took too long
                Found::ask(&settings, &topics, |found| drop(answer.send(found)));
            })
        });
        Self {
            settings,
            routes,
            asked,
        }
    }

    /// The rows.
    pub(super) fn items(self) -> Vec<Item> {
        let (brokers, found) = match self.asked.map(Aside::wait) {
            None => (BROKERS.skipped(OFFLINE), Err(OFFLINE)),
            Some(answer) => {
                let why = "no broker answered";
                let item = brokers(&self.settings, &answer);
                (item, answer.ok().and_then(Result::ok).ok_or(why))
            }
        };
        let mut items = vec![brokers];
        match found {
            Err(why) => items.extend(
                self.routes
                    .iter()
                    .map(|route| topic::subject(*route).skipped(why)),
            ),
            Ok(found) => {
                let states = found.topics.iter().map(Option::as_ref);
                let judge = |(route, state)| topic::item(&self.settings, route, found.brokers, state);
                items.extend(self.routes.iter().copied().zip(states).map(judge));
            }
        }
        items
    }
}

fn brokers(settings: &KafkaSettings, answer: &Result<Result<Found, KafkaStartError>, NoAnswer>) -> Item {
    match answer {
        Ok(Ok(found)) => BROKERS.holds(match found.brokers {
            1 => format!("1 broker answers at {}", settings.bootstrap_servers),
            number => format!("{number} brokers answer at {}", settings.bootstrap_servers),
        }),
        Ok(Err(error)) => {
            let exit = if error.is_retryable() {
                Exit::Unavailable
            } else {
                Exit::Config
            };
            BROKERS.fails_as(exit, &error.to_string(), MEND)
        }
        Err(missed) => BROKERS.fails(
            Exit::Unavailable,
            format!("{}: {missed}", settings.bootstrap_servers),
            MEND,
        ),
    }
}
