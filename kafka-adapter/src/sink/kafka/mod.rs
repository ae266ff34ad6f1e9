//! The Kafka sink: one idempotent threaded producer whose delivery reports come back through a bounded queue.
//!
//! Responsible for sending and for replacing a producer that has died. Refuses records over the size limit itself,
//! since librdkafka's refusal and the broker's would come later and take neighbours along. Invariant: per partition,
//! records are written in the order of [`Sink::send`](super::Sink::send).

mod cluster;
mod context;
mod extent;
mod ledger;
mod meaning;
mod message;
mod obstacle;
mod place;
mod positions;
mod rights;
mod settings;
mod start_error;
mod topics;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use context::{Context, States, failure_of};
use ledger::{Calls, Producer as Shared};
use message::MessageBuilder;

use super::{Answer, Failure, Ledger, Meaning, Outcome, Parcel, Route, SendError};

pub use cluster::{Cluster, Position, TopicSettings, TopicState};
pub use extent::{Extent, in_words, lacks_read, unread};
pub use meaning::meaning_of;
pub use obstacle::Obstacle;
pub use rights::{Operation, Rights, grant};
pub use settings::{Envelope, KafkaSettings, Topics, TransactionSettings};
pub use start_error::StartError;
pub use topics::TopicPlan;

/// Room for outcomes beyond the records in flight: audit records about the run.
const SPARE_OUTCOMES: usize = 64;
/// Pause between two attempts to reach the brokers at start, in milliseconds.
const START_RETRY_MS: u64 = 100;

/// The sink that writes to Kafka.
pub struct KafkaSink {
    /// The blocking calls, where there are transactions; ended before the producer that they are made on.
    calls: Option<Calls>,
    settings: KafkaSettings,
    /// Absent only between the death of one producer and the making of the next.
    producer: Option<Shared>,
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
        let (outcomes, arrivals) = bounded(room(&settings));
        // in transactions this one only asks for topics; the producer that sends comes with `Ledger::open`
        let producer =
            connect(settings.client_config(), outcomes.clone(), &states).map_err(StartError::Settings)?;
        let calls = settings
            .transactions
            .clone()
            .map(|transactions| Calls::start(settings.clone(), transactions, Arc::clone(&states), outcomes));
        let sink = Self {
            calls: calls.transpose().map_err(StartError::Thread)?,
            builder: MessageBuilder::new(
                settings.envelope,
                settings.default_source.clone(),
                settings.topics.events.clone(),
            ),
            serial_per_key: settings.one_request_in_flight(),
            producer: Some(Arc::new(producer)),
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
        let (outcomes, arrivals) = bounded(room(&self.settings));
        let config = self.settings.client_config();
        let producer = connect(config, outcomes, &self.states).map_err(|reason| Failure {
            meaning: Meaning::Fatal,
            reason,
        })?;
        self.states.fatal.store(false, Ordering::Release);
        self.states.lost_outcomes.store(0, Ordering::Relaxed);
        self.producer = Some(Arc::new(producer));
        self.arrivals = arrivals;
        Ok(())
    }

    /// The fatal error that makes a replacement necessary.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        if self.states.lost_outcomes.load(Ordering::Relaxed) > 0 {
            return Some("an outcome found no room in its queue".to_owned());
        }
        // the library knows it before it gives back what it held, and says it by an event only after that
        let fatal = self
            .producer
            .as_ref()
            .and_then(|producer| producer.client().fatal_error());
        match fatal {
            Some((_, reason)) => Some(reason),
            None => self
                .states
                .fatal
                .load(Ordering::Acquire)
                .then(|| "the producer died".to_owned()),
        }
    }

    /// Says whether what is sent goes into transactions.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.calls.is_some()
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
            .or_else(|| self.calls.as_ref().and_then(Calls::obstacle))
    }

    /// What it means that the brokers acknowledge nothing for seconds: librdkafka repeats by itself, and without a word,
    /// what they refuse for NOT_ENOUGH_REPLICAS and for want of a leader or a coordinator.
    #[must_use]
    pub fn silent(&self) -> String {
        format!(
            "{} takes connections and acknowledges nothing: a partition has no leader, or fewer replicas in sync than \
             min.insync.replicas; start the brokers that are away, `genesys-kafka check` names the topics",
            self.settings.bootstrap_servers
        )
    }

    /// The topic of a route.
    #[must_use]
    pub fn topic(&self, route: Route) -> &str {
        self.settings.topics.of(route)
    }
}

impl Ledger for KafkaSink {
    fn begin(&mut self) -> Result<(), Failure> {
        let failed = |meaning, reason: String| Err(Failure { meaning, reason });
        let Some(producer) = &self.producer else {
            return failed(Meaning::Fatal, "there is no producer".to_owned());
        };
        match producer.begin_transaction() {
            Ok(()) => Ok(()),
            // nothing was begun, and only a new producer is sure to have nothing open
            Err(error) => failed(Meaning::Fatal, error.to_string()),
        }
    }

    fn commit(&mut self, position: Vec<u8>) {
        if let (Some(calls), Some(producer)) = (&self.calls, &self.producer) {
            calls.commit(producer, position);
        }
    }

    fn abort(&mut self) {
        if let (Some(calls), Some(producer)) = (&self.calls, &self.producer) {
            calls.abort(producer);
        }
    }

    fn open(&mut self, ours: Option<Vec<Option<Vec<u8>>>>) {
        let old = self.producer.take();
        if let Some(calls) = &self.calls {
            calls.open(old, ours);
        }
    }

    fn answer(&mut self) -> Option<Answer> {
        let told = self.calls.as_ref()?.told()?;
        if let Some((producer, arrivals)) = told.fresh {
            self.producer = Some(producer);
            self.arrivals = arrivals;
        }
        Some(told.answer)
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

/// Makes a producer whose outcomes go into this queue.
fn connect(
    mut config: ClientConfig,
    outcomes: Sender<Outcome>,
    states: &Arc<States>,
) -> Result<ThreadedProducer<Context>, String> {
    let context = Context {
        outcomes,
        states: Arc::clone(states),
    };
    // at this level librdkafka tells why a connection failed, which `Context::log` reads
    config.set_log_level(RDKafkaLogLevel::Info);
    config.create_with_context(context).map_err(client_error)
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
