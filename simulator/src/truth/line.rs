//! What a line of ground truth and the counters look like, as tests and files see them.
//!
//! Data only. The invariant: a frame's line has `sent_us`, every other line `at_us`.

use serde::{Deserialize, Serialize};

/// What a line of ground truth is about. Frames first, then what happened to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event was sent as one text message (in one frame, or in fragments: then `detail` says so).
    Event,
    /// An earlier event was sent again.
    Duplicate,
    /// A malformed text frame was sent.
    Malformed,
    /// An event was sent as a binary frame.
    Binary,
    /// A large text frame was sent, or only announced (`detail`).
    Oversized,
    /// A file was sent as a frame; `detail` is its name.
    Replay,
    /// A frame that breaks RFC 6455 was sent; `detail` is the offence.
    Offence,
    /// A notification was sent on a channel's socket; `channel` and `topic` name it.
    Notification,
    /// A heartbeat, a pong, an answer or a system topic was sent on a channel's socket.
    System,
    /// An event happened while nobody was listening, or its frame was not taken whole by the kernel.
    Unsent,
    /// A notification that no open socket was there for: its channel had none (`channel` is set), its socket ended before
    /// the frame was taken, or no channel was subscribed to a topic that once was (no `channel`). `detail` says which.
    Unheard,
    /// A notification channel was created.
    ChannelCreated,
    /// A notification channel ended; `detail` says how.
    ChannelEnded,
    /// A WebSocket was opened.
    Connected,
    /// A subscription was acknowledged.
    Subscribed,
    /// A WebSocket ended; `code` and `detail` say how.
    Closed,
    /// A login, an upgrade or a subscription was refused; `code` is the status, `detail` the place.
    Refused,
}

impl Kind {
    /// Says whether the line stands for a frame on a socket.
    #[must_use]
    pub fn is_frame(self) -> bool {
        !matches!(
            self,
            Self::Unsent
                | Self::Unheard
                | Self::ChannelCreated
                | Self::ChannelEnded
                | Self::Connected
                | Self::Subscribed
                | Self::Closed
                | Self::Refused
        )
    }
}

/// One line of ground truth, as in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthLine {
    /// Number of the line, from 1.
    pub n: u64,
    /// What it is about.
    pub kind: Kind,
    /// The connection, counted from 1; 0 where there was none.
    pub connection: u64,
    /// Frames: wall clock in microseconds when the kernel had taken the frame's last byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_us: Option<u64>,
    /// Other lines: wall clock in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<u64>,
    /// The event's `id`, if it carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's conversation.
    #[serde(default, rename = "conversationId", skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The event's place in its conversation, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u64>,
    /// Payload in bytes (announced bytes where only announced).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Close code or HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The notification channel concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The topic of a notification or system frame, as in the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The raw text, unless left out by option, too large, or not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

/// What a simulator has done so far. `Display`-free on purpose: serialize it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Events that happened: `events_sent + binary + unsent` plus those in a write that is not completed.
    pub produced: u64,
    /// Events sent as text, each counted once.
    pub events_sent: u64,
    /// Events sent as a binary frame.
    pub binary: u64,
    /// Events nobody got.
    pub unsent: u64,
    /// Events sent again.
    pub duplicates: u64,
    /// Malformed frames sent.
    pub malformed: u64,
    /// Oversized frames sent or announced.
    pub oversized: u64,
    /// Frames from files sent.
    pub replayed: u64,
    /// Frames sent that break RFC 6455.
    pub offences: u64,
    /// Frames of all kinds that have a line; control frames and the events socket's answers have none.
    pub frames_sent: u64,
    /// Payload bytes of those frames.
    pub bytes_sent: u64,
    /// Notifications sent on channels; one that two channels get counts twice.
    pub notifications_sent: u64,
    /// Notifications that no open socket was there for, see [`Kind::Unheard`].
    pub unheard: u64,
    /// Heartbeats, pongs, answers and system topics sent on channels.
    pub system_sent: u64,
    /// Notification channels created.
    pub channels_created: u64,
    /// Notification channels that were evicted, have expired or lost their token.
    pub channels_ended: u64,
    /// REST requests, refused ones too; logins and upgrades are counted apart.
    pub requests: u64,
    /// REST requests answered with 429 by the rate limit, not by the script.
    pub throttled: u64,
    /// Most REST requests within any 60 s, refused ones too.
    pub busiest_minute: u64,
    /// REST requests, and upgrades on channels, that came before the `Retry-After` of a 429 to one of their kind had passed.
    pub early: u64,
    /// Updates that have happened in the contact centre.
    pub updates: u64,
    /// Every update that shall happen has happened, and what it had to send is sent or unheard.
    pub updates_done: bool,
    /// Login requests, refused ones too.
    pub logins: u64,
    /// Upgrade requests, refused ones too.
    pub connects: u64,
    /// Subscriptions received, refused ones too.
    pub subscriptions: u64,
    /// Logins, upgrades and subscriptions refused.
    pub refused: u64,
    /// WebSockets that are open.
    pub open: u64,
    /// WebSockets that have ended.
    pub closed: u64,
    /// Pings answered.
    pub pings: u64,
    /// Lines of ground truth.
    pub truth_lines: u64,
    /// Some lines or frames are not in memory, since a bound was reached.
    pub truth_truncated: bool,
    /// Every event that shall happen has happened and is sent or unsent.
    pub done: bool,
}
