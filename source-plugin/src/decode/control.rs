//! Frames that are meant for the session, not for the reader of events.
//!
//! Responsible for recognising them and for carrying what the session needs to act. Refuses to take an event for one:
//! on the events transport a frame that names a conversation is never a control frame. Invariant: texts from the wire
//! are escaped and cut before they are stored, so that a session may log them as they are.

use secrecy::SecretString;

use crate::json::{self, Member, Text};
use crate::text;

/// Longest text kept of what the wire says, in characters.
const MAX_TEXT_CHARS: usize = 500;

/// A frame for the session.
#[derive(Clone, Debug)]
pub enum ControlFrame {
    /// `events`: the subscription was accepted.
    Subscribed {
        /// To be presented at the next subscription, if the acknowledgement holds one.
        session_token: Option<SecretString>,
    },
    /// `events`: the subscription was refused, or the stream reports an error.
    SubscriptionRefused {
        /// HTTP-like status; 0 if the frame names none.
        status: u16,
        /// What the platform says, escaped; may be empty.
        message: String,
        /// How long to wait before the next attempt, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// A sign of life.
    Heartbeat,
    /// The answer to a ping.
    Pong,
    /// `notifications`: the socket closes within a minute.
    SocketClosing,
    /// `notifications`: the channel lost its subscriptions, for instance to another socket.
    NoLongerSubscribed,
    /// `notifications`: the token was revoked.
    TokenRevoked,
    /// `notifications`: an answer over the socket that says 404: the service no longer knows the channel.
    ChannelGone,
    /// `notifications`: the answer to a subscribe request over the socket.
    SubscribeReply {
        /// Status as text, `200` for success.
        result: String,
        /// Such as `subscribed` or `error`.
        status: Option<String>,
        /// What the platform says.
        message: Option<String>,
    },
    /// `notifications`: any other frame of the system itself.
    System {
        /// Its topic.
        topic: String,
    },
}

impl ControlFrame {
    /// Returns what it is, in a word or two.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subscribed { .. } => "subscribed",
            Self::SubscriptionRefused { .. } => "subscription refused",
            Self::Heartbeat => "heartbeat",
            Self::Pong => "pong",
            Self::SocketClosing => "socket closing",
            Self::NoLongerSubscribed => "no longer subscribed",
            Self::TokenRevoked => "token revoked",
            Self::ChannelGone => "channel gone",
            Self::SubscribeReply { .. } => "subscribe reply",
            Self::System { .. } => "system",
        }
    }

    /// Recognises a control frame of the events transport.
    pub(crate) fn from_events(members: &[Member<'_>]) -> Option<Self> {
        let word = string(members, "type")?;
        let is = |name: &str| word.text.eq_ignore_ascii_case(name);
        let known = ["subscribed", "subscription", "error", "pong", "heartbeat", "ping"];
        if !known.iter().any(|name| is(name)) || json::find(members, "conversationId").is_some() {
            return None;
        }
        if is("pong") {
            return Some(Self::Pong);
        }
        if is("heartbeat") || is("ping") {
            return Some(Self::Heartbeat);
        }
        let accepted = string(members, "status").is_none_or(|status| {
            ["ok", "success", "subscribed", "accepted", "200"]
                .iter()
                .any(|word| status.text.eq_ignore_ascii_case(word))
        });
        let status = number(members, "status").or_else(|| number(members, "code"));
        if is("subscribed") || (is("subscription") && accepted && status.is_none_or(|status| status < 300.0))
        {
            let token = string(members, "sessionToken").filter(|token| !token.text.is_empty());
            return Some(Self::Subscribed {
                session_token: token.map(|token| SecretString::from(token.text.into_owned())),
            });
        }
        let retry_after_ms = number(members, "retryAfterMs")
            .or_else(|| number(members, "retryAfter").map(|seconds| seconds * 1000.0))
            .filter(|ms| *ms >= 0.0);
        Some(Self::SubscriptionRefused {
            // Casts from f64 saturate; a status that is no status becomes 0 or 65535 and is treated as unknown.
            status: status.unwrap_or(0.0) as u16,
            message: shown(members, "message")
                .or_else(|| shown(members, "error"))
                .unwrap_or_default(),
            retry_after_ms: retry_after_ms.map(|ms| ms as u64),
        })
    }

    /// Recognises a system topic of the notifications transport; `event_body` is a token or empty.
    pub(crate) fn from_topic(topic: &str, event_body: &str) -> Option<Self> {
        let starts = |prefix: &str| {
            topic
                .get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        if starts("channel.") {
            let message = json::member(event_body, "message").and_then(Text::read);
            return Some(match message {
                Some(message) if message.text.eq_ignore_ascii_case("pong") => Self::Pong,
                _ => Self::Heartbeat,
            });
        }
        if !starts("v2.system")
            && !starts("system.")
            && !topic.eq_ignore_ascii_case("v2.subscription.updated")
        {
            return None;
        }
        let names = |word: &str| topic.split('.').any(|segment| segment.eq_ignore_ascii_case(word));
        Some(if names("socket_closing") {
            Self::SocketClosing
        } else if names("no_longer_subscribed") {
            Self::NoLongerSubscribed
        } else if names("token_revoked") {
            Self::TokenRevoked
        } else {
            Self::System {
                topic: text::escape_and_cut(topic, MAX_TEXT_CHARS),
            }
        })
    }

    /// Recognises a frame without a topic that answers a subscribe request.
    pub(crate) fn from_reply(members: &[Member<'_>]) -> Option<Self> {
        let (_, result) = json::find(members, "result")?;
        let result = match Text::read(result) {
            Some(text) => text::escape_and_cut(&text.text, MAX_TEXT_CHARS),
            None if json::is_number(result) => text::escape_and_cut(result, MAX_TEXT_CHARS),
            None => return None,
        };
        if result == "404" {
            return Some(Self::ChannelGone);
        }
        Some(Self::SubscribeReply {
            result,
            status: shown(members, "status"),
            message: shown(members, "message"),
        })
    }
}

fn string<'a>(members: &[Member<'a>], name: &str) -> Option<Text<'a>> {
    json::find(members, name).and_then(|found| Text::read(found.1))
}

