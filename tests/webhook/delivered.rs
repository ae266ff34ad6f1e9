//! A receiver that takes everything.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::Options;
use support::{Receiver, Reply, rig};

use crate::{DEADLINE, seen};

#[test]
fn each_event_is_one_request_and_its_audit_says_which_answer_it_had() {
    let receiver = Receiver::start(|_| Reply::Status(204));
    let options = Options {
        duplicates_percent: 5.0,
        malformed_percent: 2.0,
        ..seen::burst(1_000, 40)
    };
    let rig = seen::rig(options, &receiver);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);

    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    assert_eq!(requests.len(), sent.len());
    assert_eq!(
        seen::accepted(&requests),
        sent.keys().cloned().collect::<BTreeSet<_>>()
    );
    seen::assert_order(&requests, &sent);
    assert!(
        receiver.most_held() <= 5,
        "{} requests at once",
        receiver.most_held()
    );
    let connections: BTreeSet<usize> = requests.iter().map(|request| request.connection).collect();
    assert!(
        connections.len() <= 5,
        "connections are kept: {}",
        connections.len()
    );

    let first = &requests[0];
    assert_eq!(first.line, "POST /hook/path-secret?key=query-secret HTTP/1.1");
    assert_eq!(first.header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(first.header("webhook-signature"), None);
    assert!(first.header("user-agent").unwrap().starts_with("genesys-kafka/"));
    let bodies: Vec<Value> = requests.iter().map(support::receiver::Request::json).collect();
    for (request, body) in requests.iter().zip(&bodies) {
        assert_eq!(body["specversion"], "1.0");
        assert_eq!(body["id"].as_str(), request.header("webhook-id"));
        assert_eq!(body["source"], "genesys-cloud");
    }
    seen::assert_valid("event", bodies.iter().map(|body| &body["data"]));

    let audits = seen::printed(&adapter, "audit");
    seen::assert_valid("audit", &audits);
    let of_events: Vec<Value> = audits
        .iter()
        .filter(|audit| audit["status"] == "processed")
        .cloned()
        .collect();
    seen::assert_audited(&of_events, &requests, &ended);
    assert!(
        of_events
            .iter()
            .all(|audit| audit["outcome"] == json!({"to": "webhook", "status": 204, "attempt": 1}))
    );
    let dead_letters = seen::filed(&rig, "genesys-dead-letters.jsonl", "dead_letter");
    seen::assert_valid("dead-letter", &dead_letters);
    assert_eq!(dead_letters.len() as u64, rig.simulator().counters().malformed);
    seen::assert_valid("control", &seen::filed(&rig, "control.jsonl", "control"));
    assert!(seen::printed(&adapter, "event").is_empty());
}

#[test]
fn a_plain_body_is_the_event_alone() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = seen::rig(seen::burst(20, 3), &receiver).set("webhook.envelope", "plain");
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    let requests = receiver.received();
    assert_eq!(requests.len(), 20);
    let bodies: Vec<Value> = requests.iter().map(support::receiver::Request::json).collect();
    seen::assert_valid("event", &bodies);
    for (request, body) in requests.iter().zip(&bodies) {
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(body["eventId"].as_str(), request.header("webhook-id"));
    }
}
