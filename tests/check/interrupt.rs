//! Ctrl-C: the command ends at once, whatever it waits for.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;
use support::wait_until;

use crate::DEADLINE;
use crate::seen::to_lines;

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
