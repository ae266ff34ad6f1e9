//! One adapter under load, and what its guarantee promises whatever happened to the nodes.
//!
//! Responsible for one guarantee: its settings, its progress, its verdict. Refuses to believe the adapter: it reads the
//! topics, as a consumer of committed records alone.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use serde_json::Value;
use simulator::Options;
use support::drill::{is_full, tell};
use support::rig::{self, Ended, MetricsLine};
use support::topics::{Audit, gaps};
use support::{Cluster, Process, Rig, Stream, probe};

use crate::seen::check_topics;
use crate::shard::{self, Places};
use crate::{DEADLINE, proofs};

/// Events per second of each adapter.
fn rate() -> u64 {
    if is_full() { 300 } else { 200 }
}

/// See the module.
pub(crate) struct Side {
    guarantee: &'static str,
    pub(crate) places: Places,
    rig: Rig,
    adapter: Process,
    readiness: SocketAddr,
}

/// A moment, and how many events had been sent until then.
pub(crate) struct Mark {
    pub(crate) sent: i64,
    at_us: u64,
}

impl Side {
    pub(crate) fn start(cluster: &Cluster, guarantee: &'static str) -> Self {
        let places = Places::create(cluster.node(1));
        let options = Options {
            rate: rate(),
            truth_frames: false,
            ..Options::default()
        };
        let rig = places
            .shard(options)
            .set("delivery.guarantee", guarantee)
            // so that what is lost is away for longer than a transaction may last
            .set("kafka.transaction_timeout_ms", 5_000)
            .set("operations.listen", "0");
        let mut adapter = rig.start();
        Self {
            guarantee,
            readiness: probe::address(&mut adapter),
            places,
            rig,
            adapter,
        }
    }

    /// The latest figures that the adapter has told.
    fn figures(&mut self) -> Option<MetricsLine> {
        assert!(!self.adapter.has_ended(), "{}: {}", self.guarantee, self.log());
        rig::metrics(&self.adapter).pop()
    }

    fn log(&self) -> String {
        self.adapter.lines(Stream::Stderr).join("\n")
    }

    /// Records resolved so far.
    pub(crate) fn resolved(&mut self) -> i64 {
        self.figures().map_or(0, |line| line.number("resolved"))
    }

    /// Frames read so far.
    pub(crate) fn ingested(&mut self) -> i64 {
        self.figures().map_or(0, |line| line.number("totalIngested"))
    }

    pub(crate) fn until_resolved(&mut self, records: i64) {
        rig::wait_for_metrics(&mut self.adapter, DEADLINE, "records are resolved", |line| {
            line.number("resolved") >= records
        });
    }

    pub(crate) fn until_ingested(&mut self, frames: i64) {
        rig::wait_for_metrics(&mut self.adapter, DEADLINE, "frames are read", |line| {
            line.number("totalIngested") >= frames
        });
    }

    pub(crate) fn until_ready(&mut self) {
        probe::wait_until_ready(self.readiness);
    }

    /// Waits until the destination is the one reason for which it is not ready, and returns the words.
    pub(crate) fn until_held(&mut self) -> String {
        probe::wait_for_reason(self.readiness, "sink")
    }

    /// Demands that `genesys-kafka check`, run beside the adapter, says this of a topic and ends with 69.
    pub(crate) fn assert_check_says(&self, title: &str, words: &str) {
        let checked = check_topics(&self.rig, &[], &self.places.servers, &self.places.topics);
        let rows = checked.rows(title);
        assert!(
            rows.first().is_some_and(|row| row.contains(words)),
            "{:#?}",
            checked.lines
        );
        assert_eq!(checked.code, Some(69));
    }

    /// What had been sent by now.
    pub(crate) fn mark(&mut self) -> Mark {
        let sent = self.rig.simulator().counters().events_sent;
        Mark {
            sent: i64::try_from(sent).unwrap(),
            at_us: simulator::wall_us(),
        }
    }

    /// Stops the adapter and demands that everything sent before the mark is there, and nothing is wrong with the rest.
    pub(crate) fn judge(&mut self, drill: &str, mark: &Mark) {
        let ended = shard::stop(&mut self.adapter);
        for count in [
            "/refused",
            "/deadLetters",
            "/lastResort",
            "/source/frames/dropped",
        ] {
            assert_eq!(ended.count(count), 0, "{count}: {}", ended.summary);
        }
        assert!(self.places.dead_letters().is_empty());
        let truth = self.rig.simulator().truth();
        assert!(!self.rig.simulator().counters().truth_truncated);
        let events = self.places.events();
        let lost = proofs::missing(&truth, &events)
            .into_iter()
            .filter(|line| line.sent_us.is_some_and(|sent_us| sent_us <= mark.at_us))
            .count();
        assert_eq!(lost, 0, "events that were sent to an open socket are missing");
        let firsts = if self.guarantee == "exactly_once" {
            self.places.assert_exactly_once(&self.rig);
            events.len()
        } else {
            self.assert_at_least_once(&ended)
        };
        tell(&format!(
            "{drill}, {}: {} events sent, lost 0, {} in the topic, duplicated {}, producers replaced {}, resent {}",
            self.guarantee,
            truth.iter().filter(|line| line.sent_us.is_some()).count(),
            events.len(),
            events.len() - firsts,
            ended.count("/producerReplacements"),
            ended.count("/resent"),
        ));
    }

    /// Repeats are told by their ids; the first of each is in order, and the audit trail is whole. Returns how many events
    /// there are without the repeats.
    fn assert_at_least_once(&self, ended: &Ended) -> usize {
        let truth = self.rig.simulator().truth();
        let events = self.places.events();
        let mut bodies: HashMap<&str, &Value> = HashMap::new();
        for event in &events {
            let before = bodies.entry(event.id()).or_insert(&event.body);
            assert_eq!(*before, &event.body, "copies of one event differ");
        }
        let firsts = proofs::without_repeats(&events);
        assert!(
            firsts.len() == events.len() || ended.count("/producerReplacements") > 0,
            "a producer that was not replaced repeats nothing"
        );
        proofs::assert_none_twice_and_none_invented(&truth, &firsts);
        proofs::assert_order_per_key(&firsts);
        let mut control = self.places.control();
        proofs::assert_valid("control", &control);
        let mut seen = HashMap::new();
        control.retain(|record| seen.insert(record["controlId"].to_string(), ()).is_none());
        let gaps = gaps(&control);
        let causes: Vec<&str> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["stopped"]);
        proofs::assert_missing_only_within(&gaps, &proofs::missing(&truth, &events));
        let audits = self.places.audits();
        let audited: HashSet<&str> = audits
            .iter()
            .filter(|audit| audit.status() == "processed")
            .map(Audit::event_id)
            .collect();
        for event in &firsts {
            assert!(audited.contains(event.id()), "no audit record for {}", event.id());
        }
        let verdict = self
            .rig
            .launch_command("verify")
            .args(["--from-kafka"])
            .run(DEADLINE);
        assert_eq!(verdict.status.code(), Some(0), "{verdict:#?}");
        firsts.len()
    }
}
