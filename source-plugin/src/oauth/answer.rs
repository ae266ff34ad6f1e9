//! What a login answer means: a grant, or one of the errors an operator can act on.
//!
//! Refuses a 200 without a token. Nothing of a body but its `error` member, escaped, gets into a message.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::OauthError;
use crate::gap::escape;

/// Lifetime of a token whose answer does not tell it, in seconds: the vendor's shortest, so that it is renewed early.
///
/// # Source
/// Genesys Cloud OAuth clients: 300 to 172800 s (Go SDK `OAuthClient.accessTokenValiditySeconds`).
const SHORTEST_LIFETIME_S: u64 = 300;

/// Longest lifetime that is believed, in seconds: the vendor's longest, see [`SHORTEST_LIFETIME_S`].
const LONGEST_LIFETIME_S: u64 = 172_800;

/// What a successful login gives.
#[derive(Debug)]
pub struct Grant {
    /// The access token.
    pub token: SecretString,
    /// How long it lives.
    pub expires_in: Duration,
    /// The service's clock when it answered, in whole seconds since 1970 UTC, if it told.
    pub date_s: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    access_token: Option<String>,
    expires_in: Option<serde_json::Number>,
    error: Option<String>,
    description: Option<String>,
    error_description: Option<String>,
}

/// What an answer's headers tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers {
    /// `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// `Date`, in whole seconds since 1970 UTC.
    pub(super) date_s: Option<i64>,
}

/// Reads the answer of a host.
pub(super) fn read(host: &str, status: u16, headers: Headers, body: &[u8]) -> Result<Grant, OauthError> {
    let Headers { retry_after, date_s } = headers;
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let host = host.to_owned();
    match status {
        200 => match body.access_token {
            Some(token) if body.error.is_none() && !token.is_empty() => Ok(Grant {
                token: token.into(),
                expires_in: lifetime(body.expires_in.as_ref()),
                date_s,
            }),
            _ => Err(OauthError::NoToken { host }),
        },
        401 => Err(OauthError::InvalidClient { host }),
        400 if body.error.as_deref() == Some("invalid_client") => Err(OauthError::InvalidClient { host }),
        403 => Err(OauthError::Forbidden { host }),
        429 => Err(OauthError::Throttled { status, retry_after }),
        // The vendor throttles logins with a 400 that only its words tell from a bad request.
        400 if body.is_throttling() => Err(OauthError::Throttled { status, retry_after }),
        _ => Err(OauthError::Answer {
            status,
            code: body.error.as_deref().map(escape),
            retry_after,
        }),
    }
}

impl Body {
    fn is_throttling(&self) -> bool {
        [&self.description, &self.error_description]
            .into_iter()
            .flatten()
            .any(|description| {
                description
                    .get(..19)
                    .is_some_and(|start| start.eq_ignore_ascii_case("rate limit exceeded"))
            })
    }
}

fn lifetime(expires_in: Option<&serde_json::Number>) -> Duration {
    let seconds = expires_in.and_then(|number| number.as_u64().or_else(|| number.as_f64().map(|s| s as u64)));
    Duration::from_secs(seconds.unwrap_or(SHORTEST_LIFETIME_S).min(LONGEST_LIFETIME_S))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::{Headers, read};
    use crate::oauth::OauthError;

    const HOST: &str = "login.example.com:443";
    const INVALID_CLIENT: &str = "invalid client credentials or expired secret; login.example.com:443 refused the \
        login: check client_id and client_secret (by default OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET), and that the client \
        belongs to this region";
    const FORBIDDEN: &str = "missing scope or role; login.example.com:443 refused the login: give the OAuth client a \
        role that may read what it subscribes to";
    const NO_TOKEN: &str = "the login service answered 200 without an access token; login.example.com:443 is not \
        Genesys Cloud's login service, or a proxy answers for it: check region and endpoints.login";

    #[test]
    fn reads_a_grant() {
        let body = br#"{"access_token":"k3y","token_type":"bearer","expires_in":86400}"#;
        let headers = Headers {
            retry_after: None,
            date_s: Some(784_111_777),
        };
        let grant = read(HOST, 200, headers, body).unwrap();
        assert_eq!(grant.date_s, Some(784_111_777));
        assert_eq!(grant.token.expose_secret(), "k3y");
        assert_eq!(grant.expires_in, Duration::from_secs(86_400));
        let grant = read(HOST, 200, Headers::default(), br#"{"access_token":"k3y"}"#).unwrap();
        assert_eq!(grant.expires_in, Duration::from_secs(300));
    }

    #[test]
    fn each_refusal_has_its_exact_text_and_says_whether_to_retry() {
        let wait = Headers {
            retry_after: Some(Duration::from_secs(17)),
            date_s: None,
        };
        let throttled =
            br#"{"error":"invalid_request","description":"rate limit exceeded; 300/min","error_description":"rate limit exceeded; 300/min"}"#;
        let invalid = br#"{"error":"invalid_client","description":"authentication failed"}"#;
        let table: [(u16, &[u8], &str, bool); 10] = [
            (401, b"", INVALID_CLIENT, false),
            (400, invalid, INVALID_CLIENT, false),
            (403, b"{}", FORBIDDEN, false),
            (200, b"{}", NO_TOKEN, false),
            (200, br#"{"access_token":""}"#, NO_TOKEN, false),
            (200, b"<html>", NO_TOKEN, false),
            (
                400,
                throttled,
                "the login service limits the rate of logins (HTTP 400)",
                true,
            ),
            (
                429,
                b"",
                "the login service limits the rate of logins (HTTP 429)",
                true,
            ),
            (
                400,
                br#"{"error":"bad\nthing"}"#,
                "the login service answered HTTP 400 (bad\\nthing)",
                false,
            ),
            (503, b"", "the login service answered HTTP 503", true),
        ];
        for (status, body, text, retryable) in table {
            let error = read(HOST, status, wait, body).unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), error.is_retryable()),
                (text, retryable),
                "{status}"
            );
        }
        let error = read(HOST, 429, wait, b"").unwrap_err();
        assert!(matches!(error, OauthError::Throttled { status: 429, .. }));
        assert_eq!(error.retry_after(), wait.retry_after);
    }

    #[test]
    fn no_token_reaches_debug_output() {
        let grant = read(HOST, 200, Headers::default(), br#"{"access_token":"hush"}"#).unwrap();
        assert!(!format!("{grant:?}").contains("hush"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_body_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            let _first = read(HOST, status, Headers::default(), &body);
            let body = serde_json::json!({"error": text, "description": text, "expires_in": -1}).to_string();
            let refused = read(HOST, status, Headers::default(), body.as_bytes()).unwrap_err();
            prop_assert!(!refused.to_string().chars().any(char::is_control));
        }
    }
}
