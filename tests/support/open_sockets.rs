//! What was sent to the open sockets of notification channels, held against what was delivered and the gaps on record.
//!
//! Responsible for the bookkeeping: which notification was sent when and where, which are missing, which came twice,
//! which in the wrong order. It refuses to judge: the caller says how much of each is allowed. Invariant: a notification
//! is its topic and the id of its update, however many channels it was sent on.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use simulator::{Kind, TruthLine};

use crate::topics::Gap;

/// A notification: its topic, and its correlation id, one for all topics of an update of the contact centre.
pub type Name = (String, String);

/// When and where a notification was sent.
#[derive(Debug, Default)]
struct Sending {
    /// Microseconds since 1970 at which the first socket had it.
    first_us: u64,
    /// Connection and number of the line of each time that it was sent.
    places: Vec<(u64, u64)>,
}

/// The notifications of a ground truth.
#[derive(Debug, Default)]
pub struct OpenSockets {
    sent: BTreeMap<Name, Sending>,
    /// The line at which each connection was opened.
    opened: HashMap<u64, u64>,
}

/// A record of the events topic, as far as it is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Which notification it is.
    pub name: Name,
    /// Its key.
    pub key: String,
}

impl Delivered {
    /// Reads topic and correlation id of an event.
    ///
    /// # Panics
    /// If it has none.
    pub fn of(key: String, event: &Value) -> Self {
        let text = |name: &str| {
            let text = event["origin"][name].as_str();
            text.unwrap_or_else(|| panic!("no {name} in the origin of {event}"))
                .to_owned()
        };
        Self {
            name: (text("topic"), text("correlationId")),
            key,
        }
    }
}

/// What came of the notifications.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Different notifications that were sent to an open socket.
    pub sent: usize,
    /// Of these, how many were sent to two sockets, since a hand-over was under way.
    pub sent_on_two: usize,
    /// Not delivered, and inside a gap that names their topic.
    pub lost_in_gaps: usize,
    /// Not delivered, and in no such gap.
    pub lost: Vec<Name>,
    /// Delivered, and never sent.
    pub invented: Vec<Name>,
    /// Deliveries beyond the first.
    pub repeated: Vec<Name>,
    /// Pairs of one key in the wrong order, the one that came too early first.
    pub inverted: Vec<(Name, Name)>,
}

impl OpenSockets {
    /// Reads the ground truth.
    ///
    /// # Panics
    /// If it lacks the text of a notification.
    pub fn of(truth: &[TruthLine]) -> Self {
        let mut open_sockets = Self::default();
        for line in truth {
            match line.kind {
                Kind::Connected => {
                    open_sockets.opened.insert(line.connection, line.n);
                }
                Kind::Notification => {
                    let frame = line.frame.as_deref().expect("a ground truth with frames");
                    let frame: Value = serde_json::from_str(frame).expect("a notification is JSON");
                    let id = frame["metadata"]["CorrelationId"]
                        .as_str()
                        .expect("a correlation id");
                    let name = (line.topic.clone().expect("a topic"), id.to_owned());
                    let sending = open_sockets.sent.entry(name).or_default();
                    if sending.places.is_empty() {
                        sending.first_us = line.sent_us.expect("the time of a frame");
                    }
                    sending.places.push((line.connection, line.n));
                }
                _ => {}
            }
        }
        open_sockets
    }

    /// Holds the deliveries, in the order of each key, and the gaps against what was sent.
    pub fn against(&self, delivered: &[Delivered], gaps: &[Gap]) -> Outcome {
        let mut outcome = Outcome {
            sent: self.sent.len(),
            sent_on_two: self
                .sent
                .values()
                .filter(|sending| sending.places.len() > 1)
                .count(),
            ..Outcome::default()
        };
        let mut times: HashMap<&Name, usize> = HashMap::new();
        let mut by_key: HashMap<&str, Vec<&Name>> = HashMap::new();
        for Delivered { name, key } in delivered {
            let seen = times.entry(name).or_default();
            *seen += 1;
            if *seen > 1 {
                outcome.repeated.push(name.clone());
            } else if self.sent.contains_key(name) {
                by_key.entry(key).or_default().push(name);
            } else {
                outcome.invented.push(name.clone());
            }
        }
        for (name, sending) in self.sent.iter().filter(|(name, _)| !times.contains_key(name)) {
            let explains = |gap: &Gap| gap.is_of(&name.0) && gap.contains(sending.first_us);
            if gaps.iter().any(explains) {
                outcome.lost_in_gaps += 1;
            } else {
                outcome.lost.push(name.clone());
            }
        }
        for names in by_key.values() {
            for (place, early) in names.iter().enumerate() {
                let late = names[place + 1..]
                    .iter()
                    .filter(|late| self.precedes(late, early));
                outcome
                    .inverted
                    .extend(late.map(|late| ((*early).clone(), (*late).clone())));
            }
        }
        outcome
    }

