//! Bodies of a conversation's topics: the snapshot of all media (nested) and of one medium (flattened), and the rest.
//!
//! Refuses nothing. The invariant: a body tells the state only, never when it was sent, so that the same state gives the same
//! text. Fields as `genesys-cloud.md` 5.3 and 5.5 and the frames of section 11 have them.

use serde_json::{Value, json};

use crate::notifications::centre::conversation::Conversation;
use crate::notifications::centre::course::Medium;
use crate::notifications::centre::iso;
use crate::notifications::centre::leg::{Duty, Participant};
use crate::notifications::centre::staff::interval;
use crate::notifications::org::Org;

/// Of every e-mail.
pub(super) const SUBJECT: &str = "A question";
/// The centre's own number.
const CALLED: &str = "tel:+4989555000";

// puts a value where there is one: absent, never null
fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[name] = value.into();
    }
}

fn customer_number(conversation: &Conversation) -> String {
    format!("tel:+4930{:07}", conversation.number() % 10_000_000)
}

/// Who calls and who is called.
pub(super) fn numbers(conversation: &Conversation) -> (String, String) {
    let (customer, own) = (customer_number(conversation), CALLED.to_owned());
    match conversation.direction() {
        "inbound" => (customer, own),
        _ => (own, customer),
    }
}

/// A participant's attributes.
pub(super) fn attributes(leg: &Participant) -> Value {
    leg.tier.map_or_else(|| json!({}), |tier| json!({ "tier": tier }))
}

/// The external contact that the customer is, where one is known.
pub(super) fn contact(conversation: &Conversation) -> Option<String> {
    let number = conversation.number();
    let known = number.is_multiple_of(2);
    known.then(|| format!("c0c0c0c0-0000-4000-8000-{:012}", number % 1_000_000_000_000))
}

/// Where the customer's e-mail comes from.
pub(super) fn mailbox(conversation: &Conversation) -> String {
    format!("caller{:06}@example.org", conversation.number())
}

pub(super) fn customer_name(conversation: &Conversation) -> String {
    format!("Caller {:06}", conversation.number())
}

fn name(leg: &Participant, conversation: &Conversation, org: &Org) -> String {
    match (leg.user, leg.purpose, leg.queue) {
        (Some(user), ..) => org.users[user].named.name.clone(),
        (None, "acd", Some(queue)) => org.queues[queue].named.name.clone(),
        (None, "customer", _) => customer_name(conversation),
        _ => "Main inbound".to_owned(),
    }
}

// everybody on a phone has an address, on other media the customer alone
fn address(leg: &Participant, conversation: &Conversation) -> Option<String> {
    match (leg.purpose, conversation.medium()) {
        ("customer", Medium::Email) => Some(mailbox(conversation)),
        ("customer", _) => Some(customer_number(conversation)),
        (_, Medium::Call) => Some(format!("sip:{}@example.invalid", leg.session)),
        _ => None,
    }
}

// the communication of whoever is on the other side
fn peer<'a>(leg: &Participant, conversation: &'a Conversation) -> Option<&'a str> {
    let mut legs = conversation.participants.iter();
    let customer = legs.find(|leg| leg.purpose == "customer");
    let other = customer.filter(|customer| customer.id != leg.id);
    other.map(|customer| customer.session.as_str())
}

// with whom a leg is in a consultation
fn consulted<'a>(leg: &Participant, conversation: &'a Conversation) -> Option<&'a str> {
    let customer = conversation.participants.first().filter(|_| leg.consults);
    customer.map(|customer| customer.id.as_str())
}

fn wrapup(leg: &Participant, org: &Org) -> Option<Value> {
    let (start, end) = leg.acw_start_ms.zip(leg.acw_end_ms)?;
    Some(json!({
        "code": org.wrapup_code(), "notes": "", "durationSeconds": (end - start) / 1000, "endTime": iso(end),
    }))
}

fn routing(leg: &Participant, org: &Org) -> Option<Value> {
    let queue = org.queues.get(leg.queue?)?;
    let routing = json!({ "queue": { "id": queue.named.id }, "language": {}, "priority": 0 });
    (leg.purpose == "acd").then_some(routing)
}

// the flattened layout refers to a message where the nested one names it
fn messages(conversation: &Conversation, layout: Layout) -> Value {
    let message = |(n, at): (usize, &i64)| {
        let mut message = json!({
            "messageTime": iso(*at), "messageStatus": "received", "messageSegmentCount": 1,
        });
        let id = format!("{}-{n}", conversation.id());
        match layout {
            Layout::Nested => message["messageId"] = id.into(),
            Layout::Flat => message["message"] = json!({ "id": id }),
        }
        message
    };
    conversation.texts.iter().enumerate().map(message).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Nested,
    Flat,
}

