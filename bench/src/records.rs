//! What the adapter wrote, read back from its topics: the bytes that the plain producer sends again, and the times
//! between socket and acknowledgement.
//!
//! Refuses topics in which an event lacks its audit record or an audit record names a place where its event is not.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context, ensure};
use serde::Deserialize;
use support::{ReadRecord, read_back};

/// Names of a run's topics.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    /// Events.
    pub(crate) events: String,
    /// Audit records.
    pub(crate) audit: String,
}

impl Topics {
    /// Names that no other run uses.
    pub(crate) fn unique() -> Self {
        Self {
            events: support::unique_topic("bench.events"),
            audit: support::unique_topic("bench.audit"),
        }
    }
}

/// One event and its audit record, as they lie in their topics.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The event's record.
    pub(crate) event: ReadRecord,
    /// The audit record's.
    pub(crate) audit: ReadRecord,
    /// The event's id.
    pub(crate) id: String,
    /// When the adapter received the frame, in milliseconds since 1970.
    pub(crate) received_ms: i64,
    /// When the adapter had the broker's acknowledgement, in milliseconds since 1970.
    pub(crate) processed_ms: i64,
}

impl Pair {
    /// Bytes of keys, headers and values of both records.
    pub(crate) fn bytes(&self) -> usize {
        [&self.event, &self.audit]
            .into_iter()
            .map(|record| {
                let headers = record
                    .headers
                    .iter()
                    .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
                    .sum::<usize>();
                record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + headers
            })
            .sum()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audit<'a> {
    status: &'a str,
    sequence: u64,
    processed_at: &'a str,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    partition: Option<i32>,
    offset: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    received_at: &'a str,
}

/// Reads both topics and puts each event beside its audit record, in the order of the audit.
pub(crate) fn pairs(bootstrap_servers: &str, topics: &Topics) -> anyhow::Result<Vec<Pair>> {
    let mut events: HashMap<(i32, i64), ReadRecord> = read_back(bootstrap_servers, &topics.events)
        .into_iter()
        .map(|record| ((record.partition, record.offset), record))
        .collect();
    let mut pairs = Vec::with_capacity(events.len());
    for audit in read_back(bootstrap_servers, &topics.audit) {
        let line: Audit<'_> = serde_json::from_slice(audit.value.as_deref().unwrap_or_default())?;
        if line.status != "processed" {
            continue;
        }
        let place = line
            .outcome
            .and_then(|outcome| Some((outcome.partition?, outcome.offset?)))
            .context("an audit record names no place")?;
        let event = events.remove(&place).with_context(|| {
            format!("an audit record names {place:?}, where no event is or a second one claims it")
        })?;
        let body: Event<'_> = serde_json::from_slice(event.value.as_deref().unwrap_or_default())?;
        let (sequence, processed_ms) = (line.sequence, milliseconds(line.processed_at)?);
        let (id, received_ms) = (body.event_id.into_owned(), milliseconds(body.received_at)?);
        let pair = Pair {
            event,
            audit,
            id,
            received_ms,
            processed_ms,
        };
        pairs.push((sequence, pair));
    }
    ensure!(events.is_empty(), "{} events have no audit record", events.len());
    pairs.sort_by_key(|(sequence, _)| *sequence);
    Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
}

/// What a reader of committed records finds: events, and audit records of processed ones.
///
/// # Errors
/// An audit record that is no JSON object with a status.
pub(crate) fn committed(bootstrap_servers: &str, topics: &Topics) -> anyhow::Result<(u64, u64)> {
    let events = u64::try_from(read_back(bootstrap_servers, &topics.events).len())?;
    let mut processed = 0;
    for audit in read_back(bootstrap_servers, &topics.audit) {
        let line: Audit<'_> = serde_json::from_slice(audit.value.as_deref().unwrap_or_default())?;
        processed += u64::from(line.status == "processed");
    }
    Ok((events, processed))
}

fn milliseconds(text: &str) -> anyhow::Result<i64> {
    let stamp: jiff::Timestamp = text.parse()?;
    Ok(stamp.as_millisecond())
}
