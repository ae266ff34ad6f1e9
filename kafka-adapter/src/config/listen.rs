//! The address that the operations listener is opened on.
//!
//! Responsible for the two ways to write it, `host:port` and a port alone. Refuses everything else, and resolves no
//! name: that happens where it is opened. Invariant: a port alone means this machine only.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    host: String,
    port: u16,
}

/// The text is no address to listen on. Not retryable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port, or a port alone, which means this machine only")]
pub struct ListenError;

impl ListenError {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        false
    }
}

impl Listen {
    /// Reads an address as it is written: `0.0.0.0:9464`, `[::1]:9464`, `localhost:9464`, `9464`. Port 0 lets the system
    /// choose.
    ///
    /// # Errors
    /// [`ListenError`]; not retryable.
    pub fn parse(text: &str) -> Result<Self, ListenError> {
        let (host, port) = match text.rsplit_once(':') {
            None => ("127.0.0.1", text),
            Some((host, port)) => (host, port),
        };
        // `parse` alone would take a sign
        let port = Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .ok_or(ListenError)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|host| host.parse::<Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| is_name(host)),
        };
        Ok(Self {
            host: host.ok_or(ListenError)?.to_owned(),
            port,
        })
    }

    /// The name or address of the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 lets the system choose.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Says whether a text is an IPv4 address or may be a name of the DNS (RFC 1123, section 2.1).
fn is_name(text: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
        && (!is_number(text) || text.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Listen, ListenError};

    #[test]
    fn an_address_or_a_port_alone_is_read_and_shown_as_an_address() {
        for (text, shown) in [
            ("9464", "127.0.0.1:9464"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("localhost:1", "localhost:1"),
            ("node-7.example:65535", "node-7.example:65535"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), shown);
        }
        let listen = Listen::parse("[::]:80").unwrap();
        assert_eq!((listen.host(), listen.port()), ("::", 80));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ":",
            ":9464",
            "localhost",
            "localhost:",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "+1",
            "65536",
            "::1",
            "::1:9464",
            "[::1]",
            "[localhost]:1",
            "[::1:1",
            "256.0.0.1:1",
            "http://a:1",
            "a b:1",
            "user@a:1",
            "a:1/healthz",
        ] {
            assert_eq!(Listen::parse(text), Err(ListenError), "{text}");
        }
        assert!(!ListenError.is_retryable());
    }
}
