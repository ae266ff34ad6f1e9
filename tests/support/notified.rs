//! Notifications in the ground truth: what was sent to an open socket, however many channels got it.
//!
//! Responsible for making one of the frames that two channels were sent while one replaced the other. Refuses a line
//! without its text. Invariant: each text stands once, in the order in which it was first sent.

use std::collections::HashMap;

use serde_json::Value;
use simulator::{Kind, TruthLine};

/// A notification that was sent to an open socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Notified {
    /// Its topic.
    pub topic: String,
    /// Its conversation, where it has one.
    pub conversation: Option<String>,
    /// The whole frame.
    pub frame: Value,
    /// When the kernel had first taken it, in microseconds since 1970.
    pub sent_us: i64,
    /// Sockets that were sent it.
    pub sockets: u64,
}

/// The frame of a line.
///
/// # Panics
/// If the line has no text, or it is no JSON: the simulator was told to keep none, or ran out of memory for it.
pub fn frame(line: &TruthLine) -> Value {
    let text = line.frame.as_deref().expect("the ground truth keeps the texts");
    serde_json::from_str(text).expect("a notification is JSON")
}

/// Every notification that was sent to an open socket.
///
/// # Panics
/// As [`frame`].
pub fn notified(lines: &[TruthLine]) -> Vec<Notified> {
    let mut all: Vec<Notified> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for line in lines.iter().filter(|line| line.kind == Kind::Notification) {
        let sent_us = line.sent_us.and_then(|us| i64::try_from(us).ok());
        let sent_us = sent_us.expect("a frame's line says when");
        let text = line.frame.as_deref().unwrap_or_default();
        if let Some(known) = places.get(text).and_then(|place| all.get_mut(*place)) {
            known.sent_us = known.sent_us.min(sent_us);
            known.sockets += 1;
            continue;
        }
        places.insert(text, all.len());
        all.push(Notified {
            topic: line.topic.clone().expect("a notification has a topic"),
            conversation: line.conversation_id.clone(),
            frame: frame(line),
            sent_us,
            sockets: 1,
        });
    }
    all
}