// what both layouts have of a participant
fn participant(leg: &Participant, conversation: &Conversation, org: &Org) -> Value {
    let agent = leg.is_agent();
    let mut shown = json!({
        "id": leg.id, "purpose": leg.purpose, "attributes": attributes(leg), "wrapupRequired": agent,
    });
    put(&mut shown, "connectedTime", leg.connected_ms.map(iso));
    put(&mut shown, "endTime", leg.ended_ms.map(iso));
    put(&mut shown, "startAcwTime", leg.acw_start_ms.map(iso));
    put(&mut shown, "endAcwTime", leg.acw_end_ms.map(iso));
    put(&mut shown, "wrapupPrompt", agent.then_some("optional"));
    put(&mut shown, "alertingTimeoutMs", agent.then_some(8000));
    put(&mut shown, "wrapup", wrapup(leg, org));
    put(&mut shown, "address", address(leg, conversation));
    put(&mut shown, "conversationRoutingData", routing(leg, org));
    put(&mut shown, "consultParticipantId", consulted(leg, conversation));
    let customer = leg.purpose == "customer";
    put(&mut shown, "mediaRoles", customer.then(|| json!(["full"])));
    shown
}

// what both layouts have of a communication
fn communication(shown: &mut Value, leg: &Participant, conversation: &Conversation, layout: Layout) {
    let medium = conversation.medium();
    shown["state"] = leg.state.into();
    shown["initialState"] = leg.initial.into();
    shown["provider"] = medium.provider().into();
    put(shown, "disconnectType", leg.disconnect);
    shown["held"] = leg.hold_ms.is_some().into();
    put(shown, "startHoldTime", leg.hold_ms.map(iso));
    // chats have none
    put(
        shown,
        "direction",
        (medium != Medium::Chat).then(|| conversation.direction()),
    );
    match medium {
        Medium::Call => {
            shown["muted"] = leg.muted.into();
            shown["confined"] = leg.confined.into();
            shown["recording"] = false.into();
            shown["recordingState"] = "none".into();
            shown["securePause"] = false.into();
            let rings = leg.duty() == Duty::Alert;
            put(
                shown,
                "queueMediaSettings",
                rings.then(|| json!({ "alertingTimeoutSeconds": 8 })),
            );
        }
        Medium::Message => {
            shown["type"] = "webmessaging".into();
            if leg.purpose != "acd" {
                shown["messages"] = messages(conversation, layout);
            }
        }
        Medium::Email => {
            shown["subject"] = SUBJECT.into();
            shown["messagesSent"] = conversation.texts.len().into();
            shown["autoGenerated"] = false.into();
        }
        Medium::Callback => {
            let number = customer_number(conversation);
            shown["callbackNumbers"] = json!([number.trim_start_matches("tel:")]);
            shown["callbackUserName"] = customer_name(conversation).into();
            shown["callbackScheduledTime"] = iso(conversation.began_ms).into();
            shown["externalCampaign"] = false.into();
            shown["skipEnabled"] = true.into();
            shown["timeoutSeconds"] = 0.into();
        }
        Medium::Chat => {}
    }
}

fn after_call_work(leg: &Participant) -> Option<Value> {
    let start = iso(leg.acw_start_ms?);
    Some(match leg.acw_end_ms {
        Some(end) => json!({ "state": "complete", "startTime": start, "endTime": iso(end) }),
        None => json!({ "state": "pending", "startTime": start }),
    })
}

// one end of a call
fn party(number: &str, name: &str) -> Value {
    json!({
        "addressNormalized": number, "addressRaw": number, "addressDisplayable": "", "name": name, "nameRaw": name,
    })
}

/// The snapshot of all media: participants with their communications.
pub(in crate::notifications) fn nested(conversation: &Conversation, org: &Org) -> Value {
    let medium = conversation.medium();
    let show = |leg: &Participant| {
        let mut shown = participant(leg, conversation, org);
        shown["name"] = name(leg, conversation, org).into();
        shown["wrapupExpected"] = leg.is_agent().into();
        let contact = contact(conversation).filter(|_| leg.purpose == "customer");
        put(&mut shown, "externalContactId", contact);
        let user = leg.user.map(|user| org.users[user].named.id.as_str());
        put(&mut shown, "userId", user);
        let queue = leg.queue.map(|queue| org.queues[queue].named.id.as_str());
        put(&mut shown, "queueId", queue);
        let mut inner = json!({ "id": leg.session, "afterCallWorkRequired": leg.is_agent() });
        communication(&mut inner, leg, conversation, Layout::Nested);
        put(&mut inner, "connectedTime", leg.connected_ms.map(iso));
        put(&mut inner, "disconnectedTime", leg.ended_ms.map(iso));
        put(&mut inner, "peerId", peer(leg, conversation));
        put(&mut inner, "afterCallWork", after_call_work(leg));
        match medium {
            Medium::Call => {
                inner["disconnectReasons"] = json!([]);
                inner["self"] = party(CALLED, "Main inbound");
                inner["other"] = party(&customer_number(conversation), "");
            }
            Medium::Callback => {
                inner["callerIdName"] = customer_name(conversation).into();
                inner["scriptId"] = org.script_id().into();
            }
            Medium::Chat => {
                inner["roomId"] = format!("{}@conference.example.org", conversation.id()).into();
            }
            _ => {}
        }
        shown[medium.plural()] = json!([inner]);
        shown
    };
    let queue = &org.queues[conversation.queue()];
    let (division, queue) = (&org.divisions[queue.division].id, &queue.named.id);
    json!({
        "id": conversation.id(), "maxParticipants": 10, "recordingState": "none", "securePause": false, "address": CALLED,
        "participants": conversation.participants.iter().map(show).collect::<Vec<_>>(),
        "divisions": [{
            "division": { "id": division, "selfUri": format!("/api/v2/authorization/divisions/{division}") },
            "entities": [{
                "id": queue, "selfUri": format!("/api/v2/routing/queues/{queue}"),
                "dateDivisionUpdated": iso(conversation.began_ms),
            }],
        }],
    })
}

