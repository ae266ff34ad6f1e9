//! The HTTP client: one pool of connections to one host.
//!
//! Responsible for everything that is decided once: TLS, redirects, proxies, retries, deadlines. Refuses to follow, to
//! repeat and to go around: no redirect, no retry of the library's own, no proxy from the environment, since each
//! would send an event where, or when, the pipeline did not. Invariant: certificates are always verified.

use std::sync::Arc;
use std::time::Duration;

use config_faults::authorities;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, redirect, retry};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Webhook, WebhookEnvelope};

use super::resolver::{FilteringResolver, Reach};
use super::settings::SettingsError;

/// How long a connection without a request is kept, in milliseconds; below the minute at which load balancers close.
const IDLE_MS: u64 = 50_000;

/// How often an HTTP/2 connection is asked whether it lives, in milliseconds. A request that times out leaves such a
/// connection in use, so that a dead one would fail every event until the kernel gives it up.
const PING_MS: u64 = 5_000;

/// Makes the client.
pub(super) fn client(webhook: &Webhook) -> Result<Client, SettingsError> {
    let reach = match (webhook.target.is_plain(), webhook.allow_private) {
        (true, _) => Reach::Loopback,
        (false, true) => Reach::Any,
        (false, false) => Reach::Public,
    };
    let content_type = match webhook.envelope {
        WebhookEnvelope::Structured => "application/cloudevents+json",
        WebhookEnvelope::Plain => "application/json",
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    let timeout = Duration::from_millis(webhook.timeout_ms);
    Client::builder()
        .tls_backend_preconfigured(tls(webhook)?)
        .dns_resolver(FilteringResolver(reach))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("genesys-kafka/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(timeout)
        .timeout(timeout)
        .http2_keep_alive_interval(Duration::from_millis(PING_MS))
        .http2_keep_alive_timeout(timeout)
        .http2_keep_alive_while_idle(true)
        .pool_idle_timeout(Duration::from_millis(IDLE_MS))
        .pool_max_idle_per_host(webhook.max_in_flight)
        .build()
        .map_err(|error| SettingsError::System(error.without_url().to_string()))
}

fn tls(webhook: &Webhook) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    if !webhook.target.is_plain() {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "a system root certificate was not read");
        }
        roots.add_parsable_certificates(native.certs);
    }
    if let Some(path) = &webhook.ca_file {
        authorities::add(&mut roots, path).map_err(SettingsError::CaFile)?;
    }
    if roots.is_empty() && !webhook.target.is_plain() {
        return Err(SettingsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::System(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    #[test]
    fn authorities_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let webhook = Webhook {
            target: Target::parse("https://hooks.example/x", false).unwrap(),
            envelope: WebhookEnvelope::Structured,
            secrets: Vec::new(),
            timeout_ms: 3000,
            max_in_flight: 5,
            max_attempts: 10,
            ca_file: Some(path.clone()),
            allow_private: false,
        };
        std::fs::write(&path, "no certificate").unwrap();
        let error = client(&webhook).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "webhook.ca_file: {} holds no PEM certificate; name a file with the certificate of the authority, PEM, or \
                 leave it out",
                path.display()
            )
        );
        assert!(!error.is_retryable());
    }
}
