//! What is wanted over the notifications transport, as far as the configuration alone tells.
//!
//! Responsible for the kinds and media by their names, and for keys that fit each other. Refuses a wish that could never be
//! fulfilled. Invariant: each kind tells of queues, of users or of conversations, and [`Kind::topics`] is the only place
//! that knows its topics.

use std::collections::BTreeSet;
use std::time::Duration;

use config_faults::{Fault, nearest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::{Checks, ms};
use super::raw::{RawConfig, RawTransport};
use super::raw_subscription::RawSubscription;
use crate::topic::combined::{MAX_CHARACTERS, expand};
use crate::topic::{Family, Topic};

/// Time after which members are looked at again if nothing is said, in milliseconds.
///
/// # Source
/// Chosen: with 250 queues a refresh takes 250 of the 1,500 REST calls that five minutes allow.
const DEFAULT_REFRESH_MS: u64 = 300_000;

/// How long a conversation is followed after its end if nothing is said, in milliseconds.
///
/// # Source
/// Chosen: transcripts and what analytics derive come some time after the last participant has left.
const DEFAULT_FOLLOW_AFTER_END_MS: u64 = 300_000;

/// Channels if nothing is said.
///
/// # Source
/// Genesys Cloud: 20 channels for an OAuth client; one is kept for hand-overs.
const DEFAULT_MAX_CHANNELS: u64 = 19;

/// A medium of conversations that has topics of its own; spelled as its topics are.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Medium {
    Calls,
    Callbacks,
    Chats,
    Emails,
    Messages,
    CobrowseSessions,
    Screenshares,
    Videos,
    Socialexpressions,
}

impl Medium {
    /// The last part of its topics.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Callbacks => "callbacks",
            Self::Chats => "chats",
            Self::Emails => "emails",
            Self::Messages => "messages",
            Self::CobrowseSessions => "cobrowseSessions",
            Self::Screenshares => "screenshares",
            Self::Videos => "videos",
            Self::Socialexpressions => "socialexpressions",
        }
    }
}

/// Of what a kind tells, and so whose ids its topics carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Of queues.
    Queue,
    /// Of users.
    User,
    /// Of conversations, which must be seen before they can be named.
    Conversation,
}

/// What beside, or instead of, conversations is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Snapshots of conversations, of queues and of users that are named.
    Conversations,
    /// Presence of users.
    Presence,
    /// Routing status of users.
    RoutingStatus,
    /// Routing status, presence and active queues of users together.
    Activity,
    /// Stations of users.
    Station,
    /// Out-of-office notices of users.
    OutOfOffice,
    /// Counters of a user's conversations.
    ConversationSummary,
    /// Analytics sessions of agents.
    AgentState,
    /// Aggregates of users.
    AgentStatistics,
    /// Joins and leaves of a queue's members.
    Members,
    /// Observations of queues.
    Statistics,
    /// Activity of queues.
    QueueActivity,
    /// Utterances of conversations.
    Transcription,
    /// Sentiment, empathy, topics and categories of conversations.
    Speech,
}

/// Every kind by the name that stands in `subscription.events`.
const KINDS: [(&str, Kind); 14] = [
    ("conversations", Kind::Conversations),
    ("presence", Kind::Presence),
    ("routing_status", Kind::RoutingStatus),
    ("activity", Kind::Activity),
    ("station", Kind::Station),
    ("out_of_office", Kind::OutOfOffice),
    ("conversation_summary", Kind::ConversationSummary),
    ("agent_state", Kind::AgentState),
    ("agent_statistics", Kind::AgentStatistics),
    ("members", Kind::Members),
    ("statistics", Kind::Statistics),
    ("queue_activity", Kind::QueueActivity),
    ("transcription", Kind::Transcription),
    ("speech", Kind::Speech),
];

/// The names of every kind, as they stand in `subscription.events`.
pub(super) fn kind_names() -> [&'static str; 14] {
    KINDS.map(|(name, _)| name)
}

