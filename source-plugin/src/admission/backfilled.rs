//! Admission of conversations that the history tells: events that were in no frame.
//!
//! Responsible for their records, numbers and counters, which are apart from those of frames. Refuses a state that the
//! window knows, and to drop one for want of room: the caller waits. Invariant: as the parent's.

use plugin_abi::types::ESP_FLAG_BACKFILL;

use super::{
    Admission, Fault, Head, Kind, OnFull, Push, Room, SOURCE, Scratch, Transport, too_long, write_uuid,
};
use crate::decode::{self, Decoded};
use crate::normalize;
use crate::text::escape_control;

/// What became of a conversation of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backfilled {
    /// It is an event record now.
    Event,
    /// The same state of it is in the window.
    Known,
    /// There is no room; nothing was changed.
    Full,
    /// It is no usable event, and why.
    Unusable(Fault),
}

impl Admission {
    /// Decides a conversation, the JSON object of the analytics query.
    ///
    /// # Units
    /// `received_time_us`: when it was fetched, microseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn admit_backfilled(&mut self, text: &str, received_time_us: i64, room: Room) -> Backfilled {
        let mut scratch: Scratch<'_> = std::mem::take(&mut self.scratch);
        // Without an envelope it has the form of an event of the other transport.
        let outcome = match decode::decode(Transport::Events, text, &mut scratch) {
            Ok(Decoded::Event(_)) => self.backfill(text, &mut scratch, received_time_us, room),
            Ok(_) => Err(Fault::validate("no conversation")),
            Err(fault) => Err(fault),
        };
        self.scratch = scratch.recycle();
        outcome.unwrap_or_else(Backfilled::Unusable)
    }

    fn backfill<'a>(
        &mut self,
        text: &str,
        scratch: &mut Scratch<'a>,
        received_time_us: i64,
        room: Room,
    ) -> Result<Backfilled, Fault> {
        // As in the parent, the PII policy's place is here.
        let facts = normalize::read_history(text, scratch, &mut self.key)?;
        if let Some(fault) = too_long(&facts) {
            return Err(fault);
        }
        let hash = self.key.hash();
        let seen_ms = self.uptime_ms.unwrap_or(received_time_us.div_euclid(1000));
        if self.window.seen(hash, seen_ms).is_some() {
            self.counts.backfill_duplicates += 1;
            return Ok(Backfilled::Known);
        }
        let mut id = String::new();
        write_uuid(&mut id, self.key.natural_id());
        let subject = escape_control(&facts.analytics_id.text);
        let received = self.received.rfc3339_ms(received_time_us);
        let head = Head {
            kind: Kind::Event,
            flags: ESP_FLAG_BACKFILL,
            sequence: self.next_sequence(),
            event_time_us: facts.time.us(),
            received_time_us,
            id: &id,
            type_: &facts.event_type.text,
            subject: &subject,
            key: &subject,
            attributes: &[("source", SOURCE), ("analyticsid", &subject)],
        };
        let push = self.push_or(OnFull::Stop, &head, room, |out| {
            normalize::write_event(out, &facts, head.id, &received, scratch);
        });
        Ok(match push {
            Push::Done => {
                self.counts.backfilled += 1;
                self.window.remember(hash, seen_ms);
                self.chunk.identify(hash);
                Backfilled::Event
            }
            Push::Full | Push::Dropped => Backfilled::Full,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{NOW_US, admission};
    use super::{Backfilled, ESP_FLAG_BACKFILL, Room, Transport};
    use crate::counts::Counts;
    use crate::normalize::reconstruct;
    use crate::record::Kind;

    fn conversation() -> Value {
        json!({
            "conversationId": "c1", "conversationStart": "2026-01-01T00:00:00Z", "conversationEnd": "2026-01-01T00:01:00.500Z",
            "originatingDirection": "INBOUND", "divisionIds": ["d"],
            "participants": [{"participantId": "p", "purpose": "customer", "sessions": [{"mediaType": "voice"}]}],
        })
    }

    #[test]
    fn a_conversation_of_the_past_is_an_event_of_its_key_and_is_given_back_whole() {
        let mut admission = admission(Transport::Notifications);
        let text = conversation().to_string();
        assert_eq!(
            admission.admit_backfilled(&text, NOW_US, Room::UNBOUNDED),
            Backfilled::Event
        );
        let chunk = admission.take_chunk().unwrap();
        let record = chunk.record(0).unwrap();
        assert_eq!(
            (record.kind(), record.key(), record.flags()),
            (Kind::Event, "c1", ESP_FLAG_BACKFILL)
        );
        assert!(record.id_hash().is_some(), "the window survives a restart");
        let body: Value = serde_json::from_slice(record.body()).unwrap();
        assert_eq!(body["eventId"], record.id());
        assert_eq!(body["eventType"], "v2.analytics.conversations.details");
        assert_eq!(
            body["origin"],
            json!({"transport": "notifications", "topic": null, "correlationId": null, "backfill": true})
        );
        assert_eq!(body["timestamp"], "2026-01-01T00:01:00.500Z");
        assert_eq!(
            (&body["payload"]["duration"], &body["payload"]["direction"]),
            (&json!(60_500), &json!("inbound"))
        );
        assert_eq!(body["payload"]["participants"][0]["mediaType"], "voice");
        assert_eq!(reconstruct(&body), conversation());
    }

    #[test]
    fn the_same_state_is_known_a_later_one_is_not_and_frames_are_not_touched() {
        let mut admission = admission(Transport::Notifications);
        let first = conversation();
        let mut later = first.clone();
        later["participants"][0]["purpose"] = "external".into();
        let mut admit = |value: &Value, room| admission.admit_backfilled(&value.to_string(), NOW_US, room);
        let no_room = Room { records: 0, bytes: 0 };
        assert_eq!(admit(&first, no_room), Backfilled::Full);
        assert_eq!(admit(&first, Room::UNBOUNDED), Backfilled::Event);
        assert_eq!(admit(&first, Room::UNBOUNDED), Backfilled::Known);
        assert_eq!(admit(&later, Room::UNBOUNDED), Backfilled::Event);
        assert!(matches!(
            admit(&json!({"conversationId": ""}), Room::UNBOUNDED),
            Backfilled::Unusable(_)
        ));
        assert!(matches!(
            admit(&json!([]), Room::UNBOUNDED),
            Backfilled::Unusable(_)
        ));
        let expected = Counts {
            backfilled: 2,
            backfill_duplicates: 1,
            ..Counts::default()
        };
        assert_eq!(
            (admission.counts(), admission.counts().frames_law()),
            (expected, 0)
        );
        let chunk = admission.take_chunk().unwrap();
        assert_ne!(chunk.record(0).unwrap().id(), chunk.record(1).unwrap().id());
    }
}
