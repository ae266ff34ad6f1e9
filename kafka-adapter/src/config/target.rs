//! The address of a webhook.
//!
//! Responsible for the rules of the URL alone; what its host resolves to is looked at when it is dialled. Refuses an
//! address without a scheme, with credentials in it, in plain text beyond this machine, and an IP address of a private
//! network unless that is allowed. Invariant: path and query never leave this module but by [`Target::url`], since
//! they may be all that keeps strangers out.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use url::Host;

use crate::address::{is_loopback, is_public};

/// The checked address of a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    shown: String,
}

/// Why an address is refused; none is retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL at all.
    #[error("is not a URL: {0}; write https://host/path")]
    Syntax(String),
    /// It has no scheme.
    #[error("has no scheme; write https://host/path")]
    NoScheme,
    /// Its scheme is another one.
    #[error("has the scheme `{0}`; write https://host/path")]
    OtherScheme(String),
    /// It carries a user name or password.
    #[error("carries a user name or password; leave them out, and sign requests with webhook.secret")]
    Credentials,
    /// It is plain text to another machine.
    #[error("is plain http to {0}, which is not this machine; write https://")]
    Plain(String),
    /// It names an address of a private network.
    #[error(
        "leads to {0}, an address of this machine or of a private network; set webhook.allow_private = true if it is meant"
    )]
    Private(String),
}

impl TargetError {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl Target {
    /// Checks an address as it is written.
    ///
    /// # Errors
    /// [`TargetError`]; not retryable.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, TargetError> {
        if !text.contains("://") {
            return Err(TargetError::NoScheme);
        }
        let mut url = Url::parse(text).map_err(|error| TargetError::Syntax(error.to_string()))?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(TargetError::OtherScheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        url.set_fragment(None);
        let host = match url.host() {
            Some(Host::Domain(name)) => Err(name.trim_end_matches('.').to_owned()),
            Some(Host::Ipv4(address)) => Ok(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Ok(IpAddr::V6(address)),
            None => return Err(TargetError::Syntax("it has no host".to_owned())),
        };
        let (is_here, name) = match &host {
            Ok(address) => (is_loopback(*address), address.to_string()),
            Err(name) => (is_local_name(name), name.clone()),
        };
        if is_plain && !is_here {
            return Err(TargetError::Plain(name));
        }
        let is_private = is_here || host.is_ok_and(|address| !is_public(address));
        if is_private && !allow_private {
            return Err(TargetError::Private(name));
        }
        let shown = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
            (host, _) => format!("{}://{}", url.scheme(), host.unwrap_or_default()),
        };
        Ok(Self { url, shown })
    }

    /// The whole address; it may hold a secret.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Says whether requests are plain text, and so must stay on this machine.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }
}

/// Scheme, host and port.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.shown).finish()
    }
}

/// Says whether a name is this machine's by definition (RFC 6761, section 6.3).
fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};

    #[test]
    fn only_scheme_host_and_port_are_ever_shown() {
        let target = Target::parse("https://hooks.example:8443/T0/secret?key=pw#x", false).unwrap();
        assert_eq!(target.to_string(), "https://hooks.example:8443");
        assert_eq!(format!("{target:?}"), "Target(\"https://hooks.example:8443\")");
        assert_eq!(
            target.url().as_str(),
            "https://hooks.example:8443/T0/secret?key=pw"
        );
        assert!(!target.is_plain());
    }

    #[test]
    fn each_rule_has_its_error() {
        let refused = |text: &str| Target::parse(text, false).unwrap_err();
        assert_eq!(refused("hooks.example/x"), TargetError::NoScheme);
        assert_eq!(
            refused("ftp://hooks.example/x"),
            TargetError::OtherScheme("ftp".into())
        );
        assert_eq!(refused("https://me:pw@hooks.example/"), TargetError::Credentials);
        assert_eq!(refused("https://me@hooks.example/"), TargetError::Credentials);
        assert_eq!(
            refused("http://hooks.example/"),
            TargetError::Plain("hooks.example".into())
        );
        assert_eq!(refused("http://10.0.0.1/"), TargetError::Plain("10.0.0.1".into()));
        assert!(matches!(refused("https://"), TargetError::Syntax(_)));
        assert!(!refused("https://").is_retryable());
        for (private, name) in [
            ("https://127.0.0.1/", "127.0.0.1"),
            ("http://127.0.0.1:8080/", "127.0.0.1"),
            ("https://localhost./", "localhost"),
            ("https://[::1]/", "::1"),
            ("https://192.168.0.9/", "192.168.0.9"),
            // other ways to write 127.0.0.1 and 169.254.169.254
            ("https://2130706433/", "127.0.0.1"),
            ("https://0x7f.1/", "127.0.0.1"),
            ("https://[::ffff:169.254.169.254]/", "::ffff:169.254.169.254"),
        ] {
            assert_eq!(refused(private), TargetError::Private(name.into()), "{private}");
            assert!(Target::parse(private, true).is_ok(), "{private}");
        }
        assert!(
            Target::parse("http://10.0.0.1/", true).is_err(),
            "plain text stays here"
        );
    }
}
