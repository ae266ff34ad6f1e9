//! A loop that stands still: the process lives, its listener answers, and both answers are no.

use std::io::Read as _;

use nix::sys::signal::Signal;
use simulator::Options;
use support::{child, conservation, wait_until};

use crate::DEADLINE;
use support::probe::{self, ask, readiness, wait_until_ready};

#[test]
fn a_loop_that_no_longer_turns_is_neither_alive_nor_ready_until_it_turns_again() {
    // nobody reads standard output, so that writing to it blocks once the pipe is full
    let options = Options {
        rate: 2_000,
        ..Options::default()
    };
    let rig = probe::rig(options).set("delivery.to", "lines");
    let (mut adapter, log) = rig.start_unread();
    let mut line = None;
    wait_until(DEADLINE, "the listener is open", || {
        let text = std::fs::read_to_string(&log).unwrap();
        line = text
            .lines()
            .find(|line| line.contains("operations listener open"))
            .map(str::to_owned);
        line.is_some()
    });
    let address = probe::address_in(&line.unwrap());
    wait_until(DEADLINE, "the loop is taken for dead", || {
        ask(address, "GET", "/healthz").status == 503
    });
    assert_eq!(ask(address, "GET", "/healthz").body, "{\"alive\":false}\n");
    let (_, body) = readiness(address);
    let reason = body["reasons"][0]["reason"].as_str().unwrap();
    assert_eq!(body["reasons"][0]["part"], "run", "{body}");
    assert!(
        reason.starts_with("the loop has not turned for ") && reason.ends_with(" ms"),
        "{reason}"
    );

    let mut output = adapter.stdout.take().unwrap();
    let reader = std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
    wait_until(DEADLINE, "the loop turns again", || {
        ask(address, "GET", "/healthz").body == "{\"alive\":true}\n"
    });
    wait_until_ready(address);
    child::signal(&mut adapter, Signal::SIGTERM).unwrap();
    let mut status = None;
    wait_until(DEADLINE, "the run ends", || {
        status = adapter.try_wait().unwrap();
        status.is_some()
    });
    reader.join().unwrap().unwrap();
    assert_eq!(status.unwrap().code(), Some(0));
    conservation::demand(std::fs::read_to_string(&log).unwrap().lines());
}
