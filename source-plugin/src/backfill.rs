//! What of a gap the platform's history can tell, and what is said of it in the gap's closing record.
//!
//! Responsible for which conversations belong to the topics of a gap. Refuses one that only topics of others show: a source
//! gets no more by its history than by its feed. Pure: the session asks and admits. Invariant: every topic is either covered
//! or named among what is not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::gap::{Cause, escape};
use crate::normalize::topic_medium;
use crate::topic::combined::expand;
use crate::topic::{Family, Topic};

/// Most conditions that a query carries; with more, all conversations of the interval are read and sorted out here.
///
/// # Source
/// Chosen: no limit of the query is public, and a source of so many queues reads most of the conversations anyway.
const MAX_CONDITIONS: usize = 50;

/// Most bytes that the uncovered topics of a record have as JSON.
///
/// # Source
/// Chosen: some hundred event types; it must fit beside what else a control record holds (see [`crate::record_bound`]).
const MAX_UNCOVERED_BYTES: usize = 8 << 10;

/// How the conversations of a gap were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All that the history has were delivered.
    Complete,
    /// Some were; `reason` says what is missing.
    Partial,
    /// The history could not be read; what was delivered before stays.
    Failed,
    /// Nothing was asked, since there is nothing to be had or for want of room; `reason` says which.
    Skipped,
    /// Nothing was asked, since it is not configured.
    Off,
}

/// What a closing record says of the history: the member `backfill`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    outcome: Outcome,
    reason: Option<String>,
    conversations: u64,
    uncovered: Vec<String>,
}

impl Report {
    /// Reports a gap whose history was asked for; `conversations` were found.
    #[must_use]
    pub fn asked(outcome: Outcome, reason: Option<&str>, conversations: u64, scope: &Scope) -> Self {
        let mut bytes = "[]".len();
        let fitting = scope.uncovered.iter().take_while(|name| {
            bytes += serde_json::to_string(name).map_or(usize::MAX / 2, |text| text.len()) + 1;
            bytes <= MAX_UNCOVERED_BYTES
        });
        Self {
            outcome,
            reason: reason.map(escape),
            conversations,
            uncovered: fitting.cloned().collect(),
        }
    }

    /// Reports a gap that is left as it is.
    #[must_use]
    pub fn skipped(reason: &str) -> Self {
        Self {
            outcome: Outcome::Skipped,
            reason: Some(escape(reason)),
            conversations: 0,
            uncovered: Vec::new(),
        }
    }

    /// Reports a gap of a source that asks no history.
    #[must_use]
    pub fn off() -> Self {
        Self {
            outcome: Outcome::Off,
            reason: None,
            conversations: 0,
            uncovered: Vec::new(),
        }
    }

    /// Says whether the history was fetched.
    #[must_use]
    pub fn is_backfilled(&self) -> bool {
        matches!(self.outcome, Outcome::Complete | Outcome::Partial)
    }
}

/// Returns why the history is not asked for gaps of a cause, if it is not.
#[must_use]
pub fn exempt(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Dropped => Some("the host takes less than there is: more would be dropped in its place"),
        Cause::OverQuota => Some("the quota has no room for these topics"),
        Cause::TopicRejected => Some("the OAuth client may not have these topics"),
        _ => None,
    }
}

/// Media of conversations, by the names of the history; `None`: all.
type Media = Option<BTreeSet<String>>;

/// Which conversations the topics of a gap would have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    queues: BTreeMap<String, Media>,
    users: BTreeMap<String, Media>,
    conversations: BTreeSet<String>,
    /// Event types of the topics of which the history has nothing.
    uncovered: BTreeSet<String>,
}

impl Scope {
    /// Reads the scope of topics, combined ones too.
    #[must_use]
    pub fn of(topics: &[String]) -> Self {
        let mut scope = Self::default();
        for name in topics.iter().flat_map(|topic| expand(topic)) {
            scope.add(&name);
        }
        scope
    }

    fn add(&mut self, name: &str) {
        let topic = Topic::parse(name);
        match (topic.family, topic.entity_id, topic.conversation_id) {
            (Family::Snapshot, Some(entity), _) => {
                let is_user = name.to_ascii_lowercase().starts_with("v2.users.");
                let all = if is_user {
                    &mut self.users
                } else {
                    &mut self.queues
                };
                let media = all
                    .entry(entity.to_ascii_lowercase())
                    .or_insert_with(|| Some(BTreeSet::new()));
                match (topic.kind.split_once('.'), media) {
                    (None, media) => *media = None,
                    (Some((_, medium)), Some(media)) => {
                        media.extend(topic_medium(medium).map(str::to_owned));
                    }
                    (Some(_), None) => {}
                }
            }
            (Family::Detail, _, Some(conversation)) => {
                self.conversations.insert(conversation.to_ascii_lowercase());
            }
            _ => {
                let mut event_type = String::new();
                topic.write_event_type(&mut event_type);
                self.uncovered.insert(event_type);
            }
        }
    }

