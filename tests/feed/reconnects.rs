//! Reconnects: forced closes of every kind while events flow, and what the records say about each.

use genesys_source::record::Kind;
use serde_json::{Value, json};
use simulator::{MalformedShape, Simulator, Trigger};
use support::plugin;

use crate::gaps::{gaps, reconcile};
use support::host::{Host, config, inject, prompt, truth};

/// What goes wrong at login, upgrade or subscription before the source is back, then how the connection ends, then the
/// gaps that must be recorded, as cause, kind of loss and close code.
type Step = (
    &'static [&'static str],
    &'static str,
    &'static [(&'static str, &'static str, Option<u64>)],
);

const fn step(close: &'static str, gap: &'static [(&'static str, &'static str, Option<u64>)]) -> Step {
    (&[], close, gap)
}

const EOF: &[(&str, &str, Option<u64>)] = &[("reconnect", "eof", None)];
const RESET: &[(&str, &str, Option<u64>)] = &[("reconnect", "reset", None)];
const SILENCE: &[(&str, &str, Option<u64>)] = &[("reconnect", "silence", None)];
const PROTOCOL: &[(&str, &str, Option<u64>)] = &[("reconnect", "protocol", None)];

macro_rules! closed {
    ($code:literal) => {
        &[("reconnect", "close", Some($code))]
    };
}

const STEPS: &[Step] = &[
    step("close 1000", closed!(1000)),
    step("close 1001 going away", closed!(1001)),
    step("drop", EOF),
    step("reset", RESET),
    (&["connect refuse 401"], "close 1002", closed!(1002)),
    step("close 1003", closed!(1003)),
    step("offence masked", PROTOCOL),
    (&["connect refuse 403"], "drop", EOF),
    step("close 1007", closed!(1007)),
    step("close 1008 policy", closed!(1008)),
    (&["connect refuse 429"], "reset", RESET),
    step("offence fragmented-control", PROTOCOL),
    step("close 1009", closed!(1009)),
    (&["connect refuse 500"], "close 1010", closed!(1010)),
    step("silence 20000", SILENCE),
    step("drop", EOF),
    (
        &["connect refuse 401", "login refuse 401"],
        "close 1011",
        closed!(1011),
    ),
    step("reset", RESET),
    step("offence long-control", PROTOCOL),
    (
        &["connect refuse 401", "login refuse 403"],
        "close 1012",
        closed!(1012),
    ),
    step("close 1013 try again later", closed!(1013)),
    step("stall 20000", SILENCE),
    (&["connect refuse 401", "login refuse 429"], "drop", EOF),
    step("reset", RESET),
    step("offence invalid-utf8", PROTOCOL),
    (
        &["connect refuse 401", "login refuse 500"],
        "close 3000",
        closed!(3000),
    ),
    (
        &["connect refuse 401", "login rate-limited"],
        "close 3999",
        closed!(3999),
    ),
    step("drop", EOF),
    (&["connect refuse 401", "login no-token"], "reset", RESET),
    step("offence reserved-bits", PROTOCOL),
    (&["connect refuse 401", "login hang"], "close 4000", closed!(4000)),
    step("close 4001 come again", closed!(4001)),
    (
        &["connect refuse 401", "login slow 50"],
        "close 4999",
        closed!(4999),
    ),
    step("reset", RESET),
    step("offence reserved-opcode", PROTOCOL),
    (&["connect hang"], "drop", EOF),
    (&["connect slow 50"], "reset", RESET),
    (&["subscribe refuse 401"], "close 1000", closed!(1000)),
    (&["subscribe refuse 403"], "drop", EOF),
    (&["subscribe refuse 429"], "reset", RESET),
    (&["subscribe refuse 500"], "close 1001", closed!(1001)),
    step("offence lone-continuation", PROTOCOL),
    // accepted after the grace, since nobody said no, and then silent
    (
        &["subscribe hang"],
        "close 1012",
        &[("reconnect", "close", Some(1012)), ("reconnect", "silence", None)],
    ),
    (&["subscribe slow 50"], "drop", EOF),
    // the codec takes a close code that must not be sent for the offence that it is: 1002
    step(
        "offence forbidden-close-code",
        &[("reconnect", "close", Some(1002))],
    ),
    // the frame never comes whole, and nothing else comes either
    step("oversized 5242880 announced", SILENCE),
    step("reset", RESET),
    (
        &["connect refuse 500", "login refuse 500"],
        "close 4001",
        closed!(4001),
    ),
    step("drop", EOF),
    step("reset", RESET),
    step("close 1000 last", closed!(1000)),
];

/// Puts a gate's fault at its next turn: `connect refuse 401` becomes `connect=7 refuse 401`.
fn inject_gate(simulator: &Simulator, gate: &str) {
    let (place, action) = gate.split_once(' ').unwrap();
    let counters = simulator.counters();
    let turns = match place {
        "login" => counters.logins,
        "connect" => counters.connects,
        _ => counters.subscriptions,
    };
    inject(simulator, &format!("{place}={} {action}", turns + 1));
}

