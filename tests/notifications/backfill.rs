//! Gaps that are filled from the history: what was lost comes back as conversations, once, and what cannot is said.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use genesys_source::record::Kind;
use jsonschema::Validator;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use simulator::Simulator;
use support::host::{Host, Pulled, inject, truth};
use support::{Process, Rig, Stream, wait_until, workspace_root};

use crate::proofs::frames;
use crate::scene::{PATIENCE, Scene};

/// What the log says of a history that cannot be read.
const UNREAD: &str = "gaps are not filled: the history cannot be read";

/// A contact centre in which much happens; the OAuth client lacks these permissions.
fn busy(forbidden: &[&str]) -> Scene {
    Scene::start(|settings| {
        settings.updates_per_s = 300;
        settings.missing_permissions = forbidden.iter().map(|&name| name.to_owned()).collect();
    })
}

fn open(scene: &Scene, backfill: Option<&str>) -> Host {
    let mut config = scene.config(&json!({}));
    config["reconnect"] = json!({"min_ms": 2000, "max_ms": 2000, "stable_ms": 10});
    if let Some(backfill) = backfill {
        config["backfill"] = backfill.into();
    }
    let mut host = Host::open(&config);
    host.until("a hundred events", |host| host.count(Kind::Event) >= 100);
    host
}

/// Takes the socket away; nobody listens for up to two seconds.
fn break_off(scene: &Scene) {
    let channels = scene.simulator.channels();
    let present = channels.iter().rfind(|channel| channel.connection.is_some());
    let present = present.unwrap();
    let after = present.sent + 10;
    inject(
        &scene.simulator,
        &format!("channel={}:{after} drop", present.number),
    );
}

