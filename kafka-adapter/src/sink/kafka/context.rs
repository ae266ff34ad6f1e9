//! What librdkafka calls back into, on its polling thread.
//!
//! Responsible for carrying outcomes and states out of the callbacks. Refuses to block, to log per record, or to
//! share a lock with the sender. Invariant: the queue of outcomes has room for every parcel that can be in flight,
//! so that an outcome never has to be dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::super::{Failure, Landing, Meaning, Outcome};
use super::meaning::{meaning_of, mend_of};
use super::obstacle::{self, Obstacle};
use super::place::Places;

/// States of the connection, written by callbacks and read by the pipeline.
#[derive(Debug, Default)]
pub(super) struct States {
    /// No broker can be reached.
    pub(super) all_brokers_down: AtomicBool,
    /// The producer reported a fatal error.
    pub(super) fatal: AtomicBool,
    /// Outcomes that found no room: a fault of this program, mended by a new producer and a replay.
    pub(super) lost_outcomes: AtomicU64,
    /// At which offsets delivered records lie. Locked by the polling thread alone.
    pub(super) places: Places,
    /// Why the brokers could not be reached, as far as anything was said. Locked at failed connections only.
    obstacle: Mutex<Obstacle>,
}

impl States {
    /// Why the brokers could not be reached.
    pub(super) fn obstacle(&self) -> Obstacle {
        self.obstacle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps what a line on a failed connection says, unless what is known already weighs more.
    fn note(&self, line: &str) {
        let said = Obstacle::read(line);
        let mut known = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner);
        let same_kind = std::mem::discriminant(&said) == std::mem::discriminant(&*known);
        if same_kind || said > *known {
            *known = said;
        }
    }
}

/// The context of one producer; a replacement gets a new one, so that late outcomes of the old cannot be mistaken.
pub(super) struct Context {
    pub(super) outcomes: Sender<Outcome>,
    pub(super) states: Arc<States>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // a broker that is away is reported once per change by the pipeline; the library says it at every attempt
        if facility == obstacle::FACILITY {
            self.states.note(message);
        }
        tracing::debug!(target: "librdkafka", ?level, facility, message, "client library");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if self.states.all_brokers_down.load(Ordering::Relaxed) && names_a_broker_that_is_up(statistics) {
            self.states.all_brokers_down.store(false, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        // every error arrives twice; setting a flag twice is harmless
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.states.all_brokers_down.store(true, Ordering::Relaxed)
            }
            Some(RDKafkaErrorCode::Fatal) => self.states.fatal.store(true, Ordering::Release),
            _ => {}
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let result = match result {
            Ok(message) => {
                self.states.all_brokers_down.store(false, Ordering::Relaxed);
                Ok(Landing::Kafka {
                    partition: message.partition(),
                    offset: self
                        .states
                        .places
                        .offset(message.topic(), message.partition(), message.offset()),
                })
            }
            Err((error, message)) => Err(failure_of(error, message.topic())),
        };
        if self
            .outcomes
            .try_send(Outcome {
                token: token as u64,
                result,
            })
            .is_err()
        {
            self.states.lost_outcomes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The failure behind an error of librdkafka about a record for `topic`, in the broker's or the library's own words, with
/// the topic and the mend where an operator is needed.
pub(super) fn failure_of(error: &KafkaError, topic: &str) -> Failure {
    let Some(code) = error.rdkafka_error_code() else {
        return Failure {
            meaning: Meaning::Rewind,
            reason: error.to_string(),
        };
    };
    let reason = match mend_of(code) {
        Some(mend) => format!("topic {topic}: {code}; {mend}"),
        None => code.to_string(),
    };
    Failure {
        meaning: meaning_of(code),
        reason,
    }
}

fn names_a_broker_that_is_up(statistics: &[u8]) -> bool {
    let Ok(statistics) = serde_json::from_slice::<serde_json::Value>(statistics) else {
        return false;
    };
    let brokers = statistics.get("brokers").and_then(serde_json::Value::as_object);
    brokers.is_some_and(|brokers| brokers.values().any(|broker| broker["state"] == "UP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> (Context, crossbeam_channel::Receiver<Outcome>) {
        let (outcomes, arrivals) = crossbeam_channel::bounded(1);
        (
            Context {
                outcomes,
                states: Arc::default(),
            },
            arrivals,
        )
    }

    #[test]
    fn brokers_are_away_until_one_is_up_again() {
        let (context, _arrivals) = context();
        context.error(
            KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure),
            "one of three",
        );
        assert!(!context.states.all_brokers_down.load(Ordering::Relaxed));
        context.error(
            KafkaError::Global(RDKafkaErrorCode::AllBrokersDown),
            "3/3 brokers are down",
        );
        context.stats_raw(br#"{"brokers": {"a": {"state": "CONNECT"}, "b": {"state": "DOWN"}}}"#);
        assert!(context.states.all_brokers_down.load(Ordering::Relaxed));
        context.stats_raw(br#"{"brokers": {"a": {"state": "CONNECT"}, "b": {"state": "UP"}}}"#);
        assert!(!context.states.all_brokers_down.load(Ordering::Relaxed));
    }

    #[test]
    fn a_fatal_error_is_remembered() {
        let (context, _arrivals) = context();
        context.error(KafkaError::Global(RDKafkaErrorCode::Fatal), "lost its sequence");
        assert!(context.states.fatal.load(Ordering::Acquire));
    }

    #[test]
    fn failures_speak_the_brokers_words() {
        let failure = |code| failure_of(&KafkaError::MessageProduction(code), "events");
        let refused = failure(RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(refused.meaning, Meaning::Refused);
        assert_eq!(
            refused.reason,
            "MessageSizeTooLarge (Broker: Message size too large)"
        );
        let gone = failure(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(gone.meaning, Meaning::Blocked);
        assert_eq!(
            gone.reason,
            "topic events: UnknownTopicOrPartition (Broker: Unknown topic or partition); create the topic again, with its \
             partitions"
        );
    }
}
