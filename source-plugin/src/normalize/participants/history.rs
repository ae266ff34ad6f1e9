//! Participants of a conversation as the history has them: sessions in participants, segments in sessions.
//!
//! One entry for each participant and session, in order. Refuses to guess: the history tells no state, and of a session
//! with a segment that has no end the end is null. Invariant: as the parent's.
//!
//! # Source
//! `AnalyticsParticipant`, `AnalyticsSession` and `AnalyticsConversationSegment` of the vendor's SDKs.

use std::ops::ControlFlow;

use super::{Leg, List, MEDIA, Participant, text};
use crate::json::{self, Text};
use crate::timestamp;

/// Writes the list of an array of participants; returns how many entries did not fit.
pub(in crate::normalize) fn write(out: &mut Vec<u8>, participants: &str) -> usize {
    List::write(out, participants, add)
}

fn add(list: &mut List<'_>, token: &str) {
    let mut participant = Participant::default();
    let mut sessions = "[]";
    json::for_each_member(token, |key, token| {
        match key.as_ref() {
            "participantId" => participant.id = text(token),
            "purpose" => participant.purpose = text(token),
            "userId" => participant.user_id = text(token),
            "participantName" => participant.name = text(token),
            "sessions" => sessions = token,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let mut count = 0;
    json::for_each_element(sessions, |token| {
        if json::is_object(token) {
            count += 1;
            let session = Session::read(token);
            participant.queue_id = session.queue_id;
            participant.address = session.ani;
            list.add(&participant, session.leg, session.medium);
        }
        ControlFlow::Continue(())
    });
    if count == 0 {
        list.add(&participant, Leg::default(), None);
    }
}

#[derive(Default)]
struct Session<'a> {
    queue_id: Option<&'a str>,
    ani: Option<&'a str>,
    medium: Option<&'static str>,
    leg: Leg<'a>,
}

impl<'a> Session<'a> {
    fn read(token: &'a str) -> Self {
        let mut found = Self::default();
        let mut segments = "[]";
        json::for_each_member(token, |key, token| {
            match key.as_ref() {
                "ani" => found.ani = text(token),
                "mediaType" => found.medium = medium(token),
                "direction" => found.leg.direction = Some(token),
                "segments" => segments = token,
                _ => {}
            }
            ControlFlow::Continue(())
        });
        found.read_segments(segments);
        found
    }

    /// Takes queue and times from the segments; the work behind a conversation is none of it.
    fn read_segments(&mut self, segments: &'a str) {
        let mut is_open = false;
        let (mut first, mut last) = (None::<(i64, &str)>, None::<(i64, &str)>);
        json::for_each_element(segments, |token| {
            let member = |name: &str| json::member(token, name);
            let is_wrapup = member("segmentType")
                .and_then(Text::read)
                .is_some_and(|kind| kind.text.eq_ignore_ascii_case("wrapup"));
            if !json::is_object(token) || is_wrapup {
                return ControlFlow::Continue(());
            }
            self.queue_id = self.queue_id.or_else(|| member("queueId").and_then(text));
            let time = |name: &str| member(name).and_then(|token| Some((timestamp::parse(token)?, token)));
            first = [first, time("segmentStart")].into_iter().flatten().min();
            let end = time("segmentEnd");
            is_open |= end.is_none();
            last = [last, end].into_iter().flatten().max();
            ControlFlow::Continue(())
        });
        self.leg.connected = first.map(|first| first.1);
        self.leg.ended = last.filter(|_| !is_open).map(|last| last.1);
    }
}

fn medium(token: &str) -> Option<&'static str> {
    let told = Text::read(token)?;
    MEDIA
        .into_iter()
        .find(|known| told.text.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::write;

    fn written(participants: &Value) -> Value {
        let mut out = Vec::new();
        assert_eq!(write(&mut out, &participants.to_string()), 0);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn each_session_is_an_entry_with_its_times_and_its_queue() {
        let participants = json!([
            {"participantId": "p1", "purpose": "customer", "participantName": "", "sessions": [
                {"mediaType": "voice", "direction": "INBOUND", "ani": "tel:+49", "segments": [
                    {"segmentStart": "2026-01-01T00:00:02Z", "segmentEnd": "2026-01-01T00:00:03Z", "segmentType": "delay", "queueId": "q"},
                    {"segmentStart": "2026-01-01T00:00:01Z", "segmentEnd": "2026-01-01T00:00:02Z", "segmentType": "ivr"},
                    {"segmentStart": "2026-01-01T00:00:03Z", "segmentEnd": "2026-01-01T00:00:09Z", "segmentType": "wrapup"}]},
                {"mediaType": "telepathy", "segments": [{"segmentStart": "2026-01-01T00:00:02Z"}]}, 7]},
            {"participantId": "p2", "userId": "u", "participantName": "Ada"}, null,
        ]);
        let none = json!({"id": "p1", "purpose": "customer", "userId": null, "queueId": null, "name": null, "address": null,
            "state": null, "direction": null, "mediaType": null, "connectedAt": "2026-01-01T00:00:02.000Z", "endedAt": null});
        let mut call = none.clone();
        call["queueId"] = "q".into();
        call["address"] = "tel:+49".into();
        call["direction"] = "inbound".into();
        call["mediaType"] = "voice".into();
        call["connectedAt"] = "2026-01-01T00:00:01.000Z".into();
        call["endedAt"] = "2026-01-01T00:00:03.000Z".into();
        let mut other = none.clone();
        other["id"] = "p2".into();
        other["purpose"] = Value::Null;
        other["userId"] = "u".into();
        other["name"] = "Ada".into();
        other["connectedAt"] = Value::Null;
        assert_eq!(written(&participants), json!([call, none, other]));
    }

    #[test]
    fn what_is_no_list_of_sessions_is_no_trouble() {
        for sessions in [
            json!("x"),
            json!({}),
            json!([{"segments": "x"}]),
            json!([{"segments": [1, null]}]),
        ] {
            let entries = written(&json!([{"sessions": sessions}]));
            assert_eq!(entries.as_array().unwrap().len(), 1, "{sessions}");
            assert_eq!(entries[0]["connectedAt"], Value::Null);
        }
    }
}
