//! What an answer to a REST call means: a body, or one of the errors that an operator can act on.
//!
//! Refuses a success that is not the JSON that was asked for. Pure: status, headers and bytes in, a value out. Nothing of an
//! error's body but `code`, `message` and the permissions that it names, escaped and cut, gets into a text.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::RestError;
use super::limit::Standing;
use crate::backoff::{MAX_RETRY_AFTER, parse_retry_after};
use crate::gap::escape;
use crate::oauth::parse_date;

/// Most permissions that are taken out of a text.
const MAX_PERMISSIONS: usize = 16;

/// What an answer says before its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) standing: Standing,
    /// The server's clock, in whole seconds since 1970 UTC.
    pub(super) date_s: Option<i64>,
}

impl Head {
    /// Reads the headers that matter; `now_us` turns a date of `Retry-After` into a wait.
    pub(super) fn read(status: u16, headers: &HeaderMap, now_us: i64) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u32>().ok());
        let reset = number("inin-ratelimit-reset").map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            status,
            retry_after: text(RETRY_AFTER.as_str()).and_then(|value| parse_retry_after(value, now_us)),
            standing: Standing {
                allowed: number("inin-ratelimit-allowed"),
                count: number("inin-ratelimit-count"),
                reset: reset.map(|reset| reset.min(MAX_RETRY_AFTER)),
            },
            date_s: text(DATE.as_str()).and_then(parse_date),
        }
    }
}

/// The platform's error body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
}

/// Sorts an answer: nothing if it is a success, its error otherwise. `waited` is how long a 429 stops the calls.
pub(super) fn judge(call: &str, head: Head, body: &[u8], waited: Duration) -> Result<(), RestError> {
    let call = call.to_owned();
    let Head {
        status, retry_after, ..
    } = head;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let message = body.message.unwrap_or_default();
    Err(match status {
        401 => RestError::Unauthorized { call },
        403 => RestError::Forbidden {
            call,
            missing_permissions: permissions(&message),
            message: escape(&message),
        },
        404 => RestError::NotFound { call },
        429 => RestError::Throttled {
            call,
            retry_after: waited,
        },
        400 | 413 | 415 => RestError::BadRequest {
            call,
            status,
            code: body
                .code
                .as_deref()
                .map_or_else(|| format!("HTTP {status}"), escape),
            message: escape(&message),
        },
        _ => RestError::Answer {
            call,
            status,
            code: body.code.as_deref().map(escape),
            retry_after,
        },
    })
}

