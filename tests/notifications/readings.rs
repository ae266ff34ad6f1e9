//! The whole product under the other reading of what is not public: whether a channel ends with its token, whether it is its
//! token's alone, and with which status a wrong client is refused.
//!
//! The first reading of each is what every other test here plays.

use std::time::Instant;

use genesys_source::record::Kind;
use serde_json::{Value, json};
use simulator::{NotificationOptions, Options};
use support::gap::Gap;
use support::host::{INVALID_CLIENT, Pulled, inject, without_address};
use support::rig::{self, Ended};
use support::{Process, Rig, Stream, wait_until};

use crate::proofs::{Outcome, events, gaps, reconcile_records};
use crate::scene::{PATIENCE, topics};

/// What the platform may do otherwise than it is assumed to.
struct Reading {
    name: &'static str,
    play: fn(&mut NotificationOptions),
}

const OUTLIVES: Reading = Reading {
    name: "channels outlive their token",
    play: |settings| settings.ends_with_token = false,
};

const ANY_TOKEN: Reading = Reading {
    name: "any token of the client may set a channel's topics",
    play: |settings| settings.bound_to_token = false,
};

const BOTH: Reading = Reading {
    name: "both",
    play: |settings| (settings.ends_with_token, settings.bound_to_token) = (false, false),
};

const READINGS: [Reading; 3] = [OUTLIVES, ANY_TOKEN, BOTH];

/// The adapter as a process with the real plugin, a simulator under one reading, and what is published on its topics.
struct Product {
    rig: Rig,
    process: Process,
    topics: Vec<String>,
    number: i64,
}

impl Product {
    /// Starts it, and waits until it is subscribed.
    fn start(reading: &Reading, adjust: impl FnOnce(&mut Options)) -> Self {
        println!("reading: {}", reading.name);
        let mut options = Options::default();
        let settings = &mut options.notifications;
        (settings.updates_per_s, settings.heartbeat_ms) = (0, 3_000);
        (reading.play)(settings);
        adjust(&mut options);
        let topics = topics(3);
        let rig = Rig::new(options)
            .over_notifications()
            .set("delivery.to", "lines")
            .set("source.config.reconnect.max_ms", 200)
            .set("source.config.keep_alive.ping_ms", 100)
            .set("source.config.handover.overlap_ms", 100)
            .set("source.config.subscription.topics", json!(topics));
        let process = rig.start();
        let product = Self {
            rig,
            process,
            topics,
            number: 0,
        };
        // What the simulator knows is sooner: a connection that ends before the answer is read was never listened to.
        wait_until(PATIENCE, "subscribed", || {
            product.told("subscribed channel=") >= 1
        });
        product
    }

    fn publish(&mut self) {
        for topic in &self.topics {
            self.number += 1;
            self.rig.simulator().publish(
                topic,
                &json!({"id": "00000000-0000-4000-8000-00000000000a", "n": self.number}),
            );
        }
    }

