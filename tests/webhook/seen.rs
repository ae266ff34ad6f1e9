//! What a run leaves behind: requests, audit records, dead letters, control records, and what must hold of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::Value;
use simulator::{Kind, Options, TruthLine};
use support::receiver::Request;
use support::rig::Ended;
use support::{Process, Receiver, Rig, Stream};

/// Options of a simulator that sends so many events at once and keeps its socket open.
pub(crate) fn burst(events: u64, conversations: u32) -> Options {
    Options {
        events: Some(events),
        rate: 0,
        conversations,
        ..Options::default()
    }
}

/// A rig that delivers to a receiver.
pub(crate) fn rig(options: Options, receiver: &Receiver) -> Rig {
    rig_to(options, &receiver.url("/hook/path-secret?key=query-secret"))
}

/// A rig that delivers to an address.
pub(crate) fn rig_to(options: Options, url: &str) -> Rig {
    Rig::new(options)
        .set("delivery.to", "webhook")
        .set("webhook.url", url)
        .set("webhook.allow_private", true)
        .set("control.path", "control.jsonl")
}

/// The lines of a kind on standard output.
pub(crate) fn printed(adapter: &Process, kind: &str) -> Vec<Value> {
    records(adapter.lines(Stream::Stdout).iter().map(String::as_str), kind)
}

/// The records of a kind in a file of the rig's folder; none if there is no file.
pub(crate) fn filed(rig: &Rig, name: &str, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(rig.folder().join(Path::new(name))).unwrap_or_default();
    records(text.lines(), kind)
}

fn records<'a>(lines: impl Iterator<Item = &'a str>, kind: &str) -> Vec<Value> {
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .filter(|line| line["kind"] == kind)
        .map(|mut line| line["record"].take())
        .collect()
}

/// Every body fits its schema.
pub(crate) fn assert_valid<'a>(schema: &str, bodies: impl IntoIterator<Item = &'a Value>) {
    let path = support::workspace_root()
        .join("schemas")
        .join(format!("{schema}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for body in bodies {
        if let Err(error) = validator.validate(body) {
            panic!("{error} at {}: {body}", error.instance_path());
        }
    }
}

/// The laws hold, and every audit record was acknowledged.
pub(crate) fn assert_laws(ended: &Ended) {
    for law in ["frames", "records", "adapter"] {
        assert_eq!(
            ended.count(&format!("/laws/{law}")),
            0,
            "law of {law}: {}",
            ended.summary
        );
    }
    for none in ["/strayOutcomes", "/orderExceptions"] {
        assert_eq!(ended.count(none), 0, "{none}: {}", ended.summary);
    }
    assert_eq!(ended.count("/auditsWritten"), ended.count("/auditsAcknowledged"));
}

/// The events that were sent to the adapter: id, and (conversation, place in it).
pub(crate) fn sent(truth: &[TruthLine]) -> BTreeMap<String, (String, u64)> {
    truth
        .iter()
        .filter(|line| matches!(line.kind, Kind::Event | Kind::Binary))
        .map(|line| {
            let place = (line.conversation_id.clone().unwrap(), line.ordinal.unwrap());
            (line.id.clone().unwrap(), place)
        })
        .collect()
}

/// The ids of the events that the receiver has accepted.
pub(crate) fn accepted(requests: &[Request]) -> BTreeSet<String> {
    requests
        .iter()
        .filter(|request| request.is_accepted())
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect()
}

/// Within each conversation, events come in the order in which they happened, none before its predecessor was
/// answered, and a repetition only of the one that comes next.
pub(crate) fn assert_order(requests: &[Request], sent: &BTreeMap<String, (String, u64)>) {
    let mut last: HashMap<&str, (u64, &Request)> = HashMap::new();
    let conversation = |request: &Request| &sent[request.header("webhook-id").unwrap()].0;
    for request in requests {
        let beside = request.beside.iter().map(|number| &requests[*number]);
        assert!(
            beside
                .map(conversation)
                .all(|other| other != conversation(request)),
            "two events of one conversation on their way: {}",
            request.number
        );
        let (conversation, ordinal) = &sent[request.header("webhook-id").unwrap()];
        if let Some((before, earlier)) = last.insert(conversation, (*ordinal, request)) {
            assert!(before <= *ordinal, "{conversation}: {ordinal} after {before}");
            let repeated = before == *ordinal;
            assert!(
                !(repeated && earlier.is_accepted()),
                "{ordinal} was accepted and came again"
            );
        }
    }
}

/// Each `processed` audit record is of an event that was accepted, each dead letter of one that never was, and there
/// is one record for each event that the source has read. What a stop leaves unread in the socket is not among them.
pub(crate) fn assert_audited(audits: &[Value], requests: &[Request], ended: &Ended) {
    let accepted = accepted(requests);
    let mut attempts: HashMap<&str, u64> = HashMap::new();
    for request in requests {
        *attempts.entry(request.header("webhook-id").unwrap()).or_default() += 1;
    }
    let mut audited = BTreeSet::new();
    for audit in audits {
        let Some(id) = audit["eventId"].as_str() else {
            continue;
        };
        match audit["status"].as_str().unwrap() {
            "processed" => {
                assert!(accepted.contains(id), "processed without a 2xx: {audit}");
                assert_eq!(audit["outcome"]["to"], "webhook", "{audit}");
                assert_eq!(audit["outcome"]["attempt"], attempts[id], "{audit}");
                assert!(
                    (200..300).contains(&audit["outcome"]["status"].as_u64().unwrap()),
                    "{audit}"
                );
            }
            "dead_lettered" => {
                assert!(
                    !accepted.contains(id),
                    "a dead letter of what was accepted: {audit}"
                );
                assert!(audit["reason"].is_string(), "{audit}");
            }
            other => panic!("{other}: {audit}"),
        }
        assert!(audited.insert(id.to_owned()), "audited twice: {audit}");
    }
    assert_eq!(
        audited.len() as i64,
        ended.count("/source/frames/events"),
        "events that were read and audit records about events"
    );
}
