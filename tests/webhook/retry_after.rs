//! A receiver that says when it wants to be asked again.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use support::{Receiver, Reply, rig};

use crate::{DEADLINE, seen};

/// Runs one event against a receiver that puts it off once and returns the time between the two attempts.
fn pause(put_off: impl Fn() -> String + Send + 'static) -> Duration {
    let mut asked = false;
    let receiver = Receiver::start(move |_| {
        if std::mem::replace(&mut asked, true) {
            Reply::Status(200)
        } else {
            Reply::WithHeader(429, "retry-after", put_off())
        }
    });
    let rig = seen::rig(seen::burst(1, 1), &receiver);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    let requests = receiver.received();
    assert_eq!(requests.len(), 2);
    let audits = seen::printed(&adapter, "audit");
    let processed = audits
        .iter()
        .find(|audit| audit["status"] == "processed")
        .unwrap();
    assert_eq!(processed["outcome"]["attempt"], 2);
    requests[1].at - requests[0].at
}

#[test]
fn seconds_are_waited_for() {
    assert!(pause(|| "2".to_owned()) >= Duration::from_millis(1_900));
}

#[test]
fn a_date_is_waited_for() {
    let in_three_seconds = || {
        let at = Timestamp::try_from(SystemTime::now() + Duration::from_secs(3)).unwrap();
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    // a date has whole seconds: it lies up to one second earlier than meant
    assert!(pause(in_three_seconds) >= Duration::from_millis(1_900));
}

#[test]
fn what_cannot_be_read_is_no_reason_to_wait() {
    assert!(pause(|| "presently".to_owned()) < Duration::from_secs(60));
}
