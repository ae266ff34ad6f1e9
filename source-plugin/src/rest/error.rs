//! Why a REST call gave nothing, in the terms that an operator can act on.
//!
//! Refuses to quote a token, a query or a `connectUri`: a call is named by method, path and host, and of a body only its
//! `code`, `message` and the permissions that it names get into a text, escaped.

use std::time::Duration;

use crate::oauth::{OauthError, Obstacle};

/// Why a call failed. `call` is method, path and host: `GET /api/v2/users at api.mypurecloud.de`.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RestError {
    /// No answer, or half of one.
    #[error("{call}: no answer: {reason}; check the network, region and endpoints.api")]
    Unreachable {
        call: String,
        reason: String,
        obstacle: Obstacle,
    },
    /// The rate limit is used up: by a 429, or by calls that were not sent because of one.
    #[error(
        "{call}: the API limits the rate of calls, the next one in {} s; give this source an OAuth client of its own, since \
         all programs of a client share the limit",
        .retry_after.as_secs_f64().ceil()
    )]
    Throttled { call: String, retry_after: Duration },
    /// 401, with a new token as well.
    #[error(
        "{call}: the access token is not accepted, nor is a new one; check that the OAuth client is active and belongs to \
         this region (endpoints.api and endpoints.login)"
    )]
    Unauthorized { call: String },
    /// 403.
    #[error("{call}: {}", forbidden(.missing_permissions, .message))]
    Forbidden {
        call: String,
        /// The permissions that the answer names; may be empty.
        missing_permissions: Vec<String>,
        message: String,
    },
    /// 404: a channel that has ended, or an id that is none.
    #[error("{call}: not found; it has ended or was deleted, or the id is wrong")]
    NotFound { call: String },
    /// 400, 413 or 415: the call itself is wrong and stays so.
    #[error("{call}: refused as {code}: {message}; check the configured ids and topics")]
    BadRequest {
        call: String,
        status: u16,
        code: String,
        message: String,
    },
    /// Any other answer.
    #[error("{call}: HTTP {status}{}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Answer {
        call: String,
        status: u16,
        code: Option<String>,
        retry_after: Option<Duration>,
    },
    /// A success whose body is not what was asked for.
    #[error("{call}: {reason}; a proxy may answer in its place: check region and endpoints.api")]
    Unreadable { call: String, reason: String },
    /// There is no token.
    #[error(transparent)]
    Login(#[from] OauthError),
}

fn forbidden(missing_permissions: &[String], message: &str) -> String {
    if missing_permissions.is_empty() {
        format!(
            "not allowed: {message}; give the role of the OAuth client the permission and the division that it needs"
        )
    } else {
        let missing = missing_permissions.join(", ");
        format!(
            "missing permission {missing}; add it to a role of the OAuth client, in the divisions concerned"
        )
    }
}

impl RestError {
    /// Says whether trying again may help without an operator's hand.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Throttled { .. } => true,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::BadRequest { .. }
            | Self::Unreadable { .. } => false,
            Self::Answer { status, .. } => *status >= 500 || *status == 408,
            Self::Login(error) => error.is_retryable(),
        }
    }

    /// Returns how long the server asked to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(*retry_after),
            Self::Answer { retry_after, .. } => *retry_after,
            Self::Login(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Returns the HTTP status behind it, 0 if there was none.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Unreachable { .. } => 0,
            Self::Throttled { .. } => 429,
            Self::Unauthorized { .. } => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound { .. } => 404,
            Self::Unreadable { .. } => 200,
            Self::BadRequest { status, .. } | Self::Answer { status, .. } => *status,
            Self::Login(error) => error.status(),
        }
    }
}
