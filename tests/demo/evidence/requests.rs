//! What a webhook's receiver got: every request with its answer, accepted or not.
//!
//! Responsible for a first judgement of each request alone: what it carries, how it is signed, what was on its way
//! beside it. Refuses to compare; `proof` does. Invariant: the requests stand in the order in which they came.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::{receiver, signature};

use crate::evidence::{identity_of, key_of};
use crate::scenario::{AGAIN, REFUSAL};

/// How far `webhook-timestamp` may lie from now.
///
/// # Source
/// Standard Webhooks' reference libraries: five minutes.
const TOLERANCE: Duration = Duration::from_secs(300);

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its `webhook-id`.
    pub(crate) id: String,
    /// What tells its event from every other one.
    pub(crate) identity: String,
    /// The status that it was answered with.
    pub(crate) status: Option<u16>,
    /// Its `webhook-id`, the `id` of the CloudEvent and the `eventId` within are one.
    pub(crate) one_id: bool,
    /// Its signature is what a second implementation computes, and its time is of today.
    pub(crate) signed: bool,
    /// Another event of its key was unanswered when it came.
    pub(crate) beside_its_key: bool,
}

impl Request {
    /// Says whether the receiver would not have the event.
    pub(crate) fn is_refused(&self) -> bool {
        self.status == Some(REFUSAL)
    }

    /// Says whether the event is to come again.
    pub(crate) fn is_for_later(&self) -> bool {
        self.status
            .is_some_and(|status| AGAIN.iter().any(|(later, _)| *later == status))
    }
}

/// Every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// In the order in which they came.
    pub(crate) all: Vec<Request>,
    /// The most that were unanswered at once.
    pub(crate) most_at_once: usize,
}

impl Requests {
    /// Reads what a receiver got; `key` is the one to be signed with.
    pub(crate) fn read(received: &[receiver::Request], most_at_once: usize, key: &[u8]) -> Self {
        let bodies: Vec<Value> = received
            .iter()
            .map(|request| serde_json::from_slice(&request.body).unwrap_or_default())
            .collect();
        let keys: Vec<Option<String>> = bodies.iter().map(|body| key_of(&body["data"])).collect();
        let all = received.iter().zip(&bodies).enumerate();
        let all = all.map(|(number, (request, body))| {
            let id = request.header("webhook-id").unwrap_or_default();
            let of_its_key = |other: &usize| keys.get(*other) == keys.get(number);
            Request {
                identity: identity_of(&body["data"]),
                status: request.reply.status(),
                one_id: [&body["id"], &body["data"]["eventId"]]
                    .iter()
                    .all(|named| named.as_str() == Some(id)),
                signed: is_signed(request, key),
                beside_its_key: request.beside.iter().any(of_its_key),
                id: id.to_owned(),
            }
        });
        Self {
            all: all.collect(),
            most_at_once,
        }
    }

    /// The requests whose event the receiver would not have.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Request> {
        self.all.iter().filter(|request| request.is_refused())
    }
}

fn is_signed(request: &receiver::Request, key: &[u8]) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let sent_s = request
        .header("webhook-timestamp")
        .and_then(|time| time.parse::<u64>().ok());
    let is_recent = now
        .ok()
        .zip(sent_s)
        .is_some_and(|(now, sent_s)| now.as_secs().abs_diff(sent_s) <= TOLERANCE.as_secs());
    let signature = request.header("webhook-signature");
    is_recent && signature.is_some() && signature == signature::expected(request, &[key]).as_deref()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use support::Reply;

    use super::*;

    const KEY: &[u8] = &[7; 32];

    fn request(
        number: usize,
        conversation: &str,
        change: impl FnOnce(&mut receiver::Request),
    ) -> receiver::Request {
        let now_s = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let data = format!(r#"{{"eventId":"e-{number}","conversationId":"{conversation}"}}"#);
        let mut request = receiver::Request {
            number,
            connection: 0,
            line: String::new(),
            headers: vec![
                ("webhook-id".to_owned(), format!("e-{number}")),
                ("webhook-timestamp".to_owned(), now_s.to_string()),
            ],
            body: format!(r#"{{"id":"e-{number}","data":{data}}}"#).into_bytes(),
            at: Instant::now(),
            beside: BTreeSet::new(),
            reply: Reply::Status(200),
        };
        let signature = signature::expected(&request, &[KEY]).unwrap();
        request.headers.push(("webhook-signature".to_owned(), signature));
        change(&mut request);
        request
    }

    fn read(requests: &[receiver::Request]) -> Vec<Request> {
        Requests::read(requests, 1, KEY).all
    }

    #[test]
    fn a_request_that_was_tampered_with_is_not_signed() {
        let read = read(&[
            request(0, "a", |_| {}),
            request(1, "a", |request| request.body.push(b' ')),
            request(2, "a", |request| request.headers.truncate(2)),
            request(3, "a", |request| {
                // replayed after years, with its signature
                request.headers[1].1 = "1614265330".to_owned();
                request.headers[2].1 = signature::expected(request, &[KEY]).unwrap();
            }),
        ]);
        let signed: Vec<bool> = read.iter().map(|request| request.signed).collect();
        assert_eq!(signed, [true, false, false, false]);
    }

    #[test]
    fn a_request_beside_one_of_its_own_conversation_is_told() {
        let beside = |number| move |request: &mut receiver::Request| request.beside = [number].into();
        let read = read(&[
            request(0, "a", |_| {}),
            request(1, "b", beside(0)),
            request(2, "a", beside(0)),
        ]);
        let told: Vec<bool> = read.iter().map(|request| request.beside_its_key).collect();
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn an_id_that_is_not_the_events_own_is_told_and_answers_are_sorted() {
        let reply = |status| move |request: &mut receiver::Request| request.reply = Reply::Status(status);
        let read = read(&[
            request(0, "a", reply(422)),
            request(1, "b", reply(503)),
            request(2, "c", |request| {
                request.body = br#"{"id":"e-2","data":{"eventId":"x"}}"#.to_vec()
            }),
        ]);
        assert!(read[0].is_refused() && !read[0].is_for_later() && read[0].one_id);
        assert!(read[1].is_for_later() && !read[1].is_refused());
        assert!(!read[2].one_id);
    }
}
