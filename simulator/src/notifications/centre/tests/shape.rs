//! Shapes: what is published has the members and JSON types that captured frames of the same family have.
//!
//! The frames lie beside the workspace; where they do not, a line says so and nothing is compared. Members that no frame
//! shows, but the vendor's SDKs name, are listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// Members with their JSON types, in the form `.participants[].calls[].held` and `bool`.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn walk(value: &Value, path: &str, shape: &mut Shape) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    shape.entry(path.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(elements) => {
            for element in elements {
                walk(element, &format!("{path}[]"), shape);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                // an attribute's name is the user's
                let name = if path.ends_with(".attributes") { "*" } else { name };
                walk(member, &format!("{path}.{name}"), shape);
            }
        }
        _ => {}
    }
}

/// The family of a topic: what its bodies have in common, whosesoever it is.
fn family(topic: &str) -> Option<String> {
    let parts: Vec<&str> = topic.split('.').collect();
    match parts.as_slice() {
        ["v2", "users" | "routing", .., "conversations"] => Some("conversations".to_owned()),
        ["v2", "users" | "routing", .., "conversations", medium] => Some(format!("conversations.{medium}")),
        ["v2", "detail", "events", "conversation", _, kind @ ..] => {
            Some(format!("detail.{}", kind.join(".")))
        }
        ["v2", "conversations", _, "transcription"] => Some("transcription".to_owned()),
        // the topic under which a frame of it was published
        ["v2", "conversations", _, "attributes"] => Some("detail.attributes".to_owned()),
        [
            "v2",
            "users",
            _,
            last @ ("presence" | "routingStatus" | "activity" | "conversationsummary" | "station"),
        ] => Some((*last).to_owned()),
        _ => None,
    }
}

/// The captured frames' shapes by family, or nothing after a line that says so.
fn corpus() -> Option<BTreeMap<String, Shape>> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = workspace.join("../shared/data/genesys-frames");
    if !folder.is_dir() {
        println!(
            "NOT RUN: shapes of captured frames (no {} here)",
            folder.display()
        );
        return None;
    }
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let frame: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let topic = frame["topicName"].as_str().unwrap_or_default();
        // nested though its topic is of one medium, and written by hand
        if path.ends_with("018-queue-calls-nested.json") {
            continue;
        }
        if let Some(family) = family(topic) {
            walk(&frame["eventBody"], "", shapes.entry(family).or_default());
        }
    }
    assert!(shapes.len() > 10, "{:?}", shapes.keys());
    Some(shapes)
}

fn played() -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for one in play(1, 3_000) {
        if let Some(family) = family(&one.topic)
            && !one.body.is_null()
        {
            walk(&one.body, "", shapes.entry(family).or_default());
        }
    }
    shapes
}

/// The media share their members, and the frames of some are few.
fn known(corpus: &BTreeMap<String, Shape>, family: &str) -> Shape {
    let alike = |other: &str| match family.split_once('.') {
        Some(("conversations", _)) => other.starts_with("conversations."),
        Some(("detail", _)) => other.starts_with("detail."),
        _ => other == family,
    };
    let mut known = Shape::new();
    for (path, kinds) in corpus
        .iter()
        .filter(|(other, _)| alike(other))
        .flat_map(|(_, shape)| shape)
    {
        // what one medium nests, another may as well
        known.entry(general(path)).or_default().extend(kinds);
    }
    known
}

fn general(path: &str) -> String {
    let media = ["calls", "chats", "emails", "callbacks"];
    let mut path = path.to_owned();
    for medium in media {
        path = path.replace(&format!(".{medium}[]"), ".messages[]");
        if path.ends_with(&format!(".{medium}")) {
            path = path.replace(&format!(".{medium}"), ".messages");
        }
    }
    path
}

