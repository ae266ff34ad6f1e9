//! Frames that are too large, malformed, binary or in pieces: exactly one outcome each, and the connection lives on.

use base64::Engine as _;
use genesys_source::record::Kind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::{Kind as Sent, TruthLine};
use support::{Launch, Stream, plugin};

use crate::gaps::{gaps, reconcile};
use support::host::{Host, Pulled, SOON, config, prompt, truth};

/// The payload that the simulator sends as an oversized frame of so many bytes.
fn oversized(bytes: usize) -> Vec<u8> {
    let mut payload = br#"{"type":"oversized","pad":""#.to_vec();
    payload.resize(bytes - 2, b'x');
    payload.extend_from_slice(b"\"}");
    payload
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn letters(host: &Host) -> Vec<&Pulled> {
    host.of_kind(Kind::DeadLetter).collect()
}

/// Waits until everything is sent and every event delivered, then drains.
fn finish(simulator: &simulator::Simulator, host: &mut Host) {
    assert!(simulator.wait_until_done(SOON));
    let counters = simulator.counters();
    let events = usize::try_from(counters.events_sent + counters.binary).unwrap();
    host.until("every event", |host| host.count(Kind::Event) == events);
    host.drain();
    let statistics = host.statistics();
    assert_eq!(statistics["frames"]["law"], 0, "{statistics}");
    assert_eq!(statistics["records"]["law"], 0, "{statistics}");
}

#[test]
fn a_frame_over_the_limit_is_skipped_with_its_digest_and_the_connection_lives_on() {
    let bytes = 5 << 20;
    let simulator = plugin::simulator(|options| {
        options.rate = 500;
        options.events = Some(60);
        options.faults = ["after=20 oversized 5242880", "after=40 oversized 4194305"]
            .map(|fault| fault.parse().unwrap())
            .to_vec();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), json!({})));
    finish(&simulator, &mut host);
    assert_eq!(simulator.counters().connects, 1, "the connection lives on");
    assert_eq!(
        gaps(&host.records).len(),
        1,
        "nothing but the stop at the end interrupts it"
    );
    assert_eq!(reconcile(&simulator.truth(), &host.records), 0);
    let letters = letters(&host);
    assert_eq!(letters.len(), 2);
    for (letter, length) in letters.iter().zip([bytes, (4 << 20) + 1]) {
        let payload = oversized(length);
        let frame = &letter.body["frame"];
        assert_eq!(frame["type"], "oversized");
        assert_eq!(frame["lengthBytes"], length);
        assert_eq!(frame["sha256"], hex(Sha256::digest(&payload)));
        assert_eq!(frame["truncated"], true);
        let head = base64::engine::general_purpose::STANDARD
            .decode(frame["base64"].as_str().unwrap())
            .unwrap();
        assert_eq!(head, payload[..4096]);
        assert_eq!(letter.body["reason"], "frame above the size limit");
    }
    assert_eq!(host.statistics()["frames"]["oversized"], 2);
    // in its place: after the twentieth event, before the twenty-first
    let before = host
        .records
        .iter()
        .take_while(|record| record.kind == Kind::Event)
        .count();
    assert_eq!(before, 20);
}

#[test]
fn a_frame_at_the_limit_is_decoded() {
    let simulator = plugin::simulator(|options| {
        options.rate = 500;
        options.events = Some(10);
        options.faults = vec!["after=5 oversized 4194304".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), json!({})));
    finish(&simulator, &mut host);
    let payload = oversized(4 << 20);
    let letters = letters(&host);
    assert_eq!(letters.len(), 1, "whole, but without any identity");
    assert_eq!(letters[0].body["frame"]["type"], "text");
    assert_eq!(letters[0].body["frame"]["sha256"], hex(Sha256::digest(&payload)));
    assert_eq!(
        letters[0].body["frame"]["text"].as_str().unwrap().as_bytes(),
        payload
    );
    assert_eq!(host.statistics()["frames"]["oversized"], 0);
}

