//! One story: whatever is played, the snapshots of both layouts, the detail events, the agents' states and the history tell
//! it alike. Only the published JSON is read, not what it was made from.
//! Over 400 lines: one reader of all these bodies, whose parts hold one another's findings against each other.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What is known of a participant, by snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    purpose: String,
    session: String,
    state: String,
    connected: Option<i64>,
    ended: Option<i64>,
    disconnect: Option<String>,
    user: Option<String>,
    queue: Option<String>,
    acw: (Option<i64>, Option<i64>),
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn ms(value: &Value) -> Option<i64> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(at.as_millisecond())
}

fn communication(participant: &Value) -> &Value {
    let arrays = ["calls", "chats", "messages", "emails", "callbacks"];
    let mut found = arrays.iter().filter_map(|name| participant.get(name));
    let array = found.next().unwrap();
    assert!(found.next().is_none(), "{participant}");
    &array[0]
}

fn of_nested(participant: &Value) -> Seen {
    let leg = communication(participant);
    assert_eq!(participant["connectedTime"], leg["connectedTime"]);
    assert_eq!(participant["endTime"], leg["disconnectedTime"]);
    Seen {
        purpose: text(&participant["purpose"]).unwrap(),
        session: text(&leg["id"]).unwrap(),
        state: text(&leg["state"]).unwrap(),
        connected: ms(&leg["connectedTime"]),
        ended: ms(&leg["disconnectedTime"]),
        disconnect: text(&leg["disconnectType"]),
        user: text(&participant["userId"]),
        queue: text(&participant["queueId"]),
        acw: (ms(&participant["startAcwTime"]), ms(&participant["endAcwTime"])),
    }
}

fn of_flat(participant: &Value, session: &str) -> Seen {
    Seen {
        purpose: text(&participant["purpose"]).unwrap(),
        session: session.to_owned(),
        state: text(&participant["state"]).unwrap(),
        connected: ms(&participant["connectedTime"]),
        ended: ms(&participant["endTime"]),
        disconnect: text(&participant["disconnectType"]),
        user: text(&participant["user"]["id"]),
        queue: text(&participant["queue"]["id"]),
        acw: (ms(&participant["startAcwTime"]), ms(&participant["endAcwTime"])),
    }
}

/// States only ever go on: what has connected or ended stays so, with the same times.
fn follows(before: &Seen, after: &Seen) -> bool {
    let kept = |before: Option<i64>, after: Option<i64>| before.is_none() || before == after;
    let rank = |seen: &Seen| match seen.state.as_str() {
        "alerting" | "contacting" => 0,
        "connected" => 1,
        _ => 2,
    };
    before.purpose == after.purpose
        && before.session == after.session
        && before.user == after.user
        && (before.queue.is_none() || before.queue == after.queue)
        && rank(before) <= rank(after)
        && kept(before.connected, after.connected)
        && kept(before.ended, after.ended)
        && kept(before.acw.0, after.acw.0)
        && kept(before.acw.1, after.acw.1)
}

/// One conversation as its topics tell it.
#[derive(Default)]
struct Story {
    /// By correlation, in order: the participants of a snapshot.
    snapshots: Vec<(Arc<str>, BTreeMap<String, Seen>)>,
    /// Kind and body of detail events, with their correlation.
    details: Vec<(Arc<str>, String, Arc<Value>)>,
    /// Session and state of agents.
    states: Vec<(Arc<str>, Arc<Value>)>,
}

