//! Notification topics: which family, whose id, and the event type that is left once ids are taken out.
//!
//! Responsible for every piece of knowledge that stands in a topic's name. Refuses nothing: an unknown topic is a
//! normal event of family [`Family::Other`]. Invariant: families are matched without regard to case, the event type
//! keeps the spelling of the wire.
//!
//! # Source
//! `notificationMappings.json` of the vendor's SDKs; captured frames for the legacy and misspelt topics.

pub mod combined;

/// What is known of a topic's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `v2.users.{id}.conversations[.<medium>]` and the same by queue: the whole conversation, `id` is its id.
    Snapshot,
    /// `v2.detail.events.conversation.{id}.<kind>`: analytics detail events.
    Detail,
    /// `v2.detail.events.agent.{id}.state`.
    AgentState,
    /// `v2.audits.entitytype.{id}.entityid.{id}`: `id` is the audit's id.
    Audit,
    /// `v2.analytics.conversation.{id}.metrics`: `recordId` is the record's id.
    ConversationMetrics,
    /// `v2.users.{id}.routingStatus`.
    RoutingStatus,
    /// `v2.users.{id}.activity`.
    Activity,
    /// Every other topic, known or not.
    Other,
}

/// A topic taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    text: &'a str,
    /// What is known of its bodies.
    pub family: Family,
    /// The conversation's id, if the topic names one.
    pub conversation_id: Option<&'a str>,
    /// The id of the user, queue or other entity, if the topic names one.
    pub entity_id: Option<&'a str>,
    /// What follows the last id of a known family: `customer.start`, `presence`; empty if nothing does.
    pub kind: &'a str,
    id_segments: [u8; 2],
}

/// No segment: topics have far fewer.
const NONE: u8 = u8::MAX;

const MEDIA: [&str; 11] = [
    "calls",
    "callbacks",
    "chats",
    "cobrowsesessions",
    "emails",
    "internalmessages",
    "messages",
    "screenmonitorings",
    "screenshares",
    "socialexpressions",
    "videos",
];

/// Prefixes of known families: words, the position of the id behind them, whether it is a conversation's.
const PREFIXES: [(&[&str], bool); 14] = [
    (&["v2", "users"], false),
    (&["v2", "routing", "queues"], false),
    (&["v2", "detail", "events", "conversation"], true),
    (&["v2", "detail", "events", "agent"], false),
    (&["v2", "analytics", "conversation"], true),
    (&["v2", "analytics", "queues"], false),
    (&["v2", "analytics", "users"], false),
    (&["v2", "analytics", "flow"], false),
    (&["v2", "analytics", "flowoutcome"], false),
    (&["v2", "analytics", "wrapup"], false),
    (&["v2", "speechandtextanalytics", "conversation"], true),
    (&["v2", "speechandtextanalytics", "conversations"], true),
    (&["v2", "operations", "events"], false),
    (&["v2", "audits", "entitytype"], false),
];