/// Members that the vendor's SDKs have (`genesys-cloud.md` 5.3 to 5.5) and no captured frame shows.
#[rustfmt::skip]
const DOCUMENTED: [&str; 40] = [
    // snapshots
    "maxParticipants", "otherMediaUris", "startHoldTime", "roomId", "consultParticipantId", "externalContact",
    "callbackNumbers", "callbackScheduledTime", "callbackUserName", "externalCampaign", "skipEnabled", "timeoutSeconds",
    "autoGenerated", "messagesSent", "subject", "type",
    "messages", "message", "messageId", "messageTime", "messageStatus", "messageSegmentCount",
    // detail events
    "acdOutcome", "answeredUserId", "queueId", "userId", "requestedRoutings", "usedRouting", "routingPriority",
    "requestedRoutingSkillIds", "connectedDurationMs", "heldDurationMs", "alertingDurationMs",
    "contactingDurationMs", "wrapupDurationMs", "wrapupNotes", "exitReason", "transferType",
    // routing status, of which only the shortest form was captured
    "startTime", "id",
];

#[test]
fn members_have_the_json_types_of_captured_frames() {
    let Some(corpus) = corpus() else { return };
    let (mut unknown, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (family, shape) in played() {
        let known = known(&corpus, &family);
        for (path, kinds) in shape {
            match known.get(&general(&path)) {
                Some(seen) => assert!(
                    kinds.is_subset(seen),
                    "{family} {path}: {kinds:?}, captured {seen:?}"
                ),
                None => {
                    let name = path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
                    let inner = path.contains(".externalContact.") || path.contains(".attributes.");
                    match DOCUMENTED.iter().find(|documented| **documented == name) {
                        Some(documented) => {
                            needed.insert(*documented);
                        }
                        None if inner => {}
                        None => {
                            unknown.insert(format!("{family} {path}"));
                        }
                    }
                }
            }
        }
    }
    assert_eq!(unknown, BTreeSet::new());
    assert_eq!(
        needed,
        BTreeSet::from(DOCUMENTED),
        "what is captured or not played needs no place in the list"
    );
}

/// Members of captured frames that the centre leaves out, each with the reason.
#[rustfmt::skip]
const LEFT_OUT: [(&str, &str); 18] = [
    (".additionalProperties.", "of 2022, always empty"),
    (".agentAssistantId.", "no assistant here"),
    (".disconnectReasons[]", "the list is there and empty, as in most frames"),
    (".queue.selfUri.", "in a frame converted from a REST body"),
    (".scoredAgents.", "no preferred agents here"),
    (".skills.", "no skills here"),
    (".externalContactInitialDivisionId.", "contacts have no division here"),
    (".workflow.", "no survey flow here"),
    (".wrapupTimeoutMs.", "work after a conversation has no limit here"),
    (".recentTransfers", "a transfer is told by its legs; in a frame converted from a REST body"),
    (".utilizationLabelId.", "no labels here"),
    ("].ani.", "in frames of 2022, which have no address; an address is played"),
    (".queue.name.", "in a frame written by hand"),
    (".user.name.", "in a frame written by hand"),
    (".script.", "scripts are played with callbacks"),
    (".externalOrganizationId.", "no organisations of contacts here"),
    ("conversations .participants[].state.", "on a participant of a nested body, in a frame written by hand"),
    ("detail.attributes .organizationId.", "in a frame written by hand, of another topic"),
];

#[test]
fn what_captured_frames_have_is_played() {
    let Some(corpus) = corpus() else { return };
    let played = played();
    let (mut missing, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (family, shape) in &corpus {
        let Some(own) = played.get(family) else {
            missing.insert(family.clone());
            continue;
        };
        for path in shape.keys() {
            let member = format!("{family} {path}.");
            if own.contains_key(path) {
                continue;
            }
            match LEFT_OUT.iter().find(|(left, _)| member.contains(left)) {
                Some((left, _)) => {
                    needed.insert(*left);
                }
                None => {
                    missing.insert(member);
                }
            }
        }
    }
    assert_eq!(missing, BTreeSet::new());
    assert_eq!(
        needed,
        LEFT_OUT.map(|(left, _)| left).into(),
        "what is played is not left out"
    );
}
