//! `payload.participants` of the notifications transport: one shape for both layouts of a snapshot.
//!
//! Responsible for the list: one entry for each participant and communication, in order; a participant without
//! communications is one entry with its own fields. Refuses to guess: what is not said is null. Invariant: the list
//! takes at most [`PER_RAW_BYTE`] bytes for each byte of the raw one and [`FIXED_BYTES`] more; entries beyond are
//! counted, and the raw list stands in `payload.extra`.
//!
//! # Source
//! Fields of participants and communications in both layouts as the vendor's SDKs have them; `ani` in place of
//! `address` as captured in 2022. Names of media are those of `mediaType` in detail events.

pub(super) mod history;

use std::ops::ControlFlow;

use super::legs::{self, COMMUNICATIONS};
use crate::json;
use crate::timestamp;

/// Bytes of the list for each byte of the raw one.
///
/// # Source
/// An entry repeats its participant's texts for each communication, so the list could be as long as the square of the
/// frame. A real participant has more bytes than its entry; twice that leaves room for several communications.
const PER_RAW_BYTE: usize = 2;

/// Bytes of the list whatever the raw one has: room for some hundred participants of which nothing is known.
const FIXED_BYTES: usize = 16 << 10;

/// Media by their names in the normalized event, those of the arrays of communications, in the order of [`COMMUNICATIONS`].
const MEDIA: [&str; COMMUNICATIONS.len()] = [
    "voice",
    "callback",
    "chat",
    "cobrowse",
    "email",
    "internalmessage",
    "message",
    "screenmonitoring",
    "screenshare",
    "socialexpression",
    "video",
];

/// Returns the medium that the end of a topic names, in any case.
pub(crate) fn topic_medium(name: &str) -> Option<&'static str> {
    let place = COMMUNICATIONS
        .iter()
        .position(|array| array.eq_ignore_ascii_case(name));
    MEDIA.get(place?).copied()
}

/// The list in the making.
struct List<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    most_bytes: usize,
    entries: usize,
    omitted: usize,
}

/// What differs between the communications of a participant; tokens.
#[derive(Clone, Copy, Default)]
struct Leg<'a> {
    state: Option<&'a str>,
    direction: Option<&'a str>,
    connected: Option<&'a str>,
    ended: Option<&'a str>,
}

/// A participant's own fields; tokens.
#[derive(Default)]
struct Participant<'a> {
    id: Option<&'a str>,
    purpose: Option<&'a str>,
    user_id: Option<&'a str>,
    queue_id: Option<&'a str>,
    name: Option<&'a str>,
    address: Option<&'a str>,
    leg: Leg<'a>,
    communications: usize,
}

/// Writes the list of an array of participants; returns how many entries did not fit.
///
/// `topic_medium`: medium of a topic of one medium, whose participants have the communication's fields themselves.
pub(super) fn write(out: &mut Vec<u8>, participants: &str, topic_medium: Option<&str>) -> usize {
    List::write(out, participants, |list, token| {
        list.add_participant(token, topic_medium)
    })
}

