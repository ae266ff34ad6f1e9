//! The keys of `subscription` as they are written, of both transports.
//!
//! Refuses nothing but what the schema can tell. Invariant: a key that belongs to one transport has no default in the
//! schema, so that it is seen whether it was set; what holds without it stands in its description.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::wishes::Medium;

/// Most event names in one subscription of the events transport if nothing is said.
///
/// # Source
/// The tutorial.
const DEFAULT_MAX_EVENTS: u64 = 10;

/// Largest payload of such a subscription, in bytes; see [`DEFAULT_MAX_EVENTS`].
const DEFAULT_MAX_BYTES: u64 = 8192;

/// Shortest time between two such subscriptions, in milliseconds; see [`DEFAULT_MAX_EVENTS`].
const DEFAULT_MIN_INTERVAL_MS: u64 = 2000;

#[derive(Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSubscription {
    /// What to receive. Over the events transport: names of events; default: interaction and participant. Over the
    /// notifications transport: conversations (the default), presence, routing_status, activity, station, out_of_office,
    /// conversation_summary, agent_state, agent_statistics, members, statistics, queue_activity, transcription, speech.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Vec<String>>,
    /// Events transport: server-side filters, sent as they stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filters: Option<Map<String, Value>>,
    /// Events transport: most event names in one subscription. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_events: Option<u64>,
    /// Events transport: largest subscription payload, in bytes. Default: 8192.
    #[schemars(range(min = 256, max = 1048576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_bytes: Option<u64>,
    /// Events transport: shortest time between two subscriptions, in milliseconds, also across reconnects. Default: 2000.
    #[schemars(range(min = 0, max = 3600000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_interval_ms: Option<u64>,
    /// Notifications transport: queues by name or id. If nothing at all is named (neither queues, users, groups, divisions
    /// nor topics): every queue that the OAuth client may read.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queues: Option<Vec<String>>,
    /// Notifications transport: users by name or id.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<Vec<String>>,
    /// Notifications transport: groups by name or id; a group stands for the users that are its members.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<Vec<String>>,
    /// Notifications transport: divisions by name or id; a division stands for the queues in it.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) divisions: Option<Vec<String>>,
    /// Notifications transport: media whose conversations are wanted, one topic and one flat body each. Default: all, by
    /// the topic of all media, whose body is nested.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media: Option<Vec<Medium>>,
    /// Notifications transport: topics as they stand, such as v2.operations.events.ID, beside what the other keys name.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topics: Option<Vec<String>>,
    /// Notifications transport: follow each conversation that is seen with its analytics detail events; the first of them,
    /// customer.start, has passed by then. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail_events: Option<bool>,
    /// Notifications transport: how long a conversation is followed after its last participant has left, in milliseconds.
    /// Default: 300000.
    #[schemars(range(min = 0, max = 86400000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) follow_after_end_ms: Option<u64>,
    /// Notifications transport: time after which queues, groups and their members are looked at again, and refused topics asked
    /// for again, in milliseconds. Default: 300000.
    #[schemars(range(min = 100, max = 86400000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_ms: Option<u64>,
    /// Notifications transport: most channels at a time, 1,000 topics each; of the 20 that an OAuth client may have, one is
    /// kept for hand-overs. Default: 19.
    #[schemars(range(min = 1, max = 19))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_channels: Option<u64>,
}

impl RawSubscription {
    /// Names of the events over the events transport.
    pub(super) fn event_names(&self) -> Vec<String> {
        self.events
            .clone()
            .unwrap_or_else(|| vec!["interaction".to_owned(), "participant".to_owned()])
    }

    /// Most event names in one subscription.
    pub(super) fn max_events(&self) -> u64 {
        self.max_events.unwrap_or(DEFAULT_MAX_EVENTS)
    }

    /// Largest subscription payload, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(DEFAULT_MAX_BYTES)
    }

    /// Shortest time between two subscriptions, in milliseconds.
    pub(super) fn min_interval_ms(&self) -> u64 {
        self.min_interval_ms.unwrap_or(DEFAULT_MIN_INTERVAL_MS)
    }

    /// The keys of the events transport that are set.
    pub(super) fn of_events(&self) -> Vec<&'static str> {
        set([
            ("filters", self.filters.is_some()),
            ("max_events", self.max_events.is_some()),
            ("max_bytes", self.max_bytes.is_some()),
            ("min_interval_ms", self.min_interval_ms.is_some()),
        ])
    }

    /// The keys of the notifications transport that are set.
    pub(super) fn of_notifications(&self) -> Vec<&'static str> {
        set([
            ("queues", self.queues.is_some()),
            ("users", self.users.is_some()),
            ("groups", self.groups.is_some()),
            ("divisions", self.divisions.is_some()),
            ("media", self.media.is_some()),
            ("topics", self.topics.is_some()),
            ("detail_events", self.detail_events.is_some()),
            ("follow_after_end_ms", self.follow_after_end_ms.is_some()),
            ("refresh_ms", self.refresh_ms.is_some()),
            ("max_channels", self.max_channels.is_some()),
        ])
    }
}

fn set<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter().filter(|key| key.1).map(|key| key.0).collect()
}
