//! Evidence of a small run in which everything holds, for the tests that break it.
//!
//! Thirteen events of three conversations, one of them discarded by a reset; two sent again, two malformed; one that
//! nobody was there to get. A webhook's receiver answers 503 to one of them first, and refuses the last.

use std::collections::BTreeMap;

use serde_json::json;

use super::truth::{BadFrame, SentEvent, Unsent};
use super::{
    Audit, Control, DeadLetter, Delivered, Evidence, Handovers, Kept, Request, Requests, Summary, Truth,
    ordinal_identity,
};
use crate::raw::Place;
use crate::scenario::{ACCEPTED, DEAD_LETTER, EVENTS, REFUSAL, SHARD};
use crate::sink::Sink;
use crate::transport::Transport;

/// Events that were sent and arrived.
const ARRIVED: u64 = 12;
/// The topic of everything that channels carry.
const TOPIC: &str = "v2.routing.queues.q.conversations";
/// Start and end of the gap.
pub(crate) const GAP_US: (i64, i64) = (2_000_000, 3_000_000);

fn kept<R>(records: Vec<R>) -> Kept<R> {
    let total = records.len() as u64;
    Kept {
        records,
        total,
        conforming: total,
        end: total,
    }
}

fn truth() -> Truth {
    let event = |index: u64, sent_us: i64| SentEvent {
        identity: ordinal_identity(&format!("c{}", index % 3), index / 3 + 1),
        id: index.is_multiple_of(2).then(|| format!("id-{index}")),
        key: format!("c{}", index % 3),
        topic: None,
        sent_us,
    };
    let bad_frame = |text: &str| BadFrame {
        text: text.to_owned(),
        sent_us: 1_005_000,
    };
    let mut events: Vec<SentEvent> = (0..ARRIVED)
        .map(|index| event(index, 1_000_000 + index.cast_signed() * 1_000))
        .collect();
    events.push(event(ARRIVED, GAP_US.0 + 500));
    Truth {
        events,
        duplicates_us: vec![1_003_000, 1_004_000],
        bad_frames: vec![bad_frame("{"), bad_frame("no JSON")],
        unsent: vec![Unsent {
            identity: ordinal_identity("c9", 1),
            topic: None,
            at_us: GAP_US.0 + 500_000,
        }],
        frames: ARRIVED + 1 + 2 + 2,
        of_protocol: 2,
        interruptions: 1,
        ..Truth::default()
    }
}

fn audit(status: &str, sequence: u64, event_id: Option<&str>, outcome: Option<Place>) -> Audit {
    let hash = |sequence: u64| format!("{sequence:064}");
    Audit {
        status: status.to_owned(),
        event_id: event_id.map(str::to_owned),
        outcome,
        sequence,
        prev_hash: (sequence > 1).then(|| hash(sequence - 1)),
        hash: hash(sequence),
        computed_hash: hash(sequence),
        counts: BTreeMap::new(),
    }
}

/// A place in the events topic.
pub(crate) fn at(partition: i32, offset: i64) -> Place {
    in_topic(EVENTS, partition, offset)
}

fn in_topic(topic: &str, partition: i32, offset: i64) -> Place {
    Place::Kafka {
        topic: topic.to_owned(),
        partition,
        offset,
    }
}

fn file() -> Place {
    Place::File {
        path: "dead-letters.jsonl".to_owned(),
    }
}

/// The events, each at an offset of its key's partition.
fn in_topics(events: &[Delivered]) -> Vec<Delivered> {
    let mut offsets = [0; 3];
    let mut events: Vec<Delivered> = (0..)
        .zip(events)
        .map(|(index, event)| {
            let partition = index % 3;
            let offset = &mut offsets[usize::try_from(partition).unwrap()];
            *offset += 1;
            Delivered {
                place: at(partition, *offset - 1),
                ..event.clone()
            }
        })
        .collect();
    events.sort_by(|one, other| one.place.cmp(&other.place));
    events
}

