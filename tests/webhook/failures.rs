//! Failures that pass: each is tried again, and none is held against an event while nothing is accepted.

use std::collections::HashMap;

use support::receiver::Request;
use support::{Receiver, Reply, Stream, rig};

use crate::{DEADLINE, seen, words};

/// Every failure that says nothing of the event itself.
fn passing() -> Vec<Reply> {
    [408, 425, 429, 500, 501, 502, 503, 504, 599]
        .map(Reply::Status)
        .into_iter()
        .chain([Reply::Silence, Reply::Reset, Reply::ResetInHead])
        .collect()
}

fn id(request: &Request) -> String {
    request.header("webhook-id").unwrap().to_owned()
}

#[test]
fn each_passing_failure_is_followed_by_another_attempt() {
    let failures = passing();
    let count = failures.len();
    let mut next = failures.into_iter();
    let mut failed = HashMap::new();
    let receiver = Receiver::start(move |request| {
        // one new event in three fails, once, in the way that is next
        let known = failed.len();
        if request.number % 3 == 0
            && !failed.contains_key(&id(request))
            && let Some(reply) = next.next()
        {
            failed.insert(id(request), known);
            return reply;
        }
        Reply::Status(202)
    });
    let rig = seen::rig(seen::burst(120, 60), &receiver).set("webhook.timeout_ms", 500);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let requests = receiver.received();
    assert_eq!(requests.len(), 120 + count);
    assert_eq!(seen::accepted(&requests).len(), 120);
    seen::assert_audited(&seen::printed(&adapter, "audit"), &requests, &ended);
    assert_eq!(
        (ended.count("/deadLetters"), ended.count("/resent")),
        (0, i64::try_from(count).unwrap())
    );
}

#[test]
fn an_answer_of_success_counts_whatever_becomes_of_its_body() {
    let mut odd = [
        Reply::SlowBody(200),
        Reply::ResetInBody(200),
        Reply::WithBody(200, 200_000),
        Reply::WithBody(200, 50),
    ]
    .into_iter();
    let receiver = Receiver::start(move |_| odd.next().unwrap_or(Reply::Status(200)));
    let rig = seen::rig(seen::burst(30, 30), &receiver).set("webhook.timeout_ms", 500);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    let requests = receiver.received();
    assert_eq!(requests.len(), 30, "none is repeated");
    seen::assert_audited(&seen::printed(&adapter, "audit"), &requests, &ended);
}

#[test]
fn an_answer_that_goes_on_is_read_to_its_bound_and_costs_its_connection() {
    let mut long = Some(Reply::LongBody(200));
    let receiver = Receiver::start(move |_| long.take().unwrap_or(Reply::Status(200)));
    // long enough that no deadline ends it
    let rig = seen::rig(seen::burst(10, 10), &receiver).set("webhook.timeout_ms", 60_000);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    support::wait_until(DEADLINE, "the long body is over", || {
        receiver.long_bodies().len() == 1
    });
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    // what is read of it, 64 KiB, and what the sockets between the two may hold (tcp(7): 4 MiB to send, 6 to receive)
    let bytes = receiver.long_bodies()[0];
    assert!(bytes < 16 << 20, "{bytes} bytes of an answer went out");
    assert_eq!(receiver.count(), 10, "none is repeated");
}

#[test]
fn an_event_that_always_fails_is_given_up_while_others_are_accepted_and_its_conversation_goes_on() {
    let mut bad = None;
    let receiver = Receiver::start(move |request| {
        let bad = bad.get_or_insert_with(|| id(request));
        Reply::Status(if *bad == id(request) { 500 } else { 200 })
    });
    let options = simulator::Options {
        rate: 300,
        conversations: 5,
        ..simulator::Options::default()
    };
    let rig = seen::rig(options, &receiver).set("webhook.max_attempts", 3);
    let mut adapter = rig.start();
    adapter.wait_for_line(Stream::Stderr, "kept as a dead letter", DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    let bad = id(&requests[0]);
    let attempts = requests.iter().filter(|request| id(request) == bad).count();
    assert!((3..=4).contains(&attempts), "{attempts} attempts");
    seen::assert_order(&requests, &sent);
    let audits = seen::printed(&adapter, "audit");
    seen::assert_valid("audit", &audits);
    let of_bad = audits
        .iter()
        .find(|audit| audit["eventId"] == bad.as_str())
        .unwrap();
    assert_eq!(of_bad["status"], "dead_lettered");
    assert_eq!(
        of_bad["reason"].as_str().unwrap(),
        format!(
            "given up after {attempts} attempts, 3 of them while other records were accepted: http://{} answered 500 (its \
             receiver knows why: see its log)",
            receiver.address()
        )
    );
    let dead_letters = seen::filed(&rig, "genesys-dead-letters.jsonl", "dead_letter");
    seen::assert_valid("dead-letter", &dead_letters);
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0]["reason"], of_bad["reason"]);
    assert!(dead_letters[0]["frame"]["text"].as_str().unwrap().contains(&bad));
    let conversation = &sent[&bad].0;
    let later = requests
        .iter()
        .any(|request| id(request) != bad && &sent[&id(request)].0 == conversation);
    assert!(later, "its conversation goes on");
}

#[test]
fn nothing_is_given_up_while_the_receiver_is_down() {
    let receiver = Receiver::start(|_| Reply::Status(503));
    let rig = seen::rig(seen::burst(200, 50), &receiver).set("webhook.max_attempts", 1);
    let mut adapter = rig.start();
    adapter.wait_for_line(Stream::Stderr, words::DOWN, DEADLINE);
    let before = receiver.count();
    support::wait_until(DEADLINE, "it is tried now and then", || {
        receiver.count() >= before + 3
    });
    receiver.script(|_| Reply::Status(200));
    adapter.wait_for_line(Stream::Stderr, words::OPEN, DEADLINE);
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    assert_eq!((ended.count("/deadLetters"), ended.count("/events")), (0, 200));
    assert_eq!(
        (ended.lines_with(words::DOWN), ended.lines_with(words::OPEN)),
        (1, 1)
    );
    let requests = receiver.received();
    seen::assert_order(&requests, &seen::sent(&rig.simulator().truth()));
    let in_vain = requests.iter().filter(|request| !request.is_accepted()).count();
    assert!(in_vain < 40, "{in_vain} attempts at a receiver that is down");
}
