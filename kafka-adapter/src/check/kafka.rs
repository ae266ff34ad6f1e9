//! The rows about Kafka: the brokers, each topic that records go to, and the position of a shard.
//!
//! Responsible for asking in time; what is found is judged in [`topic`]. Refuses to create a topic, to send a record, to
//! take a producer id and to use the transactional id, whose rights a start shows alone. Invariant: where no broker answers,
//! the rows of the topics are shown as not examined.

mod topic;

use std::time::Duration;

use super::OFFLINE;
use super::aside::{Aside, NoAnswer};
use super::item::{Item, Subject};
use crate::config::Config;
use crate::exit::Exit;
use crate::run;
use crate::sink::{
    Cluster as Found, KafkaSettings, KafkaStartError, Outlet, Position, Rights, TopicPlan,
    TransactionSettings,
};

use topic::Topic;

/// The brokers, which come before every topic.
pub(super) const BROKERS: Subject = Subject::new("kafka.brokers", "brokers");

/// What a start with `exactly_once` fences its predecessor with.
const TRANSACTIONAL_ID: Subject = Subject::new("kafka.transactional_id", "transactional id");

/// How far the shard is, which a start reads with `exactly_once`.
const POSITION: Subject = Subject::new("kafka.position", "position");

const MEND: &str = "check kafka.bootstrap_servers and [kafka.librdkafka]";
/// How much longer than its own deadlines the client may take, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// A cluster that is being asked.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: KafkaSettings,
    topics: Vec<Topic>,
    asked: Option<Aside<Result<Found, KafkaStartError>>>,
}

impl Cluster {
    /// Begins to ask for the brokers and for the topics that a run uses.
    pub(super) fn begin(config: &Config, offline: bool) -> Self {
        let settings = run::kafka_settings(config);
        let routing = run::routing(config);
        let to_kafka = routing
            .table()
            .into_iter()
            .filter(|(_, outlet)| **outlet == Outlet::Kafka);
        let positions = settings.transactions.is_some().then_some(Topic::Positions);
        let topics: Vec<Topic> = to_kafka
            .map(|(route, _)| Topic::Of(route))
            .chain(positions)
            .collect();
        let asked = (!offline).then(|| {
            let within = Duration::from_millis(Found::most_ms(&settings).saturating_add(GRACE_MS));
            let (settings, topics) = (settings.clone(), topics.clone());
            Aside::begin("check-kafka", within, move |answer| {
                let topics: Vec<TopicPlan> = topics.iter().map(|topic| topic.plan(&settings)).collect();
                // nobody waits any more if it took too long
                Found::ask(&settings, &topics, |found| drop(answer.send(found)));
            })
        });
        Self {
            settings,
            topics,
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
                self.topics
                    .iter()
                    .map(|topic| topic::subject(*topic).skipped(why)),
            ),
            Ok(found) => {
                let uncreatable = found.uncreatable.iter().map(Option::as_deref);
                let states = found.topics.iter().map(Option::as_ref).zip(&found.rights);
                for ((topic, (state, rights)), uncreatable) in self.topics.iter().zip(states).zip(uncreatable)
                {
                    let may_fit = *rights != Rights::Unseen && topic.plan(&self.settings).fits(found.brokers);
                    items.push(match uncreatable.filter(|_| may_fit) {
                        Some(reason) => topic::uncreatable(&self.settings, *topic, reason),
                        None => topic::item(&self.settings, *topic, found.brokers, state, rights),
                    });
                }
                items.extend(self.settings.transactions.as_ref().map(transactional_id));
                items.extend(
                    found
                        .position
                        .as_ref()
                        .map(|found| position(&self.settings, found)),
                );
            }
        }
        items
    }
}

/// Nobody tells the rights on it, and the one request that needs them would fence the process that runs.
fn transactional_id(settings: &TransactionSettings) -> Item {
    TRANSACTIONAL_ID.skipped(format!(
        "{}: a start alone shows whether this user has Write on it, since asking would fence a run that is up",
        settings.id()
    ))
}

fn position(settings: &KafkaSettings, found: &Position) -> Item {
    let topic = &settings.topics.positions;
    let shard = settings
        .transactions
        .as_ref()
        .map_or("", |settings| &settings.shard);
    let right = format!("give this user the right Read on topic {topic}");
    match found {
        Position::Found => POSITION.holds(format!("shard {shard} has one in {topic}")),
        Position::Absent => POSITION.holds(format!("shard {shard} has none yet in {topic}")),
        Position::Late => POSITION.warns(
            format!(
                "{topic} was not read to its end within {} ms",
                settings.start_timeout_ms
            ),
            format!("{right}, and wait for transactions of other shards that are open"),
        ),
        Position::Unread(reason) => {
            let otherwise = format!("{right}, and look at the brokers");
            POSITION.fails_as(Exit::Unavailable, reason, &otherwise)
        }
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