/// The snapshot of one medium: participant and communication in one.
pub(super) fn flat(conversation: &Conversation, org: &Org) -> Value {
    let calls = conversation.medium() == Medium::Call;
    let show = |leg: &Participant| {
        let mut shown = participant(leg, conversation, org);
        communication(&mut shown, leg, conversation, Layout::Flat);
        // captured frames have no names of agents here
        let named = leg.user.is_none().then(|| name(leg, conversation, org));
        put(&mut shown, "name", named);
        let user = leg.user.map(|user| json!({ "id": org.users[user].named.id }));
        put(&mut shown, "user", user);
        let queue = leg.queue.map(|queue| json!({ "id": org.queues[queue].named.id }));
        put(&mut shown, "queue", queue);
        put(&mut shown, "peer", peer(leg, conversation));
        let routed = calls && leg.is_agent() && conversation.direction() == "inbound";
        put(&mut shown, "transferSource", routed.then_some("ACD"));
        let contact = contact(conversation).filter(|_| leg.purpose == "customer");
        put(
            &mut shown,
            "externalContact",
            contact.map(|contact| json!({ "id": contact })),
        );
        shown
    };
    let mut body = json!({
        "id": conversation.id(), "otherMediaUris": [],
        "participants": conversation.participants.iter().map(show).collect::<Vec<_>>(),
    });
    if calls {
        body["recordingState"] = "none".into();
        body["securePause"] = false.into();
        body["address"] = CALLED.into();
    }
    body
}

/// An utterance, or with none the end of them.
pub(super) fn transcription(
    conversation: &Conversation,
    org: &Org,
    spoken: Option<u32>,
    now_ms: i64,
) -> Value {
    let mut agents = conversation.participants.iter().filter(|leg| leg.is_agent());
    let began = agents.find_map(|agent| agent.connected_ms);
    let began = began.unwrap_or(conversation.began_ms);
    let offset = now_ms - began;
    let mut legs = conversation.participants.iter();
    let customer = legs.find(|leg| leg.purpose == "customer");
    let status = if spoken.is_some() {
        "SESSION_ONGOING"
    } else {
        "SESSION_ENDED"
    };
    let mut body = json!({
        "eventTime": iso(now_ms), "organizationId": org.id(), "conversationId": conversation.id(),
        "communicationId": customer.map(|customer| customer.session.as_str()),
        "sessionStartTimeMs": conversation.began_ms, "transcriptionStartTimeMs": began,
        "status": { "offsetMs": offset, "status": status },
    });
    if let Some(spoken) = spoken {
        let word = json!({ "confidence": 0.93, "offsetMs": offset, "durationMs": 1200, "word": "hello" });
        body["transcripts"] = json!([{
            "utteranceId": format!("{}-{spoken}", conversation.id()), "isFinal": true,
            "channel": if spoken.is_multiple_of(2) { "INTERNAL" } else { "EXTERNAL" },
            "alternatives": [{
                "confidence": 0.93, "offsetMs": offset, "durationMs": 1200, "transcript": "hello", "words": [word],
                "decoratedTranscript": "Hello", "decoratedWords": [word],
            }],
            "agentAssistEnabled": false, "voiceTranscriptionEnabled": true,
            "engineProvider": "GENESYS", "engineId": "r2d2", "dialect": "en-US",
        }]);
    }
    body
}

/// A queue's observations, over the half hour of the moment.
pub(super) fn observations(
    queue: &str,
    medium: Medium,
    waiting: u64,
    interacting: u64,
    now_ms: i64,
) -> Value {
    json!({
        "group": { "queueId": queue, "mediaType": medium.analytics() },
        "data": [{
            "interval": interval(now_ms),
            "metrics": [
                { "metric": "oWaiting", "qualifier": "", "stats": { "count": waiting } },
                { "metric": "oInteracting", "qualifier": "", "stats": { "count": interacting } },
            ],
        }],
    })
}

/// The same as a queue's activity.
pub(super) fn activity(medium: Medium, waiting: u64, interacting: u64) -> Value {
    json!({
        "results": [{
            "mediaType": medium.analytics(),
            "data": [{ "metric": "oWaiting", "count": waiting }, { "metric": "oInteracting", "count": interacting }],
        }],
    })
}
