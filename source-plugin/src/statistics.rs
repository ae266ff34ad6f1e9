//! The statistics of a source as `esp_stats` gives them: one JSON object.
//!
//! Responsible for names and shape only; every figure is read from the room that counts it, each room in one
//! snapshot, and both laws are computed from the terms that stand beside them.

use serde_json::{Map, Value, json};

use crate::dedup::AGE_BOUNDS_MS;
use crate::network::{FrameFigures, Status};
use crate::queue::Queue;
use crate::store::SpoolFigures;

/// Returns the statistics as JSON text; times in milliseconds or microseconds as the member names say.
#[must_use]
pub(crate) fn to_json(queue: &Queue, status: &Status, spool: Option<&SpoolFigures>) -> String {
    let network = status.snapshot();
    let figures = status.frames();
    let (records, fill) = queue.counts();
    let bounds = queue.bounds();
    json!({
        "state": network.state,
        "capabilities": {
            "commit": true,
            "resume": spool.is_some(),
            "token": spool.is_some(),
            "spool": if spool.is_some() { "disk" } else { "memory" },
        },
        "frames": frames(&figures),
        "records": {
            "recovered": records.recovered,
            "appended": records.appended,
            "committed": records.committed,
            "evicted": records.evicted,
            "uncommitted": records.uncommitted,
            "law": records.law(),
        },
        "queue": {
            "records": fill.records,
            "bytes": fill.bytes,
            "max_records": bounds.max_records,
            "max_bytes": bounds.max_bytes,
        },
        "spool": spool,
        "session": network,
        "dedup": {
            "ids": figures.window_ids,
            "bytes": figures.window_bytes,
            "duplicate_age_ms": duplicate_ages(&figures),
        },
    })
    .to_string()
}

fn frames(figures: &FrameFigures) -> Value {
    let counts = &figures.counts;
    json!({
        "received": counts.received,
        "received_bytes": counts.received_bytes,
        "events": counts.events,
        "duplicates": counts.duplicates,
        "dead_letters": counts.dead_letters,
        "control": counts.control,
        "ignored": counts.ignored,
        "filtered": counts.filtered,
        "subtracted": counts.subtracted,
        "dropped": counts.dropped,
        "held": counts.held,
        "handover_ambiguous": counts.handover_ambiguous,
        "oversized": counts.oversized,
        "unreadable_timestamps": counts.unreadable_timestamps,
        "backfilled": counts.backfilled,
        "backfill_duplicates": counts.backfill_duplicates,
        "law": counts.frames_law(),
    })
}

/// The histogram of duplicate ages: `le_N` counts those up to N ms and above the bound before, `gt_N` the rest.
fn duplicate_ages(figures: &FrameFigures) -> Value {
    let mut classes = Map::new();
    for (bound, count) in AGE_BOUNDS_MS.iter().zip(figures.duplicate_ages) {
        classes.insert(format!("le_{bound}"), count.into());
    }
    if let (Some(bound), Some(count)) = (AGE_BOUNDS_MS.last(), figures.duplicate_ages.last()) {
        classes.insert(format!("gt_{bound}"), (*count).into());
    }
    Value::Object(classes)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{frames, to_json};
    use crate::counts::Counts;
    use crate::network::{FrameFigures, Status};
    use crate::queue::{Bounds, Queue};

    #[test]
    fn each_count_of_frames_stands_under_its_name() {
        let counts = Counts {
            received: 1,
            received_bytes: 2,
            events: 3,
            duplicates: 4,
            dead_letters: 5,
            control: 6,
            ignored: 7,
            filtered: 8,
            subtracted: 9,
            dropped: 10,
            held: 11,
            handover_ambiguous: 12,
            oversized: 13,
            unreadable_timestamps: 14,
            backfilled: 15,
            backfill_duplicates: 16,
        };
        let figures = FrameFigures {
            counts,
            ..FrameFigures::default()
        };
        let expected = serde_json::json!({
            "received": 1, "received_bytes": 2, "events": 3, "duplicates": 4, "dead_letters": 5, "control": 6,
            "ignored": 7, "filtered": 8, "subtracted": 9, "dropped": 10, "held": 11, "handover_ambiguous": 12,
            "oversized": 13, "unreadable_timestamps": 14, "backfilled": 15, "backfill_duplicates": 16,
            "law": 1 - 3 - 4 - 5 - 6 - 7 - 8 - 9 - 10 - 11,
        });
        assert_eq!(frames(&figures), expected);
    }

    #[test]
    fn a_fresh_source_shows_every_member_and_both_laws() {
        let queue = Queue::try_new(Bounds {
            max_records: 5,
            max_bytes: 6,
        })
        .unwrap();
        let text = to_json(&queue, &Status::new(), None);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["frames"]["law"], 0);
        assert_eq!(value["records"]["law"], 0);
        assert_eq!(value["queue"]["max_records"], 5);
        assert_eq!(value["state"], "connecting");
        assert_eq!(value["capabilities"]["token"], false);
        assert!(value["spool"].is_null());
        assert!(
            value["dedup"]["duplicate_age_ms"]
                .as_object()
                .is_some_and(|classes| classes.len() > 2)
        );
    }
}
