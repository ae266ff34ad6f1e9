//! What a reader of the control records and the events can tell: pairs of gaps, and that nothing else is missing.
//!
//! The judge of the reconnect tests. It takes the ground truth's word for what was sent and when.

use std::collections::{HashMap, HashSet};

use genesys_source::record::Kind;
use serde_json::Value;
use simulator::TruthLine;

use support::host::Pulled;

/// A gap as its two records tell it; the last one may still be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) cause: String,
    pub(crate) kind: String,
    pub(crate) close_code: Option<u64>,
    pub(crate) from_us: i64,
    pub(crate) to_us: Option<i64>,
}

/// Reads the gaps and demands that each has its pair: one opening record, then one closing record that repeats it.
pub(crate) fn gaps(records: &[Pulled]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let mut open: Option<&Value> = None;
    let mut ids = HashSet::new();
    for record in records.iter().filter(|record| record.kind == Kind::Control) {
        let body = &record.body;
        match body["type"].as_str().unwrap() {
            "gap_opened" => {
                assert!(open.is_none(), "a second gap was opened: {body}");
                assert!(ids.insert(body["gapId"].clone()), "gapId repeats: {body}");
                assert_eq!(body["to"], Value::Null);
                gaps.push(Gap {
                    cause: body["cause"].as_str().unwrap().to_owned(),
                    kind: body["detail"]["kind"].as_str().unwrap().to_owned(),
                    close_code: body["detail"]["closeCode"].as_u64(),
                    from_us: time_us(&body["from"]),
                    to_us: None,
                });
                open = Some(body);
            }
            "gap_closed" => {
                let opened = open.take().expect("a closed gap was opened before");
                for member in [
                    "gapId",
                    "source",
                    "cause",
                    "detail",
                    "from",
                    "detectedAt",
                    "topics",
                    "backfilled",
                ] {
                    assert_eq!(body[member], opened[member], "{member}");
                }
                assert_ne!(body["controlId"], opened["controlId"]);
                let gap = gaps.last_mut().unwrap();
                gap.to_us = Some(time_us(&body["to"]));
                assert!(gap.from_us <= gap.to_us.unwrap(), "{gap:?}");
            }
            other => panic!("unexpected control record {other}"),
        }
    }
    if let Some(open) = open {
        assert_eq!(open["cause"], "stopped", "only a stop may stay open: {open}");
    }
    gaps
}

fn time_us(time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_microsecond()
}

/// Demands that every event that was sent is delivered once and in order within its conversation, or lies inside a gap
/// and was sent on a connection whose end may destroy what was sent: a reset, or an end that the client made. After a
/// close frame or a plain end nothing may be missing. Returns the number of events that were lost.
pub(crate) fn reconcile(truth: &[TruthLine], records: &[Pulled]) -> usize {
    let gaps = gaps(records);
    let mut position = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        assert!(
            at == 0 || records[at - 1].sequence < record.sequence,
            "sequence falls"
        );
        if record.kind == Kind::Event {
            let again = position.insert(record.id.as_str(), at);
            assert!(again.is_none(), "{} was delivered twice", record.id);
            assert_eq!(record.body["eventId"], record.id.as_str());
        }
    }
    let whole: HashSet<u64> = truth
        .iter()
        .filter(|line| {
            let how = line.detail.as_deref().unwrap_or_default();
            let ended = how.starts_with("closed by the simulator") || how == "dropped by the simulator";
            line.kind == simulator::Kind::Closed && ended
        })
        .map(|line| line.connection)
        .collect();
    let mut newest: HashMap<&str, (usize, u64)> = HashMap::new();
    let mut lost = 0;
    let sent = truth.iter().filter(|line| line.kind == simulator::Kind::Event);
    for line in sent {
        let id = line.id.as_deref().unwrap();
        let conversation = line.conversation_id.as_deref().unwrap();
        let sent_us = i64::try_from(line.sent_us.unwrap()).unwrap();
        let Some(at) = position.remove(id) else {
            let inside = gaps
                .iter()
                .any(|gap| gap.from_us <= sent_us && gap.to_us.is_none_or(|to_us| sent_us <= to_us));
            assert!(
                inside && !whole.contains(&line.connection),
                "event {id} is missing, inside a gap: {inside}; around it was sent:\n{}\ngaps: {gaps:#?}",
                around(truth, line.n, records)
            );
            lost += 1;
            continue;
        };
        assert_eq!(records[at].key, conversation);
        let ordinal = line.ordinal.unwrap();
        if let Some((before, older)) = newest.insert(conversation, (at, ordinal)) {
            assert!(
                before < at && older < ordinal,
                "order of {conversation} is broken"
            );
        }
    }
    assert!(
        position.is_empty(),
        "{} delivered events were never sent",
        position.len()
    );
    lost
}

/// The lines of ground truth around one of them, each with what became of it.
fn around(truth: &[TruthLine], n: u64, records: &[Pulled]) -> String {
    let near = truth.iter().filter(|line| line.n.abs_diff(n) <= 25);
    let shown = near.map(|line| {
        let delivered = records
            .iter()
            .any(|record| record.kind == Kind::Event && Some(&record.id) == line.id.as_ref());
        format!(
            "{} {:?} on {} at {:?}, id {:?}, {}",
            line.n,
            line.kind,
            line.connection,
            line.sent_us.or(line.at_us),
            line.id,
            if delivered { "delivered" } else { "not delivered" }
        )
    });
    shown.collect::<Vec<_>>().join("\n")
}
