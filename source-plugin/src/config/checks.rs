//! What one key of the configuration alone cannot tell: credentials that exist, addresses that fit, limits that agree.
//!
//! Refuses a second fault at a place that is already known to be wrong. Messages name places, never a credential.

use std::path::PathBuf;
use std::time::Duration;

use config_faults::{Fault, SecretPlace, authorities, shown_variable};
use reqwest::Url;
use rustls::RootCertStore;

use super::raw::{RawConfig, RawOnFull, RawSecret, RawSpoolMode, RawTransport};
use super::{Config, Credentials, Dedup, Endpoints, Handover, KeepAlive, OnFull, Queue, Timeouts};
use crate::backoff::Policy;
use crate::endpoint::{self, Scheme};
use crate::region::Region;
use crate::secret::{Environment, SecretSource};
use crate::subscription::Subscription;

/// Collects the faults that one key alone does not show.
pub(super) struct Checks<'a> {
    pub(super) faults: Vec<Fault>,
    pub(super) environment: &'a dyn Environment,
}

impl Checks<'_> {
    /// Adds a fault, unless its place is already known to be at fault.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>, mend: impl Into<Option<String>>) {
        if !self
            .faults
            .iter()
            .any(|known| known.path == path || known.path.starts_with(&format!("{path}.")))
        {
            self.faults.push(fault(path, message.into(), mend.into()));
        }
    }

    /// Checks everything; nothing comes back if a part is missing.
    pub(super) fn config(&mut self, raw: &RawConfig) -> Option<Config> {
        if raw.reconnect.min_ms > raw.reconnect.max_ms {
            let mend = format!("set it to at most {} ms (reconnect.max_ms)", raw.reconnect.max_ms);
            self.add(
                "reconnect.min_ms",
                format!("{} ms is above reconnect.max_ms", raw.reconnect.min_ms),
                mend,
            );
        }
        if raw.keep_alive.ping_ms >= raw.keep_alive.silence_ms {
            self.add(
                "keep_alive.silence_ms",
                format!(
                    "{} ms leave no time for the answer to a ping",
                    raw.keep_alive.silence_ms
                ),
                format!("set it above keep_alive.ping_ms ({} ms)", raw.keep_alive.ping_ms),
            );
        }
        let subscription = Subscription {
            events: raw.subscription.event_names(),
            filters: raw.subscription.filters.clone().unwrap_or_default(),
            max_events: size(raw.subscription.max_events()),
            max_bytes: size(raw.subscription.max_bytes()),
        };
        let transport = self.transport(raw);
        let wishes = self.wishes(raw, transport);
        if raw.backfill.is_some() && transport == RawTransport::Events {
            self.add(
                "backfill",
                "needs the history of conversations, which the events transport does not have",
                "leave it out, or set transport = \"notifications\"".to_owned(),
            );
        }
        if let (None, Err(error)) = (&wishes, subscription.check()) {
            use crate::subscription::SubscriptionError as Error;
            let path = match &error {
                Error::TooLarge { .. } => "subscription",
                Error::EventCount { .. } | Error::Repeated | Error::Schema { .. } | Error::Token => {
                    "subscription.events"
                }
            };
            self.add(path, error.to_string(), None);
        }
        if let Some(Err(error)) = raw
            .ca_file
            .as_ref()
            .map(|file| authorities::add(&mut RootCertStore::empty(), file.as_ref()))
        {
            self.add("ca_file", error.to_string(), authorities::MEND.to_owned());
        }
        let client_id = self.secret("client_id", &raw.client_id, "OAUTH_CLIENT_ID");
        let client_secret = self.secret("client_secret", &raw.client_secret, "OAUTH_CLIENT_SECRET");
        let endpoints = self.endpoints(raw, transport);
        let spool = self.spool(raw);
        let replay = self.replay(raw);
        Some(Config {
            name: raw.name.clone(),
            credentials: Credentials {
                client_id: client_id?,
                client_secret: client_secret?,
            },
            endpoints: endpoints?,
            allow_insecure: raw.allow_insecure,
            ca_file: raw.ca_file.as_ref().map(PathBuf::from),
            subscription,
            subscription_interval: ms(raw.subscription.min_interval_ms()),
            wishes,
            handover: Handover {
                overlap: ms(raw.handover.overlap_ms),
                max_bytes: size(raw.handover.max_bytes),
            },
            backfill: raw.backfill,
            reconnect: Policy {
                min: ms(raw.reconnect.min_ms),
                max: ms(raw.reconnect.max_ms),
                max_attempts: (raw.reconnect.max_attempts > 0).then_some(raw.reconnect.max_attempts),
                stable: ms(raw.reconnect.stable_ms),
            },
            dedup: Dedup {
                window_ms: raw.dedup.window_ms,
                max_ids: size(raw.dedup.max_ids),
            },
            keep_alive: KeepAlive {
                ping: ms(raw.keep_alive.ping_ms),
                silence: ms(raw.keep_alive.silence_ms),
            },
            timeouts: Timeouts {
                connect: ms(raw.timeouts.connect_ms),
                login: ms(raw.timeouts.login_ms),
                subscribe_grace: ms(raw.timeouts.subscribe_grace_ms),
            },
            max_frame_bytes: size(raw.max_frame_bytes),
            queue: Queue {
                max_records: size(raw.queue.max_records),
                max_bytes: size(raw.queue.max_bytes),
                on_full: match raw.queue.on_full {
                    RawOnFull::Stop => OnFull::Stop,
                    RawOnFull::Drop => OnFull::Drop,
                },
                stall: ms(raw.spool.stall_ms),
            },
            spool: spool?,
            replay,
        })
    }

    fn replay(&mut self, raw: &RawConfig) -> Option<PathBuf> {
        let path = PathBuf::from(raw.replay.as_ref()?);
        if raw.spool.mode != RawSpoolMode::Memory {
            self.add(
                "replay",
                "dead letters pass by the spool, which belongs to the feed",
                "set spool.mode = \"memory\", or leave replay out".to_owned(),
            );
        }
        if !path.is_file() {
            self.add(
                "replay",
                format!("{} is not a file", path.display()),
                "name a file of dead letters, one a line".to_owned(),
            );
        }
        Some(path)
    }

    fn secret(&mut self, path: &str, raw: &RawSecret, default_variable: &str) -> Option<SecretSource> {
        let place = match (&raw.env, &raw.file) {
            (Some(_), Some(_)) => {
                self.add(
                    path,
                    "both env and file are set",
                    "keep one of the two".to_owned(),
                );
                return None;
            }
            (None, Some(file)) => SecretPlace::File(PathBuf::from(file)),
            (Some(name), None) => SecretPlace::Variable(name.clone()),
            (None, None) => SecretPlace::Variable(default_variable.to_owned()),
        };
        match SecretSource::new(place, self.environment) {
            Ok(source) => Some(source),
            Err(error) => {
                // a name that may be the secret itself is not repeated
                let variable = raw
                    .env
                    .as_deref()
                    .filter(|name| shown_variable(name) == *name)
                    .unwrap_or(default_variable);
                let mend = if raw.file.is_some() {
                    // the file wins over every variable
                    format!("put it there, readable by this user, or set {path} = {{ env = \"{variable}\" }}")
                } else {
                    format!("set {variable}, or {path} = {{ file = \"…\" }} to a file that holds it")
                };
                self.add(path, error.to_string(), mend);
                None
            }
        }
    }

    fn endpoints(&mut self, raw: &RawConfig, transport: RawTransport) -> Option<Endpoints> {
        let (region, domain) = self.place(raw);
        let explicit = &raw.endpoints;
        let base = |host: &str| domain.as_ref().map(|domain| format!("https://{host}.{domain}"));
        let login = explicit.login.clone().or_else(|| base("login"));
        let api = explicit.api.clone().or_else(|| base("api"));
        // The tutorial puts the region's name before mypurecloud.com; a bare domain has its API host instead.
        let events_host = match (&region, &domain) {
            (Some(name), _) => Some(format!("{name}.mypurecloud.com")),
            (None, Some(domain)) => Some(format!("api.{domain}")),
            (None, None) => None,
        };
        let events = explicit.events.clone().or_else(|| {
            events_host.map(|host| format!("wss://{host}/api/v2/analytics/conversations/events/ws"))
        });
        let streaming = explicit.streaming.as_deref().and_then(|streaming| {
            self.url(
                "endpoints.streaming",
                Some(streaming),
                Scheme::WebSocket,
                raw.allow_insecure,
            )
        });
        let (feed, other) = match transport {
            RawTransport::Events => (&events, "endpoints.events"),
            RawTransport::Notifications => (&api, "endpoints.api"),
        };
        let place_is_at_fault = self
            .faults
            .iter()
            .any(|fault| fault.path == "region" || fault.path == "domain");
        if (login.is_none() || feed.is_none()) && !place_is_at_fault {
            let is = match self.environment.variable("GENESYS_ENV") {
                Some(_) => "empty",
                None => "not set",
            };
            self.add(
                "region",
                format!("no region is set, and environment variable GENESYS_ENV is {is}"),
                format!(
                    "set GENESYS_ENV or region, such as \"us-east-1\", or domain, or endpoints.login and {other}"
                ),
            );
        }
        let login = self.url(
            "endpoints.login",
            login.as_deref(),
            Scheme::Http,
            raw.allow_insecure,
        );
        let api = self.url("endpoints.api", api.as_deref(), Scheme::Http, raw.allow_insecure);
        let events = self.url(
            "endpoints.events",
            events.as_deref(),
            Scheme::WebSocket,
            raw.allow_insecure,
        );
        if transport == RawTransport::Events && events.is_none() {
            return None;
        }
        Some(Endpoints {
            token: endpoint::join(&login?, "/oauth/token"),
            api: api.map(|api| endpoint::join(&api, "/api/v2")),
            events,
            streaming,
        })
    }

    /// Returns the region's name and the domain, as far as they are set.
    fn place(&mut self, raw: &RawConfig) -> (Option<String>, Option<String>) {
        if let Some(domain) = &raw.domain {
            if raw.region.is_some() {
                self.add(
                    "domain",
                    "both region and domain are set",
                    "keep one of the two".to_owned(),
                );
            }
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            if domain.is_empty() || !domain.bytes().all(fits) {
                let mend = "give the bare domain, such as \"usw2.pure.cloud\"".to_owned();
                self.add("domain", format!("{domain:?} is not a domain name"), mend);
                return (None, None);
            }
            return (None, Some(domain.clone()));
        }
        let from_environment = self
            .environment
            .variable("GENESYS_ENV")
            .filter(|name| !name.trim().is_empty());
        let Some(name) = raw.region.clone().or(from_environment) else {
            return (None, None);
        };
        match Region::find(&name) {
            Ok(region) => (Some(region.name.to_owned()), Some(region.domain.to_owned())),
            Err(error) => {
                let mend = "use a known name, or set domain".to_owned();
                let given = if raw.region.is_some() {
                    ""
                } else {
                    "environment variable GENESYS_ENV: "
                };
                self.add("region", format!("{given}{error}"), mend);
                (None, None)
            }
        }
    }

    fn url(&mut self, path: &str, text: Option<&str>, scheme: Scheme, allow_insecure: bool) -> Option<Url> {
        match endpoint::parse(text?, scheme, allow_insecure) {
            Ok(url) => Some(url),
            Err(error) => {
                let mend = matches!(error, endpoint::EndpointError::Plain { .. })
                    .then(|| "use the encrypted scheme, or set allow_insecure = true".to_owned());
                self.add(path, error.to_string(), mend);
                None
            }
        }
    }
}

pub(super) fn fault(path: &str, message: String, mend: Option<String>) -> Fault {
    Fault {
        path: path.to_owned(),
        message,
        mend,
        nearest: None,
    }
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
