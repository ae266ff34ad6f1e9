//! One TLS configuration for REST and WebSocket: rustls with ring, the system's roots, and an extra CA if one is given.
//!
//! Refuses to start without any trusted root where an encrypted endpoint is configured, and a `ca_file` without a
//! certificate: a source that trusts nobody would only fail later, with a worse message.

use std::path::Path;
use std::sync::Arc;

use config_faults::authorities::{self, AuthorityError};
use rustls::{ClientConfig, RootCertStore};

/// Why there is no TLS configuration; none is retryable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The extra CA file cannot be used.
    #[error("ca_file: {_0}; {mend}", mend = authorities::MEND)]
    CaFile(#[from] AuthorityError),
    /// Nobody is trusted.
    #[error("no trusted root certificate found on this system; install ca-certificates or set ca_file")]
    NoRoots,
    /// The library refused its own settings.
    #[error("TLS set-up failed: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsError {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Builds the configuration; `needed` says whether an encrypted endpoint will use it.
///
/// # Errors
/// [`TlsError`]; not retryable.
pub fn client_config(ca_file: Option<&Path>, needed: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    if needed {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "a system root certificate was not read");
        }
        roots.add_parsable_certificates(native.certs);
    }
    if let Some(path) = ca_file {
        authorities::add(&mut roots, path)?;
    }
    if needed && roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns the innermost message of a failed connection, since the outer ones only repeat the address, as
/// [`with_mend`].
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    with_mend(&innermost.to_string())
}

/// Returns a message with its mend, where a certificate was refused or one side alone speaks TLS. Control characters are
/// escaped.
pub(crate) fn with_mend(message: &str) -> String {
    let reason = crate::gap::escape(message);
    // An `io::Error` hides the type that it carries from `source`, so the text is what there is to go by.
    let mend = MENDS.iter().find(|(text, _)| reason.contains(text));
    match mend {
        Some((_, mend)) => format!("{reason} ({mend})"),
        None => reason,
    }
}

/// Says whether a failed connection failed in TLS: its set-up, or the peer's certificate.
pub(crate) fn is_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    // An `io::Error` hides what it carries from `source`, and gives it by `get_ref`.
    let inner = match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(carried) => Some(carried as &(dyn std::error::Error + 'static)),
        None => error.source(),
    };
    error.is::<rustls::Error>() || inner.is_some_and(is_failure)
}

/// What the messages of rustls, hyper and tungstenite mean that come of another authority or of TLS on one side alone.
const MENDS: [(&str, &str); 3] = [
    (
        "UnknownIssuer",
        "no trusted authority signed it: set ca_file to the authority's certificate, PEM",
    ),
    (
        "corrupt message of type InvalidContentType",
        "what answers there speaks no TLS: name the port of its TLS, or a plain scheme on loopback",
    ),
    (
        "invalid HTTP version",
        "what answers there speaks no plain HTTP, but perhaps TLS: write https:// or wss://",
    ),
];

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::client_config;

    #[test]
    fn a_ca_file_without_a_certificate_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"not a certificate").unwrap();
        let error = client_config(Some(file.path()), false).unwrap_err().to_string();
        assert!(error.contains("holds no PEM certificate"), "{error}");
        let error = client_config(Some(Path::new("/nonexistent/ca.pem")), false)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "ca_file: cannot read /nonexistent/ca.pem: No such file or directory (os error 2); name a file with the \
             certificate of the authority, PEM, or leave it out"
        );
    }

    #[test]
    fn a_failure_of_tls_is_told_from_one_of_the_network() {
        let tls = std::io::Error::other(rustls::Error::DecryptError);
        assert!(super::is_failure(&tls));
        assert!(super::is_failure(&std::io::Error::other(tls)));
        assert!(!super::is_failure(&std::io::Error::from(
            std::io::ErrorKind::ConnectionReset
        )));
    }

    #[test]
    fn plain_endpoints_need_no_roots() {
        assert!(client_config(None, false).is_ok());
    }
}
