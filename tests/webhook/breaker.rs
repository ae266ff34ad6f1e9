//! A receiver that takes nothing until someone acts: everything waits, one event at a time is tried, nothing is lost.

use std::net::SocketAddr;

use simulator::Options;
use support::{Process, Receiver, Reply, Stream, free_port, probe, rig, wait_until};

use crate::{DEADLINE, seen, words};

/// Statuses that say that the address or the right to use it is wrong.
const SHUT: [u16; 11] = [301, 302, 303, 307, 308, 401, 403, 404, 405, 410, 300];

fn lines(adapter: &Process, text: &str) -> usize {
    let lines = adapter.lines(Stream::Stderr);
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn each_status_of_a_wrong_endpoint_holds_the_events_until_it_is_right_again() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let options = Options {
        rate: 300,
        conversations: 20,
        ..Options::default()
    };
    let rig = seen::rig(options, &receiver);
    let mut adapter = rig.start();
    for (round, status) in (1..).zip(SHUT) {
        let before = receiver.accepted();
        wait_until(DEADLINE, "events are accepted", || {
            receiver.accepted() > before + 20
        });
        let elsewhere = receiver.url("/elsewhere");
        receiver.script(move |_| Reply::WithHeader(status, "location", elsewhere.clone()));
        wait_until(DEADLINE, "it opens", || lines(&adapter, words::SHUT) == round);
        let seen_then = receiver.count();
        wait_until(DEADLINE, "it is tried again", || {
            receiver.count() >= seen_then + 2
        });
        receiver.script(|_| Reply::Status(200));
        wait_until(DEADLINE, "it closes", || lines(&adapter, words::OPEN) == round);
    }
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    assert_eq!(
        (ended.lines_with(words::SHUT), ended.lines_with(words::OPEN)),
        (SHUT.len(), SHUT.len()),
        "one line a change of state"
    );
    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    assert!(
        requests
            .iter()
            .all(|request| !request.line.contains("/elsewhere")),
        "redirects are not followed"
    );
    assert_eq!(ended.count("/deadLetters"), 0);
    seen::assert_order(&requests, &sent);
    seen::assert_audited(&seen::printed(&adapter, "audit"), &requests, &ended);
}

#[test]
fn a_receiver_that_is_absent_at_the_start_is_waited_for() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let (address, url) = (receiver.address(), receiver.url("/hook"));
    let rig = seen::rig(seen::burst(100, 20), &receiver).set("webhook.url", url);
    drop(receiver);
    let mut adapter = rig.start();
    let line = adapter.wait_for_line(Stream::Stderr, words::DOWN, DEADLINE);
    assert!(line.contains("onnection refused"), "{line}");
    let receiver = Receiver::start_at(address, |_| Reply::Status(200));
    adapter.wait_for_line(Stream::Stderr, words::OPEN, DEADLINE);
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(receiver.accepted(), 100);
}

#[test]
fn one_event_is_enough_to_find_out_that_nobody_listens() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let rig =
        seen::rig_to(seen::burst(1, 1), &format!("http://{address}/hook")).set("operations.listen", "0");
    let mut adapter = rig.start();
    let listener = probe::address(&mut adapter);
    // it would be `lag` besides after the 60 s of operations.max_lag_ms
    let reason = probe::wait_for_reason(listener, "sink");
    let expected = format!(
        "http://{address} cannot be reached: Connection refused (os error 111) (check webhook.url and that its receiver \
         runs)"
    );
    assert_eq!(reason, expected);
    let line = adapter.wait_for_line(Stream::Stderr, words::DOWN, DEADLINE);
    assert_eq!(
        line.split_once(": ").unwrap().1,
        format!("destination down, events are held and one at a time is tried reason=\"{expected}\"")
    );
    let receiver = Receiver::start_at(address, |_| Reply::Status(200));
    adapter.wait_for_line(Stream::Stderr, words::OPEN, DEADLINE);
    probe::wait_until_ready(listener);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(
        (ended.lines_with(words::DOWN), ended.lines_with(words::OPEN)),
        (1, 1)
    );
    assert_eq!((receiver.count(), ended.count("/deadLetters")), (1, 0));
}
