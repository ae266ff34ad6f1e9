//! The adapter's four topics read back, each record with the type that it claims to be.
//!
//! Responsible for names, creation and typed views. It refuses to judge what it reads; a record that has not even the
//! shape that its topic promises is a panic that shows it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Broker, ReadRecord, end_offsets, read_back, unique_topic};

/// Names of the topics of one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Normalized events.
    pub events: String,
    /// Audit records.
    pub audit: String,
    /// Dead letters.
    pub dead_letter: String,
    /// Control records.
    pub control: String,
}

impl Topics {
    /// Names that no other test uses.
    pub fn unique() -> Self {
        Self {
            events: unique_topic("events"),
            audit: unique_topic("audit"),
            dead_letter: unique_topic("dead-letter"),
            control: unique_topic("control"),
        }
    }

    /// Names that no other test uses, with their topics: so many partitions for the events, 3 for the audit, 1 else.
    pub fn create(broker: &Broker, partitions: i32) -> Self {
        let topics = Self::unique();
        for (name, partitions) in [
            (&topics.events, partitions),
            (&topics.audit, 3),
            (&topics.dead_letter, 1),
            (&topics.control, 1),
        ] {
            broker.create_topic(name, partitions, &[]);
        }
        topics
    }

    /// All four names.
    pub fn names(&self) -> [&str; 4] {
        [&self.events, &self.audit, &self.dead_letter, &self.control]
    }

    /// The events topic, in offset order within each partition.
    pub fn read_events(&self, bootstrap_servers: &str) -> Vec<Event> {
        read_whole(bootstrap_servers, &self.events)
            .into_iter()
            .map(|record| Event {
                body: record.json(),
                record,
            })
            .collect()
    }

    /// The audit topic, by sequence.
    pub fn read_audits(&self, bootstrap_servers: &str) -> Vec<Audit> {
        let mut audits: Vec<Audit> = read_whole(bootstrap_servers, &self.audit)
            .into_iter()
            .map(|record| Audit {
                body: record.json(),
                record,
            })
            .collect();
        audits.sort_by_key(Audit::sequence);
        audits
    }

    /// The dead-letter topic.
    pub fn read_dead_letters(&self, bootstrap_servers: &str) -> Vec<DeadLetter> {
        read_whole(bootstrap_servers, &self.dead_letter)
            .into_iter()
            .map(|record| DeadLetter {
                body: record.json(),
                record,
            })
            .collect()
    }

    /// The control topic, in offset order.
    pub fn read_control(&self, bootstrap_servers: &str) -> Vec<Value> {
        read_whole(bootstrap_servers, &self.control)
            .iter()
            .map(ReadRecord::json)
            .collect()
    }
}

/// Reads a topic and makes sure that nothing of it was passed over: the adapter writes without transactions, so every
/// offset up to the end that the topic had before must be there.
fn read_whole(bootstrap_servers: &str, topic: &str) -> Vec<ReadRecord> {
    let ends = end_offsets(bootstrap_servers, topic);
    let records = read_back(bootstrap_servers, topic);
    for (partition, end) in (0..).zip(ends) {
        let offsets = records.iter().filter(|record| record.partition == partition);
        let read = offsets
            .zip(0..)
            .take_while(|(record, offset)| record.offset == *offset)
            .count();
        let end = usize::try_from(end).expect("offsets count from 0");
        assert!(
            read >= end,
            "only {read} of {end} records of partition {partition} of {topic} were read"
        );
    }
    records
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} in {body}"))
}

fn number(body: &Value, pointer: &str) -> u64 {
    body.pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no number at {pointer} in {body}"))
}

/// A record of the events topic.
#[derive(Debug, Clone)]
pub struct Event {
    /// As a consumer sees it.
    pub record: ReadRecord,
    /// Its value.
    pub body: Value,
}

impl Event {
    /// `eventId`.
    pub fn id(&self) -> &str {
        text(&self.body, "/eventId")
    }

    /// `conversationId`.
    pub fn conversation(&self) -> &str {
        text(&self.body, "/conversationId")
    }

    /// The simulator's number of the event within its conversation, from 1.
    pub fn ordinal(&self) -> u64 {
        number(&self.body, "/payload/metadata/ordinal")
    }
}

/// A record of the audit topic.
#[derive(Debug, Clone)]
pub struct Audit {
    /// As a consumer sees it.
    pub record: ReadRecord,
    /// Its value.
    pub body: Value,
}

impl Audit {
    /// `sequence`: the place in the run's chain.
    pub fn sequence(&self) -> u64 {
        number(&self.body, "/sequence")
    }

    /// `status`.
    pub fn status(&self) -> &str {
        text(&self.body, "/status")
    }

    /// `eventId`.
    pub fn event_id(&self) -> &str {
        text(&self.body, "/eventId")
    }

    /// Topic, partition and offset that the outcome names.
    pub fn place(&self) -> (&str, i32, i64) {
        let partition = number(&self.body, "/outcome/partition");
        let offset = number(&self.body, "/outcome/offset");
        (
            text(&self.body, "/outcome/topic"),
            i32::try_from(partition).expect("a partition"),
            i64::try_from(offset).expect("an offset"),
        )
    }
}

