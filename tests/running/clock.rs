//! A wall clock that is set an hour ahead and an hour back while the run goes on.
//!
//! A small library between the process and the C library adds an offset to the wall clock and to nothing else, which
//! needs no privilege. librdkafka's own waits are left alone by it; the adapter's and the plugin's are what is looked at.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use support::c::{Language, compile};
use support::{Receiver, Reply, rig, workspace_root};

use crate::DEADLINE;
use crate::scene::{Scene, prompt, recorded, traffic};

const HOUR_S: i64 = 3_600;

fn set_by(file: &Path, seconds: i64) {
    // in place, never cut: the process has mapped it
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(file)
        .unwrap();
    file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
}

#[test]
fn a_wall_clock_that_is_set_is_no_news_to_anyone() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let mut options = traffic();
    options.duplicates_percent = 20.0;
    let rig = prompt(options)
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url("/hook"))
        .set("webhook.allow_private", true);
    let (library, offset) = (rig.folder().join("clock.so"), rig.folder().join("offset"));
    let source = workspace_root().join("tests/c/clock.c");
    compile(Language::C11, &source, &library, &["-shared", "-fPIC"]);
    set_by(&offset, 0);
    let launch = rig
        .launch(&[])
        .env("LD_PRELOAD", &library)
        .env("CLOCK_OFFSET", &offset);
    let mut scene = Scene::launch(&rig, launch);
    for hours in [1, -1, 0] {
        set_by(&offset, hours * HOUR_S);
        let printed = rig::metrics(&scene.adapter).len();
        // longer than the silence that ends a connection, and than the pauses between pings and logins
        scene.for_metrics_lines(12);
        scene.until_delivering();
        assert_eq!(scene.told(), Vec::<String>::new(), "{hours}");
        let lags = rig::metrics(&scene.adapter);
        let lag = lags[printed + 8..]
            .iter()
            .map(|line| line.number("lag_ms"))
            .max()
            .unwrap();
        assert!(lag < HOUR_S * 1_000 / 2, "{lag}");
    }
    rig::wait_for_metrics(&mut scene.adapter, DEADLINE, "duplicates were removed", |line| {
        line.number("totalDuplicated") > 20
    });
    let stopped = scene.stop();
    stopped.assert_ended_well("clock");
    assert_eq!(recorded(&stopped.printed("control")), []);
    assert_eq!(
        (
            stopped.session("connects_total"),
            stopped.session("login_attempts_total")
        ),
        (1, 1)
    );
    // the offsets were seen: times of receipt reach from an hour back to an hour ahead
    let audits = stopped.printed("audit");
    let mut seconds: Vec<i64> = audits
        .iter()
        .map(|audit| {
            let time: jiff::Timestamp = audit["processedAt"].as_str().unwrap().parse().unwrap();
            time.as_second()
        })
        .collect();
    seconds.sort_unstable();
    let spread = seconds.last().unwrap() - seconds[0];
    assert!(spread >= 2 * HOUR_S - 60, "{spread}");
    assert!(
        audits.iter().all(|audit| audit["status"] != "interval"),
        "no interval for a jump"
    );
    // an event is published once, though an hour seemed to pass between it and its repetition
    let mut ids: Vec<String> = receiver
        .received()
        .iter()
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect();
    let published = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), published);
}