impl Kind {
    /// Of what it tells; conversations of queues also come by user.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Conversations | Self::Members | Self::Statistics | Self::QueueActivity => Scope::Queue,
            Self::Transcription | Self::Speech => Scope::Conversation,
            _ => Scope::User,
        }
    }

    /// Its topics, as what stands before the id and what stands behind it; none for conversations, whose topics depend on
    /// the media.
    #[must_use]
    pub fn topics(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Conversations => &[],
            Self::Presence => &[("v2.users", "presence")],
            Self::RoutingStatus => &[("v2.users", "routingStatus")],
            Self::Activity => &[("v2.users", "activity")],
            Self::Station => &[("v2.users", "station")],
            Self::OutOfOffice => &[("v2.users", "outofoffice")],
            Self::ConversationSummary => &[("v2.users", "conversationsummary")],
            Self::AgentState => &[("v2.detail.events.agent", "state")],
            Self::AgentStatistics => &[("v2.analytics.users", "aggregates")],
            Self::Members => &[("v2.routing.queues", "users")],
            Self::Statistics => &[("v2.analytics.queues", "observations")],
            Self::QueueActivity => &[("v2.analytics.queues", "activity")],
            Self::Transcription => &[("v2.conversations", "transcription")],
            Self::Speech => &[
                ("v2.speechandtextanalytics.conversation", "sentiment"),
                ("v2.speechandtextanalytics.conversation", "empathy"),
                ("v2.speechandtextanalytics.conversation", "topics"),
                ("v2.speechandtextanalytics.conversations", "categories"),
            ],
        }
    }
}

/// What is wanted over the notifications transport; names and ids are not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Queues by name or id.
    pub queues: Vec<String>,
    /// Users by name or id.
    pub users: Vec<String>,
    /// Groups by name or id, for their members.
    pub groups: Vec<String>,
    /// Divisions by name or id, for their queues.
    pub divisions: Vec<String>,
    /// Media whose conversations are wanted; empty: all.
    pub media: BTreeSet<Medium>,
    /// What is wanted of what is named.
    pub kinds: BTreeSet<Kind>,
    /// Topics as they stand.
    pub topics: Vec<String>,
    /// Whether conversations that are seen are followed with their analytics detail events.
    pub detail_events: bool,
    /// How long a conversation is followed after its end.
    pub follow_after_end: Duration,
    /// Time after which members are looked at again.
    pub refresh: Duration,
    /// Most channels at a time.
    pub max_channels: usize,
}

impl Wishes {
    /// Says whether nothing is named, so that every queue is meant.
    #[must_use]
    pub fn every_queue(&self) -> bool {
        self.topics.is_empty() && !self.names_entities()
    }

    fn names_entities(&self) -> bool {
        [&self.queues, &self.users, &self.groups, &self.divisions]
            .iter()
            .any(|named| !named.is_empty())
    }

    /// Says whether queues are wanted, by name, by division, or all of them.
    #[must_use]
    pub fn wants_queues(&self) -> bool {
        self.every_queue() || !self.queues.is_empty() || !self.divisions.is_empty()
    }

    /// Says whether a kind with this scope is wanted.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.kinds.iter().any(|kind| kind.scope() == scope)
    }

    /// Says whether conversations that are seen get topics of their own.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.detail_events || self.has(Scope::Conversation)
    }
}

