//! Evidence of a small run in which everything holds, for the tests that break it.
//!
//! Thirteen events of three conversations, one of them discarded by a reset; two sent again, two malformed; one that
//! nobody was there to get.

use std::collections::BTreeMap;

use super::audits::Outcome;
use super::truth::{BadFrame, SentEvent};
use super::{Audit, Control, DeadLetter, Delivered, Evidence, Summary, Topic, Truth, ordinal_identity};
use crate::scenario::{DEAD_LETTER, EVENTS, SHARD};

/// Events that were sent and arrived.
const ARRIVED: u64 = 12;
/// Start and end of the gap.
pub(crate) const GAP_US: (i64, i64) = (2_000_000, 3_000_000);

fn topic<R>(records: Vec<R>) -> Topic<R> {
    let total = records.len() as u64;
    Topic {
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
        unsent_us: vec![GAP_US.0 + 500_000],
        frames: ARRIVED + 1 + 2 + 2,
        subscriptions: 2,
    }
}

fn audit(status: &str, sequence: u64, event_id: Option<&str>, outcome: Option<Outcome>) -> Audit {
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

fn at(topic: &str, (partition, offset): (i32, i64)) -> Option<Outcome> {
    Some(Outcome {
        topic: Some(topic.to_owned()),
        partition: Some(partition),
        offset: Some(offset),
    })
}

/// The evidence.
pub(crate) fn evidence() -> Evidence {
    let truth = truth();
    let mut offsets = [0_i64; 3];
    let mut events: Vec<Delivered> = (0_i32..)
        .zip(truth.events.iter().take(12))
        .map(|(index, sent)| {
            let partition = index % 3;
            let offset = &mut offsets[usize::try_from(partition).unwrap()];
            *offset += 1;
            Delivered {
                identity: sent.identity.clone(),
                event_id: sent.id.clone().unwrap_or_else(|| format!("natural-{index}")),
                key: sent.key.clone(),
                place: (partition, *offset - 1),
            }
        })
        .collect();
    events.sort_by_key(|event| event.place);
    let dead_letters: Vec<DeadLetter> = (0..)
        .zip(&truth.bad_frames)
        .map(|(offset, frame)| DeadLetter {
            id: format!("letter-{offset}"),
            source: SHARD.to_owned(),
            text: Some(frame.text.clone()),
            place: (0, offset),
        })
        .collect();

    let mut audits = vec![audit("run_opened", 1, None, None)];
    for event in &events {
        let sequence = audits.len() as u64 + 1;
        audits.push(audit(
            "processed",
            sequence,
            Some(&event.event_id),
            at(EVENTS, event.place),
        ));
    }
    for letter in &dead_letters {
        let sequence = audits.len() as u64 + 1;
        audits.push(audit(
            "dead_lettered",
            sequence,
            Some(&letter.id),
            at(DEAD_LETTER, letter.place),
        ));
    }
    let mut closed = audit("run_closed", audits.len() as u64 + 1, None, None);
    let counts = [
        ("received", 18),
        ("events", 12),
        ("duplicates", 2),
        ("deadLetters", 2),
        ("control", 2),
        ("audits", 16),
    ];
    closed.counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
    audits.push(closed);

    let gap = |kind: &str, id: &str, cause: &str, from_us: i64, to_us: Option<i64>| Control {
        kind: kind.to_owned(),
        gap_id: id.to_owned(),
        source: SHARD.to_owned(),
        cause: cause.to_owned(),
        from_us,
        to_us,
    };
    Evidence {
        truth,
        events: topic(events),
        audits: topic(audits),
        dead_letters: topic(dead_letters),
        controls: topic(vec![
            gap("gap_opened", "g1", "reconnect", GAP_US.0, None),
            gap("gap_closed", "g1", "reconnect", GAP_US.0, Some(GAP_US.1)),
            gap("gap_opened", "g2", "stopped", 9_000_000, None),
        ]),
        summary: Some(Summary {
            laws: ["frames", "records", "adapter"]
                .map(|law| (law.to_owned(), 0))
                .into(),
            last_resort: 0,
        }),
        exit_code: Some(0),
    }
}
