//! What an audit record says: status, place, reason.
//!
//! Responsible for naming outcomes. Refuses statuses that nothing in this program produces.

use super::counts::Counts;
use crate::text::{push_json_string, push_number};

/// What became of a record, or which event of the run this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivered where it belongs, and acknowledged there.
    Processed,
    /// Kept as a dead letter.
    DeadLettered,
    /// Counts of the last interval.
    Interval,
    /// The run began.
    RunOpened,
    /// The run ended in order, with its counts.
    RunClosed,
}

impl Status {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::DeadLettered => "dead_lettered",
            Self::Interval => "interval",
            Self::RunOpened => "run_opened",
            Self::RunClosed => "run_closed",
        }
    }
}

/// Where a record was acknowledged.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// A partition of a topic.
    Kafka {
        /// Name of the topic.
        topic: &'a str,
        /// Number of the partition.
        partition: i32,
        /// Offset, if the broker gave one.
        offset: Option<i64>,
    },
    /// Standard output.
    Lines,
    /// A local file, synced.
    File {
        /// Its path, as configured.
        path: &'a str,
    },
    /// A webhook, which answered with success.
    Webhook {
        /// The HTTP status.
        status: u16,
        /// Number of the attempt that was answered, from 1.
        attempt: u32,
    },
}

impl Destination<'_> {
    pub(super) fn push_json(&self, into: &mut Vec<u8>) {
        match *self {
            Self::Kafka {
                topic,
                partition,
                offset,
            } => {
                into.extend_from_slice(b"{\"to\":\"kafka\",\"topic\":");
                push_json_string(into, topic);
                into.extend_from_slice(b",\"partition\":");
                push_number(into, partition);
                into.extend_from_slice(b",\"offset\":");
                match offset {
                    Some(offset) => push_number(into, offset),
                    // DUPLICATE_SEQUENCE_NUMBER: the record is there, the broker no longer knows where
                    None => into.extend_from_slice(
                        b"null,\"reason\":\"acknowledged as already written, the broker gave no offset\"",
                    ),
                }
                into.push(b'}');
            }
            Self::Lines => into.extend_from_slice(b"{\"to\":\"lines\"}"),
            Self::File { path } => {
                into.extend_from_slice(b"{\"to\":\"file\",\"path\":");
                push_json_string(into, path);
                into.push(b'}');
            }
            Self::Webhook { status, attempt } => {
                into.extend_from_slice(b"{\"to\":\"webhook\",\"status\":");
                push_number(into, status);
                into.extend_from_slice(b",\"attempt\":");
                push_number(into, attempt);
                into.push(b'}');
            }
        }
    }
}

/// Everything that one audit record states.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What became of it.
    pub status: Status,
    /// Conversation or entity that it belongs to; absent for records about the run.
    pub analytics_id: Option<&'a str>,
    /// Identity of the event; absent for records about the run.
    pub event_id: Option<&'a str>,
    /// Where it was acknowledged; absent for records about the run.
    pub destination: Option<Destination<'a>>,
    /// Why it was dead-lettered.
    pub reason: Option<&'a str>,
    /// The record's own sequence; absent for records about the run.
    pub source_sequence: Option<u64>,
    /// Counts, in records about the run.
    pub counts: Option<Counts>,
}

impl Facts<'_> {
    /// The facts of a record about the run itself.
    #[must_use]
    pub fn of_run(status: Status, counts: Option<Counts>) -> Self {
        Self {
            status,
            analytics_id: None,
            event_id: None,
            destination: None,
            reason: None,
            source_sequence: None,
            counts,
        }
    }
}
