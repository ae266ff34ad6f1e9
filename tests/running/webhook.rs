//! A webhook that is down, and one that refuses everything.

use support::{Receiver, Reply, Rig, rig as reading, wait_until};

use crate::DEADLINE;
use crate::scene::{Scene, prompt, recorded, traffic};

const DOWN: &str = "WARN destination down, events are held and one at a time is tried reason=";
const SHUT: &str = "ERROR destination takes no events, they are held and one at a time is tried reason=";
const OPEN: &str = "INFO destination takes events again, deliveries go on";

fn rig(receiver: &Receiver) -> Rig {
    prompt(traffic())
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url("/hook"))
        .set("webhook.allow_private", true)
}

/// The lines, the first of them up to its reason, which is the client library's.
fn without_reason(told: Vec<String>) -> Vec<String> {
    let cut = |line: String| match line.split_once("reason=") {
        Some((start, _)) => format!("{start}reason="),
        None => line,
    };
    told.into_iter().map(cut).collect()
}

#[test]
fn a_webhook_that_is_down_and_comes_back_is_told_twice_and_costs_nothing() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let address = receiver.address();
    let rig = rig(&receiver);
    let mut scene = Scene::start(&rig);
    drop(receiver);
    scene.wait_for("destination down");
    // the pauses between attempts are 100, 200, 400, 800 ms
    scene.for_metrics_lines(15);
    assert_eq!(without_reason(scene.told()), [DOWN]);
    let reason = scene.not_ready("sink");
    assert!(reason.contains("HOST"), "{reason}");
    let receiver = Receiver::start_at(address, |_| Reply::Status(200));
    scene.wait_for("destination takes events again");
    scene.ready();
    scene.until_delivering();
    assert_eq!(without_reason(scene.told()), [DOWN, OPEN]);
    let stopped = scene.stop();
    stopped.assert_ended_well("down");
    assert!(receiver.accepted() > 0);
    for none in [
        "/deadLetters",
        "/lastResort",
        "/refused",
        "/orderExceptions",
        "/totalDropped",
    ] {
        assert_eq!(stopped.ended.count(none), 0, "{none}");
    }
    assert!(stopped.ended.count("/resent") > 0);
    assert_eq!(recorded(&stopped.printed("control")), []);
}

#[test]
fn a_stop_while_the_webhook_takes_nothing_ends_in_its_time_and_owns_up() {
    for (reply, line) in [
        (Reply::Status(503), DOWN),
        (Reply::Reset, DOWN),
        (Reply::Status(401), SHUT),
        (Reply::Status(404), SHUT),
    ] {
        let receiver = Receiver::start(|_| Reply::Status(200));
        let rig = rig(&receiver);
        let mut scene = Scene::start(&rig);
        let scripted = reply.clone();
        receiver.script(move |_| scripted.clone());
        scene.until_told(line.split_once(' ').unwrap().1.split(" reason").next().unwrap());
        let tried = receiver.count();
        wait_until(DEADLINE, "it is tried again", || receiver.count() >= tried + 2);
        let stopped = scene.stop();
        stopped.assert_left_behind(&format!("{reply:?}"));
        assert_eq!(without_reason(stopped.told.clone()), [line], "{reply:?}");
        assert_eq!(stopped.ended.count("/deadLetters"), 0);
    }
}

#[test]
fn a_webhook_that_never_answers_is_down() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = rig(&receiver).set("webhook.timeout_ms", 100);
    let mut scene = Scene::start(&rig);
    receiver.script(|_| Reply::Silence);
    scene.until_told("destination down");
    receiver.script(|_| Reply::Status(200));
    scene.until_told("destination takes events again");
    reading::wait_for_metrics(&mut scene.adapter, DEADLINE, "everything is delivered", |line| {
        line.number("in_flight") < 50
    });
    let stopped = scene.stop();
    stopped.assert_ended_well("silent");
    assert_eq!(without_reason(stopped.told), [DOWN, OPEN]);
}
