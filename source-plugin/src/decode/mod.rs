//! From frame text to what it is: an event, a frame for the session, or nothing.
//!
//! Responsible for validating a frame and for telling events from control frames, for both transports. Refuses, with
//! stage and reason, what no strict JSON parser would read back. Invariant: text that leaves here as an event is valid
//! JSON, at most [`MAX_DEPTH`] deep, without lone surrogates and without numbers beyond a double.

mod control;
mod guard;

use std::borrow::Cow;

pub use control::ControlFrame;
pub use guard::{LONE_SURROGATE, MAX_DEPTH, NUMBER_OUT_OF_RANGE, TOO_DEEP};

use crate::json::{self, Member, Text};
use crate::topic::{Family, Topic};

/// Which protocol a frame came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The tutorial's analytics event stream: the frame is the event.
    Events,
    /// The vendor's notification channels: the event is in an envelope.
    Notifications,
}

impl Transport {
    /// Returns the name used in config and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Notifications => "notifications",
        }
    }
}

/// Where a frame failed.
///
/// # Source
/// Stage words of Kafka Connect's dead-letter headers, as the Kafka reference lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is no JSON, or JSON that must not be passed on.
    Decode,
    /// It is JSON, but not of the shape of an event, or it has no usable identity.
    Validate,
}

impl Stage {
    /// Returns the word used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "DECODE",
            Self::Validate => "VALIDATE",
        }
    }
}

/// Why a frame is no usable event; never retryable, the same frame fails again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .stage.name())]
pub struct Fault {
    /// Where it failed.
    pub stage: Stage,
    /// What is wrong with it; free of control characters and of payload.
    pub reason: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn decode(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            stage: Stage::Decode,
            reason: reason.into(),
        }
    }

    pub(crate) fn validate(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            stage: Stage::Validate,
            reason: reason.into(),
        }
    }
}

/// Reason of [`Decoded::Ignored`] for a frame of white space.
pub(crate) const EMPTY_FRAME: &str = "empty frame";

/// Member of a notification that holds the event.
const EVENT_BODY: &str = "eventBody";

/// Vectors that keep their memory from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Scratch<'a> {
    /// Members of the envelope; empty for the events transport.
    pub(crate) envelope: Vec<Member<'a>>,
    /// Members of the event itself.
    pub(crate) body: Vec<Member<'a>>,
    /// Set unless the frame is known to be one line, so that its tokens are.
    pub(crate) may_hold_line_ends: bool,
    order: Vec<u32>,
}

impl<'a> Scratch<'a> {
    /// Returns the event's token as it stood in the frame; empty if there is none.
    pub(crate) fn event_body(&self) -> &'a str {
        // The last of several wins; the one that became members is marked like those that were replaced.
        let found = self.envelope.iter().rfind(|member| member.key == EVENT_BODY);
        found.map_or("", |member| member.token)
    }
}

impl Scratch<'_> {
    /// More members than this, and the memory is given back: one monstrous frame must not cost for ever.
    const KEPT_MEMBERS: usize = 1024;

    /// Empties the vectors and frees them of the frame's lifetime; their memory stays.
    pub(crate) fn recycle(self) -> Scratch<'static> {
        // Collecting an emptied vector in place keeps its allocation.
        #[expect(
            clippy::unnecessary_filter_map,
            reason = "`filter` could not change the lifetime"
        )]
        fn emptied(mut members: Vec<Member<'_>>) -> Vec<Member<'static>> {
            members.clear();
            members.shrink_to(Scratch::KEPT_MEMBERS);
            members.into_iter().filter_map(|_| None).collect()
        }
        let mut order = self.order;
        order.clear();
        order.shrink_to(Self::KEPT_MEMBERS);
        Scratch {
            envelope: emptied(self.envelope),
            body: emptied(self.body),
            may_hold_line_ends: true,
            order,
        }
    }
}

/// What a frame is.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    /// An event; its members stand in the scratch. The topic is `None` for the events transport.
    Event(Option<Text<'a>>),
    /// A frame for the session.
    Control(ControlFrame),
    /// Nothing, and why.
    Ignored(&'static str),
}

/// Decodes the text of one frame into `scratch`, which must be empty.
pub(crate) fn decode<'a>(
    transport: Transport,
    text: &'a str,
    scratch: &mut Scratch<'a>,
) -> Result<Decoded<'a>, Fault> {
    if text.trim_ascii().is_empty() {
        return Ok(Decoded::Ignored(EMPTY_FRAME));
    }
    let (envelope, body) = (&mut scratch.envelope, &mut scratch.body);
    let scanned = match transport {
        Transport::Events => json::scan(text, body, None),
        Transport::Notifications => json::scan(text, envelope, Some((EVENT_BODY, body))),
    };
    match scanned {
        Some(scanned) => scratch.may_hold_line_ends = scanned.has_line_ends,
        None => read_exactly(transport, text, scratch)?,
    }
    match transport {
        Transport::Events => {
            json::mark_replaced(&mut scratch.body, &mut scratch.order);
            Ok(match ControlFrame::from_events(&scratch.body) {
                Some(control) => Decoded::Control(control),
                None => Decoded::Event(None),
            })
        }
        Transport::Notifications => {
            json::mark_replaced(&mut scratch.envelope, &mut scratch.order);
            decode_notification(scratch)
        }
    }
}

