//! What two deliveries of one event have in common: topic and body.
//!
//! Responsible for reading them out of a frame as it came, through the one decoder. Refuses frames of the protocol
//! itself (heartbeats, answers, notices), which belong to one socket. Invariant: `metadata` and the spelling of the
//! topic do not count, the bytes of the body do, since no two serialisations of one event are known.

use xxhash_rust::xxh3::xxh3_128;

use crate::admission::Frame;
use crate::decode::{self, Decoded, Scratch, Transport};

/// Digests of topic and body; 128 bits each, so that a collision is out of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(super) topic: u128,
    pub(super) body: u128,
}

impl Key {
    /// Reads a frame of the notifications transport; `None` if it is for the session or has nothing in it.
    ///
    /// What cannot be decoded is known by all of its bytes, what was too large to be read by length and digest; both
    /// have the empty topic, as events without one have.
    pub(crate) fn of(frame: &Frame<'_>) -> Option<Self> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(_) => return Some(Self::new("", bytes)),
            },
            Frame::Oversized {
                length_bytes, sha256, ..
            } => {
                let body = [length_bytes.to_le_bytes().as_slice(), sha256.as_slice()].concat();
                return Some(Self::new("", &body));
            }
        };
        let mut scratch = Scratch::default();
        match decode::decode(Transport::Notifications, text, &mut scratch) {
            Ok(Decoded::Event(topic)) => {
                let topic = topic.as_ref().map_or("", |topic| &topic.text);
                Some(Self::new(topic, scratch.event_body().as_bytes()))
            }
            Ok(Decoded::Control(_) | Decoded::Ignored(_)) => None,
            Err(_) => Some(Self::new("", text.as_bytes())),
        }
    }

    pub(super) fn new(topic: &str, body: &[u8]) -> Self {
        Self {
            topic: xxh3_128(topic.to_ascii_lowercase().as_bytes()),
            body: xxh3_128(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Key;
    use crate::admission::Frame;

    const TOPIC: &str = "v2.users.u1.conversations";

    #[test]
    fn topic_in_any_case_and_the_body_as_it_came_make_the_key() {
        let expected = Some(Key::new(TOPIC, b"{ \"id\" : 1.0 }"));
        for text in [
            r#"{"topicName":"v2.users.u1.conversations","version":"2","eventBody":{ "id" : 1.0 },"metadata":{"CorrelationId":"a"}}"#,
            r#"{"metadata":{"CorrelationId":"b"},"eventBody":{ "id" : 1.0 },"topicName":"V2.Users.u1.Conversations"}"#,
            r#" {"eventBody":0,"eventBody":{ "id" : 1.0 },"topicName":"v2.users.\u00751.conversations"}"#,
        ] {
            assert_eq!(Key::of(&Frame::Text(text)), expected, "{text}");
            assert_eq!(Key::of(&Frame::Binary(text.as_bytes())), expected, "{text}");
        }
        for text in [
            r#"{"topicName":"v2.users.u1.conversations","eventBody":{ "id" : 1.00 }}"#,
            r#"{"topicName":"v2.users.u1.conversations","eventBody":{"id":1.0}}"#,
            r#"{"topicName":"v2.users.u2.conversations","eventBody":{ "id" : 1.0 }}"#,
            r#"{"eventBody":{ "id" : 1.0 }}"#,
            r#"{"topicName":"v2.users.u1.conversations"}"#,
        ] {
            let key = Key::of(&Frame::Text(text));
            assert!(key.is_some() && key != expected, "{text}");
        }
    }

    #[test]
    fn a_frame_without_topic_or_body_has_what_is_left_for_a_key() {
        for (text, topic, body) in [
            (r#"{"eventBody":[1]}"#, "", "[1]"),
            (r#"{"topicName":"v2.users.u1.conversations"}"#, TOPIC, ""),
            ("{\"torn", "", "{\"torn"),
            ("[]", "", "[]"),
            (r#"{"a":1}"#, "", r#"{"a":1}"#),
        ] {
            let expected = Some(Key::new(topic, body.as_bytes()));
            assert_eq!(Key::of(&Frame::Text(text)), expected, "{text}");
        }
        assert_eq!(Key::of(&Frame::Binary(b"\xff")), Some(Key::new("", b"\xff")));
    }

    #[test]
    fn frames_above_the_size_limit_are_known_by_length_and_digest() {
        let key = |length_bytes, sha256, head| {
            Key::of(&Frame::Oversized {
                length_bytes,
                sha256,
                head,
            })
        };
        let one = key(9, [1; 32], b"head");
        assert_eq!(one, key(9, [1; 32], b""));
        assert!(one.is_some() && one != key(8, [1; 32], b"head") && one != key(9, [2; 32], b"head"));
    }

    #[test]
    fn frames_of_the_protocol_itself_have_no_key() {
        for text in [
            r#"{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}"#,
            r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#,
            r#"{"topicName":"v2.system.socket_closing","eventBody":{"channelId":"c"}}"#,
            r#"{"topicName":"v2.system.no_longer_subscribed.c"}"#,
            r#"{"result":"200","status":"subscribed"}"#,
            " \n",
        ] {
            assert_eq!(Key::of(&Frame::Text(text)), None, "{text}");
        }
    }
}
