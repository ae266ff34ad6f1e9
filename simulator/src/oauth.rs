//! The login: client credentials in, bearer token out, and the tokens that are valid.
//!
//! Plays `POST /oauth/token` as `reference` has it: Basic auth, form body, two description fields in an error. Refuses
//! everything else with `invalid_client` or `invalid_request`, and logins over the rate. The invariant: a token is valid from the answer that
//! holds it until its lifetime has passed, or until a thousand later ones were given out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tracing::info;

use crate::fault::{Action, RetryAfter};
use crate::http::{Request, Response};
use crate::notifications::Limits;
use crate::options::Options;
use crate::server::Shared;
use crate::truth::Kind;

const MAX_TOKENS: usize = 1_000;

/// The tokens given out.
#[derive(Default)]
pub(crate) struct Tokens {
    issued: VecDeque<(String, u64, Instant)>,
    logins: Limits,
}

impl Tokens {
    fn issue(&mut self, login: u64, expires: Instant) -> String {
        let token = format!(
            "sim-{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        if self.issued.len() >= MAX_TOKENS {
            self.issued.pop_front();
        }
        self.issued.push_back((token.clone(), login, expires));
        token
    }

    /// The login that gave this token out, and whether it is still valid.
    pub(crate) fn find(&self, token: &str, now: Instant) -> Option<(u64, bool)> {
        let found = self.issued.iter().find(|(issued, ..)| issued == token)?;
        Some((found.1, now < found.2))
    }
}

impl Tokens {
    /// The moment at which a login's token ends, if it is remembered.
    pub(crate) fn end_of(&self, login: u64) -> Option<Instant> {
        let found = self.issued.iter().find(|issued| issued.1 == login)?;
        Some(found.2)
    }

    /// Forgets a login's token, so that it is refused from now on.
    pub(crate) fn revoke(&mut self, login: u64) {
        self.issued.retain(|issued| issued.1 != login);
    }
}

/// What a gate (login, upgrade, subscription, REST request) does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Answer(Response),
    /// A byte of the answer each so many milliseconds.
    Trickle(Response, u64),
    NeverAnswer,
}

/// Answers a token request, as the script wants it, and tells the time as every server does.
pub(crate) async fn answer(request: &Request, shared: &Shared) -> Gate {
    let mut gate = judge(request, shared).await;
    if let Gate::Answer(response) = &mut gate {
        response.headers.push(("date", date(&shared.options)));
    }
    gate
}

/// The time that every answer tells, as the options set this clock.
pub(crate) fn date(options: &Options) -> String {
    let ahead = jiff::SignedDuration::from_millis(options.clock_ahead_ms);
    let now = jiff::Timestamp::now().saturating_add(ahead);
    http_date(now.unwrap_or(jiff::Timestamp::MAX))
}

/// An HTTP date that many seconds from now.
pub(crate) fn http_date_in(seconds: u64) -> String {
    http_date(date_in(jiff::Timestamp::now(), seconds))
}

async fn judge(request: &Request, shared: &Shared) -> Gate {
    let (turn, action) = shared.feed().login();
    let refuse = |response: Response, detail: &str| {
        shared
            .feed()
            .note(Kind::Refused, 0, Some(response.status), detail);
        Gate::Answer(response)
    };
    match action {
        Some(Action::Hang) => return Gate::NeverAnswer,
        Some(Action::Slow { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Action::Refuse { status, retry_after }) => return refuse(refusal(status, retry_after), "login"),
        Some(Action::RateLimited) => {
            return refuse(throttled(), "login");
        }
        Some(Action::NoToken) => {
            return refuse(
                Response::json(200, &json!({ "token_type": "bearer" })),
                "login without a token",
            );
        }
        _ => {}
    }
    if let Some(allowed) = shared.options.logins_per_window {
        let window = Duration::from_millis(shared.options.notifications.rate_window_ms);
        let standing = shared.tokens().logins.count(0, allowed, window, Instant::now());
        if standing.exceeded() {
            return refuse(throttled(), "login");
        }
    }
    if let Err(response) = check(request, &shared.options) {
        return refuse(response, "login");
    }
    let lifetime = Duration::from_secs(shared.options.expires_in_s);
    let now = Instant::now();
    let expires = now
        .checked_add(lifetime)
        .unwrap_or(now + Duration::from_secs(1 << 30));
    let token = shared.tokens().issue(turn, expires);
    info!(login = turn, "token given out");
    let response = Response::json(200, &token_body(&token, &shared.options));
    match action {
        Some(Action::Trickle { ms }) => Gate::Trickle(response, ms),
        _ => Gate::Answer(response),
    }
}

fn token_body(token: &str, options: &Options) -> serde_json::Value {
    json!({ "access_token": token, "token_type": "bearer", "expires_in": options.expires_in_s })
}

/// An answer with a status, and a `Retry-After` if asked for.
pub(crate) fn refusal(status: u16, retry_after: Option<RetryAfter>) -> Response {
    let (name, text) = match status {
        401 => ("invalid_client", "authentication failed"),
        403 => ("access_denied", "missing permission"),
        429 => ("too_many_requests", "rate limit exceeded"),
        _ => ("server_error", "the simulator was told to refuse this request"),
    };
    let mut response = error(status, name, text);
    let value = retry_after.map(|retry_after| match retry_after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::DateIn(seconds) => http_date_in(seconds),
    });
    response.headers.extend(value.map(|value| ("retry-after", value)));
    response
}

