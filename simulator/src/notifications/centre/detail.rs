//! Analytics detail events: start and end of each leg, and the work after it.
//!
//! Refuses nothing. The invariant: times are epoch milliseconds and enumerations upper case, as `genesys-cloud.md` 5.4 has
//! them, and ids are those of the snapshots (participant, and communication as session).

use serde_json::{Value, json};

use crate::notifications::centre::body::{CALLED, caller};
use crate::notifications::centre::conversation::{Conversation, Effect, Mark, Participant};
use crate::notifications::org::Org;

/// The events of a step: what follows the conversation's id in the topic, and the body.
pub(super) fn bodies(
    conversation: &Conversation,
    effect: &Effect,
    org: &Org,
    now_ms: i64,
) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    for mark in &effect.marks {
        let (Mark::Start(place) | Mark::End(place) | Mark::AfterWork(place)) = *mark;
        let Some(participant) = conversation.participants.get(place) else {
            continue;
        };
        let mut body = common(conversation, participant, org, now_ms);
        let kind = match participant.purpose {
            "customer" => "customer",
            "agent" => "user",
            "acd" => "acd",
            _ => "flow",
        };
        match mark {
            Mark::Start(_) => {
                start(&mut body, kind, conversation, org);
                events.push((format!("{kind}.start"), body));
            }
            Mark::End(_) => {
                end(&mut body, kind, participant, conversation, org, now_ms);
                events.push((format!("{kind}.end"), body));
            }
            Mark::AfterWork(_) => {
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("divisionId");
                }
                let begun = participant.acw_start_ms.unwrap_or(now_ms);
                body["wrapupCode"] = org.wrapup_code().into();
                body["wrapupDurationMs"] = (now_ms - begun).into();
                body["queueId"] = queue(conversation, org).into();
                events.push(("wrapup".to_owned(), without(&body, "userId")));
                events.push(("acw".to_owned(), body));
            }
        }
    }
    events
}

fn without(body: &Value, name: &str) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove(name);
    }
    body
}

fn queue<'a>(conversation: &Conversation, org: &'a Org) -> &'a str {
    &org.queues[conversation.queue()].named.id
}

fn common(conversation: &Conversation, participant: &Participant, org: &Org, now_ms: i64) -> Value {
    let division = &org.divisions[org.queues[conversation.queue()].division].id;
    let mut body = json!({
        "eventTime": now_ms, "conversationId": conversation.id(), "participantId": participant.id,
        "sessionId": participant.session, "mediaType": conversation.medium().analytics().to_uppercase(),
        "provider": conversation.medium().provider(), "direction": "INBOUND", "ani": caller(conversation), "dnis": CALLED,
        "divisionId": division,
    });
    if let Some(user) = participant.user {
        body["userId"] = org.users[user].named.id.as_str().into();
    }
    body
}

fn start(body: &mut Value, kind: &str, conversation: &Conversation, org: &Org) {
    match kind {
        "user" => body["queueId"] = queue(conversation, org).into(),
        "acd" => {
            body["queueId"] = queue(conversation, org).into();
            body["routingPriority"] = 0.into();
            body["requestedRoutingSkillIds"] = json!([]);
        }
        "flow" => flow(body, org),
        _ => {}
    }
}

fn flow(body: &mut Value, org: &Org) {
    body["flowType"] = "INBOUNDCALL".into();
    body["flowId"] = org.flow_id().into();
    body["flowVersion"] = "1.0".into();
}

fn end(
    body: &mut Value,
    kind: &str,
    participant: &Participant,
    conversation: &Conversation,
    org: &Org,
    now_ms: i64,
) {
    body["disconnectType"] = match participant.disconnect {
        Some("transfer") => "TRANSFER",
        Some("transfer.consult") => "CONSULT_TRANSFER",
        Some("transfer.noanswer") => "NO_ANSWER_TRANSFER",
        _ => "PEER",
    }
    .into();
    let connected = participant.connected_ms.map_or(0, |at| now_ms - at);
    match kind {
        "customer" => body["interactingDurationMs"] = connected.into(),
        "user" => {
            body["queueId"] = queue(conversation, org).into();
            body["interactingDurationMs"] = (connected - participant.held_for_ms).into();
            body["heldDurationMs"] = participant.held_for_ms.into();
            body["alertingDurationMs"] =
                (participant.connected_ms.unwrap_or(now_ms) - participant.began_ms).into();
        }
        "acd" => {
            let answered = conversation
                .participants
                .iter()
                .rfind(|other| other.purpose == "agent");
            body["queueId"] = queue(conversation, org).into();
            body["acdOutcome"] = "ANSWERED".into();
            if let Some(user) = answered.and_then(|agent| agent.user) {
                body["answeredUserId"] = org.users[user].named.id.as_str().into();
            }
            body["requestedRoutings"] = json!(["STANDARD"]);
            body["usedRouting"] = "STANDARD".into();
            body["routingPriority"] = 0.into();
            body["connectedDurationMs"] = connected.into();
        }
        _ => {
            flow(body, org);
            body["connectedDurationMs"] = connected.into();
            body["exitReason"] = "TRANSFER".into();
            body["transferType"] = "ACD".into();
        }
    }
}
