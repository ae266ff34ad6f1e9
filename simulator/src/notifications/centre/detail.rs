//! Analytics detail events: start and end of each leg, the work after it, and the states of its agent.
//!
//! Refuses nothing. The invariant: times are epoch milliseconds and enumerations upper case, as `genesys-cloud.md` 5.4 has
//! them, and ids are those of the snapshots (participant, and communication as session).

use serde_json::{Value, json};

use crate::notifications::centre::body::{SUBJECT, attributes, contact, customer_name, mailbox, numbers};
use crate::notifications::centre::conversation::{Conversation, Effect, Mark};
use crate::notifications::centre::course::Medium;
use crate::notifications::centre::leg::Participant;
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
        let (Mark::Start(place)
        | Mark::End(place)
        | Mark::AfterWork(place)
        | Mark::Attributes(place)
        | Mark::FlowOutcome(place)) = *mark;
        let Some(leg) = conversation.participants.get(place) else {
            continue;
        };
        let mut body = common(conversation, leg, org, now_ms);
        let kind = match leg.purpose {
            "customer" => "customer",
            "agent" => "user",
            "acd" => "acd",
            _ => "flow",
        };
        match mark {
            Mark::Start(_) => {
                start(&mut body, kind, leg, org);
                events.push((format!("{kind}.start"), body));
            }
            Mark::End(_) => {
                end(&mut body, kind, leg, conversation, org, now_ms);
                events.push((format!("{kind}.end"), body));
            }
            Mark::AfterWork(_) => {
                let begun = leg.acw_start_ms.unwrap_or(now_ms);
                let mut body = without(&body, "divisionId");
                body["wrapupCode"] = org.wrapup_code().into();
                body["wrapupNotes"] = "".into();
                body["wrapupDurationMs"] = (now_ms - begun).into();
                queue(&mut body, leg, org);
                events.push(("wrapup".to_owned(), without(&body, "userId")));
                events.push(("acw".to_owned(), body));
            }
            Mark::Attributes(_) => {
                let body = json!({
                    "eventTime": now_ms, "conversationId": conversation.id(), "participantId": leg.id,
                    "attributes": attributes(leg),
                    "communications": [{ "id": leg.session, "mediaType": body["mediaType"] }],
                });
                events.push(("attributes".to_owned(), body));
            }
            Mark::FlowOutcome(_) => {
                flow(&mut body, org);
                body["flowOutcomeId"] = org.flow_outcome_id().into();
                body["flowOutcomeStartTime"] = leg.began_ms.into();
                body["flowOutcomeEndTime"] = now_ms.into();
                body["flowOutcomeValue"] = "SUCCESS".into();
                body["flowMilestones"] =
                    json!([{ "milestoneId": org.flow_outcome_id(), "milestoneTime": now_ms }]);
                events.push(("flow.outcome".to_owned(), body));
            }
        }
    }
    events
}

/// What an agent does in a leg since now.
pub(super) fn agent_state(conversation: &Conversation, leg: &Participant, org: &Org, now_ms: i64) -> Value {
    let mut body = json!({
        "conversationId": conversation.id(), "sessionId": leg.session, "sessionStart": leg.began_ms,
        "currentStateStart": now_ms, "currentState": leg.duty().name(),
        "originatingDirection": conversation.direction().to_uppercase(),
        "mediaType": conversation.medium().analytics().to_uppercase(), "requestedSkillIds": [],
    });
    if let Some(user) = leg.user {
        body["userId"] = org.users[user].named.id.as_str().into();
    }
    queue(&mut body, leg, org);
    body
}

fn without(body: &Value, name: &str) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove(name);
    }
    body
}

fn queue(body: &mut Value, leg: &Participant, org: &Org) {
    if let Some(queue) = leg.queue {
        body["queueId"] = org.queues[queue].named.id.as_str().into();
    }
}

fn common(conversation: &Conversation, leg: &Participant, org: &Org, now_ms: i64) -> Value {
    let division = &org.divisions[org.queues[conversation.queue()].division].id;
    let (ani, dnis) = numbers(conversation);
    let mut body = json!({
        "eventTime": now_ms, "conversationId": conversation.id(), "participantId": leg.id,
        "sessionId": leg.session, "mediaType": conversation.medium().analytics().to_uppercase(),
        "provider": conversation.medium().provider(), "direction": conversation.direction().to_uppercase(),
        "ani": ani, "dnis": dnis, "divisionId": division,
    });
    if let Some(contact) = contact(conversation) {
        body["conversationExternalContactIds"] = json!([contact]);
        if leg.purpose == "customer" {
            body["externalContactId"] = contact.into();
        }
    }
    match conversation.medium() {
        Medium::Callback => {
            body["callbackUserName"] = customer_name(conversation).into();
            body["callbackNumbers"] = json!([numbers(conversation).0.trim_start_matches("tel:")]);
            body["callbackScheduledTime"] = conversation.began_ms.into();
        }
        Medium::Message => body["messageType"] = "WEBMESSAGING".into(),
        Medium::Email => {
            body["subject"] = SUBJECT.into();
            body["addressFrom"] = mailbox(conversation).into();
            body["addressTo"] = "support@example.org".into();
        }
        Medium::Call | Medium::Chat => {}
    }
    if let Some(user) = leg.user {
        body["userId"] = org.users[user].named.id.as_str().into();
    }
    body
}

fn start(body: &mut Value, kind: &str, leg: &Participant, org: &Org) {
    match kind {
        "user" => queue(body, leg, org),
        "acd" => {
            queue(body, leg, org);
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

fn end(body: &mut Value, kind: &str, leg: &Participant, conversation: &Conversation, org: &Org, now_ms: i64) {
    body["disconnectType"] = match leg.disconnect {
        Some("transfer") => "TRANSFER",
        Some("transfer.consult") => "CONSULT_TRANSFER",
        Some("transfer.noanswer") => "NO_ANSWER_TRANSFER",
        Some("endpoint") => "ENDPOINT",
        _ => "PEER",
    }
    .into();
    let connected = leg.connected_ms.map_or(0, |at| now_ms - at);
    match kind {
        "customer" => body["interactingDurationMs"] = connected.into(),
        "user" => {
            queue(body, leg, org);
            body["interactingDurationMs"] = (connected - leg.held_for_ms).into();
            body["heldDurationMs"] = leg.held_for_ms.into();
            let before = match leg.initial {
                "contacting" => "contactingDurationMs",
                _ => "alertingDurationMs",
            };
            body[before] = (leg.connected_ms.unwrap_or(now_ms) - leg.began_ms).into();
        }
        "acd" => {
            queue(body, leg, org);
            let answered = leg.disconnect == Some("transfer");
            body["acdOutcome"] = if answered { "ANSWERED" } else { "ABANDON" }.into();
            let agent = conversation.participants.iter().rfind(|other| other.is_agent());
            if let Some(user) = agent.and_then(|agent| agent.user).filter(|_| answered) {
                body["answeredUserId"] = org.users[user].named.id.as_str().into();
                body["usedRouting"] = "STANDARD".into();
            }
            body["requestedRoutings"] = json!(["STANDARD"]);
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
