//! A shard with its spool and topics, and what a consumer of committed records sees of it.
//!
//! Responsible for the configuration and for the proofs that every test of this binary ends with. Invariant: topics are
//! read as a consumer of committed records reads them.

use std::collections::BTreeSet;

use serde_json::Value;
use simulator::Options;
use support::rig::{self, Ended};
use support::topics::{Audit, DeadLetter, Event, gaps};
use support::{Broker, Launch, Process, Rig, Topics, read_back, unique_topic};

use crate::{DEADLINE, proofs};

/// Topics of a shard, that of the positions with them.
pub(crate) struct Places {
    pub(crate) servers: String,
    pub(crate) topics: Topics,
    pub(crate) positions: String,
    /// Name of the shard: the tests share a broker, and two of one name would fence each other.
    pub(crate) shard: String,
}

impl Places {
    pub(crate) fn create(broker: &Broker) -> Self {
        let positions = unique_topic("positions");
        broker.create_topic(&positions, 1, &[("cleanup.policy", "compact")]);
        Self {
            servers: broker.bootstrap_servers().to_owned(),
            topics: Topics::create(broker, 3),
            positions,
            shard: unique_topic("shard"),
        }
    }

    /// A shard of its own, with its own simulator and spool, that goes to these topics.
    pub(crate) fn shard(&self, options: Options) -> Rig {
        let options = Options {
            pause_when_alone: true,
            conversations: 40,
            ..options
        };
        let rig = Rig::new(options).with_kafka(&self.servers, &self.topics);
        let spool = rig.folder().join("spool").display().to_string();
        rig.set("delivery.guarantee", "exactly_once")
            .set("kafka.topics.positions", self.positions.as_str())
            .set("source.name", self.shard.as_str())
            .set("kafka.fenced_pause_ms", 100)
            .set("source.config.spool.mode", "disk")
            .set("source.config.spool.dir", spool)
            .set("source.config.max_frame_bytes", 1_000_000)
            .set("source.config.spool.max_bytes", 256 << 20)
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let records = read_back(&self.servers, &self.topics.events).into_iter();
        let event = |record: support::ReadRecord| Event {
            body: record.json(),
            record,
        };
        records.map(event).collect()
    }

    pub(crate) fn audits(&self) -> Vec<Audit> {
        let records = read_back(&self.servers, &self.topics.audit).into_iter();
        let audit = |record: support::ReadRecord| Audit {
            body: record.json(),
            record,
        };
        records.map(audit).collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        let records = read_back(&self.servers, &self.topics.dead_letter).into_iter();
        let letter = |record: support::ReadRecord| DeadLetter {
            body: record.json(),
            record,
        };
        records.map(letter).collect()
    }

    pub(crate) fn control(&self) -> Vec<Value> {
        let records = read_back(&self.servers, &self.topics.control);
        records.iter().map(support::ReadRecord::json).collect()
    }

    /// The positions of a shard in the order of their commits.
    pub(crate) fn positions(&self) -> Vec<Value> {
        let records = read_back(&self.servers, &self.positions);
        for record in &records {
            assert_eq!(record.key_text(), self.shard);
        }
        records.iter().map(support::ReadRecord::json).collect()
    }

    /// What holds whatever happened: nothing twice, nothing invented, order kept, an audit record for each delivery that
    /// names its place, unbroken chains, and positions that are those of one run after the other.
    pub(crate) fn assert_exactly_once(&self, rig: &Rig) {
        let told = self.assert_exactly_once_but_told(rig);
        assert!(told.is_empty(), "nothing was odd: {told:#?}");
        proofs::assert_order_per_key(&self.events());
    }

