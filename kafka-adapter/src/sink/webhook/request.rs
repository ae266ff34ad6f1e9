//! One request: an event goes out, and what is known of it comes back.
//!
//! Responsible for headers, for the deadline's words and for reading the answer to its end, so that the connection
//! can be used again. Refuses to keep anything of the answer's body, which nobody asked for, and to repeat the
//! request. Invariant: no message holds the address beyond scheme, host and port.

use std::error::Error;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};

use crate::config::Target;
use crate::sink::{Failure, Landing, Meaning};

use super::{retry_after, status};

/// Most bytes of an answer's body that are read, so that its connection can be used again; a longer one costs its
/// connection.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Longest text of a failure, in bytes: it is written into logs and audit records.
const MAX_REASON_BYTES: usize = 300;

/// One event on its way.
#[derive(Debug)]
pub(super) struct Request {
    /// `webhook-id`, as a header can carry it.
    pub(super) id: String,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// The headers of Standard Webhooks; `signature` is absent where there is no secret.
///
/// # Source
/// Standard Webhooks 1.0.0, "Webhook Headers".
pub(super) fn headers(id: &str, sent_s: u64, signature: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    let pairs = [
        ("webhook-id", HeaderValue::from_str(id)),
        ("webhook-timestamp", Ok(HeaderValue::from(sent_s))),
        (
            "webhook-signature",
            HeaderValue::from_str(signature.unwrap_or_default()),
        ),
    ];
    for (name, value) in pairs {
        if let Ok(value) = value
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    headers
}

/// Sends an event and waits for the answer; takes as long as the client's deadline allows.
///
/// # Units
/// `now_us`: the wall clock's microseconds since 1970 UTC, asked when the answer has come.
/// # Cancel safety
/// Not cancel safe: the receiver may have seen the event.
pub(super) async fn exchange(
    client: &Client,
    target: &Target,
    headers: HeaderMap,
    body: Vec<u8>,
    now_us: fn() -> i64,
) -> Result<Landing, Failure> {
    let sent = client
        .post(target.url().clone())
        .headers(headers)
        .body(body)
        .send()
        .await;
    let mut response = sent.map_err(|error| {
        let is_timeout = error.is_timeout();
        let mut failure = failure(target, error);
        failure.reason.push_str(mend(is_timeout, &failure.reason));
        failure
    })?;
    let pause_ms = pause_ms(&response, now_us());
    let judged = status::judge(&target.to_string(), response.status().as_u16(), pause_ms);
    // The answer is known; what becomes of the rest only decides whether the connection is used again.
    let mut left = MAX_ANSWER_BYTES;
    while let Ok(Some(piece)) = response.chunk().await {
        let Some(rest) = left.checked_sub(piece.len()) else {
            break;
        };
        left = rest;
    }
    judged
}

fn pause_ms(response: &Response, now_us: i64) -> u64 {
    let value = response.headers().get(RETRY_AFTER);
    value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after::parse(value, now_us))
        .unwrap_or(0)
}

/// The failure of a request that got no answer.
pub(super) fn failure(target: &Target, error: reqwest::Error) -> Failure {
    let what = if error.is_timeout() {
        "did not answer within webhook.timeout_ms".to_owned()
    } else {
        format!("cannot be reached: {}", innermost(&error.without_url()))
    };
    Failure {
        meaning: Meaning::Later { pause_ms: 0 },
        reason: format!("{target} {what}"),
    }
}

/// What to look at where a request got no answer, unless the reason says it.
fn mend(is_timeout: bool, reason: &str) -> &'static str {
    if is_timeout {
        " (check that its receiver keeps up, or raise webhook.timeout_ms)"
    } else if reason.contains("; ") || MENDS.iter().any(|(text, _)| reason.contains(text)) {
        // this program's own refusals and the messages below say it
        ""
    } else {
        " (check webhook.url and that its receiver runs)"
    }
}

/// The innermost message of a failed request, since the outer ones only repeat that it failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let mut reason: String = innermost.to_string().escape_debug().collect();
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    if let Some((_, mend)) = MENDS.iter().find(|(text, _)| reason.contains(text)) {
        reason.push_str(" (");
        reason.push_str(mend);
        reason.push(')');
    }
    reason
}

/// What the messages of rustls and hyper mean that come of another authority or of TLS on one side alone.
const MENDS: [(&str, &str); 3] = [
    (
        "UnknownIssuer",
        "no trusted authority signed it: set webhook.ca_file to the authority's certificate, PEM",
    ),
    (
        "corrupt message of type InvalidContentType",
        "what answers there speaks no TLS: name the port of its TLS in webhook.url",
    ),
    (
        "invalid HTTP version",
        "what answers there speaks no plain HTTP, but perhaps TLS: write https:// in webhook.url",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_id_and_time_and_a_signature_where_there_is_one() {
        let named = |signature| {
            let headers = headers("83ec686c", 1_614_265_330, signature);
            ["webhook-id", "webhook-timestamp", "webhook-signature"]
                .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
        };
        let [id, time, signature] = named(Some("v1,x= v1,y="));
        assert_eq!(
            (id.as_deref(), time.as_deref(), signature.as_deref()),
            (Some("83ec686c"), Some("1614265330"), Some("v1,x= v1,y="))
        );
        assert_eq!(named(None)[2], None);
    }
}
