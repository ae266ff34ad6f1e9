//! Failures of an attempt, sorted by what they mean for the next one.
//!
//! Refuses to lose the text: what an operator reads is the same at the start, in the log and in the end of a source.

use std::time::Duration;

use crate::backoff::Pace;
use crate::oauth::OauthError;
use crate::queue::Ending;
use crate::rest::RestError;
use crate::subscription::SubscriptionError;
use crate::transport::events::ConnectError;
use crate::transport::socket::Loss;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// May be over at the next attempt.
    Transient,
    /// The server asked to slow down.
    Throttled,
    /// The server does not take the access token.
    Token,
    /// The credentials or their rights are not enough.
    Credentials,
    /// The configuration cannot work.
    Configuration,
    /// The channel is no more; another one is to be made.
    ChannelGone,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// One line for the operator.
    pub(crate) text: String,
    /// HTTP status or close code, 0 if there was none.
    pub(crate) code: u16,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// Returns how long to wait; `repeated`: the attempt before failed in the same way.
    pub(crate) fn pace(&self, repeated: bool) -> Pace {
        match (self.kind, self.retry_after) {
            (FailureKind::Credentials | FailureKind::Configuration, _) => Pace::Longest,
            // One new token is worth a prompt try; a second refusal means the token was not the fault.
            (FailureKind::Token, _) if repeated => Pace::Longest,
            (_, Some(floor)) => Pace::AtLeast(floor),
            _ => Pace::Usual,
        }
    }

    /// What an attempt ends with while the source ends.
    pub(crate) fn closed() -> Self {
        Self {
            kind: FailureKind::Transient,
            text: "the source ends".to_owned(),
            code: 0,
            retry_after: None,
        }
    }

    /// Returns how a source ends that fails in this way before it has ever listened; `None` if trying again may help.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let status = match self.kind {
            FailureKind::Credentials | FailureKind::Token => plugin_abi::status::AUTH,
            FailureKind::Configuration => plugin_abi::status::CONFIG,
            FailureKind::Transient | FailureKind::Throttled | FailureKind::ChannelGone => return None,
        };
        Some(self.ended(status, self.text.clone()))
    }

    /// Returns how a source ends whose attempts are used up.
    pub(crate) fn gave_up(&self, attempts: u64) -> Ending {
        let message = format!("gave up after {attempts} failed attempts: {}", self.text);
        self.ended(plugin_abi::status::FAILED, message)
    }

    fn ended(&self, status: i32, message: String) -> Ending {
        Ending {
            status,
            code: self.code.into(),
            message,
        }
    }

    /// Sorts a refusal by its HTTP status.
    pub(crate) fn refused(status: u16, text: String, retry_after: Option<Duration>) -> Self {
        let kind = match status {
            401 => FailureKind::Token,
            403 => FailureKind::Credentials,
            429 => FailureKind::Throttled,
            _ => FailureKind::Transient,
        };
        Self {
            kind,
            text,
            code: status,
            retry_after,
        }
    }
}

impl From<OauthError> for Failure {
    fn from(error: OauthError) -> Self {
        let kind = match &error {
            OauthError::InvalidClient { .. } | OauthError::Forbidden { .. } | OauthError::NoToken { .. } => {
                FailureKind::Credentials
            }
            OauthError::Throttled { .. } => FailureKind::Throttled,
            OauthError::Answer { .. } | OauthError::Unreachable { .. } | OauthError::Secret(_) => {
                FailureKind::Transient
            }
        };
        Self {
            kind,
            text: error.to_string(),
            code: error.status(),
            retry_after: error.retry_after(),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::refused(error.status(), error.to_string(), error.retry_after())
    }
}

impl From<SubscriptionError> for Failure {
    fn from(error: SubscriptionError) -> Self {
        // The configuration has passed the same check; only the token's length can have tipped it over.
        Self {
            kind: FailureKind::Configuration,
            text: error.to_string(),
            code: 0,
            retry_after: None,
        }
    }
}

impl From<&Loss> for Failure {
    fn from(loss: &Loss) -> Self {
        use crate::gap::LossKind;

        let detail = &loss.detail;
        let what = match detail.kind {
            LossKind::Close => "server closed the connection",
            LossKind::Eof => "connection ended without a close frame",
            LossKind::Reset => "connection broke",
            LossKind::Silence => "nothing whole was received within keep_alive.silence_ms",
            LossKind::Protocol => "server broke the protocol",
            LossKind::Refused => "server refused the subscription",
            LossKind::Local => "connection was given up",
        };
        let code = detail
            .close_code
            .map(|code| format!(" with code {code}"))
            .unwrap_or_default();
        let reason = detail
            .close_reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        Self {
            kind: FailureKind::Transient,
            text: format!("{what}{code}{reason}"),
            code: detail.close_code.unwrap_or_default(),
            retry_after: None,
        }
    }
}

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        let error = match error {
            RestError::Login(error) => return Self::from(error),
            other => other,
        };
        let kind = match &error {
            RestError::Throttled { .. } => FailureKind::Throttled,
            RestError::Unauthorized { .. } | RestError::Forbidden { .. } => FailureKind::Credentials,
            // Which of the two the platform answers for a channel that has ended is not public.
            RestError::NotFound { .. } | RestError::BadRequest { .. } => FailureKind::ChannelGone,
            RestError::Unreachable { .. }
            | RestError::Answer { .. }
            | RestError::Unreadable { .. }
            | RestError::Login(_) => FailureKind::Transient,
        };
        Self {
            kind,
            text: error.to_string(),
            code: error.status(),
            retry_after: error.retry_after(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, FailureKind};
    use crate::backoff::Pace;
    use crate::oauth::OauthError;

    #[test]
    fn refusals_are_paced_by_what_they_mean() {
        let wait = Some(Duration::from_secs(3));
        let pace = |status, retry_after, repeated| {
            Failure::refused(status, String::new(), retry_after).pace(repeated)
        };
        assert_eq!(pace(429, wait, false), Pace::AtLeast(Duration::from_secs(3)));
        assert_eq!(pace(429, None, true), Pace::Usual);
        assert_eq!(pace(401, None, false), Pace::Usual);
        assert_eq!(pace(401, None, true), Pace::Longest);
        assert_eq!(pace(403, wait, false), Pace::Longest);
        assert_eq!(pace(503, wait, false), Pace::AtLeast(Duration::from_secs(3)));
        assert_eq!(pace(404, None, false), Pace::Usual);
    }

    #[test]
    fn a_refused_login_keeps_its_exact_text() {
        let host = || "login.example.com:443".to_owned();
        for (error, text) in [
            (
                OauthError::InvalidClient { host: host() },
                "invalid client credentials or expired secret",
            ),
            (OauthError::Forbidden { host: host() }, "missing scope or role"),
        ] {
            let whole = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.kind, FailureKind::Credentials);
            assert_eq!(failure.text, whole);
            assert!(
                whole.starts_with(&format!("{text}; login.example.com:443 ")),
                "{whole}"
            );
        }
    }
}