impl List<'_> {
    /// Writes a list with what `add` makes of each participant; returns how many entries did not fit.
    fn write(out: &mut Vec<u8>, participants: &str, mut add: impl FnMut(&mut List<'_>, &str)) -> usize {
        let mut list = List {
            start: out.len(),
            most_bytes: PER_RAW_BYTE * participants.len() + FIXED_BYTES,
            entries: 0,
            omitted: 0,
            out,
        };
        list.out.push(b'[');
        json::for_each_element(participants, |token| {
            if json::is_object(token) {
                add(&mut list, token);
            }
            ControlFlow::Continue(())
        });
        list.out.push(b']');
        list.omitted
    }

    fn add_participant(&mut self, token: &str, topic_medium: Option<&str>) {
        let participant = Participant::read(token);
        if participant.communications == 0 {
            self.add(&participant, participant.leg, topic_medium);
            return;
        }
        json::for_each_member(token, |key, array| {
            if let Some(medium) = array_medium(&key, array) {
                json::for_each_element(array, |communication| {
                    if is_communication(communication) {
                        let leg = Leg::of_communication(communication);
                        // With several, the participant's own times and state are not those of each.
                        let leg = if participant.communications == 1 {
                            leg.or(participant.leg)
                        } else {
                            leg
                        };
                        self.add(&participant, leg, Some(medium));
                    }
                    ControlFlow::Continue(())
                });
            }
            ControlFlow::Continue(())
        });
    }

    fn add(&mut self, participant: &Participant<'_>, leg: Leg<'_>, medium: Option<&str>) {
        if self.omitted > 0 {
            self.omitted += 1;
            return;
        }
        let before = self.out.len();
        if self.entries > 0 {
            self.out.push(b',');
        }
        let mut token = |name: &str, token: Option<&str>| {
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(token.unwrap_or("null").as_bytes());
        };
        token("{\"id\":", participant.id);
        token(",\"purpose\":", participant.purpose);
        token(",\"userId\":", participant.user_id);
        token(",\"queueId\":", participant.queue_id);
        token(",\"name\":", participant.name);
        token(",\"address\":", participant.address);
        token(",\"state\":", leg.state);
        self.text(
            ",\"direction\":",
            leg.direction.and_then(legs::direction).as_deref(),
        );
        self.text(",\"mediaType\":", medium);
        self.time(",\"connectedAt\":", leg.connected);
        self.time(",\"endedAt\":", leg.ended);
        self.out.push(b'}');
        // One byte is kept for the closing bracket.
        if self.out.len() - self.start < self.most_bytes {
            self.entries += 1;
        } else {
            self.out.truncate(before);
            self.omitted = 1;
        }
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.out.extend_from_slice(name.as_bytes());
        match text {
            Some(text) => json::write_string(self.out, text),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    fn time(&mut self, name: &str, token: Option<&str>) {
        self.out.extend_from_slice(name.as_bytes());
        match token.and_then(timestamp::parse) {
            Some(us) => {
                self.out.push(b'"');
                timestamp::write_rfc3339_ms(self.out, us);
                self.out.push(b'"');
            }
            None => self.out.extend_from_slice(b"null"),
        }
    }
}

impl<'a> Participant<'a> {
    fn read(token: &'a str) -> Self {
        let mut found = Self::default();
        let (mut user, mut queue, mut ani) = (None, None, None);
        json::for_each_member(token, |key, token| {
            match key.as_ref() {
                "id" => found.id = text(token),
                "purpose" => found.purpose = text(token),
                "userId" => found.user_id = text(token),
                "queueId" => found.queue_id = text(token),
                "name" => found.name = text(token),
                "address" => found.address = text(token),
                "ani" => ani = text(token),
                "user" => user = Some(token),
                "queue" => queue = Some(token),
                "state" => found.leg.state = text(token),
                "direction" => found.leg.direction = Some(token),
                "connectedTime" => found.leg.connected = Some(token),
                "endTime" => found.leg.ended = Some(token),
                key if array_medium(key, token).is_some() => {
                    json::for_each_element(token, |communication| {
                        found.communications += usize::from(is_communication(communication));
                        ControlFlow::Continue(())
                    });
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        let inner = |object: Option<&'a str>, name: &str| json::member(object?, name).and_then(text);
        found.user_id = found.user_id.or_else(|| inner(user, "id"));
        found.queue_id = found.queue_id.or_else(|| inner(queue, "id"));
        found.name = found.name.or_else(|| inner(user, "name"));
        found.address = found.address.or(ani);
        found
    }
}

impl<'a> Leg<'a> {
    fn of_communication(token: &'a str) -> Self {
        let mut found = Self::default();
        json::for_each_member(token, |key, token| {
            match key.as_ref() {
                "state" => found.state = text(token),
                "direction" => found.direction = Some(token),
                "connectedTime" => found.connected = Some(token),
                "disconnectedTime" => found.ended = Some(token),
                _ => {}
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn or(self, other: Self) -> Self {
        let said = |token: Option<&'a str>| token.filter(|token| *token != "null");
        Self {
            state: self.state.or(other.state),
            direction: said(self.direction).or(other.direction),
            connected: said(self.connected).or(other.connected),
            ended: said(self.ended).or(other.ended),
        }
    }
}

fn array_medium(key: &str, token: &str) -> Option<&'static str> {
    if !json::is_array(token) {
        return None;
    }
    let place = COMMUNICATIONS.iter().position(|array| *array == key);
    MEDIA.get(place?).copied()
}

/// Tells a communication from a text: in the flat layout of messages, `messages` holds what was written.
///
/// # Source
/// Fact sheet 5.3: a communication has a `state`, a text a `messageTime`, and its id as `messageId` or, so the vendor's
/// SDKs for the flat layout, as `message`.
fn is_communication(element: &str) -> bool {
    let has = |name| json::member(element, name).is_some();
    json::is_object(element) && (has("state") || !(has("messageTime") || has("messageId") || has("message")))
}

/// Takes a token that is a string with at least one character.
fn text(token: &str) -> Option<&str> {
    Some(token).filter(|token| token.len() > 2 && token.starts_with('"'))
}

#[cfg(test)]
mod tests;
