//! A conversation as the history shows it, and which ones a query asks for.
//!
//! Refuses, in a query, an interval that cannot be read. The invariant: a record has the ids and times of the snapshots.
//! Filters on a queue, a user, a medium and a conversation are obeyed; others are refused rather than passed over.

use serde_json::{Value, json};

use crate::notifications::centre::body::numbers;
use crate::notifications::centre::conversation::Conversation;
use crate::notifications::centre::iso;
use crate::notifications::centre::leg::Participant;
use crate::notifications::org::Org;

/// What a query asks for.
#[derive(Debug)]
pub(in crate::notifications) struct Query {
    from_ms: i64,
    to_ms: i64,
    filters: Vec<Filter>,
    pub(in crate::notifications) newest_first: bool,
}

#[derive(Debug)]
struct Filter {
    any: bool,
    predicates: Vec<(String, String)>,
}

impl Query {
    /// Reads a query's body; the error is what is wrong with it.
    pub(in crate::notifications) fn read(body: &Value) -> Result<Self, String> {
        let interval = body["interval"].as_str().unwrap_or_default();
        let time = |text: &str| {
            text.parse::<jiff::Timestamp>()
                .map(jiff::Timestamp::as_millisecond)
                .ok()
        };
        let ends = interval
            .split_once('/')
            .and_then(|(from, to)| time(from).zip(time(to)));
        let Some((from_ms, to_ms)) = ends.filter(|(from, to)| from <= to) else {
            return Err("interval must be two ISO 8601 times with a slash between".to_owned());
        };
        let mut filters = Vec::new();
        for list in ["conversationFilters", "segmentFilters"] {
            for filter in body[list].as_array().into_iter().flatten() {
                filters.push(Filter::read(filter)?);
            }
        }
        Ok(Self {
            from_ms,
            to_ms,
            filters,
            newest_first: body["order"]
                .as_str()
                .is_some_and(|order| order.eq_ignore_ascii_case("desc")),
        })
    }

    /// Says whether a conversation was under way in the interval and passes the filters.
    pub(in crate::notifications) fn fits(&self, conversation: &Conversation, org: &Org) -> bool {
        let within =
            conversation.began_ms < self.to_ms && conversation.ended_ms.is_none_or(|end| end >= self.from_ms);
        let begun = !conversation.participants.is_empty();
        begun && within && self.filters.iter().all(|filter| filter.fits(conversation, org))
    }
}

impl Filter {
    fn read(filter: &Value) -> Result<Self, String> {
        const KNOWN: [&str; 4] = ["queueId", "userId", "mediaType", "conversationId"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let predicates = filter["predicates"].as_array().into_iter().flatten();
        let predicates: Vec<_> = predicates
            .map(|predicate| (text(&predicate["dimension"]), text(&predicate["value"])))
            .collect();
        if filter.get("clauses").is_some() || predicates.is_empty() {
            return Err("a filter needs predicates; clauses are not supported by the simulator".to_owned());
        }
        match predicates
            .iter()
            .find(|(dimension, _)| !KNOWN.contains(&dimension.as_str()))
        {
            Some((dimension, _)) => Err(format!(
                "dimension {dimension:?} must be one of {}",
                KNOWN.join(", ")
            )),
            None => Ok(Self {
                any: filter["type"]
                    .as_str()
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("or")),
                predicates,
            }),
        }
    }

    fn fits(&self, conversation: &Conversation, org: &Org) -> bool {
        let fits = |(dimension, value): &(String, String)| match dimension.as_str() {
            "queueId" => conversation
                .queues()
                .iter()
                .any(|queue| org.queues[*queue].named.id == *value),
            "userId" => conversation
                .agents()
                .iter()
                .any(|user| org.users[*user].named.id == *value),
            "mediaType" => conversation.medium().analytics() == value,
            _ => conversation.id() == value,
        };
        match self.any {
            true => self.predicates.iter().any(fits),
            false => self.predicates.iter().all(fits),
        }
    }
}

/// A conversation as the details query shows it.
pub(in crate::notifications) fn record(conversation: &Conversation, org: &Org) -> Value {
    let participant = |participant: &Participant| {
        let queue = participant.queue.unwrap_or(conversation.queue());
        let queue = &org.queues[queue].named.id;
        let segment_type = match participant.purpose {
            "ivr" => "ivr",
            "acd" => "delay",
            _ => "interact",
        };
        let mut segment = json!({
            "segmentStart": iso(participant.began_ms), "segmentType": segment_type, "conference": false, "queueId": queue,
        });
        let (ani, dnis) = numbers(conversation);
        let mut session = json!({
            "sessionId": participant.session, "mediaType": conversation.medium().analytics(), "direction": conversation.direction(),
            "provider": conversation.medium().provider(), "ani": ani, "dnis": dnis,
        });
        if let Some(ended) = participant.ended_ms {
            segment["segmentEnd"] = iso(ended).into();
            segment["disconnectType"] = match participant.disconnect {
                Some("transfer.consult") => "consultTransfer".into(),
                Some("transfer.noanswer") => "noAnswerTransfer".into(),
                other => other.into(),
            };
        }
        let mut segments = vec![segment];
        if let Some((start, end)) = participant.acw_start_ms.zip(participant.acw_end_ms) {
            segments.push(json!({
                "segmentStart": iso(start), "segmentEnd": iso(end), "segmentType": "wrapup", "conference": false,
                "queueId": queue, "wrapUpCode": org.wrapup_code(),
            }));
        }
        session["segments"] = segments.into();
        let mut leg = json!({
            "participantId": participant.id, "purpose": participant.purpose, "sessions": [session],
        });
        if let Some(user) = participant.user {
            leg["userId"] = org.users[user].named.id.as_str().into();
            leg["participantName"] = org.users[user].named.name.as_str().into();
        }
        leg
    };
    let mut record = json!({
        "conversationId": conversation.id(), "conversationStart": iso(conversation.began_ms),
        "originatingDirection": conversation.direction(),
        "divisionIds": [org.divisions[org.queues[conversation.queue()].division].id],
        "participants": conversation.participants.iter().map(participant).collect::<Vec<_>>(),
    });
    if let Some(ended) = conversation.ended_ms {
        record["conversationEnd"] = iso(ended).into();
    }
    record
}
