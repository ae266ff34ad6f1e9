//! Topics: which there are, what permission each needs, and what a combined one stands for.
//!
//! Refuses topics that no family knows, wild cards, and empty parts. The invariant: a combined topic
//! (`v2.users.ID?presence&routingStatus`) stands for exactly the names that frames carry (`v2.users.ID.presence`, …).
//! The permission of a family is an assumption, since the platform tells it only to a role that asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

/// Media as the topics spell them.
const MEDIA: [&str; 9] = [
    "calls",
    "callbacks",
    "chats",
    "emails",
    "messages",
    "cobrowseSessions",
    "screenshares",
    "videos",
    "socialexpressions",
];

/// Families with one id each at `{id}`, and the permission of each; empty: none.
const FAMILIES: [(&str, &str); 46] = [
    ("v2.users.{id}.conversations", CONVERSATIONS),
    ("v2.routing.queues.{id}.conversations", CONVERSATIONS),
    ("v2.routing.queues.{id}.users", "routing:queueMember:view"),
    ("v2.users.{id}.conversationsummary", CONVERSATIONS),
    ("v2.users.{id}.conversations.inbound.typing.event", CONVERSATIONS),
    ("v2.users.{id}.conversations.summaries", CONVERSATIONS),
    ("v2.users.{id}.presence", ""),
    ("v2.users.{id}.routingStatus", ""),
    ("v2.users.{id}.activity", ""),
    ("v2.users.{id}.station", ""),
    ("v2.users.{id}.outofoffice", ""),
    ("v2.users.{id}.alertingleader", ""),
    ("v2.users.{id}.tokens", "oauth:token:view"),
    ("v2.detail.events.conversation.{id}.customer.start", DETAILS),
    ("v2.detail.events.conversation.{id}.customer.end", DETAILS),
    ("v2.detail.events.conversation.{id}.user.start", DETAILS),
    ("v2.detail.events.conversation.{id}.user.end", DETAILS),
    ("v2.detail.events.conversation.{id}.acd.start", DETAILS),
    ("v2.detail.events.conversation.{id}.acd.end", DETAILS),
    ("v2.detail.events.conversation.{id}.flow.start", DETAILS),
    ("v2.detail.events.conversation.{id}.flow.end", DETAILS),
    ("v2.detail.events.conversation.{id}.flow.outcome", DETAILS),
    ("v2.detail.events.conversation.{id}.voicemail.start", DETAILS),
    ("v2.detail.events.conversation.{id}.voicemail.end", DETAILS),
    ("v2.detail.events.conversation.{id}.acw", DETAILS),
    ("v2.detail.events.conversation.{id}.wrapup", DETAILS),
    ("v2.detail.events.conversation.{id}.attributes", DETAILS),
    ("v2.detail.events.conversation.{id}.contact", DETAILS),
    ("v2.detail.events.conversation.{id}.outbound", DETAILS),
    ("v2.detail.events.agent.{id}.state", "analytics:agentState:view"),
    (
        "v2.conversations.{id}.transcription",
        "conversation:transcription:view",
    ),
    ("v2.conversations.{id}.agentchecklist", CONVERSATIONS),
    ("v2.speechandtextanalytics.conversation.{id}.sentiment", SPEECH),
    ("v2.speechandtextanalytics.conversation.{id}.empathy", SPEECH),
    ("v2.speechandtextanalytics.conversation.{id}.topics", SPEECH),
    ("v2.speechandtextanalytics.conversations.{id}.categories", SPEECH),
    (
        "v2.analytics.queues.{id}.observations",
        "analytics:queueObservation:view",
    ),
    (
        "v2.analytics.queues.{id}.activity",
        "analytics:queueObservation:view",
    ),
    (
        "v2.analytics.users.{id}.aggregates",
        "analytics:userAggregate:view",
    ),
    (
        "v2.analytics.flow.{id}.aggregates",
        "analytics:flowAggregate:view",
    ),
    ("v2.analytics.flow.{id}.metrics", "analytics:flowAggregate:view"),
    (
        "v2.analytics.flowoutcome.{id}.aggregates",
        "analytics:flowAggregate:view",
    ),
    (
        "v2.analytics.wrapup.{id}.aggregates",
        "analytics:conversationAggregate:view",
    ),
    ("v2.analytics.conversation.{id}.metrics", DETAILS),
    ("v2.operations.events.{id}", "operations:event:view"),
    ("v2.audits.entitytype.{id}.entityid.{id}", "audits:audit:view"),
];