impl<'a> Topic<'a> {
    /// Takes a topic apart.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let mut topic = Self {
            text,
            family: Family::Other,
            conversation_id: None,
            entity_id: None,
            kind: "",
            id_segments: [NONE; 2],
        };
        // Six segments hold every id of every known family; the topic is split once.
        let mut segments = [""; 6];
        let mut behind = [""; 6];
        let mut rest = text;
        for (segment, behind) in segments.iter_mut().zip(&mut behind) {
            let end = dot(rest);
            *segment = rest.get(..end.unwrap_or(rest.len())).unwrap_or("");
            rest = end.and_then(|at| rest.get(at + 1..)).unwrap_or("");
            *behind = rest;
        }
        let segment = |index: u8| {
            segments
                .get(usize::from(index))
                .copied()
                .filter(|id| !id.is_empty())
        };
        let is = |index: u8, word: &str| segment(index).is_some_and(|found| found.eq_ignore_ascii_case(word));
        let is_word = |(index, word): (usize, &&str)| {
            segments
                .get(index)
                .is_some_and(|found| found.eq_ignore_ascii_case(word))
        };
        // From the last word, in which they differ most.
        let known = PREFIXES
            .iter()
            .find(|(words, _)| words.iter().enumerate().rev().all(is_word));
        let (id_at, of_conversation) = match known {
            Some((words, of_conversation)) => (u8::try_from(words.len()).unwrap_or(NONE), *of_conversation),
            None if is(0, "v2") && is(1, "conversations") => (
                if MEDIA.iter().any(|medium| is(2, medium)) {
                    3
                } else {
                    2
                },
                true,
            ),
            None => {
                topic.entity_id = text.split('.').find(|segment| is_uuid(segment));
                return topic;
            }
        };
        let mut last_id = id_at;
        topic.id_segments[0] = id_at;
        if of_conversation {
            topic.conversation_id = segment(id_at);
        } else {
            topic.entity_id = segment(id_at);
        }
        if is(1, "audits") && is(4, "entityid") {
            topic.id_segments[1] = 5;
            topic.entity_id = segment(5);
            last_id = 5;
        }
        topic.kind = behind.get(usize::from(last_id)).copied().unwrap_or("");
        topic.family = topic.known_family(known.map_or(&[], |(words, _)| words));
        topic
    }

    fn known_family(&self, words: &[&str]) -> Family {
        let kind_is = |word: &str| self.kind.eq_ignore_ascii_case(word);
        let snapshot = || {
            let (head, medium) = self.kind.split_once('.').unwrap_or((self.kind, ""));
            head.eq_ignore_ascii_case("conversations")
                && (medium.is_empty() || MEDIA.iter().any(|known| medium.eq_ignore_ascii_case(known)))
        };
        match words {
            ["v2", "users"] | ["v2", "routing", "queues"] if snapshot() => Family::Snapshot,
            ["v2", "users"] if kind_is("routingStatus") => Family::RoutingStatus,
            ["v2", "users"] if kind_is("activity") => Family::Activity,
            ["v2", "detail", "events", "conversation"] => Family::Detail,
            ["v2", "detail", "events", "agent"] => Family::AgentState,
            ["v2", "analytics", "conversation"] if kind_is("metrics") => Family::ConversationMetrics,
            ["v2", "audits", ..] => Family::Audit,
            _ => Family::Other,
        }
    }

    /// Appends the topic with each id replaced by `{id}`.
    ///
    /// Ids are the segments at the known places, whatever looks like a UUID, and placeholders in braces.
    pub fn write_event_type(&self, out: &mut String) {
        for (index, segment) in (0_u8..=NONE).zip(split(self.text)) {
            if index > 0 {
                out.push('.');
            }
            let placeholder = segment.starts_with('{') && segment.ends_with('}');
            if self.id_segments.contains(&index) || placeholder || is_uuid(segment) {
                out.push_str("{id}");
            } else {
                out.push_str(segment);
            }
        }
    }
}

/// Returns the place of the first dot; byte by byte, because segments are short.
#[inline]
fn dot(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte == b'.')
}