    /// Says whether one is known to have happened before the other: a connection had it first, or every connection that
    /// had the other was opened later. Times alone do not tell: a socket may hold back what another has sent.
    fn precedes(&self, one: &Name, other: &Name) -> bool {
        let (one, other) = (&self.sent[one].places, &self.sent[other].places);
        let on_one = one.iter().any(|(connection, line)| {
            other
                .iter()
                .any(|(same, later)| connection == same && line < later)
        });
        let last = one.iter().map(|(_, line)| *line).max();
        let opened = other
            .iter()
            .filter_map(|(connection, _)| self.opened.get(connection).copied())
            .min();
        on_one || last < opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u64, kind: Kind, connection: u64, id: &str) -> TruthLine {
        let text = format!(r#"{{"kind":"connected","n":{n},"connection":{connection}}}"#);
        let base: TruthLine = serde_json::from_str(&text).unwrap();
        let is_frame = kind == Kind::Notification;
        TruthLine {
            kind,
            sent_us: is_frame.then_some(n * 1000),
            topic: is_frame.then(|| "t".to_owned()),
            frame: is_frame.then(|| format!(r#"{{"metadata":{{"CorrelationId":"{id}"}}}}"#)),
            ..base
        }
    }

    fn delivered(ids: &[&str]) -> Vec<Delivered> {
        let of = |id: &&str| Delivered {
            name: ("t".to_owned(), (*id).to_owned()),
            key: "c".to_owned(),
        };
        ids.iter().map(of).collect()
    }

    /// A hand-over from connection 1 to 2: `b` on both.
    fn open_sockets() -> OpenSockets {
        OpenSockets::of(&[
            line(1, Kind::Connected, 1, ""),
            line(2, Kind::Notification, 1, "a"),
            line(3, Kind::Connected, 2, ""),
            line(4, Kind::Notification, 2, "b"),
            line(5, Kind::Notification, 1, "b"),
            line(6, Kind::Notification, 2, "c"),
        ])
    }

    fn gap(topic: &str, from_ms: i64, to_ms: i64) -> Gap {
        Gap {
            cause: "reconnect".to_owned(),
            topics: vec![topic.to_owned()],
            topics_omitted: 0,
            from_ms,
            to_ms: Some(to_ms),
            frames_dropped: 0,
        }
    }

    #[test]
    fn what_was_sent_on_two_sockets_is_awaited_once() {
        let outcome = open_sockets().against(&delivered(&["a", "b", "c"]), &[]);
        assert_eq!((outcome.sent, outcome.sent_on_two), (3, 1));
        assert!(outcome.lost.is_empty() && outcome.repeated.is_empty() && outcome.inverted.is_empty());
        let outcome = open_sockets().against(&delivered(&["a", "b", "b", "c", "d"]), &[]);
        assert_eq!((outcome.repeated.len(), outcome.invented.len()), (1, 1));
    }

    #[test]
    fn only_a_gap_of_its_topic_and_time_explains_what_is_missing() {
        let missing = delivered(&["a", "b"]);
        assert_eq!(
            open_sockets().against(&missing, &[gap("t", 6, 7)]).lost_in_gaps,
            1
        );
        // what went out on two sockets is explained by the first time
        assert_eq!(
            open_sockets()
                .against(&delivered(&["a", "c"]), &[gap("t", 5, 5)])
                .lost
                .len(),
            1
        );
        for other in [gap("other", 6, 7), gap("t", 2, 5), gap("t", 7, 8)] {
            assert_eq!(open_sockets().against(&missing, &[other]).lost.len(), 1);
        }
    }

    #[test]
    fn an_order_that_one_socket_or_the_connections_show_is_demanded() {
        for (ids, inverted) in [(["b", "c", "a"], 2), (["a", "c", "b"], 1)] {
            assert_eq!(
                open_sockets().against(&delivered(&ids), &[]).inverted.len(),
                inverted,
                "{ids:?}"
            );
        }
    }
}
