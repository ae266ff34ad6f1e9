//! OAuth client credentials: one token, cached, renewed in time, never more than one request in flight.
//!
//! Refuses to hand out a token that would expire while a connection is being set up. The network thread is the only
//! owner, so that no lock and no second request can exist. Tokens and credentials stay in [`SecretString`].

mod answer;

use std::time::Duration;

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::backoff::parse_retry_after;
use crate::config::Credentials;
use crate::endpoint::authority;
use crate::secret::SecretError;
use crate::tls;

pub use answer::Grant;

/// Largest login answer that is read, in bytes; a token is opaque and some 90 characters long.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why there is no token. Each text begins with what happened, and ends with how to mend it where someone can.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OauthError {
    /// 401, or 400 `invalid_client`: also what a wrong region looks like.
    #[error(
        "invalid client credentials or expired secret; {host} refused the login: check client_id and client_secret \
         (by default OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET), and that the client belongs to this region"
    )]
    InvalidClient {
        /// Host and port.
        host: String,
    },
    /// 403.
    #[error(
        "missing scope or role; {host} refused the login: give the OAuth client a role that may read what it \
         subscribes to"
    )]
    Forbidden {
        /// Host and port.
        host: String,
    },
    /// 200 without a token in it.
    #[error(
        "the login service answered 200 without an access token; {host} is not Genesys Cloud's login service, or a \
         proxy answers for it: check region and endpoints.login"
    )]
    NoToken {
        /// Host and port.
        host: String,
    },
    /// Asked too often: 429, or the vendor's 400 "rate limit exceeded".
    #[error("the login service limits the rate of logins (HTTP {status})")]
    Throttled {
        /// HTTP status.
        status: u16,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Any other answer.
    #[error("the login service answered HTTP {status}{}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Answer {
        /// HTTP status.
        status: u16,
        /// The body's `error` member, escaped.
        code: Option<String>,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer.
    #[error(
        "cannot reach the login service at {host}: {reason}; check the network, region and endpoints.login"
    )]
    Unreachable {
        /// Host and port.
        host: String,
        /// What happened.
        reason: String,
        /// What stood in the way.
        obstacle: Obstacle,
    },
    /// A credential could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl OauthError {
    /// Says whether trying again may help without an operator's hand.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InvalidClient { .. } | Self::Forbidden { .. } | Self::NoToken { .. } => false,
            Self::Throttled { .. } | Self::Unreachable { .. } => true,
            // A request that was understood and refused stays refused; the rest may be the service's bad day.
            Self::Answer { status, .. } => *status >= 500 || *status == 408,
            Self::Secret(error) => error.is_retryable(),
        }
    }

    /// Returns how long the server asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the HTTP status behind it, 0 if there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidClient { .. } => 401,
            Self::Forbidden { .. } => 403,
            Self::NoToken { .. } => 200,
            Self::Throttled { status, .. } | Self::Answer { status, .. } => *status,
            Self::Unreachable { .. } | Self::Secret(_) => 0,
        }
    }
}

/// What stood in the way of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A deadline passed.
    Deadline,
    /// TLS could not be set up, or a certificate was refused.
    Tls,
    /// The network, or the name.
    Network,
}

impl Obstacle {
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Deadline
        } else if tls::is_failure(error) {
            Self::Tls
        } else {
            Self::Network
        }
    }
}

/// A token in the cache.
#[derive(Debug)]
struct Cached {
    token: SecretString,
    renew_at: Instant,
    expires_at: Instant,
}

/// Gives access tokens; see the module documentation.
#[derive(Debug)]
pub struct TokenSource {
    http: reqwest::Client,
    url: Url,
    credentials: Credentials,
    cached: Option<Cached>,
}

impl TokenSource {
    /// Makes a source without a token; `http` carries the login deadline and the TLS configuration.
    #[must_use]
    pub fn new(http: reqwest::Client, url: Url, credentials: Credentials) -> Self {
        Self {
            http,
            url,
            credentials,
            cached: None,
        }
    }

    /// Returns a token that lives for at least `needed_for`, from the cache or from a login, which `on_login` is
    /// told of.
    ///
    /// # Errors
    /// [`OauthError`]; see [`OauthError::is_retryable`].
    /// # Cancel safety
    /// Safe: a dropped login leaves the cache as it was.
    pub async fn token(
        &mut self,
        needed_for: Duration,
        now_us: i64,
        on_login: impl FnOnce(),
    ) -> Result<SecretString, OauthError> {
        let now = Instant::now();
        if let Some(cached) = &self.cached
            && now < cached.renew_at
            && now + needed_for < cached.expires_at
        {
            return Ok(cached.token.clone());
        }
        on_login();
        let asked_at = now;
        let grant = self.login(now_us).await?;
        let token = grant.token.clone();
        // Counted from the request, not the answer: the server's clock started before ours saw the token.
        self.cached = Some(Cached {
            token: grant.token,
            renew_at: asked_at + renewal(grant.expires_in),
            expires_at: asked_at + grant.expires_in,
        });
        Ok(token)
    }

