//! The addresses a source talks to: from the region, from a domain, or as configured.
//!
//! Refuses an address of another scheme, without a host or with credentials in it, and plain text to a host that is
//! not loopback unless `allow_insecure` is set: a token never crosses a network unencrypted by accident.

use reqwest::Url;

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `https`, or `http` where plain text is allowed.
    Http,
    /// `wss`, or `ws` where plain text is allowed.
    WebSocket,
}

impl Scheme {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Http => ("https", "http"),
            Self::WebSocket => ("wss", "ws"),
        }
    }
}

/// Why an address is refused; none is retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("not a URL: {reason}")]
    Syntax {
        /// What the parser said.
        reason: String,
    },
    /// Its scheme is not one that this endpoint speaks.
    #[error("scheme must be {secure:?} (or {plain:?} on loopback)")]
    OtherScheme {
        /// The encrypted scheme.
        secure: &'static str,
        /// The plain scheme.
        plain: &'static str,
    },
    /// It carries a user name or password.
    #[error("must not carry a user name or password")]
    Credentials,
    /// It is plain text to another machine.
    #[error("plain {scheme}:// is allowed to loopback only, and {host} is not loopback")]
    Plain {
        /// The plain scheme.
        scheme: &'static str,
        /// The host it names.
        host: String,
    },
}

impl EndpointError {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Reads and checks an address.
///
/// # Errors
/// [`EndpointError`]; not retryable.
pub fn parse(text: &str, scheme: Scheme, allow_insecure: bool) -> Result<Url, EndpointError> {
    let url = Url::parse(text.trim()).map_err(|error| EndpointError::Syntax {
        reason: error.to_string(),
    })?;
    let (secure, plain) = scheme.names();
    if url.scheme() != secure && url.scheme() != plain {
        return Err(EndpointError::OtherScheme { secure, plain });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Credentials);
    }
    if url.scheme() == plain && !allow_insecure && !is_loopback(&url) {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(EndpointError::Plain { scheme: plain, host });
    }
    Ok(url)
}

/// Appends path segments to a base URL, whether or not it ends in a slash: `/oauth/token`, `/api/v2`.
#[must_use]
pub fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Returns host and port for a log line or an error, without path and query.
#[must_use]
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Scheme, authority, join, parse};

    #[test]
    fn plain_text_goes_to_loopback_only() {
        for local in [
            "ws://127.0.0.1:80/x",
            "ws://localhost/x",
            "ws://[::1]:9/x",
            "ws://127.9.9.9/",
        ] {
            assert!(parse(local, Scheme::WebSocket, false).is_ok(), "{local}");
        }
        for remote in [
            "ws://example.com/x",
            "ws://10.0.0.1/x",
            "ws://localhost.example.com/",
            "ws://0.0.0.0/",
        ] {
            let error = parse(remote, Scheme::WebSocket, false).unwrap_err().to_string();
            assert!(
                error.starts_with("plain ws:// is allowed to loopback only"),
                "{error}"
            );
            assert!(parse(remote, Scheme::WebSocket, true).is_ok());
        }
        assert!(parse("https://example.com", Scheme::Http, false).is_ok());
        assert!(parse("http://example.com", Scheme::Http, false).is_err());
    }

    #[test]
    fn refuses_other_schemes_credentials_and_nonsense() {
        assert!(parse("https://example.com", Scheme::WebSocket, true).is_err());
        assert!(parse("wss://me:secret@example.com", Scheme::WebSocket, true).is_err());
        assert!(parse("example.com", Scheme::Http, true).is_err());
        assert!(parse("https://", Scheme::Http, true).is_err());
    }

    #[test]
    fn joins_with_and_without_a_slash() {
        for base in ["http://127.0.0.1:1/base", "http://127.0.0.1:1/base/"] {
            let base = parse(base, Scheme::Http, false).unwrap();
            let token = join(&base, "/oauth/token");
            assert_eq!(token.as_str(), "http://127.0.0.1:1/base/oauth/token");
            assert_eq!(authority(&token), "127.0.0.1:1");
        }
    }
}