/// Deadlines that a busy machine keeps: what is late here is what the step makes late, so that no step leaves another gap
/// than its own. A subscription that hangs counts after the grace, and is silent later than that.
fn patient() -> Value {
    let mut changes = prompt();
    changes["keep_alive"] = json!({"ping_ms": 250, "silence_ms": 5_000});
    changes["timeouts"] = json!({"connect_ms": 5_000, "login_ms": 5_000, "subscribe_grace_ms": 2_000});
    changes
}

#[test]
fn fifty_forced_closes_of_every_kind_lose_nothing_outside_their_gaps() {
    assert!(STEPS.len() >= 50);
    let simulator = plugin::simulator(|options| {
        options.rate = 1_000;
        options.conversations = 50;
        options.duplicates_percent = 4.0;
        options.malformed_percent = 1.0;
        options.pause_when_alone = true;
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), patient()));
    let mut expected = Vec::new();
    for (gates, close, recorded) in STEPS {
        let events = host.count(Kind::Event);
        host.until("events flow", |host| host.count(Kind::Event) >= events + 15);
        for gate in *gates {
            inject_gate(&simulator, gate);
        }
        inject(&simulator, &format!("now {close}"));
        expected.extend(recorded.iter().copied());
        host.until_gaps_closed(expected.len());
    }
    let events = host.count(Kind::Event);
    host.until("events flow again", |host| host.count(Kind::Event) >= events + 15);
    host.drain();

    let found = gaps(&host.records);
    let found: Vec<_> = found
        .iter()
        .map(|gap| (gap.cause.as_str(), gap.kind.as_str(), gap.close_code))
        .collect();
    expected.push(("stopped", "local", None));
    assert_eq!(found, expected);
    let lost = reconcile(&simulator.truth(), &host.records);
    let statistics = host.statistics();
    assert_eq!(statistics["frames"]["law"], 0, "{statistics}");
    assert_eq!(statistics["records"]["law"], 0, "{statistics}");
    assert_eq!(statistics["records"]["uncommitted"], 0, "{statistics}");
    assert_eq!(statistics["session"]["gaps_total"], expected.len());

    let subscriptions = simulator.subscriptions();
    let token = &subscriptions[0].payload["sessionToken"];
    assert!(token.as_str().unwrap().len() >= 20);
    assert!(
        subscriptions
            .iter()
            .all(|subscription| subscription.payload["sessionToken"] == *token),
        "the session token is carried over every reconnect"
    );
    // every refusal costs an attempt and no more: nothing is tried in a storm
    let connects = simulator.counters().connects;
    assert!(
        connects <= 3 * STEPS.len() as u64,
        "{connects} connections for {} closes",
        STEPS.len()
    );
    eprintln!(
        "{} events delivered, {lost} lost inside gaps",
        host.count(Kind::Event)
    );
}

#[test]
fn what_a_reset_destroys_unread_lies_inside_its_gap() {
    // some 400 kB, more than the receiver takes in while its host does not pull
    let events = 600;
    let simulator = plugin::simulator(|options| {
        options.rate = 0;
        options.pause_when_alone = true;
        options.events = Some(events + 200);
        options.faults = vec![format!("after={events} reset").parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let changes = json!({
        "queue": {"max_records": 20},
        "spool": {"mode": "memory", "stall_ms": 60_000},
        "reconnect": {"max_ms": 20},
    });
    let mut host = Host::open(&config(&simulator, folder.path(), changes));
    // the host does not pull: the queue is full, the reader stops, bytes pile up in the socket
    assert!(simulator.wait_until(support::host::SOON, |counters| counters.closed == 1));
    host.until_gaps_closed(1);
    assert!(simulator.wait_until_done(support::host::SOON));
    let last = truth(&simulator, simulator::Kind::Event)
        .last()
        .unwrap()
        .id
        .clone();
    host.until("the last event", |host| {
        host.of_kind(Kind::Event)
            .any(|record| Some(&record.id) == last.as_ref())
    });
    host.drain();
    let lost = reconcile(&simulator.truth(), &host.records);
    assert!(lost > 0, "a reset that destroys nothing shows nothing");
    let found = gaps(&host.records);
    assert_eq!((found[0].kind.as_str(), found.len()), ("reset", 2));
    assert!(host.statistics()["session"]["stalls_total"].as_u64().unwrap() >= 1);
}

#[test]
fn a_source_on_which_every_form_of_trouble_rests_at_once_keeps_order() {
    let simulator = plugin::simulator(|options| {
        options.rate = 0;
        options.events = Some(3_000);
        options.conversations = 7;
        options.duplicates_percent = 20.0;
        options.malformed_percent = 5.0;
        options.pause_when_alone = true;
        options.faults = ["every=97 drop", "every=41 fragmented 4", "every=59 duplicate 30"]
            .map(|fault| fault.parse().unwrap())
            .to_vec();
    });
    simulator
        .inject(simulator::Fault {
            when: Trigger::Every(101),
            action: simulator::Action::Malformed {
                shape: MalformedShape::Types,
            },
        })
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    host.until("every event", |host| host.count(Kind::Event) == 3_000);
    host.drain();
    assert_eq!(reconcile(&simulator.truth(), &host.records), 0);
    let letters = truth(&simulator, simulator::Kind::Malformed).len();
    assert_eq!(host.count(Kind::DeadLetter), letters);
}
