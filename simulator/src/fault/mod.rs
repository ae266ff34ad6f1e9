//! The fault script: what goes wrong and when, from text, JSON or code, and which faults are due.
//!
//! Refuses an action at a moment at which it has no meaning (a close at login). The invariant: a fault fires once,
//! except `every` (each n-th event) and the ranges of login, connect and subscribe.
//!
//! Text form, one fault: `TRIGGER ACTION [ARGUMENTS]`, for instance `after=1000 close 1001 going away`.
//! JSON form: `{"when":{"after":1000},"do":{"close":{"code":1001,"reason":"going away"}}}`.
//! `text` reads faults, `script` knows which are due, `channel` those of
//! notification channels, `check` what makes sense.

mod channel;
mod check;
mod script;
mod text;

use serde::{Deserialize, Serialize};

pub(crate) use channel::ChannelScript;
pub(crate) use script::Script;
pub use text::parse_script;

/// One fault: when, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The trigger.
    pub when: Trigger,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Which of a row of logins, connects or subscriptions, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    /// The first one concerned.
    pub first: u64,
    /// The last one concerned; none: only the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

impl Turns {
    /// Only the `turn`-th.
    #[must_use]
    pub fn only(turn: u64) -> Self {
        Self {
            first: turn,
            last: None,
        }
    }

    /// The `turn`-th and all later ones.
    #[must_use]
    pub fn starting_at(turn: u64) -> Self {
        Self {
            first: turn,
            last: Some(u64::MAX),
        }
    }

    fn are_in_order(self) -> bool {
        self.first > 0 && self.last.is_none_or(|last| last >= self.first)
    }

    fn contains(self, turn: u64) -> bool {
        (self.first..=self.last.unwrap_or(self.first)).contains(&turn)
    }
}

/// When a fault fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// At once, or as soon as somebody is subscribed.
    Now,
    /// After so many events have been put on a socket, over all connections.
    After(u64),
    /// At this many milliseconds of the own clock, which starts at the first subscription.
    At(u64),
    /// Each time that many more events have been put on a socket.
    Every(u64),
    /// At these logins.
    Login(Turns),
    /// At these upgrade requests.
    Connect(Turns),
    /// At these subscriptions.
    Subscribe(Turns),
    /// At these REST requests.
    Api(Turns),
    /// At these requests that create a channel.
    Create(Turns),
    /// At these requests that set or add topics.
    Topics(Turns),
    /// On the channel that was created as the `channel`-th, once it has been sent `after` notifications.
    Channel {
        /// Which channel, counted from 1.
        channel: u64,
        /// After so many notifications; 0: at once, or as soon as there is the channel.
        #[serde(default)]
        after: u64,
    },
    /// On each channel, once it has been sent so many notifications.
    EachChannel(u64),
    /// On the channel that is sent the notification of this number, counted over all channels.
    Notified(u64),
}

impl Trigger {
    /// Says whether notification channels are concerned, and not the events socket.
    pub(crate) fn is_of_channels(&self) -> bool {
        matches!(
            self,
            Self::Api(_)
                | Self::Create(_)
                | Self::Topics(_)
                | Self::Channel { .. }
                | Self::EachChannel(_)
                | Self::Notified(_)
        )
    }
}

/// The form of a `Retry-After` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// An HTTP date that many seconds from now.
    DateIn(u64),
}

/// How a malformed frame is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MalformedShape {
    /// JSON that ends in the middle.
    Cut,
    /// JSON whose values have the wrong types.
    Types,
    /// Not JSON at all.
    Text,
}

/// The text of a malformed frame, numbered, so that each can be found again.
pub(crate) fn malformed_text(shape: MalformedShape, n: u64) -> String {
    match shape {
        MalformedShape::Cut => format!(
            r#"{{"id":"malformed-{n}","type":"interaction","conversationId":"cut-{n}","timestamp":"2026-0"#
        ),
        MalformedShape::Types => format!(
            r#"{{"id":{{"malformed":{n}}},"type":["interaction"],"conversationId":{{"n":{n}}},"timestamp":[],"participants":"none","metadata":{n}}}"#
        ),
        MalformedShape::Text => format!("this is no JSON, malformed {n}"),
    }
}