/// Reads what the quick pass was not sure of: accepts it after all, or tells what is wrong.
#[cold]
fn read_exactly<'a>(transport: Transport, text: &'a str, scratch: &mut Scratch<'a>) -> Result<(), Fault> {
    scratch.envelope.clear();
    scratch.body.clear();
    scratch.may_hold_line_ends = true;
    guard::check_depth(text).map_err(Fault::decode)?;
    let members = match transport {
        Transport::Events => &mut scratch.body,
        Transport::Notifications => &mut scratch.envelope,
    };
    json::read_members(text, members).map_err(|error| not_an_object(text, &error))?;
    guard::check_values(text).map_err(Fault::decode)?;
    if let Some(event_body) = members.iter().rfind(|member| member.key == EVENT_BODY)
        && transport == Transport::Notifications
    {
        json::split_members(event_body.token, &mut scratch.body);
    }
    Ok(())
}

fn not_an_object(text: &str, error: &serde_json::Error) -> Fault {
    // A data error quotes the value it met, which is payload; a syntax error gives the place only.
    if error.is_data() || !json::is_object(text.trim_ascii_start()) {
        return match serde_json::from_str::<&serde_json::value::RawValue>(text) {
            Ok(_) => Fault::validate("not a JSON object"),
            Err(error) => Fault::decode(format!("not JSON: {error}")),
        };
    }
    Fault::decode(format!("not JSON: {error}"))
}

fn decode_notification<'a>(scratch: &mut Scratch<'a>) -> Result<Decoded<'a>, Fault> {
    let event_body = json::find(&scratch.envelope, EVENT_BODY);
    let topic = json::find(&scratch.envelope, "topicName").and_then(|found| Text::read_non_empty(found.1));
    let control = match &topic {
        Some(topic) => ControlFrame::from_topic(&topic.text, event_body.map_or("", |found| found.1)),
        None => ControlFrame::from_reply(&scratch.envelope),
    };
    if let Some(control) = control {
        return Ok(Decoded::Control(control));
    }
    if topic.is_none() && event_body.is_none() {
        return Err(Fault::validate("neither topicName nor eventBody"));
    }
    if let Some((at, token)) = event_body
        && json::is_object(token)
    {
        scratch.envelope[at].skip = true;
        json::mark_replaced(&mut scratch.body, &mut scratch.order);
    }
    Ok(Decoded::Event(topic))
}

/// What can be told of a frame that failed.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Its conversation.
    pub(crate) conversation_id: Option<String>,
    /// Its topic.
    pub(crate) topic: Option<String>,
}

/// Reads what a failed frame still tells; for the dead letter's key. Not on the hot path.
pub(crate) fn hints(transport: Transport, text: &str) -> Hints {
    let mut members = Vec::new();
    if json::read_members(text, &mut members).is_err() {
        return Hints::default();
    }
    json::mark_replaced(&mut members, &mut Vec::new());
    let string = |members: &[Member<'_>], name: &str| {
        let text = json::find(members, name).and_then(|found| Text::read_non_empty(found.1))?;
        Some(text.text.into_owned())
    };
    if transport == Transport::Events {
        return Hints {
            conversation_id: string(&members, "conversationId"),
            topic: None,
        };
    }
    let topic = string(&members, "topicName");
    let parsed = topic.as_deref().map(Topic::parse);
    let mut body = Vec::new();
    if let Some((_, token)) = json::find(&members, "eventBody") {
        json::split_members(token, &mut body);
        json::mark_replaced(&mut body, &mut Vec::new());
    }
    let snapshot = parsed.is_some_and(|topic| topic.family == Family::Snapshot);
    let conversation_id = if snapshot {
        string(&body, "id")
    } else {
        string(&body, "conversationId")
    }
    .or_else(|| parsed.and_then(|topic| topic.conversation_id).map(str::to_owned));
    Hints {
        conversation_id,
        topic,
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoded, Scratch, Stage, Transport, decode};

    #[test]
    fn what_is_not_an_object_says_so_without_quoting_payload() {
        for (text, stage, reason) in [
            ("\"secret\"", Stage::Validate, "not a JSON object"),
            ("[1]", Stage::Validate, "not a JSON object"),
            ("42", Stage::Validate, "not a JSON object"),
            ("null", Stage::Validate, "not a JSON object"),
            (
                "{\"a\":1",
                Stage::Decode,
                "not JSON: EOF while parsing an object at line 1 column 6",
            ),
            (
                "{} secret",
                Stage::Decode,
                "not JSON: trailing characters at line 1 column 4",
            ),
            (
                "secret",
                Stage::Decode,
                "not JSON: expected value at line 1 column 1",
            ),
        ] {
            let fault = decode(Transport::Events, text, &mut Scratch::default()).unwrap_err();
            assert_eq!((fault.stage, fault.reason.as_ref()), (stage, reason), "{text}");
        }
    }

    #[test]
    fn scratch_memory_is_kept_between_frames_but_not_beyond_its_bound() {
        let mut scratch = Scratch::default();
        let wide = format!("{{\"a\":0{}}}", ",\"b\":1".repeat(100));
        assert!(matches!(
            decode(Transport::Events, &wide, &mut scratch),
            Ok(Decoded::Event(None))
        ));
        let scratch = scratch.recycle();
        assert!(scratch.body.is_empty() && scratch.body.capacity() >= 101);
        let mut scratch: Scratch<'_> = scratch;
        let monster = format!("{{\"a\":0{}}}", ",\"b\":1".repeat(100_000));
        assert!(decode(Transport::Events, &monster, &mut scratch).is_ok());
        assert!(scratch.recycle().body.capacity() <= Scratch::KEPT_MEMBERS);
    }
}
