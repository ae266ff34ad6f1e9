//! The online half of `esp_check`: one login, and what its answer means to a host that has no source open yet.
//!
//! Responsible for the status that tells "mend the credentials" from "mend the address" from "ask again later". Refuses
//! to connect to the feed and to keep the token. Invariant: it comes back within its time, whatever the service does,
//! and never answers that a source gave up, since there is none.

use std::sync::Arc;
use std::time::Duration;

use plugin_abi::status::{self, Status};
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::endpoint::authority;
use crate::network;
use crate::oauth::{OauthError, Obstacle};
use crate::queue::Ending;

/// What a successful login tells beside its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// How far the service's clock is ahead of this machine's at the least, in milliseconds; negative if it is behind,
    /// absent if the service did not tell its time.
    pub clock_skew_ms: Option<i64>,
    /// How long the token lives, in seconds.
    pub token_lifetime_s: u64,
}

/// Logs in once; blocks the calling thread, which must not be inside a runtime, for at most `timeout`.
///
/// # Errors
/// An [`Ending`] with the status that `esp_check` answers: `AUTH` for refused credentials, `OVERLOAD` for a service that
/// asks to slow down, `TIMEOUT` where a deadline passed, `TLS`, `CONFIG` for an answer that stays the same until the
/// configuration changes, `IO` for the rest.
pub fn log_in(config: &Config, timeout: Duration) -> Result<Login, Ending> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = network::runtime()?;
    let outcome = network::token_source(config).and_then(|(tokens, _)| {
        let sent_us = clock.now_us();
        let login = async { tokio::time::timeout(timeout, tokens.login(sent_us)).await };
        match runtime.block_on(login) {
            Ok(Ok(grant)) => Ok(Login {
                clock_skew_ms: grant.date_s.map(|date_s| skew_ms(date_s, sent_us, clock.now_us())),
                token_lifetime_s: grant.expires_in.as_secs(),
            }),
            Ok(Err(error)) => Err(Ending {
                status: status_of(&error),
                code: error.status().into(),
                message: error.to_string(),
            }),
            Err(_) => Err(Ending {
                status: status::TIMEOUT,
                code: 0,
                message: format!(
                    "no answer from the login service at {} within {} ms; check the network, region and endpoints.login",
                    authority(&config.endpoints.token),
                    timeout.as_millis()
                ),
            }),
        }
    });
    // A resolver call that hangs in the system cannot be cancelled; waiting for it would break the deadline.
    runtime.shutdown_background();
    outcome
}

/// The status of the contract for a login that gave no token.
fn status_of(error: &OauthError) -> Status {
    match error {
        OauthError::InvalidClient { .. } | OauthError::Forbidden { .. } | OauthError::NoToken { .. } => {
            status::AUTH
        }
        OauthError::Throttled { .. } => status::OVERLOAD,
        OauthError::Unreachable { obstacle, .. } => match obstacle {
            Obstacle::Deadline => status::TIMEOUT,
            Obstacle::Tls => status::TLS,
            Obstacle::Network => status::IO,
        },
        // A refusal that stays is mended where the address is written; any other may be over at the next try.
        OauthError::Answer { .. } if !error.is_retryable() => status::CONFIG,
        OauthError::Answer { .. } | OauthError::Secret(_) => status::IO,
    }
}

/// The least by which another clock is ahead of ours, given the `Date` of an answer and when we asked and heard.
///
/// # Units
/// `date_s`: whole seconds since 1970 UTC; `sent_us`, `answered_us`: microseconds. Returns milliseconds, negative if the
/// other is behind.
fn skew_ms(date_s: i64, sent_us: i64, answered_us: i64) -> i64 {
    let earliest_ms = date_s.saturating_mul(1000);
    let latest_ms = earliest_ms.saturating_add(999);
    let (sent_ms, answered_ms) = (sent_us.div_euclid(1000), answered_us.div_euclid(1000));
    if latest_ms < sent_ms {
        latest_ms.saturating_sub(sent_ms)
    } else {
        earliest_ms.saturating_sub(answered_ms).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_login_has_the_status_of_the_contract() {
        let host = || "login.example.com:443".to_owned();
        let unreachable = |obstacle| OauthError::Unreachable {
            host: host(),
            reason: "said so".to_owned(),
            obstacle,
        };
        let answer = |status| OauthError::Answer {
            status,
            code: None,
            retry_after: None,
        };
        for (error, expected) in [
            (OauthError::InvalidClient { host: host() }, status::AUTH),
            (OauthError::Forbidden { host: host() }, status::AUTH),
            (OauthError::NoToken { host: host() }, status::AUTH),
            (
                OauthError::Throttled {
                    status: 400,
                    retry_after: None,
                },
                status::OVERLOAD,
            ),
            (unreachable(Obstacle::Deadline), status::TIMEOUT),
            (unreachable(Obstacle::Tls), status::TLS),
            (unreachable(Obstacle::Network), status::IO),
            (answer(404), status::CONFIG),
            (answer(302), status::CONFIG),
            (answer(408), status::IO),
            (answer(503), status::IO),
        ] {
            assert_eq!(status_of(&error), expected, "{error}");
        }
    }

    #[test]
    fn a_clock_is_only_said_to_be_wrong_by_what_is_certain() {
        // asked at 10.400 s, heard at 12.600 s
        let skew = |date_s| skew_ms(date_s, 10_400_000, 12_600_000);
        assert_eq!([10, 11, 12].map(skew), [0, 0, 0]);
        assert_eq!(skew(9), -401);
        assert_eq!(skew(13), 400);
        assert_eq!(skew(0), -9_401);
        assert_eq!(skew_ms(i64::MAX, 0, 0), i64::MAX);
    }
}