/// Returns the segments between dots, as [`str::split`] does.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = dot(text);
        rest = end.and_then(|at| text.get(at + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

fn is_uuid(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::{Family, Topic, split};

    #[test]
    fn segments_are_those_of_the_standard_splitter() {
        for text in ["", ".", "a", "a.b", ".a..b.", "é.ü", "v2.users.x.conversations"] {
            assert!(split(text).eq(text.split('.')), "{text}");
        }
    }

    const UUID: &str = "6cc72a1c-f2c1-44ea-b2c7-06bcb12a2c74";

    #[test]
    fn each_known_family_gives_its_ids_and_its_event_type() {
        use Family::{
            Activity, AgentState, Audit, ConversationMetrics, Detail, Other, RoutingStatus, Snapshot,
        };
        let u = UUID;
        // topic, family, conversation, entity, kind, event type
        type Row<'a> = (
            &'a str,
            Family,
            Option<&'a str>,
            Option<&'a str>,
            &'a str,
            &'a str,
        );
        let media = format!("v2.users.{u}.conversations.calls");
        let detail = format!("v2.detail.events.conversation.{u}.customer.start");
        let legacy = format!("v2.conversations.chats.{u}.messages");
        let unknown = format!("v3.things.{u}.changed");
        let typing = format!("v2.users.{u}.conversations.inbound.typing.event");
        #[rustfmt::skip]
        let table: [Row<'_>; 19] = [
            ("v2.users.u4.conversations", Snapshot, None, Some("u4"), "conversations", "v2.users.{id}.conversations"),
            (&media, Snapshot, None, Some(u), "conversations.calls", "v2.users.{id}.conversations.calls"),
            ("V2.Routing.Queues.q.Conversations.cobrowseSessions", Snapshot, None, Some("q"), "Conversations.cobrowseSessions", "V2.Routing.Queues.{id}.Conversations.cobrowseSessions"),
            ("v2.users.u.coversations", Other, None, Some("u"), "coversations", "v2.users.{id}.coversations"),
            (&typing, Other, None, Some(u), "conversations.inbound.typing.event", "v2.users.{id}.conversations.inbound.typing.event"),
            ("v2.users.{userId}.presence", Other, None, Some("{userId}"), "presence", "v2.users.{id}.presence"),
            ("v2.users.u7.routingStatus", RoutingStatus, None, Some("u7"), "routingStatus", "v2.users.{id}.routingStatus"),
            ("v2.users.u7.activity", Activity, None, Some("u7"), "activity", "v2.users.{id}.activity"),
            (&detail, Detail, Some(u), None, "customer.start", "v2.detail.events.conversation.{id}.customer.start"),
            ("v2.detail.events.agent.a.state", AgentState, None, Some("a"), "state", "v2.detail.events.agent.{id}.state"),
            ("v2.audits.entitytype.User.entityid.e9", Audit, None, Some("e9"), "", "v2.audits.entitytype.{id}.entityid.{id}"),
            ("v2.analytics.conversation.c.metrics", ConversationMetrics, Some("c"), None, "metrics", "v2.analytics.conversation.{id}.metrics"),
            ("v2.analytics.queues.xyz.observations", Other, None, Some("xyz"), "observations", "v2.analytics.queues.{id}.observations"),
            ("v2.conversations.c.transcription", Other, Some("c"), None, "transcription", "v2.conversations.{id}.transcription"),
            (&legacy, Other, Some(u), None, "messages", "v2.conversations.chats.{id}.messages"),
            ("v2.speechandtextanalytics.conversation.c.sentiment", Other, Some("c"), None, "sentiment", "v2.speechandtextanalytics.conversation.{id}.sentiment"),
            ("v2.operations.events.o", Other, None, Some("o"), "", "v2.operations.events.{id}"),
            (&unknown, Other, None, Some(u), "", "v3.things.{id}.changed"),
            ("", Other, None, None, "", ""),
        ];
        for (text, family, conversation_id, entity_id, kind, event_type) in table {
            let topic = Topic::parse(text);
            let mut written = String::new();
            topic.write_event_type(&mut written);
            let found = (
                topic.family,
                topic.conversation_id,
                topic.entity_id,
                topic.kind,
                written.as_str(),
            );
            assert_eq!(
                found,
                (family, conversation_id, entity_id, kind, event_type),
                "{text}"
            );
        }
    }

    #[test]
    fn a_topic_of_very_many_segments_is_no_trouble() {
        let text = "a.".repeat(100_000);
        let mut written = String::new();
        Topic::parse(&text).write_event_type(&mut written);
        assert!(written.len() <= text.len());
    }
}
