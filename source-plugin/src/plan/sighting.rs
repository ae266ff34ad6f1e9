//! What a frame tells of a conversation's life: that it is there, and whether it has ended.
//!
//! Refuses to take a conversation for ended because its customer has left: the agent may still be connected. Invariant: it
//! has ended once every participant of a snapshot has; a snapshot without participants says nothing.

use crate::json::{self, Cursor, Text};
use crate::normalize::COMMUNICATIONS;
use crate::topic::{Family, Topic};

/// Whether a conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A participant is still there.
    Open,
    /// All have left.
    Ended,
    /// The frame does not tell.
    Unsaid,
}

/// A conversation that a frame tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its id.
    pub conversation_id: String,
    /// Whether it goes on.
    pub standing: Standing,
}

/// Reads what an event's body, valid JSON, tells under its topic; `None` if that names no conversation.
#[must_use]
pub fn sighting(topic: &str, body: &str) -> Option<Sighting> {
    let topic = Topic::parse(topic);
    if topic.family != Family::Snapshot {
        return topic.conversation_id.map(|id| Sighting {
            conversation_id: id.to_owned(),
            standing: Standing::Unsaid,
        });
    }
    let id = Text::read_non_empty(json::member(body, "id")?)?;
    let participants = json::member(body, "participants");
    Some(Sighting {
        conversation_id: id.text.into_owned(),
        standing: participants.map_or(Standing::Unsaid, standing),
    })
}

fn standing(participants: &str) -> Standing {
    let mut cursor = Cursor::new(participants);
    let mut standing = Standing::Unsaid;
    if !cursor.enter(b'[') {
        return standing;
    }
    while cursor.next_element() {
        if !cursor.enter(b'{') {
            cursor.value();
            continue;
        }
        let (mut ended, mut gone) = (false, None);
        while let Some(key) = cursor.next_key() {
            match key.as_ref() {
                "endTime" => ended |= cursor.value() != "null",
                "state" => ended |= is_over(cursor.value()),
                name if cursor.is_at_array() && COMMUNICATIONS.contains(&name) => {
                    if let Some(over) = all_over(&mut cursor) {
                        gone = Some(gone.unwrap_or(true) && over);
                    }
                }
                _ => {
                    cursor.value();
                }
            }
        }
        if ended || gone == Some(true) {
            if standing == Standing::Unsaid {
                standing = Standing::Ended;
            }
        } else {
            standing = Standing::Open;
        }
    }
    standing
}

/// Steps over an array of communications; says whether all are over, `None` if there is none.
fn all_over(cursor: &mut Cursor<'_>) -> Option<bool> {
    let mut all = None;
    cursor.enter(b'[');
    while cursor.next_element() {
        if !cursor.enter(b'{') {
            cursor.value();
            continue;
        }
        let mut over = None;
        while let Some(key) = cursor.next_key() {
            let token = cursor.value();
            if key == "state" {
                over = Some(is_over(token));
            }
        }
        // messages of the flat layout stand under a name of this list and have no state
        if let Some(over) = over {
            all = Some(all.unwrap_or(true) && over);
        }
    }
    all
}

fn is_over(state: &str) -> bool {
    Text::read(state).is_some_and(|state| {
        state.text.eq_ignore_ascii_case("disconnected") || state.text.eq_ignore_ascii_case("terminated")
    })
}

#[cfg(test)]
mod tests {
    use super::{Sighting, Standing, sighting};

    #[test]
    fn a_conversation_has_ended_once_every_participant_has() {
        use Standing::{Ended, Open, Unsaid};
        #[rustfmt::skip]
        let table = [
            (r#"[]"#, Unsaid),
            (r#""none""#, Unsaid),
            (r#"[{"purpose":"customer","calls":[{"state":"connected"}]}]"#, Open),
            (r#"[{"purpose":"customer","endTime":"2026-01-01T00:00:00Z"},{"purpose":"agent","calls":[{"state":"connected"}]}]"#, Open),
            (r#"[{"purpose":"agent","calls":[{"state":"connected"}]},{"purpose":"customer","endTime":"2026-01-01T00:00:00Z"}]"#, Open),
            (r#"[{"endTime":"2026-01-01T00:00:00Z"},{"endTime":null,"calls":[{"state":"disconnected"}],"chats":[{"state":"terminated"}]}]"#, Ended),
            (r#"[{"calls":[{"state":"disconnected"},{"state":"alerting"}]}]"#, Open),
            (r#"[{"state":"disconnected","direction":"inbound"},{"state":"terminated"}]"#, Ended),
            (r#"[{"state":"connected","messages":[{"messageStatus":"sent"}]}]"#, Open),
            (r#"[{"state":"disconnected","messages":[{"messageStatus":"sent"}]}]"#, Ended),
        ];
        for (participants, standing) in table {
            let body = format!(r#"{{"participants":{participants},"id":"c1"}}"#);
            let seen = sighting("v2.routing.queues.q.conversations", &body);
            let conversation_id = "c1".to_owned();
            assert_eq!(
                seen,
                Some(Sighting {
                    conversation_id,
                    standing
                }),
                "{participants}"
            );
        }
    }

    #[test]
    fn other_topics_of_a_conversation_show_it_without_telling_whether_it_goes_on() {
        let seen = sighting("v2.detail.events.conversation.c2.customer.end", "{}");
        let conversation_id = "c2".to_owned();
        let standing = Standing::Unsaid;
        assert_eq!(
            seen,
            Some(Sighting {
                conversation_id,
                standing
            })
        );
        assert_eq!(sighting("v2.users.u.presence", r#"{"id":"x"}"#), None);
        assert_eq!(sighting("v2.users.u.conversations", "{}"), None);
    }
}