/// The requests that bring the events: the first is answered 503 and comes again, the last is refused.
fn requests(events: &[Delivered]) -> Requests {
    let (first, last) = (events.first().unwrap(), events.last().unwrap());
    let answered = |event: &Delivered, status: u16| Request {
        id: event.event_id.clone(),
        identity: event.identity.clone(),
        status: Some(status),
        one_id: true,
        signed: true,
        beside_its_key: false,
    };
    let mut all = vec![answered(first, 503)];
    all.extend(events.iter().map(|event| {
        let refused = event == last;
        answered(event, if refused { REFUSAL } else { ACCEPTED })
    }));
    Requests { all, most_at_once: 2 }
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

/// The evidence.
pub(crate) fn evidence(transport: Transport, sink: Sink) -> Evidence {
    match transport {
        Transport::Notifications => over_channels(over_events(sink)),
        Transport::Events => over_events(sink),
    }
}

/// The same run over channels: what was sent again went to two of them, and all of it is of one topic.
fn over_channels(mut evidence: Evidence) -> Evidence {
    let topic = || Some(TOPIC.to_owned());
    evidence.transport = Transport::Notifications;
    evidence.handovers.count = 1;
    let truth = &mut evidence.truth;
    truth.overlapping = truth.duplicates_us.len() as u64;
    truth.duplicates_us.clear();
    truth.closings = 1;
    truth.events.iter_mut().for_each(|event| event.topic = topic());
    truth.unsent.iter_mut().for_each(|event| event.topic = topic());
    for control in &mut evidence.controls.records {
        control.topics.extend(topic());
    }
    let counts = &mut evidence.audits.records.last_mut().unwrap().counts;
    let both = counts.insert("duplicates".to_owned(), 0);
    counts.extend(both.map(|both| ("subtracted".to_owned(), both)));
    evidence
}

fn over_events(sink: Sink) -> Evidence {
    let truth = truth();
    let received: Vec<Delivered> = (0..)
        .zip(truth.events.iter().take(12))
        .map(|(index, sent)| Delivered {
            identity: sent.identity.clone(),
            event_id: sent.id.clone().unwrap_or_else(|| format!("natural-{index}")),
            key: sent.key.clone(),
            place: Place::Webhook {
                status: ACCEPTED,
                attempt: if index == 0 { 2 } else { 1 },
            },
        })
        .collect();
    let (events, requests) = match sink {
        Sink::Kafka => (in_topics(&received), Requests::default()),
        Sink::Webhook => (received[..11].to_vec(), requests(&received)),
    };
    let mut dead_letters: Vec<DeadLetter> = (0..)
        .zip(&truth.bad_frames)
        .map(|(offset, frame)| DeadLetter {
            id: format!("letter-{offset}"),
            source: SHARD.to_owned(),
            reason: "not JSON".to_owned(),
            text: Some(frame.text.clone()),
            place: match sink {
                Sink::Kafka => in_topic(DEAD_LETTER, 0, offset),
                Sink::Webhook => file(),
            },
        })
        .collect();
    dead_letters.extend(requests.refused().map(|request| {
        let (conversation, ordinal) = request.identity.split_once(" #").unwrap();
        let ordinal: u64 = ordinal.parse().unwrap();
        let event = json!({"conversationId": conversation, "payload": {"metadata": {"ordinal": ordinal}}});
        DeadLetter {
            id: request.id.clone(),
            source: SHARD.to_owned(),
            reason: format!("http://127.0.0.1:1 answered {REFUSAL}"),
            text: Some(event.to_string()),
            place: file(),
        }
    }));

    let mut audits = vec![audit("run_opened", 1, None, None)];
    let outcomes = events
        .iter()
        .map(|event| ("processed", &event.event_id, &event.place))
        .chain(
            dead_letters
                .iter()
                .map(|letter| ("dead_lettered", &letter.id, &letter.place)),
        );
    for (status, id, place) in outcomes {
        let sequence = audits.len() as u64 + 1;
        audits.push(audit(status, sequence, Some(id), Some(place.clone())));
    }
    let mut closed = audit("run_closed", audits.len() as u64 + 1, None, None);
    closed.counts = counts([
        ("received", 18),
        ("events", 12),
        ("duplicates", 2),
        ("deadLetters", 2),
        ("control", 2),
        ("audits", 16),
    ]);
    audits.push(closed);

    let gap = |kind: &str, id: &str, cause: &str, from_us: i64, to_us: Option<i64>| Control {
        kind: kind.to_owned(),
        gap_id: id.to_owned(),
        source: SHARD.to_owned(),
        cause: cause.to_owned(),
        topics: Vec::new(),
        from_us,
        to_us,
    };
    let refused = requests.refused().count() as u64;
    Evidence {
        sink,
        transport: Transport::Events,
        truth,
        handovers: Handovers::default(),
        summary: Some(Summary {
            laws: ["frames", "records", "adapter"]
                .map(|law| (law.to_owned(), 0))
                .into(),
            counts: counts([
                ("events", 12 - refused),
                ("deadLetters", 2 + refused),
                ("control", 3),
                ("auditsAcknowledged", 16),
                // the one answered 503, and the dead letter
                ("resent", 2 * refused),
                ("refused", refused),
                ("lastResort", 0),
            ]),
        }),
        events: kept(events),
        requests,
        audits: kept(audits),
        dead_letters: kept(dead_letters),
        controls: kept(vec![
            gap("gap_opened", "g1", "reconnect", GAP_US.0, None),
            gap("gap_closed", "g1", "reconnect", GAP_US.0, Some(GAP_US.1)),
            gap("gap_opened", "g2", "stopped", 9_000_000, None),
        ]),
        exit_code: Some(0),
    }
}