    /// Publishes on each topic in turn until the condition holds, and then until what is published comes out.
    fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(
                begun.elapsed() < PATIENCE && !self.process.has_ended(),
                "{what}\n{}",
                self.process.lines(Stream::Stderr).join("\n")
            );
            self.publish();
            let next = Instant::now() + crate::handovers::PACE;
            wait_until(PATIENCE, "the next publication", || Instant::now() >= next);
        }
        self.publish();
        let last = self.number;
        wait_until(PATIENCE, "the last event", || {
            events(&self.records()).iter().any(|(_, number)| *number == last)
        });
    }

    /// What it has printed so far.
    fn records(&self) -> Vec<Pulled> {
        let lines = self.process.lines(Stream::Stdout);
        lines.iter().filter_map(|line| pulled(line)).collect()
    }

    /// Number of lines of its log that hold this text.
    fn told(&self, text: &str) -> usize {
        let lines = self.process.lines(Stream::Stderr);
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// The number of the channel that is listened to.
    fn channel(&self) -> u64 {
        let channels = self.rig.simulator().channels();
        let open = channels.iter().rfind(|channel| channel.connection.is_some());
        open.unwrap().number
    }

    fn fault(&self, fault: &str) {
        inject(self.rig.simulator(), fault);
    }

    /// Stops it; demands what holds under every reading, and returns the gaps but that of the stop.
    fn judged(mut self) -> (Outcome, Vec<Gap>) {
        let ended = rig::stop(&mut self.process, PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
        let records = self.records();
        let outcome = reconcile_records(&records, self.rig.simulator(), &[]);
        demand_counted(&outcome, &ended);
        let mut gaps = gaps(&records);
        assert_eq!(gaps.pop().map(|gap| gap.cause).as_deref(), Some("stopped"));
        (outcome, gaps)
    }
}

/// Demands that nothing was repeated but what the run has counted, and that its laws hold.
fn demand_counted(outcome: &Outcome, ended: &Ended) {
    let counted = ended.count("/source/frames/handover_ambiguous");
    assert!(
        i64::try_from(outcome.repeated).unwrap() <= counted,
        "{outcome:?}, {counted} counted"
    );
    assert_eq!(ended.count("/source/frames/law"), 0);
}

/// A line of standard output as a record of the source; `None` for audit records.
fn pulled(line: &str) -> Option<Pulled> {
    let line: Value = serde_json::from_str(line).ok()?;
    let kind = match line["kind"].as_str()? {
        "event" => Kind::Event,
        "control" => Kind::Control,
        "dead_letter" => Kind::DeadLetter,
        _ => return None,
    };
    let text = |name: &str| line["record"][name].as_str().unwrap_or_default().to_owned();
    Some(Pulled {
        kind,
        sequence: 0,
        id: text("eventId"),
        key: text("conversationId"),
        body: line["record"].clone(),
    })
}

fn closed_gaps(product: &Product) -> usize {
    let records = product.records();
    let is_closing = |record: &&Pulled| record.body["type"] == "gap_closed";
    records.iter().filter(is_closing).count()
}

#[test]
fn a_planned_handover_costs_nothing_under_either_reading() {
    for reading in &READINGS {
        let mut product = Product::start(reading, |options| options.notifications.closing_ms = 2_000);
        let first = product.channel();
        product.fault(&format!("channel={first} closing"));
        product.until("a hand-over, and the end of the old socket", |product| {
            product.told("channel replaced") >= 1 && product.channel() != first
        });
        let (outcome, gaps) = product.judged();
        assert_eq!(gaps, [], "{}", reading.name);
        assert_eq!(
            (outcome.unheard, outcome.lost_in_gaps, outcome.repeated),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_channel_that_outlives_its_token_is_replaced_with_it_all_the_same_and_nothing_is_lost() {
    for reading in [&OUTLIVES, &BOTH] {
        // So short that the end of the token comes before the shortest wait of a renewal.
        let mut product = Product::start(reading, |options| options.expires_in_s = 4);
        product.until("three tokens", |product| product.told("channel replaced") >= 3);
        let counters = product.rig.simulator().counters();
        assert!(counters.logins <= 2 * counters.channels_created, "{counters:?}");
        let (outcome, gaps) = product.judged();
        assert_eq!(gaps, [], "{}", reading.name);
        assert_eq!(
            (outcome.unheard, outcome.lost_in_gaps, outcome.repeated),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_token_that_is_renewed_in_time_costs_nothing_though_any_token_would_do() {
    // As short as it may be for a renewal a minute after the channel was made, the earliest that there is.
    let mut product = Product::start(&ANY_TOKEN, |options| options.expires_in_s = 63);
    let first = product.channel();
    product.until("the end of the old token", |product| {
        let channels = product.rig.simulator().channels();
        channels.iter().all(|channel| channel.number != first)
    });
    assert_eq!(product.rig.simulator().counters().logins, 2);
    let (outcome, gaps) = product.judged();
    assert_eq!(gaps, []);
    assert_eq!(
        (outcome.unheard, outcome.lost_in_gaps, outcome.repeated),
        (0, 0, 0)
    );
}

#[test]
fn a_revoked_token_costs_one_gap_that_names_it_under_either_reading() {
    for reading in &READINGS {
        let mut product = Product::start(reading, |_| {});
        let first = product.channel();
        product.fault(&format!("channel={first} revoke"));
        product.until("a gap that is closed", |product| closed_gaps(product) >= 1);
        assert_ne!(product.channel(), first);
        assert_eq!(product.rig.simulator().counters().logins, 2);
        let (_, gaps) = product.judged();
        let causes: Vec<&str> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["token_revoked"], "{}", reading.name);
    }
}

#[test]
fn a_channel_whose_socket_is_lost_is_connected_again_and_no_other_is_made() {
    for reading in &READINGS {
        let mut product = Product::start(reading, |_| {});
        let (first, connects) = (product.channel(), product.rig.simulator().counters().connects);
        product.fault(&format!("channel={first} drop"));
        product.until("a gap that is closed", |product| closed_gaps(product) >= 1);
        let counters = product.rig.simulator().counters();
        assert_eq!(
            (
                product.channel(),
                counters.channels_created,
                counters.connects,
                counters.logins
            ),
            (first, 1, connects + 1, 1),
            "{}",
            reading.name
        );
        let (_, gaps) = product.judged();
        let causes: Vec<&str> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["reconnect"], "{}", reading.name);
    }
}

#[test]
fn a_channel_of_the_token_before_is_kept_if_any_token_will_do_and_replaced_if_not() {
    for (reading, is_kept) in [(&OUTLIVES, false), (&ANY_TOKEN, true), (&BOTH, true)] {
        let mut product = Product::start(reading, |_| {});
        let first = product.channel();
        // The token is refused once, so that a new one asks for the topics of a channel which the old one made.
        let request = product.rig.simulator().counters().requests + 1;
        product.fault(&format!("api={request} refuse 401"));
        product.fault(&format!("channel={first} drop"));
        product.until("a gap that is closed", |product| closed_gaps(product) >= 1);
        assert_eq!(
            (
                product.channel() == first,
                product.rig.simulator().counters().logins
            ),
            (is_kept, 2),
            "{}",
            reading.name
        );
        let (_, gaps) = product.judged();
        let causes: Vec<&str> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["reconnect"], "{}", reading.name);
    }
}

#[test]
fn a_wrong_client_is_told_as_such_and_ends_the_start_whatever_the_status() {
    for status in [400, 401] {
        let mut options = Options {
            invalid_client_status: status,
            ..Options::default()
        };
        options.notifications.updates_per_s = 0;
        let rig = Rig::new(options).over_notifications().set("delivery.to", "lines");
        let finished = rig
            .launch(&[])
            .env("OAUTH_CLIENT_SECRET", "not-the-secret")
            .run(PATIENCE);
        assert_eq!(finished.status.code(), Some(77), "{status}");
        let told = finished
            .stderr
            .iter()
            .rfind(|line| line.starts_with("genesys-kafka: "));
        let told = without_address(told.unwrap(), rig.simulator());
        assert_eq!(
            told,
            format!("genesys-kafka: source failed: AUTH: {INVALID_CLIENT}"),
            "{status}"
        );
        assert_eq!(rig.simulator().counters().logins, 1, "{status}: asked once");
        assert!(
            finished
                .stderr
                .iter()
                .all(|line| !line.contains("not-the-secret"))
        );
    }
}
