//! Admission of what was received before: the frames and records of dead letters.
//!
//! Responsible for what replaying adds to the one way: ids that hang on the letter, and records that were normalized
//! already. Refuses to number or count them differently. Invariant: as the parent's.

use super::{Admission, Frame, Hints, Outcome, Push, Room};
use crate::decode::{Fault, Transport};
use crate::identity;
use crate::normalize::SOURCE;
use crate::record::{Head, Kind};

/// A record that was normalized before, with its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'a> {
    /// An event or a control record.
    pub(crate) kind: Kind,
    pub(crate) id: &'a str,
    pub(crate) type_: &'a str,
    /// Subject and key.
    pub(crate) subject: &'a str,
    pub(crate) analytics_id: Option<&'a str>,
    /// Microseconds since 1970 UTC.
    pub(crate) event_time_us: Option<i64>,
    pub(crate) body: &'a [u8],
}

impl Admission {
    /// Takes what follows as the frame of a dead letter: what has no id of its own gets one that hangs on the letter's,
    /// and what is a dead letter again is the same one.
    pub(crate) fn replay_as(&mut self, letter_id: &str, transport: Transport) {
        self.settings.transport = transport;
        let letter = self.letter.get_or_insert_default();
        letter.clear();
        letter.push_str(letter_id);
    }

    /// The id of an event that has neither one of its source nor a key.
    pub(super) fn new_id(&mut self, received_time_us: i64) -> uuid::Uuid {
        match &self.letter {
            Some(letter) => identity::id_of_letter(letter),
            None => self.ids.draw(received_time_us),
        }
    }

    /// Makes a dead letter of what cannot be tried again.
    pub(crate) fn admit_refused(&mut self, fault: Fault, received_time_us: i64, room: Room) -> Outcome {
        let outcome =
            self.admit_dead_letter(fault, &Hints::default(), &Frame::Text(""), received_time_us, room);
        self.received(&outcome, 0);
        outcome
    }

    /// Takes over a record as it is.
    pub(crate) fn admit_whole(&mut self, whole: &Whole<'_>, received_time_us: i64, room: Room) -> Outcome {
        let with_analytics_id = [
            ("source", SOURCE),
            ("analyticsid", whole.analytics_id.unwrap_or_default()),
        ];
        let attributes = match whole.analytics_id {
            Some(_) => with_analytics_id.as_slice(),
            None => with_analytics_id.split_at(1).0,
        };
        let head = Head {
            kind: whole.kind,
            flags: 0,
            sequence: self.next_sequence(),
            event_time_us: whole.event_time_us,
            received_time_us,
            id: whole.id,
            type_: whole.type_,
            subject: whole.subject,
            key: whole.subject,
            attributes,
        };
        let outcome = match self.push(&head, room, |out| out.extend_from_slice(whole.body)) {
            Push::Done if whole.kind == Kind::Event => {
                self.counts.events += 1;
                Outcome::Event
            }
            // what it is about is told already: it is for nobody but the host
            Push::Done => {
                self.counts.control += 1;
                Outcome::Ignored {
                    reason: "control record",
                }
            }
            Push::Dropped => self.dropped(),
            Push::Full => Outcome::Full,
        };
        self.received(&outcome, whole.body.len() as u64);
        outcome
    }
}