/// Reads the body of a success.
pub(super) fn read<T: DeserializeOwned>(call: &str, body: &[u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|error| RestError::Unreadable {
        call: call.to_owned(),
        // serde's text may quote a value of the body, and a `connectUri` is one: only where it is goes on.
        reason: format!(
            "the answer is not the JSON that was expected (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

/// Takes the permissions out of a text that names them as the platform does: `routing:queue:view`.
fn permissions(message: &str) -> Vec<String> {
    let words = message.split(|character: char| {
        !(character.is_ascii_alphanumeric() || matches!(character, ':' | '*' | '_' | '-'))
    });
    words
        .map(|word| word.trim_matches(':'))
        .filter(|word| word.split(':').count() == 3 && !word.contains("::"))
        .take(MAX_PERMISSIONS)
        .map(escape)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{Head, judge, permissions, read};
    use crate::rest::error::RestError;
    use crate::rest::limit::Standing;

    const CALL: &str = "PUT /api/v2/notifications/channels/c1/subscriptions at api.example.com";

    fn head(status: u16) -> Head {
        Head {
            status,
            ..Head::default()
        }
    }

    fn refused(status: u16, body: &[u8]) -> RestError {
        judge(CALL, head(status), body, Duration::from_millis(16_200)).unwrap_err()
    }

    #[test]
    fn each_refusal_has_its_exact_text_and_says_whether_to_retry() {
        let missing = br#"{"message":"Unable to perform the requested action. You are missing the following permission(s): routing:queue:view, directory:user:view","code":"missing.permissions","status":403}"#;
        let topics = br#"{"message":"too many\ntopics","code":"bad.request","status":400}"#;
        let table: [(u16, &[u8], &str, bool); 10] = [
            (
                401,
                b"{}",
                "the access token is not accepted, nor is a new one; check that the OAuth client is active and belongs to \
                 this region (endpoints.api and endpoints.login)",
                false,
            ),
            (
                403,
                missing,
                "missing permission routing:queue:view, directory:user:view; add it to a role of the OAuth client, in the \
                 divisions concerned",
                false,
            ),
            (
                403,
                br#"{"message":"not authorized","code":"not.authorized"}"#,
                "not allowed: not authorized; give the role of the OAuth client the permission and the division that it \
                 needs",
                false,
            ),
            (
                404,
                b"",
                "not found; it has ended or was deleted, or the id is wrong",
                false,
            ),
            (
                429,
                b"",
                "the API limits the rate of calls, the next one in 17 s; give this source an OAuth client of its own, since \
                 all programs of a client share the limit",
                true,
            ),
            (
                400,
                topics,
                r"refused as bad.request: too many\ntopics; check the configured ids and topics",
                false,
            ),
            (
                413,
                b"<html>",
                "refused as HTTP 413: ; check the configured ids and topics",
                false,
            ),
            (
                503,
                br#"{"code":"service.unavailable"}"#,
                "HTTP 503 (service.unavailable)",
                true,
            ),
            (302, b"", "HTTP 302", false),
            (408, b"", "HTTP 408", true),
        ];
        for (status, body, text, retryable) in table {
            let error = refused(status, body);
            assert_eq!(error.to_string(), format!("{CALL}: {text}"));
            assert_eq!((error.is_retryable(), error.status()), (retryable, status));
        }
        let wait = Some(Duration::from_millis(16_200));
        assert_eq!(refused(429, b"").retry_after(), wait);
        let failing = Head {
            retry_after: wait,
            ..head(503)
        };
        let error = judge(CALL, failing, b"", Duration::ZERO).unwrap_err();
        assert_eq!(error.retry_after(), wait);
    }

    #[test]
    fn headers_tell_the_standing_the_wait_and_the_clock() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("inin-ratelimit-allowed", "300"),
            ("inin-ratelimit-count", " 17"),
            ("inin-ratelimit-reset", "42"),
            ("retry-after", "900"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let expected = Head {
            status: 429,
            retry_after: Some(Duration::from_secs(900)),
            standing: Standing {
                allowed: Some(300),
                count: Some(17),
                reset: Some(Duration::from_secs(42)),
            },
            date_s: Some(784_111_777),
        };
        assert_eq!(Head::read(429, &headers, 0), expected);
        for name in ["inin-ratelimit-allowed", "inin-ratelimit-count", "retry-after"] {
            headers.insert(name, HeaderValue::from_static("-1"));
        }
        let head = Head::read(200, &headers, 0);
        assert_eq!(
            (head.standing.allowed, head.standing.count, head.retry_after),
            (None, None, None)
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_is_not_quoted() {
        let error = read::<Vec<u32>>(CALL, br#"["wss://streaming.example.com/channels/hush"]"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{CALL}: the answer is not the JSON that was expected (line 1, column 44); a proxy may answer in its \
                 place: check region and endpoints.api"
            )
        );
    }

    #[test]
    fn permissions_are_found_in_the_forms_that_the_platform_writes() {
        let text = "missing: [routing:queue:view, analytics:*:view]. See a::b, http://x:1 and x:y";
        assert_eq!(permissions(text), ["routing:queue:view", "analytics:*:view"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_body_panics_or_steers_a_terminal(status in 300_u16..600, text in ".{0,60}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _shapeless = refused(status, &body);
            let body = serde_json::json!({"code": text, "message": text}).to_string();
            prop_assert!(!refused(status, body.as_bytes()).to_string().chars().any(char::is_control));
        }
    }
}