impl Story {
    fn of_kind<'s>(&'s self, kind: &'s str, participant: &'s str) -> Vec<&'s (Arc<str>, String, Arc<Value>)> {
        let events = self.details.iter();
        events
            .filter(|(_, of, body)| of == kind && body["participantId"] == participant)
            .collect()
    }

    fn add_snapshot(&mut self, correlation: &Arc<str>, body: &Value, flat: bool) {
        let participants = body["participants"].as_array().unwrap();
        let last = self.snapshots.last();
        let known = last
            .filter(|(last, _)| last == correlation)
            .map(|(_, seen)| seen.clone());
        let seen: BTreeMap<String, Seen> = participants
            .iter()
            .map(|one| {
                let id = text(&one["id"]).unwrap();
                let session = known.as_ref().map(|known| known[&id].session.as_str());
                let seen = match flat {
                    // the nested one of the same moment comes first
                    true => of_flat(one, session.unwrap()),
                    false => of_nested(one),
                };
                (id, seen)
            })
            .collect();
        assert_eq!(seen.len(), participants.len(), "a participant twice: {body}");
        match known {
            Some(known) => assert_eq!(known, seen, "two topics of one moment differ"),
            None => self.snapshots.push((Arc::clone(correlation), seen)),
        }
    }

    fn check_snapshots(&self) {
        for two in self.snapshots.windows(2) {
            for (id, before) in &two[0].1 {
                let after = two[1].1.get(id).expect("a participant has vanished");
                assert!(follows(before, after), "{before:?} then {after:?}");
            }
        }
        for (id, seen) in self.snapshots.iter().flat_map(|(_, seen)| seen) {
            assert_eq!(
                seen.state == "connected",
                seen.connected.is_some() && seen.ended.is_none(),
                "{id}"
            );
            assert_eq!(seen.ended.is_some(), seen.disconnect.is_some(), "{id}");
            assert!(
                seen.connected
                    .is_none_or(|at| seen.ended.is_none_or(|end| at <= end)),
                "{id}"
            );
        }
    }

    fn check_details(&self) {
        let (_, last) = self.snapshots.last().unwrap();
        for (id, seen) in last {
            let kind = match seen.purpose.as_str() {
                "customer" => "customer",
                "agent" => "user",
                "acd" => "acd",
                _ => "flow",
            };
            let (starts, ends) = (format!("{kind}.start"), format!("{kind}.end"));
            let (start, end) = (self.of_kind(&starts, id), self.of_kind(&ends, id));
            assert_eq!(
                (start.len(), end.len()),
                (1, usize::from(seen.ended.is_some())),
                "{kind} {id}"
            );
            let (correlation, _, start) = start[0];
            let started = start["eventTime"].as_i64().unwrap();
            assert_eq!(text(&start["sessionId"]).as_ref(), Some(&seen.session));
            assert_eq!(text(&start["userId"]), seen.user);
            // from its start on it is in each snapshot, with the time that the event tells
            let told = self.snapshots.iter().find(|(of, _)| of == correlation);
            assert!(
                told.is_none_or(|(_, told)| told.contains_key(id)),
                "{id} is not in the snapshot of its start"
            );
            let at_start = seen.connected.is_none_or(|at| at >= started);
            assert!(at_start, "{id} is connected before it starts");
            let Some((correlation, _, end)) = end.first() else {
                continue;
            };
            assert_eq!(end["eventTime"].as_i64(), seen.ended, "{kind} {id}");
            let disconnect = seen.disconnect.as_deref().unwrap();
            let spelt = match disconnect {
                "transfer.consult" => "CONSULT_TRANSFER".to_owned(),
                "transfer.noanswer" => "NO_ANSWER_TRANSFER".to_owned(),
                other => other.to_uppercase(),
            };
            assert_eq!(end["disconnectType"], spelt);
            let told = self.snapshots.iter().find(|(of, _)| of == correlation);
            assert!(told.is_none_or(|(_, told)| told[id].ended.is_some()));
            self.check_durations(id, seen, started, end);
        }
        for (_, kind, body) in &self.details {
            let id = body["participantId"].as_str().unwrap();
            assert!(last.contains_key(id), "{kind} of somebody who is in no snapshot");
        }
    }

    fn check_durations(&self, id: &str, seen: &Seen, started: i64, end: &Value) {
        let number = |name: &str| end[name].as_i64().unwrap_or(0);
        let connected = seen.connected.map_or(0, |at| seen.ended.unwrap() - at);
        match seen.purpose.as_str() {
            "customer" => assert_eq!(number("interactingDurationMs"), connected),
            "agent" => {
                assert_eq!(
                    number("interactingDurationMs") + number("heldDurationMs"),
                    connected
                );
                let before = number("alertingDurationMs") + number("contactingDurationMs");
                assert_eq!(before, seen.connected.or(seen.ended).unwrap() - started);
                let works = self.of_kind("acw", id);
                assert_eq!(works.len(), usize::from(seen.connected.is_some()), "{id}");
                for (_, _, work) in &works {
                    let (from, to) = (seen.acw.0.unwrap(), seen.acw.1.unwrap());
                    assert_eq!(work["eventTime"].as_i64(), Some(to));
                    assert_eq!(work["wrapupDurationMs"].as_i64(), Some(to - from));
                }
                assert_eq!(self.of_kind("wrapup", id).len(), works.len());
            }
            _ => assert_eq!(number("connectedDurationMs"), connected),
        }
    }

    /// An agent's states, in order, are those of their leg.
    fn check_states(&self) {
        let (_, last) = self.snapshots.last().unwrap();
        for seen in last.values().filter(|seen| seen.purpose == "agent") {
            let states: Vec<&Arc<Value>> = self
                .states
                .iter()
                .map(|(_, body)| body)
                .filter(|body| body["sessionId"] == seen.session.as_str())
                .collect();
            let names: Vec<&str> = states
                .iter()
                .map(|body| body["currentState"].as_str().unwrap())
                .collect();
            assert!(matches!(names[0], "ALERT" | "CONTACTING"), "{names:?}");
            assert_eq!(names.last().unwrap(), &"TERMINATED", "{names:?}");
            let began = |name: &str| {
                let found = states.iter().find(|body| body["currentState"] == name);
                found.and_then(|body| body["currentStateStart"].as_i64())
            };
            assert_eq!(began("INTERACT"), seen.connected, "{names:?}");
            assert_eq!(began("WRAPUP"), seen.acw.0, "{names:?}");
            assert_eq!(began("TERMINATED"), seen.acw.1.or(seen.ended), "{names:?}");
            assert!(states.iter().all(|body| text(&body["userId"]) == seen.user));
        }
    }
}

