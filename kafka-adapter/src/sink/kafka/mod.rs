//! The Kafka sink: one idempotent threaded producer whose delivery reports come back through a bounded queue.
//!
//! Responsible for sending and for replacing a producer that has died. Refuses records over the size limit itself,
//! since librdkafka's refusal and the broker's would come later and take neighbours along. Invariant: per partition,
//! records are written in the order of [`Sink::send`](super::Sink::send).

mod cluster;
mod context;
mod meaning;
mod message;
mod obstacle;
mod settings;
mod topics;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use context::{Context, States, failure_of};
use message::MessageBuilder;

use super::{Failure, Meaning, Outcome, Parcel, Route, SendError};

pub use cluster::{Cluster, TopicSettings, TopicState};
pub use meaning::meaning_of;
pub use obstacle::Obstacle;
pub use settings::{Envelope, KafkaSettings, Topics};
pub use topics::TopicPlan;

/// Room for outcomes beyond the records in flight: audit records about the run.
const SPARE_OUTCOMES: usize = 64;
/// Pause between two attempts to reach the brokers at start, in milliseconds.
const START_RETRY_MS: u64 = 100;

/// Why the Kafka sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong. Not retryable.
    #[error("[kafka] cannot be used: {0}")]
    Settings(String),
    /// No broker answered in time. Retryable, unless the reason is certain to stay.
    #[error(
        "no broker of kafka.bootstrap_servers = \"{servers}\" answered within {waited_ms} ms: {obstacle}"
    )]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// How long, in milliseconds.
        waited_ms: u64,
        /// Why, with the mend.
        obstacle: Obstacle,
    },
    /// Topics do not exist. Not retryable.
    #[error(
        "missing or invisible topics: {}; create them with `genesys-kafka run --create-topics`, or with: {}",
        names(.plans), commands(.plans, .servers)
    )]
    MissingTopics {
        /// The topics as they would be created.
        plans: Vec<TopicPlan>,
        /// The addresses of the brokers.
        servers: String,
    },
    /// Topics could not be created. Not retryable.
    #[error(
        "topics cannot be created at \"{servers}\": {reason}; check the right to create topics, and that \
         kafka.replication_factor brokers are there"
    )]
    CreateTopics {
        /// The addresses of the brokers.
        servers: String,
        /// The broker's words.
        reason: String,
    },
}

impl StartError {
    /// Says whether the same start may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { obstacle, .. } if !obstacle.is_certain())
    }
}

