//! The source's configuration: one JSON text in, everything checked out, every fault in one pass.
//!
//! Refuses unknown keys, values out of range, credentials that are not there, addresses that would leak a token, and
//! what is not built yet. A [`Config`] that exists can be used without a further check.

mod checks;
mod raw;

use std::path::PathBuf;
use std::time::Duration;

use config_faults::Fault;
use reqwest::Url;
use serde::Deserialize as _;
use serde_json::Value;

use crate::backoff::Policy;
use crate::secret::{Environment, SecretSource};
use crate::subscription::Subscription;
use checks::{Checks, fault};
use raw::RawConfig;

/// The two credentials of an OAuth client.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Client id.
    pub client_id: SecretSource,
    /// Client secret.
    pub client_secret: SecretSource,
}

/// The addresses that the source uses.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Token request of the login service.
    pub token: Url,
    /// Base of the REST interface, ending in `/api/v2`; `None` where no region says which.
    pub api: Option<Url>,
    /// The `events` transport's WebSocket.
    pub events: Url,
}

/// The window in which a repeated event is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How long an id is remembered, in milliseconds.
    pub window_ms: u64,
    /// Most ids that are remembered.
    pub max_ids: usize,
}

/// How a dead connection is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Time between two pings.
    pub ping: Duration,
    /// Silence after which a connection counts as dead.
    pub silence: Duration,
}

/// Deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, TCP, TLS and upgrade together.
    pub connect: Duration,
    /// One login.
    pub login: Duration,
    /// Time without a refusal after which a subscription counts as accepted.
    pub subscribe_grace: Duration,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Stops reading the socket, so that TCP pushes back.
    Stop,
    /// Drops the newest records, each counted and covered by a gap.
    Drop,
}

/// The queue between socket and host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Most records waiting for hand-out.
    pub max_records: usize,
    /// Most bytes waiting for hand-out.
    pub max_bytes: usize,
    /// What happens when it is full.
    pub on_full: OnFull,
    /// How long it may stay full before the connection is closed.
    pub stall: Duration,
}

/// The checked configuration of a source on the `events` transport.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the source.
    pub name: String,
    /// The OAuth client.
    pub credentials: Credentials,
    /// Where to go.
    pub endpoints: Endpoints,
    /// Further trusted CA certificates.
    pub ca_file: Option<PathBuf>,
    /// What to subscribe to.
    pub subscription: Subscription,
    /// Shortest time between two subscriptions.
    pub subscription_interval: Duration,
    /// When to try again.
    pub reconnect: Policy,
    /// The window in which a repeated event is recognised.
    pub dedup: Dedup,
    /// How a dead connection is noticed.
    pub keep_alive: KeepAlive,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Largest message that is decoded, in bytes.
    pub max_frame_bytes: usize,
    /// The queue between socket and host.
    pub queue: Queue,
}

impl Config {
    /// Reads and checks a configuration; `environment` gives the defaults of region and credentials.
    ///
    /// # Errors
    /// Every fault that one pass can find, at least one; none is retryable with the same text and environment.
    pub fn parse(json: &str, environment: &dyn Environment) -> Result<Self, Vec<Fault>> {
        let text = if json.trim().is_empty() { "{}" } else { json };
        let mut value: Value = serde_json::from_str(text)
            .map_err(|error| vec![fault("", format!("configuration is not JSON: {error}"), None)])?;
        let mut checks = Checks {
            faults: config_faults::check(&Self::schema(), &value),
            environment,
        };
        // What the schema refuses is taken out, so that the checks across keys still see the rest.
        for fault in &checks.faults {
            remove(&mut value, &fault.path);
        }
        match RawConfig::deserialize(&value) {
            Ok(raw) => match checks.config(&raw) {
                Some(config) if checks.faults.is_empty() => Ok(config),
                _ => Err(checks.faults),
            },
            Err(error) if checks.faults.is_empty() => Err(vec![fault("", error.to_string(), None)]),
            Err(_) => Err(checks.faults),
        }
    }

    /// Returns the JSON Schema of the configuration, generated from the types that read it.
    #[must_use]
    pub fn schema() -> Value {
        schemars::schema_for!(RawConfig).to_value()
    }
}

/// Takes the value at a dotted path out of its object; a fault inside an array takes the whole array out.
fn remove(value: &mut Value, path: &str) {
    let Value::Object(object) = value else { return };
    let (head, rest) = path
        .split_once('.')
        .map_or((path, None), |(head, rest)| (head, Some(rest)));
    let head = head.split('[').next().unwrap_or_default();
    match (object.get_mut(head), rest) {
        (Some(inner @ Value::Object(_)), Some(rest)) => remove(inner, rest),
        _ => drop(object.remove(head)),
    }
}

#[cfg(test)]
mod tests;
