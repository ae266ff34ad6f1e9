//! A spool that fills up while the broker is away: by its own bound, and by the disk.
//!
//! The disk is a small tmpfs in a mount namespace of the adapter's own: it goes with the process, however that ends.

use std::path::Path;

use simulator::Options;
use support::drill::tell;
use support::rig::{self, CREDENTIALS};
use support::{Launch, Process, Rig, Stream, binary, say_not_run};

use crate::scene::{broker, left, rig, until_last_arrived, wait_for};
use crate::{DEADLINE, proofs};

/// Bound of the spool in bytes: some 10,000 records.
const SPOOL_BYTES: u64 = 16 << 20;
/// Size of the smaller disk below a spool of that bound.
const DISK_BYTES: u64 = 8 << 20;

/// Fills the spool of an adapter with its broker away, brings the broker back, and holds topics against ground truth.
/// `why`: what the spool says of it.
fn filled_and_drained(start: impl FnOnce(&Rig) -> Process, why: &str) {
    let Some(broker) = broker() else { return };
    let options = Options {
        rate: 4_000,
        events: Some(60_000),
        ..Options::default()
    };
    let (rig, topics) = rig(&broker, options, SPOOL_BYTES);
    let rig = rig.set("source.config.spool.stall_ms", 300);
    let simulator = rig.simulator();
    let mut adapter = start(&rig);
    assert!(simulator.wait_until_sent(2_000, DEADLINE));
    broker.kill();
    let said = adapter.wait_for_line(Stream::Stderr, "spool takes no record", DEADLINE);
    assert!(said.contains(why), "{said}");
    wait_for(&mut adapter, "spool full, no longer reading");
    wait_for(&mut adapter, "spool stayed full, connection closed");
    assert!(simulator.wait_until(DEADLINE, |counters| counters.unsent > 1_000));
    broker.restart();
    wait_for(&mut adapter, "subscribed again");
    assert!(simulator.wait_until_done(DEADLINE));
    let truth = simulator.truth();
    until_last_arrived(&mut adapter, &truth, &broker, &topics);
    let ended = rig::stop(&mut adapter, DEADLINE);

    let left = left(&broker, &topics, &truth, &ended);
    let (stopped, full) = left.gaps.split_last().unwrap();
    assert_eq!(stopped.cause, "stopped");
    assert!(!full.is_empty(), "no gap was recorded");
    for gap in full {
        assert_eq!(gap.cause, "spool_full", "{gap:?}");
        assert!(gap.to_ms.is_some(), "not closed: {gap:?}");
    }
    let missing = proofs::missing(&truth, &left.events);
    assert!(
        missing.len() > 1_000,
        "{} events fell into the gap",
        missing.len()
    );
    proofs::assert_missing_only_within(full, &missing);
    tell(&format!(
        "full disk, {why}: {} events happened, {} lost within {} gaps and none outside",
        left.events.len() + missing.len(),
        missing.len(),
        full.len()
    ));
}

#[test]
fn a_spool_at_its_bound_stops_reading_opens_a_gap_and_goes_on_by_itself_when_the_broker_is_back() {
    filled_and_drained(Rig::start, "of 16777216 bytes (max_bytes)");
}

/// `unshare -rm`: a mount namespace without privilege.
fn namespaces_are_permitted() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-rm", "true"])
        .output();
    tried.is_ok_and(|tried| tried.status.success())
}

fn on_a_small_disk(rig: &Rig) -> Process {
    let spool = rig.folder().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let script = format!("mount -t tmpfs -o size={DISK_BYTES} none \"$0\" && exec \"$@\"");
    let words = [
        "-rm".into(),
        "sh".into(),
        "-c".into(),
        script.into(),
        spool.into_os_string(),
        binary("genesys-kafka").into_os_string(),
        "run".into(),
        "--config".into(),
        rig.write_config().into_os_string(),
    ];
    let launch = Launch::program(Path::new("unshare"))
        .args(words)
        .current_dir(rig.folder());
    let launch = CREDENTIALS
        .iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value));
    launch.start()
}

#[test]
fn a_disk_that_is_full_before_the_spool_is_does_the_same() {
    if !namespaces_are_permitted() {
        say_not_run("a full disk below the spool: it needs `unshare -rm`");
        return;
    }
    filled_and_drained(on_a_small_disk, "of 16777216 bytes (no room on the disk)");
}