const CONVERSATIONS: &str = "conversation:communication:view";
const DETAILS: &str = "analytics:conversationDetail:view";
const SPEECH: &str = "speechAndTextAnalytics:data:view";

fn fits(pattern: &str, topic: &str) -> bool {
    let mut given = topic.split('.');
    let fits = pattern.split('.').all(|part| match (part, given.next()) {
        ("{id}", Some(id)) => !id.is_empty() && !id.contains(['*', '{', '}', '?', '&']),
        (part, Some(word)) => part.eq_ignore_ascii_case(word),
        (_, None) => false,
    });
    fits && given.next().is_none()
}

/// The permission that a single topic needs, empty for none; nothing if no family knows the topic.
pub(super) fn permission_of(topic: &str) -> Option<&'static str> {
    let found = FAMILIES.iter().find(|(pattern, _)| fits(pattern, topic));
    found.map(|(_, permission)| *permission).or_else(|| {
        // the families of one medium each
        let (all, medium) = topic.rsplit_once('.')?;
        let known = MEDIA.iter().any(|known| known.eq_ignore_ascii_case(medium));
        let family = known && FAMILIES[..2].iter().any(|(pattern, _)| fits(pattern, all));
        family.then_some(CONVERSATIONS)
    })
}

/// The names that a topic stands for: itself, or each suffix of a combined one.
pub(super) fn expand(topic: &str) -> Vec<Arc<str>> {
    match topic.split_once('?') {
        None => vec![Arc::from(topic)],
        Some((prefix, suffixes)) => suffixes
            .split('&')
            .map(|suffix| Arc::from(format!("{prefix}.{suffix}")))
            .collect(),
    }
}

/// What became of a topic that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) id: String,
    /// Why it is rejected, if it is.
    pub(super) rejection: Option<String>,
    /// The permission that is missing, where that is why.
    pub(super) missing: Option<&'static str>,
}

impl Verdict {
    fn permitted(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            rejection: None,
            missing: None,
        }
    }

    fn rejected(id: &str, reason: impl Into<String>, missing: Option<&'static str>) -> Self {
        Self {
            id: id.to_owned(),
            rejection: Some(reason.into()),
            missing,
        }
    }

    /// The `ChannelTopic` of a listing.
    pub(super) fn to_json(&self) -> Value {
        let mut entity = json!({
            "id": self.id,
            "state": if self.rejection.is_none() { "Permitted" } else { "Rejected" },
            "selfUri": format!("/api/v2/notifications/availabletopics/{}", self.id),
        });
        if let Some(reason) = &self.rejection {
            entity["rejectionReason"] = reason.as_str().into();
            entity["missingPermissions"] = self.missing.into_iter().collect();
        }
        entity
    }
}

/// What a role may not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role<'a> {
    pub(super) missing_permissions: &'a [String],
    pub(super) forbidden_topics: &'a [String],
    /// Rejected by the script.
    pub(super) rejected: &'a [String],
    pub(super) characters: usize,
}

impl Role<'_> {
    /// Judges a topic as asked for: the names that it may have, and a verdict on it. Where parts of a combined topic are
    /// forbidden, it is permitted and each such part is rejected by its own name.
    pub(super) fn judge(self, topic: &str) -> (Vec<Arc<str>>, Vec<Verdict>) {
        if topic.chars().count() > self.characters {
            let reason = format!("topic is longer than {} characters", self.characters);
            return (Vec::new(), vec![Verdict::rejected(topic, reason, None)]);
        }
        let names = expand(topic);
        let combined = names.len() > 1 || topic.contains('?');
        let (mut allowed, mut verdicts) = (Vec::new(), Vec::new());
        for name in names {
            match self.judge_single(topic, &name) {
                Ok(()) => allowed.push(name),
                Err((reason, missing)) => verdicts.push(Verdict::rejected(&name, reason, missing)),
            }
        }
        match (combined, allowed.is_empty()) {
            (false, true) => {}
            (true, true) => {
                let missing = verdicts.iter().find_map(|verdict| verdict.missing);
                verdicts = vec![Verdict::rejected(
                    topic,
                    "no part of the topic is permitted",
                    missing,
                )];
            }
            _ => verdicts.insert(0, Verdict::permitted(topic)),
        }
        (allowed, verdicts)
    }

    fn judge_single(self, topic: &str, name: &str) -> Result<(), (String, Option<&'static str>)> {
        let Some(permission) = permission_of(name) else {
            return Err(("topic is not known".to_owned(), None));
        };
        if self
            .missing_permissions
            .iter()
            .any(|missing| missing == permission)
        {
            return Err((format!("missing the permission {permission}"), Some(permission)));
        }
        let listed = |list: &[String]| list.iter().any(|listed| listed == name || listed == topic);
        if listed(self.forbidden_topics) || listed(self.rejected) {
            let permission = Some(permission).filter(|permission| !permission.is_empty());
            return Err(("not authorized for this entity".to_owned(), permission));
        }
        Ok(())
    }
}