impl Checks<'_> {
    /// Checks what is wanted over the notifications transport; `None` over the events transport.
    pub(super) fn wishes(&mut self, raw: &RawConfig, transport: RawTransport) -> Option<Wishes> {
        (transport == RawTransport::Notifications).then(|| self.wanted(&raw.subscription))
    }

    fn wanted(&mut self, raw: &RawSubscription) -> Wishes {
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let wishes = Wishes {
            queues: list(&raw.queues),
            users: list(&raw.users),
            groups: list(&raw.groups),
            divisions: list(&raw.divisions),
            media: raw.media.iter().flatten().copied().collect(),
            kinds: self.kinds(raw.events.as_deref()),
            topics: list(&raw.topics),
            detail_events: raw.detail_events.unwrap_or(false),
            follow_after_end: ms(raw.follow_after_end_ms.unwrap_or(DEFAULT_FOLLOW_AFTER_END_MS)),
            refresh: ms(raw.refresh_ms.unwrap_or(DEFAULT_REFRESH_MS)),
            max_channels: usize::try_from(raw.max_channels.unwrap_or(DEFAULT_MAX_CHANNELS)).unwrap_or(1),
        };
        self.topics(&wishes.topics);
        self.agreement(raw, &wishes);
        wishes
    }

    fn kinds(&mut self, names: Option<&[String]>) -> BTreeSet<Kind> {
        let Some(names) = names else {
            return BTreeSet::from([Kind::Conversations]);
        };
        if names.is_empty() {
            self.add(
                "subscription.events",
                "names nothing",
                "leave it out for conversations, or name what is wanted".to_owned(),
            );
        }
        let mut kinds = BTreeSet::new();
        for (number, name) in names.iter().enumerate() {
            if let Some((_, kind)) = KINDS.iter().find(|(known, _)| known == name) {
                kinds.insert(*kind);
                continue;
            }
            let detail = name.starts_with("detail");
            let known = kind_names();
            let mend = if detail {
                "set subscription.detail_events = true".to_owned()
            } else {
                format!("known are {}", known.join(", "))
            };
            let fault = Fault::new(
                format!("subscription.events[{number}]"),
                format!("{name:?} is nothing that the notifications transport has"),
            );
            let near = if detail { None } else { nearest(name, known) };
            self.faults.push(fault.with_mend(mend).with_nearest(near));
        }
        kinds
    }

    fn topics(&mut self, topics: &[String]) {
        for (number, topic) in topics.iter().enumerate() {
            if let Some((fault, mend)) = topic_fault(topic) {
                self.add(
                    &format!("subscription.topics[{number}]"),
                    fault,
                    mend.map(str::to_owned),
                );
            }
        }
    }

    /// Finds wishes that contradict each other.
    fn agreement(&mut self, raw: &RawSubscription, wishes: &Wishes) {
        let conversations = wishes.kinds.contains(&Kind::Conversations);
        if !wishes.media.is_empty() && !conversations {
            self.add(
                "subscription.media",
                "narrows conversations, and subscription.events names none",
                "add \"conversations\" to subscription.events, or leave media out".to_owned(),
            );
        }
        let shown = wishes.topics.iter().flat_map(|topic| expand(topic));
        let seen = conversations
            || shown
                .into_iter()
                .any(|name| Topic::parse(&name).family == Family::Snapshot);
        if wishes.follows() && !seen {
            let key = if wishes.detail_events {
                "detail_events"
            } else {
                "events"
            };
            self.add(
                &format!("subscription.{key}"),
                "needs conversations to be seen first, and no topic shows any",
                "add \"conversations\" to subscription.events".to_owned(),
            );
        }
        if !wishes.names_entities() && !wishes.topics.is_empty() && raw.events.is_some() {
            self.add(
                "subscription.events",
                "tells of queues and users, and beside subscription.topics none is named",
                "name queues, users, groups or divisions, or leave events out".to_owned(),
            );
        }
        let of_queues = wishes
            .kinds
            .iter()
            .any(|kind| kind.scope() == Scope::Queue && *kind != Kind::Conversations);
        if wishes.names_entities() && of_queues && !wishes.wants_queues() {
            self.add(
                "subscription.events",
                "members, statistics and queue_activity tell of queues, and none is named",
                "name queues or divisions, or leave these out".to_owned(),
            );
        }
    }
}

/// What is wrong with a topic that is to be sent as it stands, and how to mend it.
fn topic_fault(topic: &str) -> Option<(String, Option<&'static str>)> {
    let characters = topic.chars().count();
    if characters > MAX_CHARACTERS {
        let fault = format!("has {characters} characters, at most {MAX_CHARACTERS} are taken");
        return Some((fault, Some("split a combined topic in two")));
    }
    if topic.contains(['*', '{', '}']) {
        let mend = "name each id; there are no wild cards over a channel";
        return Some((format!("{topic:?} names no single entity"), Some(mend)));
    }
    let lower = topic.to_ascii_lowercase();
    if lower.starts_with("v2.system") || lower.starts_with("channel.") {
        return Some((
            format!("{topic:?} arrives without being asked for"),
            Some("leave it out"),
        ));
    }
    let fits = |name: &str| {
        name.split('.').count() > 1
            && name.split('.').all(|part| {
                !part.is_empty()
                    && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '?' || c == '&')
            })
    };
    let unfit = expand(topic).iter().any(|name| !fits(name));
    unfit.then(|| {
        let mend = "write it as v2.users.ID.presence, or combined as v2.users.ID?presence&routingStatus";
        (format!("{topic:?} is not a topic"), Some(mend))
    })
}

#[cfg(test)]
mod tests;
