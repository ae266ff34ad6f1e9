//! One run into librdkafka's mock cluster, with errors of the broker injected amid the traffic.
//!
//! Responsible for the traffic, for the proof that the errors were met, and for reading what the run left. Refuses to pass
//! over an error that no request has met: what leaves no trace is followed by a closed connection, which leaves one, and
//! the cluster answers in the order of injection. Invariant: events lie in one partition, so that one batch holds
//! neighbours of many conversations.

use std::collections::BTreeSet;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::Value;
use simulator::{Options, TruthLine};
use support::rig::{self, Ended};
use support::told::told;
use support::topics::{Audit, DeadLetter, Event};
use support::{Mock, Process, Rig, Stream, Topics, wait_until};

use crate::{DEADLINE, proofs};

/// Events of a run, and how many of them come in a second.
pub(super) const EVENTS: i64 = 3_000;
const RATE: u64 = 1_000;
/// Events that are sent before anything is injected.
const BEFORE: i64 = 300;

/// A run that is under way.
pub(super) struct Drill {
    pub(super) mock: Mock,
    pub(super) topics: Topics,
    pub(super) rig: Rig,
    pub(super) adapter: Process,
    /// Lines that were told before anything was injected.
    before: usize,
}

impl Drill {
    /// Starts a run and waits until events are delivered.
    pub(super) fn start(settings: &[(&str, Value)]) -> Self {
        let topics = Topics::unique();
        let mock = Mock::start(&topics.names().map(|name| (name, 1)));
        let options = Options {
            events: Some(EVENTS.unsigned_abs()),
            rate: RATE,
            conversations: 20,
            ..Options::default()
        };
        let rig = Rig::new(options)
            .with_kafka(mock.bootstrap_servers(), &topics)
            .set("operations.listen", "0")
            // batches of many records
            .set("kafka.librdkafka.\"linger.ms\"", 50);
        let rig = settings
            .iter()
            .fold(rig, |rig, (key, value)| rig.set(key, value.clone()));
        let mut adapter = rig
            .launch(&[])
            .env("GENESYS_KAFKA_LOG", "info,librdkafka=debug")
            .start();
        rig::wait_for_metrics(&mut adapter, DEADLINE, "events are delivered", |line| {
            line.number("resolved") > BEFORE
        });
        let before = told(&adapter.lines(Stream::Stderr)).len();
        Self {
            mock,
            topics,
            rig,
            adapter,
            before,
        }
    }

    /// Answers the next requests to write, whatever their topic, with these errors.
    pub(super) fn inject(&self, errors: &[RDKafkaRespErr]) {
        self.mock.cluster().request_errors(RDKafkaApiKey::Produce, errors);
    }

    /// Answers as a healthy broker from now on.
    pub(super) fn clear(&self) {
        self.mock.cluster().clear_request_errors(RDKafkaApiKey::Produce);
    }

    /// Waits until something is told.
    pub(super) fn wait_for(&mut self, text: &str) {
        self.adapter.wait_for_line(Stream::Stderr, text, DEADLINE);
    }

    /// Answers with these errors, closes the connection at the request after them, and waits until that has happened. The
    /// run must have one request in flight, or the cluster writes twice what it has written and not yet answered.
    pub(super) fn inject_all(&self, errors: &[RDKafkaRespErr]) {
        let before = self.disconnects();
        self.inject(errors);
        self.inject(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
        wait_until(DEADLINE, "the errors are met", || self.disconnects() > before);
    }

    /// Connections that the cluster has closed so far, by librdkafka's own lines.
    fn disconnects(&self) -> usize {
        let lines = self.adapter.lines(Stream::Stderr);
        let is_closed = |line: &&String| line.contains("librdkafka") && line.contains("Disconnected");
        lines.iter().filter(is_closed).count()
    }

    /// What was told since the injection.
    pub(super) fn told(&self) -> Vec<String> {
        told(&self.adapter.lines(Stream::Stderr)).split_off(self.before)
    }

    /// Lets the traffic end, stops the run, and reads what it left; it must have ended in order.
    pub(super) fn end(mut self) -> Outcome {
        rig::wait_until_ingested(&mut self.adapter, self.rig.simulator(), DEADLINE);
        rig::wait_for_metrics(&mut self.adapter, DEADLINE, "everything is resolved", |line| {
            line.number("resolved") >= EVENTS && line.number("in_flight") == 0
        });
        let told = self.told();
        let ended = rig::stop(&mut self.adapter, DEADLINE);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
        proofs::assert_laws(&ended);
        let servers = self.mock.bootstrap_servers();
        Outcome {
            told,
            truth: self.rig.simulator().truth(),
            events: self.topics.read_events(servers),
            dead_letters: self.topics.read_dead_letters(servers),
            audits: self.topics.read_audits(servers),
            topics: self.topics,
            rig: self.rig,
            ended,
        }
    }
}

/// What a run left.
pub(super) struct Outcome {
    /// What was told from the injection to the stop.
    pub(super) told: Vec<String>,
    pub(super) ended: Ended,
    pub(super) truth: Vec<TruthLine>,
    pub(super) events: Vec<Event>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) audits: Vec<Audit>,
    pub(super) topics: Topics,
    pub(super) rig: Rig,
}

impl Outcome {
    /// Counts of the summary by name.
    pub(super) fn counts<const N: usize>(&self, names: [&str; N]) -> [i64; N] {
        names.map(|name| self.ended.count(&format!("/{name}")))
    }

    /// Each event lies in the topic once, in the order of its conversation, and the audit trail says where; nothing was
    /// refused or sent again.
    pub(super) fn assert_untouched(&self) {
        proofs::assert_each_once_in_order(&self.truth, &self.events);
        self.assert_audited();
        assert_eq!(
            self.counts([
                "events",
                "deadLetters",
                "lastResort",
                "refused",
                "resent",
                "orderExceptions",
                "producerReplacements"
            ]),
            [EVENTS, 0, 0, 0, 0, 0, 0]
        );
    }

    /// The audit trail in the topic is whole and true of what lies in the others.
    pub(super) fn assert_audited(&self) {
        proofs::assert_audits_are_true(
            &self.audits,
            (&self.topics.events, &self.events),
            (&self.topics.dead_letter, &self.dead_letters),
        );
        proofs::assert_chain(&self.audits);
    }

    /// Ids of the events that were sent and do not lie in the topic.
    pub(super) fn missing(&self) -> BTreeSet<String> {
        let missing = proofs::missing(&self.truth, &self.events);
        missing.iter().map(|line| line.id.clone().unwrap()).collect()
    }

    /// The records of the audit file, for a run that keeps one.
    pub(super) fn audit_file(&self, name: &str) -> Vec<Value> {
        let lines = self.lines_of(name);
        assert!(!lines.is_empty(), "no audit in {name}");
        lines
    }

    /// The JSON lines of a file in the folder of the run; none if there is no such file.
    pub(super) fn lines_of(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.rig.folder().join(name)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
