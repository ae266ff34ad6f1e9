//! Whether a webhook is there, without sending it an event.
//!
//! Responsible for a HEAD, or an OPTIONS where that is not taken, through the very client that would send the events.
//! Refuses a body, a signature and everything that could pass for an event. Invariant: it takes no longer than two
//! requests may, and shows scheme, host and port alone.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::DATE;
use reqwest::{Client, Method, Response};

use crate::config::{Target, Webhook};
use crate::sink::Meaning;

use super::resolver::OutOfReach;
use super::secrets::Secrets;
use super::settings::SettingsError;
use super::{client, request, status};

/// A webhook that can be asked.
#[derive(Debug)]
pub struct Probe {
    client: Client,
    target: Target,
    timeout_ms: u64,
}

/// What a webhook answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The request that it answered, `HEAD` or `OPTIONS`.
    pub method: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What that status would mean for an event; none if it would be delivered.
    pub meaning: Option<Meaning>,
    /// Its clock, in whole seconds since 1970 UTC, if it told.
    pub date_s: Option<i64>,
    /// When the request was sent, in milliseconds since 1970 UTC by this machine's clock.
    pub sent_ms: i64,
    /// When the answer came, likewise.
    pub answered_ms: i64,
}

/// Why a webhook did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// No answer came, or no connection. Retryable.
    #[error("{0}")]
    Unreachable(String),
    /// The connection is refused by this side: its address or its certificate. Not retryable.
    #[error("{0}")]
    Refused(String),
}

impl ProbeError {
    /// Says whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl Probe {
    /// Makes the client of a webhook; connects to nothing yet.
    ///
    /// # Errors
    /// [`SettingsError`]; not retryable.
    pub fn try_new(webhook: &Webhook) -> Result<Self, SettingsError> {
        Ok(Self {
            client: client::client(webhook)?,
            target: webhook.target.clone(),
            timeout_ms: webhook.timeout_ms,
        })
    }

    /// Reads the signing secrets and returns how many there are.
    ///
    /// # Errors
    /// [`SettingsError`] for one that cannot be read or is none.
    pub fn secrets(webhook: &Webhook) -> Result<usize, SettingsError> {
        Ok(Secrets::read(webhook.secrets.clone())?.keys().len())
    }

    /// The longest time that [`Probe::ask`] takes.
    #[must_use]
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.saturating_mul(2))
    }

    /// Asks; blocks the calling thread, which must not be inside a runtime.
    ///
    /// # Errors
    /// [`ProbeError`]; see [`ProbeError::is_retryable`].
    pub fn ask(&self) -> Result<ProbeAnswer, ProbeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ProbeError::Refused(format!("no runtime: {error}")))?;
        let answer = runtime.block_on(self.ask_twice());
        // a look-up of a name that hangs must not hold up the end
        runtime.shutdown_background();
        answer
    }

    async fn ask_twice(&self) -> Result<ProbeAnswer, ProbeError> {
        let head = self.ask_with(Method::HEAD, "HEAD").await?;
        if !matches!(head.status, 405 | 501) {
            return Ok(head);
        }
        let options = self.ask_with(Method::OPTIONS, "OPTIONS").await?;
        // a receiver that takes POST alone is what was hoped for, and its first answer says as much
        Ok(if matches!(options.status, 405 | 501) {
            head
        } else {
            options
        })
    }

    async fn ask_with(&self, method: Method, name: &'static str) -> Result<ProbeAnswer, ProbeError> {
        let sent_ms = wall_ms();
        let sent = self
            .client
            .request(method, self.target.url().clone())
            .send()
            .await;
        let response = sent.map_err(|error| self.failure(error))?;
        let status = response.status().as_u16();
        Ok(ProbeAnswer {
            method: name,
            status,
            meaning: status::judge(&self.target.to_string(), status, 0)
                .err()
                .map(|failure| failure.meaning),
            date_s: date_s(&response),
            sent_ms,
            answered_ms: wall_ms(),
        })
    }

    fn failure(&self, error: reqwest::Error) -> ProbeError {
        let refused = is_refusal(&error);
        let reason = request::failure(&self.target, error).reason;
        if refused {
            ProbeError::Refused(reason)
        } else {
            ProbeError::Unreachable(reason)
        }
    }
}

/// Whether this side refused the connection: an address that may not be dialled, or a failure of TLS.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    // an `io::Error` hides what it carries from `source`, and gives it by `get_ref`
    let inner = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried as &(dyn Error + 'static)),
        None => error.source(),
    };
    error.is::<OutOfReach>() || error.is::<rustls::Error>() || inner.is_some_and(is_refusal)
}

fn date_s(response: &Response) -> Option<i64> {
    let value = response.headers().get(DATE)?.to_str().ok()?;
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    Some(parser.parse_timestamp(value.trim()).ok()?.as_second())
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_side_refuses_is_told_from_what_is_not_there() {
        assert!(is_refusal(&OutOfReach::Private));
        let tls = io::Error::other(rustls::Error::DecryptError);
        assert!(is_refusal(&io::Error::other(tls)));
        assert!(!is_refusal(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
