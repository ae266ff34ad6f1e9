//! What was collected: the ground truth on one side, what was read back and the adapter's own figures on the other.
//!
//! Responsible for turning both into values that can be compared, and for a first judgement of each record: does it
//! keep to its published schema. Refuses to compare; `proof` does. Invariant: every record read back is counted, also
//! one that cannot be understood.

mod audits;
mod handovers;
mod records;
mod requests;
#[cfg(test)]
pub(crate) mod sample;
mod truth;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sink::Sink;
use crate::transport::Transport;

pub(crate) use audits::Audit;
pub(crate) use handovers::Handovers;
pub(crate) use records::{Control, DeadLetter, Delivered, Kept};
pub(crate) use requests::{Request, Requests};
pub(crate) use truth::{BadFrame, SentEvent, Truth};

/// What the adapter said of itself at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Each law by its name; 0 or it is broken.
    pub(crate) laws: BTreeMap<String, i64>,
    /// Each count by its name.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Summary {
    /// Finds the summary among the lines of the adapter's standard error.
    pub(crate) fn find(lines: &[String]) -> Option<Self> {
        let json = lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("summary "))?;
        let value: Value = serde_json::from_str(json).ok()?;
        let laws = value["laws"].as_object()?.iter();
        Some(Self {
            laws: laws
                .map(|(name, law)| Some((name.clone(), law.as_i64()?)))
                .collect::<Option<_>>()?,
            counts: value
                .as_object()?
                .iter()
                .filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)))
                .collect(),
        })
    }
}

/// Everything that the proof rests on.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    /// Where the events went.
    pub(crate) sink: Sink,
    /// How they arrived.
    pub(crate) transport: Transport,
    /// What the simulator did.
    pub(crate) truth: Truth,
    /// Events delivered.
    pub(crate) events: Kept<Delivered>,
    /// What a webhook's receiver got and answered; nothing where there is none.
    pub(crate) requests: Requests,
    /// Audit records.
    pub(crate) audits: Kept<Audit>,
    /// Dead letters.
    pub(crate) dead_letters: Kept<DeadLetter>,
    /// Control records.
    pub(crate) controls: Kept<Control>,
    /// What the source said of channels that it replaced.
    pub(crate) handovers: Handovers,
    /// The adapter's last words, if they were found.
    pub(crate) summary: Option<Summary>,
    /// The adapter's exit code; none if a signal ended it.
    pub(crate) exit_code: Option<i32>,
}

impl Evidence {
    /// A counter of the audit's `run_closed`; 0 without one.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let closed = self
            .audits
            .records
            .iter()
            .find(|audit| audit.status == "run_closed");
        closed
            .and_then(|audit| audit.counts.get(name))
            .copied()
            .unwrap_or(0)
    }
}

/// The key of an event: its conversation, else its entity.
pub(crate) fn key_of(record: &Value) -> Option<String> {
    let mut members = ["conversationId", "analyticsId"].into_iter();
    members.find_map(|member| record[member].as_str().map(str::to_owned))
}

/// What tells an event from every other one.
///
/// A notification is named by its topic and the correlation of the update that it tells. An event of the simulator is
/// named by its conversation and its ordinal therein, which hold whether or not it carries an id; any other event by
/// everything that its source put into it.
pub(crate) fn identity_of(record: &Value) -> String {
    let origin = &record["origin"];
    if let (Some(topic), Some(correlation)) = (origin["topic"].as_str(), origin["correlationId"].as_str()) {
        return notification_identity(topic, correlation);
    }
    let ordinal = record["payload"]["metadata"]["ordinal"].as_u64();
    match (record["conversationId"].as_str(), ordinal) {
        (Some(conversation), Some(ordinal)) => ordinal_identity(conversation, ordinal),
        _ => Value::from_iter([
            record["analyticsId"].clone(),
            record["eventType"].clone(),
            record["payload"].clone(),
        ])
        .to_string(),
    }
}

/// The identity of the notification that tells an update on a topic.
pub(crate) fn notification_identity(topic: &str, correlation: &str) -> String {
    format!("{topic} {correlation}")
}

/// The identity of the simulator's event with that place in its conversation.
pub(crate) fn ordinal_identity(conversation: &str, ordinal: u64) -> String {
    format!("{conversation} #{ordinal}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_summary_is_the_last_line_of_that_name() {
        let lines = [
            "run ended",
            r#"summary {"laws":{"frames":0,"records":-1},"lastResort":2,"runId":"x"}"#,
            "bye",
        ];
        let summary = Summary::find(&lines.map(str::to_owned)).unwrap();
        assert_eq!(summary.laws["records"], -1);
        assert_eq!(summary.counts, BTreeMap::from([("lastResort".to_owned(), 2)]));
        assert_eq!(Summary::find(&["summary {".to_owned()]), None);
        assert_eq!(Summary::find(&[r#"summary {"lastResort":2}"#.to_owned()]), None);
    }

    #[test]
    fn two_events_of_one_conversation_have_two_identities() {
        let event =
            |ordinal: u64| json!({"conversationId": "c", "payload": {"metadata": {"ordinal": ordinal}}});
        assert_ne!(identity_of(&event(1)), identity_of(&event(2)));
        assert_eq!(identity_of(&event(1)), ordinal_identity("c", 1));
        let other = |note: &str| json!({"conversationId": "c", "analyticsId": "a", "payload": {"extra": {"n": note}}});
        assert_ne!(identity_of(&other("x")), identity_of(&other("y")));
    }
}