    /// Forgets the token, since the server no longer takes it.
    pub fn discard(&mut self) {
        self.cached = None;
    }

    /// When the cached token is to be renewed, and when it expires.
    pub(crate) fn life(&self) -> Option<(Instant, Instant)> {
        let cached = self.cached.as_ref()?;
        Some((cached.renew_at, cached.expires_at))
    }

    /// Logs in, past the cache.
    ///
    /// # Errors
    /// As [`TokenSource::token`].
    /// # Cancel safety
    /// Safe: nothing is kept.
    pub async fn login(&self, now_us: i64) -> Result<Grant, OauthError> {
        let request = self
            .http
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization()?)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let unreachable = |error: reqwest::Error| OauthError::Unreachable {
            host: authority(&self.url),
            reason: tls::reason(&error),
            obstacle: Obstacle::of(&error),
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let headers = answer::Headers {
            retry_after: header(RETRY_AFTER).and_then(|value| parse_retry_after(value, now_us)),
            date_s: header(DATE).and_then(parse_date),
        };
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() == MAX_ANSWER_BYTES {
                break;
            }
        }
        answer::read(&authority(&self.url), status, headers, &body)
    }

    fn authorization(&self) -> Result<HeaderValue, OauthError> {
        let id = self.credentials.client_id.read()?;
        let secret = self.credentials.client_secret.read()?;
        let pair = SecretString::from(format!("{}:{}", id.expose_secret(), secret.expose_secret()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair.expose_secret());
        let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
            .expect("base64 is printable ASCII, which every header value may be");
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Reads a `Date` header as whole seconds since 1970 UTC.
///
/// # Source
/// RFC 9110, section 6.6.1.
pub(crate) fn parse_date(value: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    let date = parser.parse_timestamp(value.trim()).ok()?;
    Some(date.as_second())
}

/// Returns the age at which a token is renewed: min(0.8 × lifetime, lifetime − 60 s), but never below half of it.
fn renewal(expires_in: Duration) -> Duration {
    expires_in
        .mul_f64(0.8)
        .min(expires_in.saturating_sub(Duration::from_secs(60)))
        .max(expires_in / 2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;
    use tokio::time::Instant;

    use super::{Cached, TokenSource, renewal};
    use crate::config::Credentials;
    use crate::secret::SecretSource;

    fn source() -> TokenSource {
        let environment = BTreeMap::from([("A".to_owned(), "id".to_owned())]);
        let place = config_faults::SecretPlace::Variable("A".to_owned());
        let secret = SecretSource::new(place, &environment).unwrap();
        let tls = crate::tls::client_config(None, false).unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .build()
            .unwrap();
        let url = "http://127.0.0.1:9/oauth/token".parse().unwrap();
        let credentials = Credentials {
            client_id: secret.clone(),
            client_secret: secret,
        };
        TokenSource::new(http, url, credentials)
    }

    #[test]
    fn renews_before_expiry_but_never_in_the_first_half() {
        let table = [
            (86_400, 69_120.0),
            (300, 240.0),
            (200, 140.0),
            (100, 50.0),
            (10, 5.0),
            (0, 0.0),
        ];
        for (expires_in, renewed_at) in table {
            let renewed = renewal(Duration::from_secs(expires_in)).as_secs_f64();
            assert!((renewed - renewed_at).abs() < 1e-6, "{expires_in}: {renewed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cached_token_is_used_until_it_is_due() {
        let mut source = source();
        let now = Instant::now();
        let lifetime = Duration::from_secs(300);
        source.cached = Some(Cached {
            token: "cached".into(),
            renew_at: now + renewal(lifetime),
            expires_at: now + lifetime,
        });
        let mut logins = 0;
        tokio::time::advance(Duration::from_secs(239)).await;
        // a wall clock that is set an hour ahead or back makes it no older
        for now_us in [0, 3_600_000_000, -3_600_000_000] {
            let token = source
                .token(Duration::from_secs(15), now_us, || logins += 1)
                .await
                .unwrap();
            assert_eq!(token.expose_secret(), "cached");
        }
        assert_eq!(logins, 0);
        // It would expire during the set-up: a login is made (and fails, as nobody listens there).
        source
            .token(Duration::from_secs(62), 0, || logins += 1)
            .await
            .unwrap_err();
        assert_eq!(logins, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        source.token(Duration::ZERO, 0, || logins += 1).await.unwrap_err();
        assert_eq!(logins, 2);
    }

    #[test]
    fn a_date_is_read_and_anything_else_is_none() {
        assert_eq!(
            super::parse_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(super::parse_date("today"), None);
    }

    #[test]
    fn the_basic_header_is_marked_sensitive() {
        let header = source().authorization().unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header.to_str().unwrap(), "Basic aWQ6aWQ=");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn renewal_lies_between_half_and_the_whole_life(seconds in 0_u64..200_000) {
            let lifetime = Duration::from_secs(seconds);
            prop_assert!(renewal(lifetime) >= lifetime / 2 && renewal(lifetime) <= lifetime);
        }
    }
}