    /// The same, but for the order, of shards whose spool had something to tell; returns the control records that are not
    /// of gaps.
    pub(crate) fn assert_exactly_once_but_told(&self, rig: &Rig) -> Vec<Value> {
        let truth = rig.simulator().truth();
        let events = self.events();
        proofs::assert_none_twice_and_none_invented(&truth, &events);
        let control = self.control();
        proofs::assert_valid("control", &control);
        let is_of_a_gap =
            |record: &Value| matches!(record["type"].as_str(), Some("gap_opened" | "gap_closed"));
        let (of_gaps, told): (Vec<Value>, Vec<Value>) = control.into_iter().partition(is_of_a_gap);
        let gaps = gaps(&of_gaps);
        proofs::assert_missing_only_within(&gaps, &proofs::missing(&truth, &events));
        let audits = self.audits();
        let dead_letters = self.dead_letters();
        let delivered: Vec<Audit> = audits
            .iter()
            .filter(|audit| !audit.status().starts_with("run_") && audit.status() != "interval")
            .cloned()
            .collect();
        let places: BTreeSet<(&str, i32, i64)> = delivered.iter().map(Audit::place).collect();
        assert_eq!(places.len(), delivered.len(), "two audit records name one place");
        let at = |topic, record: &support::ReadRecord| (topic, record.partition, record.offset);
        let events = events
            .iter()
            .map(|event| at(self.topics.events.as_str(), &event.record));
        let letters = dead_letters
            .iter()
            .map(|letter| at(self.topics.dead_letter.as_str(), &letter.record));
        let there: BTreeSet<(&str, i32, i64)> = events.chain(letters).collect();
        assert_eq!(
            places, there,
            "each delivery has its audit record, and each such record a delivery"
        );
        self.assert_positions(&audits);
        let verdict = Launch::binary("genesys-kafka")
            .args(["verify", "--from-kafka", "--config"])
            .args([rig.write_config()])
            .run(DEADLINE);
        assert_eq!(verdict.status.code(), Some(0), "{verdict:#?}");
        told
    }

    fn assert_positions(&self, audits: &[Audit]) {
        let positions = self.positions();
        proofs::assert_valid("position", &positions);
        let mut seen = BTreeSet::new();
        for pair in positions.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if before["runId"] == after["runId"] {
                let follows =
                    after["transaction"].as_u64() == before["transaction"].as_u64().map(|number| number + 1);
                assert!(follows, "a transaction is missing between {before} and {after}");
                assert!(
                    after["sequence"].as_u64() >= before["sequence"].as_u64(),
                    "{before} {after}"
                );
            } else {
                assert_eq!(after["transaction"], 1, "a run begins with its first transaction");
                assert!(seen.insert(before["runId"].to_string()));
                assert!(
                    !seen.contains(&after["runId"].to_string()),
                    "positions of two runs interleave"
                );
            }
        }
        // the first record of a run cites the last of the one before, which the position names
        for pair in positions
            .windows(2)
            .filter(|pair| pair[0]["runId"] != pair[1]["runId"])
        {
            let opened = audits
                .iter()
                .find(|audit| audit.status() == "run_opened" && audit.body["runId"] == pair[1]["runId"]);
            assert_eq!(opened.unwrap().body["prevHash"], pair[0]["auditHash"]);
        }
        let last = positions.last().unwrap();
        let of_run = audits.iter().filter(|audit| audit.body["runId"] == last["runId"]);
        assert_eq!(Some(of_run.count() as u64), last["auditSequence"].as_u64());
    }
}

/// Waits until everything that the source has handed out is delivered, and nothing waits.
pub(crate) fn wait_until_delivered(adapter: &mut Process) {
    rig::wait_for_metrics(adapter, DEADLINE, "everything is delivered", |line| {
        line.number("queueDepth") == 0 && line.number("in_flight") == 0 && line.number("resolved") > 0
    });
}

/// Waits until so many records are resolved in this run.
pub(crate) fn wait_until_resolved(adapter: &mut Process, records: i64) {
    rig::wait_for_metrics(adapter, DEADLINE, "records are resolved", |line| {
        line.number("resolved") >= records
    });
}

/// Stops an adapter that ends well.
pub(crate) fn stop(adapter: &mut Process) -> Ended {
    let ended = rig::stop(adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    ended
}