/// Plays a centre until so many conversations have ended; the stories of those, and everything that was published.
fn stories(seed: u64, size: u32, conversations: usize) -> (Vec<(Value, Story)>, Vec<Publication>) {
    let mut options = Options {
        seed,
        ..Options::default()
    };
    options.notifications.wall_clock = false;
    options.notifications.conversations = size;
    options.notifications.users = 1 + size;
    let (mut org, mut centre) = (Org::new(&options), Centre::new(&options));
    let mut published = Vec::new();
    while centre.ended.len() < conversations {
        centre.update(&mut org);
        published.extend(centre.take_publications());
    }
    let mut stories: HashMap<String, Story> = HashMap::new();
    for one in &published {
        let conversation = one.conversation.as_deref().map(str::to_owned);
        let conversation = conversation.or_else(|| text(&one.body["conversationId"]));
        let Some(id) = conversation else { continue };
        let story = stories.entry(id.clone()).or_default();
        if let Some(rest) = one.topic.strip_prefix("v2.detail.events.conversation.") {
            let kind = rest.strip_prefix(&format!("{id}.")).unwrap();
            story.details.push((
                Arc::clone(&one.correlation),
                kind.to_owned(),
                Arc::clone(&one.body),
            ));
        } else if one.topic.starts_with("v2.detail.events.agent.") {
            story
                .states
                .push((Arc::clone(&one.correlation), Arc::clone(&one.body)));
        } else if one.topic.ends_with(".conversations") {
            story.add_snapshot(&one.correlation, &one.body, false);
        } else if one.topic.contains(".conversations.") && !one.topic.ends_with(".transcription") {
            story.add_snapshot(&one.correlation, &one.body, true);
        }
    }
    let ended = centre.ended.iter().map(|conversation| {
        let record = record(conversation, &org);
        (record, stories.remove(conversation.id()).unwrap())
    });
    (ended.collect(), published)
}