fn names(plans: &[TopicPlan]) -> String {
    plans
        .iter()
        .map(|plan| plan.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn commands(plans: &[TopicPlan], servers: &str) -> String {
    plans
        .iter()
        .map(|plan| plan.command(servers))
        .collect::<Vec<_>>()
        .join(" && ")
}

/// The sink that writes to Kafka.
pub struct KafkaSink {
    settings: KafkaSettings,
    /// Absent only between the death of one producer and the making of the next.
    producer: Option<ThreadedProducer<Context>>,
    arrivals: Receiver<Outcome>,
    states: Arc<States>,
    builder: MessageBuilder,
    serial_per_key: bool,
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink")
            .field("states", &self.states)
            .finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// Connects, and checks or creates the topics of the routes.
    ///
    /// # Errors
    /// [`StartError::Settings`] if librdkafka refuses a property; [`StartError::Unreachable`] after
    /// `start_timeout_ms`; the others about topics.
    pub fn start(settings: KafkaSettings, routes: &[Route]) -> Result<Self, StartError> {
        let states = Arc::new(States::default());
        let (producer, arrivals) =
            connect(settings.client_config(), room(&settings), &states).map_err(StartError::Settings)?;
        let sink = Self {
            builder: MessageBuilder::new(settings.envelope, settings.default_source.clone()),
            serial_per_key: settings.one_request_in_flight(),
            producer: Some(producer),
            settings,
            arrivals,
            states,
        };
        sink.check_topics(routes)?;
        Ok(sink)
    }

    fn check_topics(&self, routes: &[Route]) -> Result<(), StartError> {
        let deadline = Instant::now() + Duration::from_millis(self.settings.start_timeout_ms);
        let servers = || self.settings.bootstrap_servers.clone();
        let producer = self
            .producer
            .as_ref()
            .expect("a sink that starts has the producer it was made with");
        let metadata = || metadata(producer.client(), &self.settings, deadline, &self.states);
        let plans = topics::missing(&self.settings, routes, &metadata()?);
        if plans.is_empty() {
            return Ok(());
        }
        if !self.settings.create_topics {
            return Err(StartError::MissingTopics {
                plans,
                servers: servers(),
            });
        }
        topics::create(&self.settings, &plans).map_err(|reason| StartError::CreateTopics {
            servers: servers(),
            reason,
        })?;
        // a controller answers before every broker knows the topic
        loop {
            let plans = topics::missing(&self.settings, routes, &metadata()?);
            if plans.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::MissingTopics {
                    plans,
                    servers: servers(),
                });
            }
            thread::sleep(Duration::from_millis(START_RETRY_MS));
        }
    }

    /// Accepts a parcel; see [`super::Sink::send`].
    ///
    /// # Errors
    /// As [`super::Sink::send`].
    pub fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let Some(producer) = &self.producer else {
            return Err(SendError::Failed(Failure {
                meaning: Meaning::Fatal,
                reason: "the producer died and has not been replaced yet".to_owned(),
            }));
        };
        let built = self.builder.build(parcel);
        if built.size_bytes > self.settings.message_max_bytes {
            return Err(SendError::Failed(Failure {
                meaning: Meaning::Refused,
                reason: format!(
                    "{} bytes with key and headers, over kafka.message_max_bytes = {}",
                    built.size_bytes, self.settings.message_max_bytes
                ),
            }));
        }
        let value = if built.enveloped {
            self.builder.body()
        } else {
            parcel.body
        };
        let record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord {
            topic: self.settings.topics.of(parcel.route),
            partition: None,
            payload: Some(value),
            key: (!parcel.key.is_empty()).then_some(parcel.key.as_bytes()),
            // librdkafka reads 0 as "now", and brokers refuse times before 1970
            timestamp: (parcel.time_us >= 1000).then_some(parcel.time_us / 1000),
            headers: built.headers,
            // only 64-bit targets compile (plugin-abi)
            delivery_opaque: token as usize,
        };
        match producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(SendError::Full),
            Err((error, record)) => Err(SendError::Failed(failure_of(&error, record.topic))),
        }
    }

    /// Outcomes, in the order of the delivery reports.
    #[must_use]
    pub fn arrivals(&self) -> &Receiver<Outcome> {
        &self.arrivals
    }

    /// Buries the producer and makes a new one; see [`super::Sink::replace`].
    ///
    /// # Errors
    /// [`Failure`] if librdkafka cannot make a producer; retryable.
    pub fn replace(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        // dropping purges queue and flight, and reports every record through the queue of outcomes
        drop(self.producer.take());
        outcomes.extend(self.arrivals.try_iter());
        let (producer, arrivals) = connect(self.settings.client_config(), room(&self.settings), &self.states)
            .map_err(|reason| Failure {
                meaning: Meaning::Fatal,
                reason,
            })?;
        self.states.fatal.store(false, Ordering::Release);
        self.states.lost_outcomes.store(0, Ordering::Relaxed);
        self.producer = Some(producer);
        self.arrivals = arrivals;
        Ok(())
    }

    /// The fatal error that makes a replacement necessary.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        if self.states.lost_outcomes.load(Ordering::Relaxed) > 0 {
            return Some("an outcome found no room in its queue".to_owned());
        }
        if !self.states.fatal.load(Ordering::Acquire) {
            return None;
        }
        let fatal = self
            .producer
            .as_ref()
            .and_then(|producer| producer.client().fatal_error());
        Some(fatal.map_or_else(|| "the producer died".to_owned(), |(_, reason)| reason))
    }

    /// Says whether the user asked for one request in flight.
    #[must_use]
    pub fn serial_per_key(&self) -> bool {
        self.serial_per_key
    }

    /// Why the brokers cannot be reached, if they cannot.
    #[must_use]
    pub fn unreachable(&self) -> Option<String> {
        self.states
            .all_brokers_down
            .load(Ordering::Relaxed)
            .then(|| format!("no broker of {} can be reached", self.settings.bootstrap_servers))
    }

    /// The topic of a route.
    #[must_use]
    pub fn topic(&self, route: Route) -> &str {
        self.settings.topics.of(route)
    }
}

/// What the brokers say of themselves and of all topics, asked until `deadline`.
fn metadata<C: ClientContext>(
    client: &Client<C>,
    settings: &KafkaSettings,
    deadline: Instant,
    states: &States,
) -> Result<Metadata, StartError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = left.clamp(Duration::from_millis(1), Duration::from_millis(2000));
        // the error says "transport failure" of everything
        if let Ok(metadata) = client.fetch_metadata(None, wait) {
            return Ok(metadata);
        }
        if Instant::now() + Duration::from_millis(START_RETRY_MS) >= deadline {
            return Err(StartError::Unreachable {
                servers: settings.bootstrap_servers.clone(),
                waited_ms: settings.start_timeout_ms,
                obstacle: states.obstacle(),
            });
        }
        thread::sleep(Duration::from_millis(START_RETRY_MS));
    }
}

/// Room for the outcome of every record that can be in flight.
fn room(settings: &KafkaSettings) -> usize {
    settings.max_in_flight_records + SPARE_OUTCOMES
}

/// Makes a producer with room for so many outcomes.
fn connect(
    mut config: ClientConfig,
    outcomes: usize,
    states: &Arc<States>,
) -> Result<(ThreadedProducer<Context>, Receiver<Outcome>), String> {
    let (outcomes, arrivals) = bounded(outcomes);
    let context = Context {
        outcomes,
        states: Arc::clone(states),
    };
    // at this level librdkafka tells why a connection failed, which `Context::log` reads
    config.set_log_level(RDKafkaLogLevel::Info);
    let made = config.create_with_context(context);
    made.map(|producer| (producer, arrivals)).map_err(client_error)
}

/// Why librdkafka makes no client.
fn client_error(error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            // the value of a property may be a secret
            let shown = if name.contains("password") || name.contains("secret") || name.contains("key") {
                "[hidden]"
            } else {
                value.as_str()
            };
            format!("librdkafka property {name} = {shown}: {reason}")
        }
        error => error.to_string(),
    }
}