    /// Says whether no topic tells of conversations that the history has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.users.is_empty() && self.conversations.is_empty()
    }

    /// The conditions of which a conversation must meet one, as dimension and value; empty: there are too many, or they
    /// cannot be said, so that all are to be read.
    #[must_use]
    pub fn conditions(&self) -> Vec<(&'static str, String)> {
        let count = self.queues.len() + self.users.len();
        if count > MAX_CONDITIONS || !self.conversations.is_empty() {
            return Vec::new();
        }
        let queues = self.queues.keys().map(|id| ("queueId", id.clone()));
        let users = self.users.keys().map(|id| ("userId", id.clone()));
        queues.chain(users).collect()
    }

    /// Says whether one of the topics would have shown a conversation, as the history tells it.
    #[must_use]
    pub fn covers(&self, conversation: &Value) -> bool {
        let is_named = id(&conversation["conversationId"]).is_some_and(|id| self.conversations.contains(&id));
        is_named
            || list(&conversation["participants"]).any(|participant| self.covers_participant(participant))
    }

    fn covers_participant(&self, participant: &Value) -> bool {
        let user = id(&participant["userId"]).and_then(|id| self.users.get(&id));
        list(&participant["sessions"]).any(|session| {
            let medium = id(&session["mediaType"]).unwrap_or_default();
            let fits = |media: &Media| media.as_ref().is_none_or(|media| media.contains(&medium));
            let mut queues = list(&session["segments"]).filter_map(|segment| id(&segment["queueId"]));
            user.is_some_and(fits) || queues.any(|id| self.queues.get(&id).is_some_and(fits))
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Ids and names of the history in lower case, as they are compared.
fn id(value: &Value) -> Option<String> {
    value.as_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_CONDITIONS, MAX_UNCOVERED_BYTES, Outcome, Report, Scope};

    fn scope(topics: &[&str]) -> Scope {
        Scope::of(&topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>())
    }

    fn call(queue: &str, user: &str, medium: &str) -> Value {
        json!({"conversationId": "C1", "participants": [
            {"purpose": "customer", "sessions": [{"mediaType": medium, "segments": [{"segmentType": "ivr"}, {"queueId": queue}]}]},
            {"purpose": "agent", "userId": user, "sessions": [{"mediaType": medium, "segments": []}]},
        ]})
    }

    #[test]
    fn a_conversation_is_covered_if_a_topic_would_have_shown_it() {
        let table: [(&[&str], bool); 10] = [
            (&["v2.routing.queues.Q1.conversations"], true),
            (&["v2.routing.queues.q2.conversations"], false),
            (&["v2.users.u1.conversations"], true),
            (&["v2.users.u2.conversations"], false),
            (&["v2.users.q1.conversations"], false),
            (&["v2.routing.queues.q1.conversations.calls"], true),
            (&["v2.routing.queues.q1.conversations.chats"], false),
            (
                &[
                    "v2.routing.queues.q1.conversations.chats",
                    "v2.routing.queues.q1.conversations",
                ],
                true,
            ),
            (&["v2.detail.events.conversation.c1?customer.end&acw"], true),
            (&["v2.users.u1?presence&routingStatus"], false),
        ];
        for (topics, is_covered) in table {
            assert_eq!(
                scope(topics).covers(&call("q1", "u1", "voice")),
                is_covered,
                "{topics:?}"
            );
        }
        assert!(!scope(&["v2.users.u1.conversations"]).covers(&json!({"participants": "x"})));
    }

    #[test]
    fn what_has_no_history_is_named_by_its_kind() {
        let scope = scope(&[
            "v2.users.u1?presence&conversations",
            "v2.users.u2.presence",
            "v2.analytics.queues.q.observations",
        ]);
        assert!(!scope.is_empty());
        let report = Report::asked(Outcome::Complete, None, 3, &scope);
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({"outcome": "complete", "reason": null, "conversations": 3,
                "uncovered": ["v2.analytics.queues.{id}.observations", "v2.users.{id}.presence"]})
        );
        assert!(report.is_backfilled());
        assert!(!Report::off().is_backfilled() && !Report::skipped("why").is_backfilled());
    }

    #[test]
    fn a_report_is_bounded_whatever_the_topics_are_called() {
        let topics: Vec<String> = (0..5000).map(|number| format!("v2.\u{1}{number}.x")).collect();
        let reason = "\u{1}".repeat(100_000);
        let report = Report::asked(Outcome::Failed, Some(&reason), 0, &Scope::of(&topics));
        let bytes = serde_json::to_string(&report).unwrap().len();
        assert!(
            bytes > MAX_UNCOVERED_BYTES / 2 && bytes < MAX_UNCOVERED_BYTES + 8192,
            "{bytes}"
        );
    }

    #[test]
    fn a_query_names_queues_and_users_unless_they_are_too_many() {
        let few = scope(&[
            "v2.routing.queues.q.conversations",
            "v2.users.u.conversations.calls",
        ]);
        assert_eq!(
            few.conditions(),
            [("queueId", "q".to_owned()), ("userId", "u".to_owned())]
        );
        let many: Vec<String> = (0..=MAX_CONDITIONS)
            .map(|number| format!("v2.routing.queues.q{number}.conversations"))
            .collect();
        assert!(Scope::of(&many).conditions().is_empty());
        let detail = "v2.detail.events.conversation.c.acw";
        assert!(
            scope(&["v2.users.u.conversations", detail])
                .conditions()
                .is_empty()
        );
    }
}