fn check_history(record: &Value, story: &Story) {
    let (_, last) = story.snapshots.last().unwrap();
    let participants = record["participants"].as_array().unwrap();
    assert_eq!(participants.len(), last.len());
    for one in participants {
        let seen = &last[one["participantId"].as_str().unwrap()];
        let session = &one["sessions"][0];
        assert_eq!(session["sessionId"], seen.session.as_str());
        assert_eq!(one["purpose"], seen.purpose.as_str());
        assert_eq!(ms(&session["segments"][0]["segmentEnd"]), seen.ended);
    }
}

/// A user is said to interact exactly while a leg of theirs does, and each status is another than the one before.
fn check_statuses(published: &[Publication]) {
    let mut legs: HashMap<String, BTreeMap<String, bool>> = HashMap::new();
    let mut said: HashMap<String, String> = HashMap::new();
    let mut at = 0;
    while at < published.len() {
        let moment = &published[at].correlation;
        let end = published[at..].iter().position(|one| one.correlation != *moment);
        let end = end.map_or(published.len(), |len| at + len);
        for one in &published[at..end] {
            if one.topic.starts_with("v2.detail.events.agent.") {
                let state = one.body["currentState"].as_str().unwrap();
                let busy = matches!(state, "CONTACTING" | "INTERACT" | "HOLD" | "WRAPUP");
                let legs = legs.entry(text(&one.body["userId"]).unwrap()).or_default();
                legs.insert(text(&one.body["sessionId"]).unwrap(), busy);
            }
            if one.topic.ends_with(".routingStatus") {
                let status = text(&one.body["routingStatus"]["status"]).unwrap();
                let before = said.insert(text(&one.body["id"]).unwrap(), status.clone());
                assert_ne!(before, Some(status));
            }
        }
        for (user, legs) in &legs {
            let busy = legs.values().any(|busy| *busy);
            let status = said.get(user).map_or("IDLE", String::as_str);
            assert_eq!(busy, status == "INTERACTING", "{user} {status} {legs:?}");
        }
        at = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn snapshots_detail_events_states_and_history_tell_one_story(seed in any::<u64>(), size in 1_u32..30) {
        let (stories, published) = stories(seed, size, 20);
        for (record, story) in &stories {
            story.check_snapshots();
            story.check_details();
            story.check_states();
            check_history(record, story);
        }
        check_statuses(&published);
    }
}

#[test]
fn everything_that_can_happen_happens() {
    let (stories, _) = stories(5, 8, 400);
    let of = |what: &dyn Fn(&Seen) -> bool| {
        let last = stories
            .iter()
            .map(|(_, story)| &story.snapshots.last().unwrap().1);
        last.filter(|seen| seen.values().any(what)).count()
    };
    for disconnect in [
        "transfer",
        "transfer.consult",
        "transfer.noanswer",
        "endpoint",
        "peer",
    ] {
        let happened = of(&|seen: &Seen| seen.disconnect.as_deref() == Some(disconnect));
        assert!(happened > 5, "{disconnect}: {happened}");
    }
    let details = stories.iter().flat_map(|(_, story)| &story.details);
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    let mut held = 0;
    for (_, _, body) in details {
        for name in ["acdOutcome", "mediaType", "direction"] {
            *outcomes
                .entry(body[name].as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        held += usize::from(body["heldDurationMs"].as_i64().is_some_and(|ms| ms > 0));
    }
    for wanted in [
        "ANSWERED", "ABANDON", "VOICE", "CHAT", "MESSAGE", "EMAIL", "CALLBACK", "INBOUND", "OUTBOUND",
    ] {
        assert!(
            outcomes.get(wanted).is_some_and(|count| *count > 5),
            "{wanted} {outcomes:?}"
        );
    }
    assert!(held > 20, "{held}");
    let queues = |story: &Story| {
        let (_, last) = story.snapshots.last().unwrap();
        last.values().filter(|seen| seen.purpose == "acd").count()
    };
    let passed_on = stories.iter().filter(|(_, story)| queues(story) == 2).count();
    assert!(passed_on > 5, "{passed_on}");
}