/// Every permission that a topic needs, each once.
pub(super) fn permissions() -> BTreeSet<&'static str> {
    let permissions = FAMILIES.iter().map(|(_, permission)| *permission);
    permissions.filter(|permission| !permission.is_empty()).collect()
}

/// The entities of `availabletopics`.
pub(super) fn available() -> Vec<Value> {
    let media = FAMILIES[..2].iter().flat_map(|(pattern, permission)| {
        MEDIA
            .iter()
            .map(move |medium| (format!("{pattern}.{medium}"), *permission))
    });
    let families = FAMILIES
        .iter()
        .map(|(pattern, permission)| ((*pattern).to_owned(), *permission));
    families
        .chain(media)
        .map(|(id, permission)| {
            let needed: Vec<&str> = Some(permission).into_iter().filter(|needed| !needed.is_empty()).collect();
            let details: Vec<Value> = needed
                .iter()
                .map(|needed| json!({ "type": "requiresPermissions", "permissions": [needed], "allowsCurrentUser": false }))
                .collect();
            json!({
                "id": id, "description": format!("Simulated topic {id}"), "visibility": "Public", "enforced": true,
                "requiresPermissions": needed, "permissionDetails": details,
                "requiresDivisionPermissions": false, "transports": ["All"],
                "topicParameters": ["id"], "publicApiTemplateUriPaths": [], "schema": { "type": "object" },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role<'a>(missing: &'a [String], forbidden: &'a [String]) -> Role<'a> {
        Role {
            missing_permissions: missing,
            forbidden_topics: forbidden,
            rejected: &[],
            characters: 200,
        }
    }

    fn states(verdicts: &[Verdict]) -> Vec<(&str, bool)> {
        verdicts
            .iter()
            .map(|verdict| (verdict.id.as_str(), verdict.rejection.is_none()))
            .collect()
    }

    #[test]
    fn families_are_known_and_nothing_else() {
        for topic in [
            "v2.users.a.presence",
            "v2.users.a.routingstatus",
            "v2.routing.queues.q.conversations.calls",
        ] {
            assert!(permission_of(topic).is_some(), "{topic}");
        }
        for topic in [
            "v2.users.*.presence",
            "v2.users..presence",
            "v2.users.a",
            "v2.users.a.presence.x",
            "channel.metadata",
            "v2.users.{id}.presence",
            "v2.users.a.conversations.faxes",
        ] {
            assert_eq!(permission_of(topic), None, "{topic}");
        }
    }

    #[test]
    fn a_combined_topic_stands_for_its_parts_and_a_forbidden_part_is_named() {
        let forbidden = ["v2.users.a.presence".to_owned()];
        let (names, verdicts) =
            role(&[], &forbidden).judge("v2.users.a?presence&routingStatus&conversations.calls");
        assert_eq!(
            names,
            [
                Arc::from("v2.users.a.routingStatus"),
                Arc::from("v2.users.a.conversations.calls")
            ]
        );
        assert_eq!(
            states(&verdicts),
            [
                ("v2.users.a?presence&routingStatus&conversations.calls", true),
                ("v2.users.a.presence", false)
            ]
        );
        let (names, verdicts) = role(&[], &forbidden).judge("v2.users.a?presence");
        assert_eq!(
            (names.len(), states(&verdicts)),
            (0, vec![("v2.users.a?presence", false)])
        );
    }

    #[test]
    fn a_missing_permission_is_told_and_a_long_topic_refused() {
        let missing = [CONVERSATIONS.to_owned()];
        let (_, verdicts) = role(&missing, &[]).judge("v2.users.a.conversations");
        assert_eq!(
            verdicts[0].to_json(),
            json!({
                "id": "v2.users.a.conversations", "state": "Rejected",
                "rejectionReason": "missing the permission conversation:communication:view",
                "missingPermissions": ["conversation:communication:view"],
                "selfUri": "/api/v2/notifications/availabletopics/v2.users.a.conversations",
            })
        );
        let fits = format!("v2.users.{}.presence", "x".repeat(200 - 18));
        assert_eq!((fits.len(), role(&[], &[]).judge(&fits).0.len()), (200, 1));
        assert_eq!(role(&[], &[]).judge(&format!("{fits}x")).0.len(), 0);
    }
}
