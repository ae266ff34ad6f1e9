//! A receiver of chance: delays and failures as a seed says, and what holds all the same.

use std::time::Duration;

use support::{Receiver, Reply, rig};

use crate::{DEADLINE, seen};

/// Random numbers from a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

#[test]
fn order_per_conversation_survives_delays_and_failures() {
    for seed in [1, 2, 3, 4] {
        let mut dice = Dice(seed);
        let in_flight = 1 + dice.roll(12);
        let conversations = u32::try_from(5 + dice.roll(40)).unwrap();
        let receiver = Receiver::start(move |_| match dice.roll(12) {
            0 => Reply::Status(500),
            1 => Reply::Reset,
            2 => Reply::ResetInHead,
            3 => Reply::Status(422),
            _ => Reply::After(Duration::from_millis(dice.roll(15)), 200),
        });
        let rig = seen::rig(seen::burst(600, conversations), &receiver)
            .set("webhook.max_in_flight", in_flight)
            .set("webhook.max_attempts", 1_000)
            .set("delivery.drain_ms", 60_000);
        let mut adapter = rig.start();
        rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
        let ended = rig::stop(&mut adapter, DEADLINE);
        assert_eq!(ended.code, Some(0), "seed {seed}: {}", ended.stderr.join("\n"));
        seen::assert_laws(&ended);
        let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
        seen::assert_order(&requests, &sent);
        assert_eq!(ended.count("/source/frames/events"), 600);
        seen::assert_audited(&seen::printed(&adapter, "audit"), &requests, &ended);
        assert!(
            receiver.most_held() as u64 <= in_flight,
            "seed {seed}: {}",
            receiver.most_held()
        );
    }
}

#[test]
fn of_ten_thousand_events_with_a_fifth_of_all_requests_failing_each_is_delivered_or_explained() {
    const EVENTS: u64 = 10_000;
    let mut dice = Dice(7);
    let receiver = Receiver::start(move |_| match dice.roll(100) {
        0..=15 => Reply::Status(503),
        16..=18 => Reply::Reset,
        19 => Reply::Status(400),
        _ => Reply::Status(200),
    });
    let rig = seen::rig(seen::burst(EVENTS, 500), &receiver)
        .set("webhook.max_in_flight", 64)
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl")
        .set("delivery.drain_ms", 80_000);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let (requests, sent) = (receiver.received(), seen::sent(&rig.simulator().truth()));
    assert_eq!(sent.len() as u64, EVENTS);
    let failed = requests.iter().filter(|request| !request.is_accepted()).count();
    assert!(
        failed * 10 > requests.len(),
        "{failed} of {} failed",
        requests.len()
    );
    let text = std::fs::read_to_string(rig.folder().join("audit.jsonl")).unwrap();
    let audits: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    seen::assert_valid("audit", &audits);
    seen::assert_order(&requests, &sent);
    // holds that each is accepted and processed, or a dead letter with its reason, and never both
    seen::assert_audited(&audits, &requests, &ended);
    let dead_letters = seen::filed(&rig, "genesys-dead-letters.jsonl", "dead_letter");
    seen::assert_valid("dead-letter", &dead_letters);
    assert_eq!(seen::accepted(&requests).len() + dead_letters.len(), sent.len());
    for dead_letter in &dead_letters {
        let reason = dead_letter["reason"].as_str().unwrap();
        assert!(
            reason.ends_with("answered 400") || reason.starts_with("given up after "),
            "{reason}"
        );
    }
}
