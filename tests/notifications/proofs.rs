//! What the records must say of the ground truth.

use std::collections::{BTreeMap, HashMap};

use genesys_source::record::Kind;
use serde_json::Value;
use simulator::Simulator;
use support::gap::Gap;
use support::host::{Host, Pulled};
use support::notified::notified;

/// Topic and number of an event that a test has published.
pub(crate) type Name = (String, i64);

fn time_us(time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_microsecond()
}

/// The gaps that the records tell of, in the order in which they were opened.
pub(crate) fn gaps(records: &[Pulled]) -> Vec<Gap> {
    let mut gaps: Vec<(String, Gap)> = Vec::new();
    for record in records.iter().filter(|record| record.kind == Kind::Control) {
        let body = &record.body;
        let id = body["gapId"].as_str().unwrap_or_default().to_owned();
        match body["type"].as_str().unwrap() {
            "gap_opened" => gaps.push((
                id,
                Gap {
                    cause: body["cause"].as_str().unwrap().to_owned(),
                    topics: body["topics"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|topic| topic.as_str().unwrap().to_owned())
                        .collect(),
                    from_us: time_us(&body["from"]),
                    to_us: None,
                },
            )),
            "gap_closed" => {
                let (_, gap) = gaps.iter_mut().find(|(known, _)| *known == id).unwrap();
                gap.to_us = Some(time_us(&body["to"]));
            }
            other => panic!("unexpected control record {other}"),
        }
    }
    gaps.into_iter().map(|(_, gap)| gap).collect()
}

/// Topic and number of each event record.
pub(crate) fn events(records: &[Pulled]) -> Vec<Name> {
    records
        .iter()
        .filter(|record| record.kind == Kind::Event)
        .map(|record| {
            let topic = record.body["origin"]["topic"].as_str().unwrap().to_owned();
            (topic, record.body["payload"]["extra"]["n"].as_i64().unwrap())
        })
        .collect()
}

/// What was sent to an open socket: topic and number, and when first.
pub(crate) fn sent(simulator: &Simulator) -> BTreeMap<Name, i64> {
    let named = notified(&simulator.truth()).into_iter().filter_map(|notified| {
        let number = notified.frame["eventBody"]["n"].as_i64()?;
        Some(((notified.topic, number), notified.sent_us))
    });
    named.collect()
}

/// What came of the frames that were sent to an open socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    /// Not delivered, and inside a gap of its topic.
    pub(crate) lost_in_gaps: usize,
    /// Delivered more than once.
    pub(crate) repeated: usize,
}

/// Demands that everything sent to an open socket is delivered, or lies inside a gap that names its topic; that nothing is
/// delivered that was never sent; and that each topic keeps its order.
pub(crate) fn reconcile(host: &Host, simulator: &Simulator) -> Outcome {
    let delivered = events(&host.records);
    let gaps = gaps(&host.records);
    let sent = sent(simulator);
    let mut outcome = Outcome {
        sent: sent.len(),
        ..Outcome::default()
    };
    let mut times: HashMap<&Name, usize> = HashMap::new();
    let mut last: HashMap<&str, i64> = HashMap::new();
    for name in &delivered {
        assert!(sent.contains_key(name), "{name:?} was never sent");
        let seen = times.entry(name).or_default();
        *seen += 1;
        if *seen == 1 {
            let before = last.insert(&name.0, name.1);
            assert!(
                before.is_none_or(|before| before < name.1),
                "{name:?} came behind {before:?}"
            );
        } else {
            outcome.repeated += 1;
        }
    }
    for (name, sent_us) in &sent {
        if times.contains_key(name) {
            continue;
        }
        let is_inside = gaps.iter().any(|gap| gap.covers(Some(&name.0), *sent_us));
        assert!(
            is_inside,
            "{name:?} sent at {sent_us} is missing outside its gaps {gaps:#?}"
        );
        outcome.lost_in_gaps += 1;
    }
    outcome
}

/// A number of the frames that the source has counted.
pub(crate) fn frames(host: &Host, name: &str) -> i64 {
    host.statistics()["frames"][name].as_i64().unwrap()
}