fn validator(name: &str) -> Validator {
    let path = workspace_root()
        .join("schemas")
        .join(format!("{name}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn closing(host: &Host) -> Vec<&Pulled> {
    host.of_kind(Kind::Control)
        .filter(|record| record.body["type"] == "gap_closed")
        .collect()
}

fn backfilled(host: &Host) -> Vec<&Pulled> {
    host.of_kind(Kind::Event)
        .filter(|record| record.body["origin"]["backfill"] == true)
        .collect()
}

/// Conversations of which a notification was lost within the gap of a closing record.
fn lost(scene: &Scene, closed: &Value) -> BTreeSet<String> {
    let time_us = |name: &str| {
        let time: jiff::Timestamp = closed[name].as_str().unwrap().parse().unwrap();
        u64::try_from(time.as_microsecond()).unwrap()
    };
    let within = time_us("from")..=time_us("to");
    let lines = truth(&scene.simulator, simulator::Kind::Unheard);
    let lines = lines
        .into_iter()
        .filter(|line| line.at_us.is_some_and(|at_us| within.contains(&at_us)));
    lines.filter_map(|line| line.conversation_id).collect()
}

#[test]
fn conversations_that_a_drop_has_cost_come_back_once_and_before_the_gap_is_closed() {
    let scene = busy(&[]);
    let mut host = open(&scene, Some("conversations"));
    // A delay may be drawn so short that nothing is lost.
    let mut losses = 0;
    for gap in 1..=10 {
        break_off(&scene);
        host.until_gaps_closed(gap);
        let closed = closing(&host).pop().unwrap();
        losses += usize::from(!lost(&scene, &closed.body).is_empty());
        if losses == 2 {
            break;
        }
    }
    assert_eq!(losses, 2, "ten drops cost nothing");
    host.drain();
    let (events, control) = (validator("event"), validator("control"));
    let conversations: BTreeSet<&str> = backfilled(&host)
        .iter()
        .map(|record| {
            let body = &record.body;
            assert!(events.is_valid(body), "{body}");
            assert_eq!(
                body["conversationId"],
                record.key.as_str(),
                "keyed like the live ones"
            );
            assert_eq!(body["eventType"], "v2.analytics.conversations.details");
            record.key.as_str()
        })
        .collect();
    for closed in closing(&host) {
        assert!(control.is_valid(&closed.body), "{}", closed.body);
        assert_eq!(closed.body["backfilled"], true, "{}", closed.body);
        assert_eq!(closed.body["backfill"]["outcome"], "complete");
        let lost = lost(&scene, &closed.body);
        for conversation in &lost {
            assert!(
                conversations.contains(conversation.as_str()),
                "{conversation} is missing"
            );
        }
        let before = host.records.iter().take_while(|record| record.id != closed.id);
        let before: HashSet<&str> = before.map(|record| record.key.as_str()).collect();
        assert!(
            lost.iter()
                .all(|conversation| before.contains(conversation.as_str()))
        );
    }
    let mut ids = HashSet::new();
    for record in host.of_kind(Kind::Event) {
        assert!(ids.insert(&record.id), "{} came twice", record.id);
    }
    assert_eq!(frames(&host, "law"), 0);
    assert_eq!(
        frames(&host, "backfilled"),
        i64::try_from(backfilled(&host).len()).unwrap()
    );
    println!("{} conversations came back", conversations.len());
}

#[test]
fn nothing_is_asked_unless_it_is_configured() {
    let scene = busy(&["analytics:conversationDetail:view"]);
    let mut host = open(&scene, None);
    break_off(&scene);
    host.until_gaps_closed(1);
    host.drain();
    assert!(backfilled(&host).is_empty());
    let closed = closing(&host).remove(0).body.clone();
    assert_eq!(
        (&closed["backfilled"], &closed["backfill"]["outcome"]),
        (&json!(false), &json!("off"))
    );
    assert_eq!(refused(&scene.simulator), 0, "the history was asked");
}

fn refused(simulator: &Simulator) -> usize {
    let lines = truth(simulator, simulator::Kind::Refused);
    let asked = |line: &&simulator::TruthLine| {
        line.detail
            .as_deref()
            .is_some_and(|place| place.contains("details/query"))
    };
    lines.iter().filter(asked).count()
}

#[test]
fn a_refused_query_is_said_in_the_record_and_the_feed_goes_on() {
    let scene = busy(&["analytics:conversationDetail:view"]);
    let mut host = open(&scene, Some("conversations"));
    break_off(&scene);
    host.until_gaps_closed(1);
    let closed = closing(&host).remove(0).body.clone();
    assert!(validator("control").is_valid(&closed), "{closed}");
    assert_eq!(
        (&closed["backfilled"], &closed["backfill"]["outcome"]),
        (&json!(false), &json!("failed"))
    );
    let reason = closed["backfill"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("missing permission analytics:conversationDetail:view"),
        "{reason}"
    );
    assert_eq!(refused(&scene.simulator), 1, "asked once");
    let before = host.count(Kind::Event);
    host.until("the feed goes on", |host| host.count(Kind::Event) > before + 100);
    host.drain();
}

/// Takes the socket of a running adapter away while the history answers with these refusals first, and waits until the gap
/// is closed; returns the record of that.
fn filled_despite(rig: &Rig, process: &Process, refusals: u64, refusal: &str) -> Value {
    let closings = |lines: &[Value]| {
        lines
            .iter()
            .filter(|line| line["record"]["type"] == "gap_closed")
            .count()
    };
    let (simulator, before) = (rig.simulator(), closings(&printed(process)));
    // The next request sets the topics of the channel that is connected again, and the one behind it asks the history.
    let asked = simulator.counters().requests;
    if refusals > 0 {
        let (first, last) = (asked + 2, asked + 1 + refusals);
        inject(simulator, &format!("api={first}-{last} {refusal}"));
    }
    let present = simulator.channels().pop().unwrap();
    inject(
        simulator,
        &format!("channel={}:{} drop", present.number, present.sent + 10),
    );
    until(process, "the gap is closed", |lines| closings(lines) > before);
    let lines = printed(process);
    let closed = lines.iter().rfind(|line| line["record"]["type"] == "gap_closed");
    closed.unwrap()["record"].clone()
}

/// The adapter as a process that asks the history, once it delivers; events go to standard output.
fn filling() -> (Rig, Process) {
    let mut options = simulator::Options::default();
    options.notifications.updates_per_s = 100;
    let rig = Rig::new(options)
        .over_notifications()
        .set("delivery.to", "lines")
        .set("source.config.backfill", "conversations");
    let process = rig.start();
    until(&process, "events", |lines| lines.len() > 50);
    (rig, process)
}

#[test]
fn a_history_that_is_over_its_rate_is_asked_again_no_sooner_than_it_says_and_then_fills_the_gap() {
    let (rig, process) = filling();
    // Twice is waited for inside the call, a third time by whoever made it.
    let closed = filled_despite(&rig, &process, 3, "refuse 429 1");
    assert_eq!(
        (&closed["backfilled"], &closed["backfill"]["outcome"]),
        (&json!(true), &json!("complete")),
        "{closed}"
    );
    assert_eq!(refused(rig.simulator()), 3);
    let counters = rig.simulator().counters();
    assert_eq!((counters.early, counters.throttled), (0, 0), "{counters:?}");
    until(&process, "conversations of the history", |lines| {
        lines
            .iter()
            .any(|line| line["record"]["origin"]["backfill"] == true)
    });
    assert!(
        process
            .lines(Stream::Stderr)
            .iter()
            .all(|line| !line.contains(UNREAD))
    );
}

#[test]
fn a_history_that_fails_again_and_again_is_told_once_until_it_has_been_read() {
    let (rig, process) = filling();
    let told = || {
        let lines = process.lines(Stream::Stderr);
        lines.iter().filter(|line| line.contains(UNREAD)).count()
    };
    // How often it was said by then, after each gap.
    for (refusals, times) in [(1, 1), (1, 1), (0, 1), (1, 2)] {
        let closed = filled_despite(&rig, &process, refusals, "refuse 403");
        let outcome = if refusals > 0 { "failed" } else { "complete" };
        assert_eq!(closed["backfill"]["outcome"], outcome, "{closed}");
        assert_eq!(told(), times);
    }
    assert_eq!(refused(rig.simulator()), 3, "asked once for each gap");
}

/// Every record that a process has printed, parsed.
fn printed(process: &Process) -> Vec<Value> {
    let lines = process.lines(Stream::Stdout);
    lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn until(process: &Process, what: &str, condition: impl Fn(&[Value]) -> bool) {
    wait_until(PATIENCE, what, || condition(&printed(process)));
}

fn is_control(line: &Value, name: &str, cause: &str) -> bool {
    line["record"]["type"] == name && line["record"]["cause"] == cause
}

#[test]
fn gaps_of_killed_processes_are_filled_by_the_one_that_lives_and_closed_once() {
    let (rig, mut process) = filling();
    let mut lines = Vec::new();
    process.signal(Signal::SIGKILL);
    process.wait(PATIENCE);
    lines.extend(printed(&process));
    // Its gap waits for the history: it dies before that is asked.
    let mut process = rig.start();
    until(&process, "events behind the gap of the crash", |lines| {
        let opened = lines
            .iter()
            .position(|line| is_control(line, "gap_opened", "crash"));
        opened.is_some_and(|opened| lines.len() > opened + 10)
    });
    process.signal(Signal::SIGKILL);
    process.wait(PATIENCE);
    lines.extend(printed(&process));
    let mut process = rig.start();
    until(&process, "both gaps are closed", |lines| {
        lines
            .iter()
            .filter(|line| is_control(line, "gap_closed", "crash"))
            .count()
            >= 2
    });
    process.signal(Signal::SIGTERM);
    process.wait(PATIENCE);
    lines.extend(printed(&process));

    let mut edges: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for line in &lines {
        let record = &line["record"];
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        if record["cause"] == "crash" {
            edges
                .entry(text("gapId"))
                .or_default()
                .insert((text("type"), text("controlId")));
        }
        if record["type"] == "gap_closed" {
            assert_eq!(record["backfill"]["outcome"], "complete", "{record}");
        }
    }
    assert_eq!(edges.len(), 2, "{edges:#?}");
    for records in edges.values() {
        let names: Vec<&str> = records.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["gap_closed", "gap_opened"],
            "each once, however often it was delivered"
        );
    }
    let states = |line: &&Value| line["record"]["origin"]["backfill"] == true;
    let backfilled: Vec<&Value> = lines.iter().filter(states).collect();
    assert!(!backfilled.is_empty());
    let mut by_id: BTreeMap<String, &Value> = BTreeMap::new();
    for line in backfilled {
        let record = &line["record"];
        let known = by_id.entry(record["eventId"].to_string()).or_insert(record);
        assert_eq!(known["payload"], record["payload"], "one id, one state");
    }
}