fn date_in(now: jiff::Timestamp, seconds: u64) -> jiff::Timestamp {
    // rounded up to the whole second, or a client could come back too early
    let at = now.as_millisecond().div_euclid(1000) + 1;
    let at = at.saturating_add_unsigned(seconds);
    jiff::Timestamp::from_second(at).unwrap_or(jiff::Timestamp::MAX)
}

// RFC 9110 5.6.7
fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn error(status: u16, name: &str, text: &str) -> Response {
    Response::json(
        status,
        &json!({ "error": name, "description": text, "error_description": text }),
    )
}

// 400 and not 429, and no Retry-After
fn throttled() -> Response {
    let text = "rate limit exceeded; too many login requests, try again later";
    error(400, "invalid_request", text)
}

fn check(request: &Request, options: &Options) -> Result<(), Response> {
    let credentials = &options.credentials;
    let failed = || {
        error(
            options.invalid_client_status,
            "invalid_client",
            "authentication failed",
        )
    };
    let basic = request
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .ok_or_else(failed)?;
    if !basic.0.eq_ignore_ascii_case("basic") {
        return Err(failed());
    }
    let expected = format!("{}:{}", credentials.client_id, credentials.client_secret);
    if STANDARD.decode(basic.1.trim()).ok().as_deref() != Some(expected.as_bytes()) {
        return Err(failed());
    }
    let form = request.header("content-type").unwrap_or_default();
    if !form
        .to_ascii_lowercase()
        .starts_with("application/x-www-form-urlencoded")
    {
        return Err(error(
            400,
            "invalid_request",
            "content-type must be application/x-www-form-urlencoded",
        ));
    }
    let body = String::from_utf8_lossy(&request.body);
    if !body
        .split('&')
        .any(|field| field == "grant_type=client_credentials")
    {
        return Err(error(
            400,
            "unsupported_grant_type",
            "grant_type must be client_credentials",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(authorization: &str, body: &str) -> Request {
        let headers = vec![
            ("authorization".to_owned(), authorization.to_owned()),
            (
                "content-type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ];
        Request {
            headers,
            body: body.as_bytes().to_vec(),
            ..Request::default()
        }
    }

    #[test]
    fn only_the_right_credentials_and_grant_pass() {
        let (options, changed) = (
            Options::default(),
            Options {
                invalid_client_status: 400,
                ..Options::default()
            },
        );
        let right = format!("Basic {}", STANDARD.encode("sim-client:sim-secret"));
        let wrong = format!("Basic {}", STANDARD.encode("sim-client:other"));
        assert_eq!(
            check(&request(&right, "grant_type=client_credentials"), &options),
            Ok(())
        );
        for (authorization, body, status) in [
            (wrong.as_str(), "grant_type=client_credentials", 401),
            ("Bearer x", "grant_type=client_credentials", 401),
            (right.as_str(), "grant_type=password", 400),
        ] {
            assert_eq!(
                check(&request(authorization, body), &options).unwrap_err().status,
                status
            );
            let refused = check(&request(authorization, body), &changed).unwrap_err();
            assert_eq!(refused.status, 400);
        }
    }

    #[test]
    fn an_http_date_has_the_preferred_form() {
        let now: jiff::Timestamp = "1994-11-06T08:49:36.2Z".parse().unwrap();
        assert_eq!(http_date(now), "Sun, 06 Nov 1994 08:49:36 GMT");
        assert_eq!(http_date(date_in(now, 0)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_token_expires_and_old_ones_are_forgotten() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let first = tokens.issue(1, now + Duration::from_secs(1));
        assert!(first.len() >= 20);
        assert_eq!(tokens.find(&first, now), Some((1, true)));
        assert_eq!(
            tokens.find(&first, now + Duration::from_secs(1)),
            Some((1, false))
        );
        for login in 0..MAX_TOKENS as u64 {
            tokens.issue(login, now);
        }
        assert_eq!(tokens.find(&first, now), None);
    }
}
