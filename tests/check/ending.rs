//! The end of the command comes in any case: at once on Ctrl-C, and when its time is over whatever hangs.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use nix::sys::signal::Signal;
use support::wait_until;

use crate::DEADLINE;
use crate::seen::{everything, to_lines};

#[test]
fn ctrl_c_ends_a_check_that_waits_for_the_network() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let rig = to_lines("login=1 hang");
        let mut process = rig.launch_command("check").start();
        wait_until(DEADLINE, "the login is asked for", || {
            rig.simulator().counters().logins == 1
        });
        assert!(!process.has_ended());
        process.signal(signal);
        let status = process.wait(DEADLINE);
        assert_eq!(status.signal(), Some(signal as i32));
    }
}

#[test]
fn a_resolver_that_hangs_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // the resolver reads aliases from here (HOSTALIASES of resolver(3)), and waits for ever, since nobody writes
    let pipe = folder.path().join("aliases");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let rig = everything(
        "https://login-host",
        "kafka-host:9092",
        "https://webhook-host/hook",
    );
    let finished = rig
        .launch_command("check")
        .env("HOSTALIASES", &pipe)
        .run(DEADLINE);
    assert_eq!(
        finished.stdout.last().unwrap(),
        "not ready: 3 of 10 failed, 2 not examined"
    );
    assert_eq!(finished.status.code(), Some(69), "{:?}", finished.stderr);
}