#[test]
fn a_frame_that_is_only_announced_costs_the_connection_and_leaves_a_gap() {
    let simulator = plugin::simulator(|options| {
        options.rate = 500;
        options.events = Some(60);
        options.pause_when_alone = true;
        options.faults = [
            "after=20 oversized 5242880 announced",
            "after=40 oversized 9223372036854775807 announced",
        ]
        .map(|fault| fault.parse().unwrap())
        .to_vec();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    host.until_gaps_closed(2);
    finish(&simulator, &mut host);
    assert_eq!(reconcile(&simulator.truth(), &host.records), 0);
    let found = gaps(&host.records);
    let kinds: Vec<_> = found.iter().map(|gap| gap.kind.as_str()).collect();
    assert_eq!(kinds, ["silence", "silence", "local"]);
    assert_eq!(
        host.count(Kind::DeadLetter),
        0,
        "what never came whole is no frame; the gap is its record"
    );
}

#[test]
fn malformed_binary_and_fragmented_frames_have_one_outcome_each() {
    let simulator = plugin::simulator(|options| {
        options.rate = 2_000;
        options.events = Some(400);
        options.faults = [
            "every=10 malformed cut",
            "every=13 malformed types",
            "every=17 malformed text",
            "every=7 binary",
            "every=11 fragmented 5",
            "every=23 duplicate 3",
        ]
        .map(|fault| fault.parse().unwrap())
        .to_vec();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), json!({})));
    finish(&simulator, &mut host);
    let counters = simulator.counters();
    assert_eq!((counters.connects, gaps(&host.records).len()), (1, 1));
    assert!(counters.binary > 50 && counters.malformed > 80 && counters.duplicates > 10);

    // each malformed frame, byte for byte and in order
    let malformed = truth(&simulator, Sent::Malformed);
    let letters = letters(&host);
    assert_eq!(letters.len(), malformed.len());
    for (letter, sent) in letters.iter().zip(&malformed) {
        let text = sent.frame.as_deref().unwrap();
        let frame = &letter.body["frame"];
        assert_eq!(frame["text"], text);
        assert_eq!(frame["type"], "text");
        assert_eq!(frame["lengthBytes"], text.len());
        assert_eq!(frame["sha256"], hex(Sha256::digest(text)));
        assert!(letter.body["stage"].is_string() && letter.body["reason"].is_string());
    }

    // binary and fragmented events are events like the others
    let sent: Vec<TruthLine> = simulator
        .truth()
        .into_iter()
        .filter(|line| matches!(line.kind, Sent::Event | Sent::Binary))
        .collect();
    let delivered: Vec<&str> = host
        .of_kind(Kind::Event)
        .map(|record| record.id.as_str())
        .collect();
    let sent: Vec<&str> = sent.iter().map(|line| line.id.as_deref().unwrap()).collect();
    assert_eq!(delivered, sent);
    let statistics = host.statistics();
    assert_eq!(statistics["frames"]["duplicates"], counters.duplicates);
}

#[test]
fn memory_stays_bounded_while_a_frame_of_64_mib_is_skipped() {
    let simulator = plugin::simulator(|options| {
        options.rate = 500;
        options.events = Some(40);
        options.faults = vec!["after=20 oversized 67108864".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail.json");
    std::fs::write(&path, config(&simulator, folder.path(), json!({})).to_string()).unwrap();
    let mut tail = Launch::binary("genesys-source")
        .args(["tail".as_ref(), "--config".as_ref(), path.as_os_str()])
        .start();
    let first = tail.wait_for_line(Stream::Stdout, "\"kind\":\"event\"", SOON);
    assert!(serde_json::from_str::<Value>(&first).is_ok());
    let before = tail.peak_resident_bytes();
    let letter = tail.wait_for_line(Stream::Stdout, "\"kind\":\"dead_letter\"", SOON);
    let letter: Value = serde_json::from_str(&letter).unwrap();
    support::wait_until(SOON, "the events after it", || {
        tail.lines(Stream::Stdout).len() == 41
    });
    let grown = tail.peak_resident_bytes().saturating_sub(before);
    // the limit for a frame is 4 MiB; what is skipped needs 4 kB and a socket buffer
    assert!(grown < 8 << 20, "grew by {grown} bytes");
    assert_eq!(letter["record"]["frame"]["lengthBytes"], 64 << 20);
    assert_eq!(
        letter["record"]["frame"]["sha256"],
        hex(Sha256::digest(oversized(64 << 20)))
    );
    tail.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(tail.wait(SOON).success());
}
