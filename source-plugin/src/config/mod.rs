//! The source's configuration: one JSON text in, everything checked out, every fault in one pass.
//!
//! Refuses unknown keys, values out of range, credentials that are not there, and addresses that would leak a token. A
//! [`Config`] that exists can be used without a further check.

mod checks;
mod raw;
mod raw_subscription;
mod spool;
mod transport;
mod wishes;

use std::collections::BTreeMap;
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
pub use raw::Backfill;
use raw::RawConfig;
pub use spool::{DiskSpool, Spool};
pub use wishes::{Kind, Medium, Scope, Wishes};

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
    /// Base of the REST interface, ending in `/api/v2`; `None` only over the events transport.
    pub api: Option<Url>,
    /// The `events` transport's WebSocket; `None` only over the notifications transport.
    pub events: Option<Url>,
    /// Replaces scheme, host and port of a notification channel's address.
    pub streaming: Option<Url>,
}

/// The window in which a repeated event is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How long an id is remembered, in milliseconds.
    pub window_ms: u64,
    /// Most ids that are remembered.
    pub max_ids: usize,
}

impl Dedup {
    /// The bounds of the window.
    #[must_use]
    pub fn window(self) -> crate::dedup::Settings {
        crate::dedup::Settings {
            window_ms: self.window_ms,
            max_ids: self.max_ids,
        }
    }
}

/// How a dead connection is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Time between two pings.
    pub ping: Duration,
    /// Silence after which a connection counts as dead.
    pub silence: Duration,
}

/// How a channel is replaced by its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// How long both are read.
    pub overlap: Duration,
    /// Bytes of frames that are held meanwhile.
    pub max_bytes: usize,
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

/// The checked configuration of a source.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the source.
    pub name: String,
    /// The OAuth client.
    pub credentials: Credentials,
    /// Where to go.
    pub endpoints: Endpoints,
    /// Whether plain text may go to hosts other than loopback.
    pub allow_insecure: bool,
    /// Further trusted CA certificates.
    pub ca_file: Option<PathBuf>,
    /// What to subscribe to.
    pub subscription: Subscription,
    /// Shortest time between two subscriptions.
    pub subscription_interval: Duration,
    /// What is wanted over the notifications transport; `None` over the events transport, which asks for `subscription`.
    pub wishes: Option<Wishes>,
    /// How a channel is replaced by its successor.
    pub handover: Handover,
    /// What is fetched from the platform's history after a gap, if anything is.
    pub backfill: Option<Backfill>,
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
    /// Where records wait for their commit.
    pub spool: Spool,
    /// Dead letters that are read in place of the feed.
    pub replay: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a configuration; `environment` gives the defaults of region, credentials and
    /// the spool's directory.
    ///
    /// # Errors
    /// Every fault that one pass can find, at least one; none is retryable with the same text and environment.
    pub fn parse(json: &str, environment: &dyn Environment) -> Result<Self, Vec<Fault>> {
        checked(json, environment, |checks, raw| checks.config(raw))
    }

    /// Reads and checks what is wanted over the notifications transport, and nothing else: neither credentials nor
    /// addresses need be there.
    ///
    /// # Errors
    /// As [`Config::parse`]; and if the transport is another, which plans nothing.
    pub fn wishes(json: &str) -> Result<Wishes, Vec<Fault>> {
        checked(json, &BTreeMap::<String, String>::new(), |checks, raw| {
            let transport = checks.transport(raw);
            let wishes = checks.wishes(raw, transport);
            if wishes.is_none() {
                let mend = "set transport = \"notifications\"".to_owned();
                checks.add("transport", "only the notifications transport has a plan", mend);
            }
            wishes
        })
    }

    /// Returns the JSON Schema of the configuration, generated from the types that read it.
    #[must_use]
    pub fn schema() -> Value {
        schemars::schema_for!(RawConfig).to_value()
    }
}

/// Checks a text against the schema, then with `check`.
fn checked<T>(
    json: &str,
    environment: &dyn Environment,
    check: impl FnOnce(&mut Checks<'_>, &RawConfig) -> Option<T>,
) -> Result<T, Vec<Fault>> {
    let text = if json.trim().is_empty() { "{}" } else { json };
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| vec![fault("", format!("configuration is not JSON: {error}"), None)])?;
    let mut checks = Checks {
        faults: config_faults::check(&Config::schema(), &value),
        environment,
    };
    // What the schema refuses is taken out, so that the checks across keys still see the rest.
    for fault in &checks.faults {
        remove(&mut value, &fault.path);
    }
    match RawConfig::deserialize(&value) {
        Ok(raw) => match check(&mut checks, &raw) {
            Some(checked) if checks.faults.is_empty() => Ok(checked),
            _ => Err(checks.faults),
        },
        Err(error) if checks.faults.is_empty() => Err(vec![fault("", error.to_string(), None)]),
        Err(_) => Err(checks.faults),
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