/// A record of the dead-letter topic.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// As a consumer sees it.
    pub record: ReadRecord,
    /// Its value.
    pub body: Value,
}

impl DeadLetter {
    /// The frame or record that was refused, where it is text.
    pub fn frame(&self) -> &str {
        text(&self.body, "/frame/text")
    }

    /// The stage that refused it.
    pub fn stage(&self) -> &str {
        text(&self.body, "/stage")
    }
}

/// A gap, from its pair of control records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: String,
    /// What was not listened to, as its first record names it.
    pub topics: Vec<String>,
    /// How many topics more it was, without their names.
    pub topics_omitted: u64,
    /// Start in milliseconds since 1970 UTC.
    pub from_ms: i64,
    /// End in milliseconds since 1970 UTC; none while it is open.
    pub to_ms: Option<i64>,
    /// Frames thrown away in it, by its last record.
    pub frames_dropped: u64,
}

impl Gap {
    /// Whether a moment of the ground truth, in microseconds, lies in it; an open gap reaches to the end of time.
    pub fn contains(&self, at_us: u64) -> bool {
        let at_us = i64::try_from(at_us).expect("a time of this era");
        self.from_ms * 1000 <= at_us && self.to_ms.is_none_or(|to_ms| at_us <= to_ms * 1000)
    }

    /// Whether a topic is among those that were not listened to, or may be, since not all are named.
    pub fn is_of(&self, topic: &str) -> bool {
        self.topics_omitted > 0 || self.topics.iter().any(|named| stands_for(named, topic))
    }
}

/// The gaps that control records tell of, in the order in which they were opened.
///
/// # Panics
/// If a record closes a gap that was not opened before or was closed already, or a gap is opened twice.
pub fn gaps(control: &[Value]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for record in control {
        let id = text(record, "/gapId");
        match text(record, "/type") {
            "gap_opened" => {
                assert!(
                    places.insert(id, gaps.len()).is_none(),
                    "gap {id} is opened twice"
                );
                gaps.push(Gap {
                    cause: text(record, "/cause").to_owned(),
                    topics: texts(&record["topics"]),
                    topics_omitted: record["topicsOmitted"].as_u64().unwrap_or_default(),
                    from_ms: moment(text(record, "/from")),
                    to_ms: None,
                    frames_dropped: number(record, "/framesDropped"),
                });
            }
            "gap_closed" => {
                let place = places
                    .get(id)
                    .unwrap_or_else(|| panic!("gap {id} is closed, but was never opened"));
                let gap = &mut gaps[*place];
                assert_eq!(gap.to_ms, None, "gap {id} is closed twice");
                gap.to_ms = Some(moment(text(record, "/to")));
                gap.frames_dropped = number(record, "/framesDropped");
            }
            other => panic!("no gap record: {other}"),
        }
    }
    gaps
}

/// Whether a topic as it was asked for, perhaps a combined one (`PREFIX?SUFFIX&SUFFIX`), stands for another.
fn stands_for(asked: &str, topic: &str) -> bool {
    let Some((prefix, suffixes)) = asked.split_once('?') else {
        return asked == topic;
    };
    let rest = topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| suffixes.split('&').any(|suffix| suffix == rest))
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn moment(text: &str) -> i64 {
    let stamp: jiff::Timestamp = text
        .parse()
        .unwrap_or_else(|error| panic!("no time: {text}: {error}"));
    stamp.as_millisecond()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(type_: &str, to: Option<&str>) -> Value {
        json!({"type": type_, "gapId": "g", "cause": "dropped", "from": "2026-01-01T00:00:00.001Z", "to": to,
            "framesDropped": if to.is_some() { 7 } else { 0 }})
    }

    #[test]
    fn a_pair_is_one_gap_with_the_count_of_its_end() {
        let to = Some("2026-01-01T00:00:00.003Z");
        let found = gaps(&[record("gap_opened", None), record("gap_closed", to)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (
                found[0].to_ms.unwrap() - found[0].from_ms,
                found[0].frames_dropped
            ),
            (2, 7)
        );
        let start = u64::try_from(found[0].from_ms).unwrap() * 1000;
        assert!(found[0].contains(start) && found[0].contains(start + 2000));
        assert!(!found[0].contains(start - 1) && !found[0].contains(start + 2001));
    }

    #[test]
    fn a_gap_is_of_what_it_names_of_what_a_combined_topic_stands_for_and_of_all_if_it_omits_some() {
        let mut opened = record("gap_opened", None);
        opened["topics"] = json!(["v2.users.u?presence&station", "v2.users.v.presence"]);
        let named = gaps(&[opened.clone()]).remove(0);
        for topic in ["v2.users.u.presence", "v2.users.u.station", "v2.users.v.presence"] {
            assert!(named.is_of(topic), "{topic}");
        }
        for topic in ["v2.users.u.activity", "v2.users.v.station", "v2.users.upresence"] {
            assert!(!named.is_of(topic), "{topic}");
        }
        opened["topicsOmitted"] = json!(1);
        assert!(gaps(&[opened]).remove(0).is_of("v2.users.w.presence"));
    }

    #[test]
    #[should_panic(expected = "never opened")]
    fn an_end_without_a_beginning_is_refused() {
        gaps(&[record("gap_closed", Some("2026-01-01T00:00:00.003Z"))]);
    }
}
