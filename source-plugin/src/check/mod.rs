//! The online half of `esp_check`: one login, what the platform says of the plan, and what each answer means to a host that has
//! no source open yet.
//!
//! Responsible for the status that tells "mend the credentials" from "mend the address" from "ask again later". Refuses
//! to connect to the feed and to keep the token. Invariant: it comes back within its time, whatever the service does,
//! and never answers that a source gave up, since there is none.
//!
//! `platform` asks and judges the plan, `permission` the topics, `row` is the form of what is told; `spool` looks at the disk.

mod permission;
mod platform;
mod row;
pub(crate) mod spool;

use std::sync::Arc;
use std::time::Duration;

use plugin_abi::status::{self, Status};
use serde::Serialize;
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock, skew_ms};
use crate::config::Config;
use crate::endpoint::authority;
use crate::network;
use crate::oauth::{Grant, OauthError, Obstacle, TokenSource};
use crate::queue::Ending;
use crate::rest::RestError;
use crate::session;
pub use row::Row;

/// What a successful login tells beside its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// How far the service's clock is ahead of this machine's at the least, in milliseconds; negative if it is behind,
    /// absent if the service did not tell its time.
    pub clock_skew_ms: Option<i64>,
    /// How long the token lives, in seconds.
    pub token_lifetime_s: u64,
}

/// What the API tells beside its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// As that of [`Login`].
    pub clock_skew_ms: Option<i64>,
}

/// What was found over the network.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The login.
    pub login: Login,
    /// The API, over the notifications transport.
    pub api: Option<Api>,
    /// What it says of the plan, over the notifications transport.
    pub rows: Vec<Row>,
}

/// Logs in once and, over the notifications transport, holds the plan against the platform; blocks the calling thread, which
/// must not be inside a runtime, for at most `timeout`.
///
/// # Errors
/// An [`Ending`] with the status that `esp_check` answers where there is no token: `AUTH` for refused credentials, `OVERLOAD`
/// for a service that asks to slow down, `TIMEOUT` where a deadline passed, `TLS`, `CONFIG` for an answer that stays the same
/// until the configuration changes, `IO` for the rest.
pub fn ask(config: &Config, timeout: Duration) -> Result<Answers, Ending> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = network::runtime()?;
    let asking = async {
        let begun = Instant::now();
        let (tokens, _) = network::token_source(config)?;
        let (grant, login) = log_in(&tokens, &*clock, config, timeout).await?;
        let Some(wishes) = &config.wishes else {
            return Ok(Answers {
                login,
                api: None,
                rows: Vec::new(),
            });
        };
        let rest = network::rest_client(config, &clock, &Arc::new(session::status::Status::new()))?;
        rest.adopt(&grant);
        let rows = platform::rows(&rest, wishes, config.backfill.is_some(), begun, timeout).await;
        let clock_skew_ms = rest.clock_skew_ms();
        Ok(Answers {
            login,
            api: Some(Api { clock_skew_ms }),
            rows,
        })
    };
    let outcome = runtime.block_on(asking);
    // A resolver call that hangs in the system cannot be cancelled; waiting for it would break the deadline.
    runtime.shutdown_background();
    outcome
}

async fn log_in(
    tokens: &TokenSource,
    clock: &dyn Clock,
    config: &Config,
    timeout: Duration,
) -> Result<(Grant, Login), Ending> {
    let sent_us = clock.now_us();
    match tokio::time::timeout(timeout, tokens.login(sent_us)).await {
        Ok(Ok(grant)) => {
            let login = Login {
                clock_skew_ms: grant
                    .date_s
                    .map(|date_s| skew_ms(date_s, sent_us, clock.now_us())),
                token_lifetime_s: grant.expires_in.as_secs(),
            };
            Ok((grant, login))
        }
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
}

/// What a REST call that gave nothing means.
pub(crate) fn ending(error: &RestError) -> Ending {
    Ending {
        status: status_of_call(error),
        code: error.status().into(),
        message: error.to_string(),
    }
}

/// A deadline that passed before all of `what` was read.
pub(crate) fn late(what: &str, timeout: Duration) -> Ending {
    Ending {
        status: status::TIMEOUT,
        code: 0,
        message: format!(
            "the API did not tell all of {what} within {} ms; check the network, or name fewer of them",
            timeout.as_millis()
        ),
    }
}

fn status_of_call(error: &RestError) -> Status {
    match error {
        RestError::Login(error) => status_of(error),
        RestError::Unauthorized { .. } | RestError::Forbidden { .. } => status::AUTH,
        RestError::Throttled { .. } => status::OVERLOAD,
        RestError::Unreachable { obstacle, .. } => status_behind(*obstacle),
        RestError::NotFound { .. } | RestError::BadRequest { .. } | RestError::Unreadable { .. } => {
            status::CONFIG
        }
        RestError::Answer { .. } if error.is_retryable() => status::IO,
        RestError::Answer { .. } => status::CONFIG,
    }
}

fn status_behind(obstacle: Obstacle) -> Status {
    match obstacle {
        Obstacle::Deadline => status::TIMEOUT,
        Obstacle::Tls => status::TLS,
        Obstacle::Network => status::IO,
    }
}

/// The status of the contract for a login that gave no token.
fn status_of(error: &OauthError) -> Status {
    match error {
        OauthError::InvalidClient { .. } | OauthError::Forbidden { .. } | OauthError::NoToken { .. } => {
            status::AUTH
        }
        OauthError::Throttled { .. } => status::OVERLOAD,
        OauthError::Unreachable { obstacle, .. } => status_behind(*obstacle),
        // A refusal that stays is mended where the address is written; any other may be over at the next try.
        OauthError::Answer { .. } if !error.is_retryable() => status::CONFIG,
        OauthError::Answer { .. } | OauthError::Secret(_) => status::IO,
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
    fn every_call_without_an_answer_has_the_status_of_the_contract() {
        let call = || "GET /api/v2/users at api.example.com:443".to_owned();
        let answer = |status| RestError::Answer {
            call: call(),
            status,
            code: None,
            retry_after: None,
        };
        let host = "login.example.com:443".to_owned();
        for (error, expected) in [
            (RestError::Login(OauthError::InvalidClient { host }), status::AUTH),
            (RestError::Unauthorized { call: call() }, status::AUTH),
            (
                RestError::Forbidden {
                    call: call(),
                    missing_permissions: Vec::new(),
                    message: String::new(),
                },
                status::AUTH,
            ),
            (
                RestError::Throttled {
                    call: call(),
                    retry_after: Duration::from_secs(1),
                },
                status::OVERLOAD,
            ),
            (
                RestError::Unreachable {
                    call: call(),
                    reason: "said so".to_owned(),
                    obstacle: Obstacle::Tls,
                },
                status::TLS,
            ),
            (RestError::NotFound { call: call() }, status::CONFIG),
            (answer(302), status::CONFIG),
            (answer(503), status::IO),
        ] {
            let ending = ending(&error);
            assert_eq!((ending.status, ending.message), (expected, error.to_string()));
        }
    }
}