/// An offence against RFC 6455. The client has to fail the connection; no event follows until it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// A masked server frame (5.1).
    Masked,
    /// A ping without FIN (5.4).
    FragmentedControl,
    /// A ping of 126 bytes (5.5).
    LongControl,
    /// A text frame that is not UTF-8 (8.1).
    InvalidUtf8,
    /// A text frame with RSV1 though no extension was agreed (5.2).
    ReservedBits,
    /// A frame with opcode 0x3 (5.2).
    ReservedOpcode,
    /// A continuation frame that continues nothing (5.4).
    LoneContinuation,
    /// A close frame with the code 1005, which must not be sent (7.4.1).
    ForbiddenCloseCode,
    /// A close frame with the code 999, which no range holds (7.4.2).
    CloseCodeOutOfRange,
    /// A close frame whose payload is half a code (5.5.1).
    HalfCloseCode,
    /// A close frame whose reason is not UTF-8 (5.5.1).
    CloseReasonNotUtf8,
    /// A control frame with opcode 0xB (5.2).
    ReservedControlOpcode,
    /// A text frame between the fragments of another message (5.4).
    InterleavedMessage,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends a close frame, then ends the connection.
    Close {
        /// The close code.
        code: u16,
        /// The reason.
        #[serde(default)]
        reason: String,
    },
    /// Ends the connection with FIN and without a close frame.
    Drop,
    /// Ends the connection with RST; what lies unread on either side is lost.
    Reset,
    /// Sends nothing, answers no ping, still reads. Events that fall due meanwhile are sent afterwards, or are unsent
    /// once another connection has subscribed.
    Silence {
        /// For so many milliseconds.
        ms: u64,
    },
    /// Neither reads nor writes.
    Stall {
        /// For so many milliseconds; none: until the simulator stops.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Sends an earlier event again.
    Duplicate {
        /// Which one: 1 is the last event sent.
        back: u64,
    },
    /// Sends a malformed frame.
    Malformed {
        /// How it is malformed.
        shape: MalformedShape,
    },
    /// Sends the next event as a binary frame.
    Binary,
    /// Sends the next event in fragments.
    Fragmented {
        /// In so many.
        parts: usize,
    },
    /// Sends a large text frame.
    Oversized {
        /// Its payload.
        bytes: u64,
        /// Sends only the frame's header, and nothing after it.
        #[serde(default)]
        announced: bool,
    },
    /// Breaks RFC 6455.
    Offence(Offence),
    /// On a socket: begins a text frame of 1 MiB and sends a byte of it at a time, answering nothing. At login or
    /// connect: sends the answer a byte at a time. No message of it is ever complete, so it leaves no line of truth.
    Trickle {
        /// Milliseconds between two bytes.
        ms: u64,
    },
    /// Sends a text message in fragments of one byte each, without end, and answers pings between them. Leaves no line
    /// of truth either.
    Unfinished {
        /// Milliseconds between two fragments.
        ms: u64,
    },
    /// At connect: answers the upgrade with an extension that the client did not ask for.
    Extension,
    /// Sends every file of the replay folder.
    Replay,
    /// At login or connect: answers with this status. At a subscription: an error frame with it.
    Refuse {
        /// HTTP status, 400 to 599.
        status: u16,
        /// With a `Retry-After`.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// At login: 400 with "rate limit exceeded; …", as Genesys throttles.
    RateLimited,
    /// At login: 200 without a token.
    NoToken,
    /// Answers only after a while.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Never answers.
    Hang,
    /// On a channel: neither heartbeats nor pongs, while notifications go on.
    Freeze {
        /// For so many milliseconds; none: for good.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// On a channel: sends the next two notifications in reverse order; the first waits for the second.
    Swap,
    /// On a channel: `v2.system.socket_closing`, then a close (1001). The channel lives on.
    Closing {
        /// Milliseconds between the two; none: as the options have it.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Ends a channel as another one of the same client would: `no_longer_subscribed`, close, 404.
    Steal,
    /// Ends a channel as the end of its life does: close, 404.
    Expire,
    /// Revokes the token that created the channel: `token_revoked` on all its channels, close, 404; the token is refused.
    Revoke,
    /// At a request for topics: rejects one.
    Reject {
        /// The topic as asked for, or one that a combined topic stands for.
        topic: String,
    },
    /// At a request for topics: sends again, over the new subscription, its last notifications from before it.
    Echo {
        /// At most so many.
        count: u64,
    },
}
