//! What the records must say of the ground truth.

use std::collections::{BTreeMap, HashMap};

use genesys_source::record::Kind;
use serde_json::Value;
use simulator::{Simulator, TruthLine};
use support::gap::Gap;
use support::host::{Host, Pulled};
use support::notified::frame;

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
                    topics_omitted: body["topicsOmitted"]
                        .as_u64()
                        .map_or(0, |omitted| usize::try_from(omitted).unwrap()),
                    kind: body["detail"]["kind"].as_str().unwrap_or_default().to_owned(),
                    close_code: body["detail"]["closeCode"]
                        .as_u64()
                        .map(|code| u16::try_from(code).unwrap()),
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

/// What happened, by topic and number.
#[derive(Default)]
struct Happened {
    /// Sent to an open socket, and when first.
    sent: BTreeMap<Name, i64>,
    /// When there was no open socket for it, on one channel or another.
    unheard: BTreeMap<Name, i64>,
}

/// Reads the ground truth; sockets of other clients are none of the source's.
fn happened(simulator: &Simulator, strangers: &[u64]) -> Happened {
    let mut happened = Happened::default();
    for line in simulator.truth() {
        let is_strange = strangers.contains(&line.connection);
        let (into, at_us) = match line.kind {
            simulator::Kind::Notification if !is_strange => (&mut happened.sent, line.sent_us),
            simulator::Kind::Notification => (&mut happened.unheard, line.sent_us),
            simulator::Kind::Unheard => (&mut happened.unheard, line.at_us),
            _ => continue,
        };
        if let Some((name, at_us)) = name(&line).zip(at_us) {
            let at_us = i64::try_from(at_us).unwrap();
            let first = into.entry(name).or_insert(at_us);
            *first = at_us.min(*first);
        }
    }
    happened
}

fn name(line: &TruthLine) -> Option<Name> {
    Some((line.topic.clone()?, frame(line)["eventBody"]["n"].as_i64()?))
}

/// What came of what happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Sent to an open socket.
    pub(crate) sent: usize,
    /// Happened while no socket was open for it.
    pub(crate) unheard: usize,
    /// Sent to an open socket and not delivered, inside a gap of its topic.
    pub(crate) lost_in_gaps: usize,
    /// Delivered more than once.
    pub(crate) repeated: usize,
}

/// Demands that everything that happened is delivered, or lies inside a gap that names its topic; that nothing is delivered
/// that was never sent; and that each topic keeps its order. `strangers` are connections of other clients.
pub(crate) fn reconcile(host: &Host, simulator: &Simulator, strangers: &[u64]) -> Outcome {
    reconcile_records(&host.records, simulator, strangers)
}

/// The same of records that came another way.
pub(crate) fn reconcile_records(records: &[Pulled], simulator: &Simulator, strangers: &[u64]) -> Outcome {
    let delivered = events(records);
    let gaps = gaps(records);
    let happened = happened(simulator, strangers);
    let mut outcome = Outcome {
        sent: happened.sent.len(),
        ..Outcome::default()
    };
    let mut times: HashMap<&Name, usize> = HashMap::new();
    let mut last: HashMap<&str, i64> = HashMap::new();
    for name in &delivered {
        assert!(happened.sent.contains_key(name), "{name:?} was never sent");
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
    let is_inside = |name: &Name, at_us: i64| gaps.iter().any(|gap| gap.covers(Some(&name.0), at_us));
    for (name, sent_us) in &happened.sent {
        if !times.contains_key(name) {
            assert!(
                is_inside(name, *sent_us),
                "{name:?} sent at {sent_us} is missing outside its gaps: {}",
                around(&gaps, *sent_us)
            );
            outcome.lost_in_gaps += 1;
        }
    }
    for (name, at_us) in &happened.unheard {
        if !happened.sent.contains_key(name) {
            assert!(
                is_inside(name, *at_us),
                "{name:?} happened unheard at {at_us}, outside the gaps: {}",
                around(&gaps, *at_us)
            );
            outcome.unheard += 1;
        }
    }
    outcome
}

/// The gap before an instant and the one after it, for whoever reads why a test failed.
fn around(gaps: &[Gap], at_us: i64) -> String {
    let told = |gap: Option<&Gap>| {
        gap.map(|gap| {
            let (from_us, to_us) = (gap.from_us - at_us, gap.to_us.map(|to_us| to_us - at_us));
            format!("{} {} {from_us} µs to {to_us:?}", gap.cause, gap.kind)
        })
    };
    let before = gaps.iter().rfind(|gap| gap.from_us <= at_us);
    let after = gaps.iter().find(|gap| gap.from_us > at_us);
    format!("{:?}, {:?}", told(before), told(after))
}

/// A number of the frames that the source has counted.
pub(crate) fn frames(host: &Host, name: &str) -> i64 {
    host.statistics()["frames"][name].as_i64().unwrap()
}