/// Reads a number that may be digits in a string.
fn number(members: &[Member<'_>], name: &str) -> Option<f64> {
    let (_, token) = json::find(members, name)?;
    token
        .trim_matches('"')
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
}

fn shown(members: &[Member<'_>], name: &str) -> Option<String> {
    Some(text::escape_and_cut(&string(members, name)?.text, MAX_TEXT_CHARS))
}

#[cfg(test)]
mod tests {
    use super::ControlFrame;
    use crate::decode::{Decoded, Scratch, Transport, decode};
    use secrecy::ExposeSecret as _;

    fn control(transport: Transport, text: &str) -> Option<ControlFrame> {
        match decode(transport, text, &mut Scratch::default()) {
            Ok(Decoded::Control(control)) => Some(control),
            Ok(Decoded::Event(_)) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_acknowledgement_carries_the_session_token_and_hides_it() {
        for text in [
            r#"{"type":"subscribed","sessionToken":"tok-1"}"#,
            r#"{"type":"subscription","status":"ok","sessionToken":"tok-1"}"#,
            r#"{"type":"Subscription","status":200,"sessionToken":"tok-1"}"#,
        ] {
            let frame = control(Transport::Events, text).unwrap();
            assert!(!format!("{frame:?}").contains("tok-1"));
            let ControlFrame::Subscribed {
                session_token: Some(token),
            } = frame
            else {
                panic!("{frame:?}")
            };
            assert_eq!(token.expose_secret(), "tok-1");
        }
        let bare = control(Transport::Events, r#"{"type":"subscribed"}"#);
        assert!(matches!(
            bare,
            Some(ControlFrame::Subscribed { session_token: None })
        ));
    }

    #[test]
    fn a_refusal_carries_status_message_and_wait() {
        for (text, expected) in [
            (
                r#"{"type":"error","status":429,"message":"slow\ndown","retryAfter":2}"#,
                (429, r"slow\u000adown", Some(2000)),
            ),
            (r#"{"type":"error","code":"401","message":"x"}"#, (401, "x", None)),
            (r#"{"type":"subscription","status":"denied"}"#, (0, "", None)),
            (r#"{"type":"subscription","status":403}"#, (403, "", None)),
            (
                r#"{"type":"error","status":-1,"retryAfter":-5,"retryAfterMs":1e300}"#,
                (0, "", Some(u64::MAX)),
            ),
            (r#"{"type":"error","retryAfter":"0.5"}"#, (0, "", Some(500))),
        ] {
            let Some(ControlFrame::SubscriptionRefused {
                status,
                message,
                retry_after_ms,
            }) = control(Transport::Events, text)
            else {
                panic!("{text}")
            };
            assert_eq!((status, message.as_str(), retry_after_ms), expected, "{text}");
        }
    }

    #[test]
    fn an_event_of_a_conversation_is_never_a_control_frame() {
        for word in ["error", "ping", "subscribed"] {
            let text = format!(r#"{{"type":"{word}","conversationId":"c"}}"#);
            assert!(control(Transport::Events, &text).is_none());
        }
    }

    #[test]
    fn system_topics_are_told_apart() {
        for (text, name) in [
            (
                r#"{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}"#,
                "heartbeat",
            ),
            (
                r#"{"topicName":"Channel.Metadata","eventBody":{"message":"pong"}}"#,
                "pong",
            ),
            (r#"{"topicName":"v2.system.socket_closing"}"#, "socket closing"),
            (
                r#"{"topicName":"v2.system.no_longer_subscribed.c1","eventBody":null}"#,
                "no longer subscribed",
            ),
            (
                r#"{"topicName":"system.v2.no_longer_subscribed.c1"}"#,
                "no longer subscribed",
            ),
            (r#"{"topicName":"v2.system.token_revoked.t"}"#, "token revoked"),
            (r#"{"topicName":"v2.subscription.updated"}"#, "system"),
            (r#"{"result":"404"}"#, "channel gone"),
            (
                r#"{"correlationId":"c","result":404,"status":"error"}"#,
                "channel gone",
            ),
            (r#"{"result":"200","status":"subscribed"}"#, "subscribe reply"),
            (
                r#"{"result":400,"status":"error","message":"m"}"#,
                "subscribe reply",
            ),
        ] {
            assert_eq!(
                control(Transport::Notifications, text).unwrap().name(),
                name,
                "{text}"
            );
        }
    }
}
