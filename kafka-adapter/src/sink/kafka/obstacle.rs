//! Why no broker can be reached, in our words and with the mend.
//!
//! Responsible for reading librdkafka's lines on failed connections, the only place where it tells a reason: to the
//! caller it says "transport failure" of everything. Refuses to call a guess certain: a listener that hangs up may speak
//! the other protocol, or be in the middle of its restart. Invariant: of several reasons the one that needs an operator
//! most is kept, whatever the order of the lines.
//!
//! # Source
//! `rdkafka_broker.c`, `rdkafka_ssl.c` and `rdkafka_transport.c` of librdkafka 2.12.1.

use std::fmt;

/// The facility of librdkafka's lines on failed connections.
pub(super) const FACILITY: &str = "FAIL";
/// Longest text of librdkafka that is repeated, in bytes.
const MAX_SAID_BYTES: usize = 300;

/// librdkafka's words where a connection stands and nothing comes back: it guesses at a broker before 0.10.
const UNANSWERED: [&str; 2] = [
    "ApiVersionRequest failed: Local: Timed out",
    "Connection setup timed out in state ",
];

/// What stands between us and the brokers; the later in this list, the more it needs an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Nothing was said: the network swallows the requests, or nobody answers them.
    #[default]
    Silence,
    /// The network's or librdkafka's own words.
    Said(String),
    /// A plain-text connection was closed at the first request.
    PerhapsTls,
    /// A TLS handshake was broken off.
    PerhapsPlain,
    /// What answered the handshake was no TLS.
    NoTls,
    /// The broker wants a certificate of ours.
    NoClientCertificate,
    /// The broker's certificate is not trusted.
    Untrusted,
}

impl Obstacle {
    /// Reads one of librdkafka's lines on a failed connection.
    pub(super) fn read(line: &str) -> Self {
        let said = without_frame(line);
        let has = |text: &str| said.contains(text);
        if has("certificate verify failed") {
            Self::Untrusted
        } else if has("certificate required") || has("client SSL authentication might be required") {
            Self::NoClientCertificate
        } else if has("wrong version number") {
            Self::NoTls
        } else if line.contains("in state SSL_HANDSHAKE") && has("Disconnected") {
            Self::PerhapsPlain
        } else if has("Disconnected")
            && line.contains("in state APIVERSION_QUERY")
            && !line.contains("ssl://")
        {
            Self::PerhapsTls
        } else if UNANSWERED.iter().any(|text| has(text)) {
            Self::Silence
        } else {
            let mut said: String = said
                .replace("Connect to ipv4#", "connect to ")
                .replace("Connect to ipv6#", "connect to ")
                .chars()
                .map(|character| if character.is_control() { ' ' } else { character })
                .collect();
            said.truncate(said.floor_char_boundary(MAX_SAID_BYTES));
            Self::Said(said)
        }
    }

    /// Says whether waiting cannot help: certificates and protocols that do not fit stay so.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Silence | Self::Said(_) | Self::PerhapsTls | Self::PerhapsPlain => false,
            Self::NoTls | Self::NoClientCertificate | Self::Untrusted => true,
        }
    }
}

/// The reason and the mend, separated by a semicolon.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LISTENS: &str = "check that one listens there, and that kafka.librdkafka has the security.protocol of that listener";
        const NO_TLS: &str = "set \"security.protocol\" = \"plaintext\" in [kafka.librdkafka], or name the port of a TLS listener";
        match self {
            Self::Silence => write!(f, "nothing was answered; {LISTENS}"),
            Self::Said(said) => write!(f, "{said}; {LISTENS}"),
            Self::PerhapsTls => f.write_str(
                "the connection is closed at the first plain-text request, as a TLS listener does; set \
                 \"security.protocol\" = \"ssl\" in [kafka.librdkafka], or name the port of a plain-text listener",
            ),
            Self::PerhapsPlain => write!(
                f,
                "the TLS handshake is broken off, as a plain-text listener does; {NO_TLS}"
            ),
            Self::NoTls => write!(f, "what answers there speaks no TLS; {NO_TLS}"),
            Self::NoClientCertificate => f.write_str(
                "the broker asks for a client certificate; set \"ssl.certificate.location\" and \"ssl.key.location\" in \
                 [kafka.librdkafka]",
            ),
            Self::Untrusted => f.write_str(
                "the broker's certificate is not trusted, since no known authority signed it or it is for another host \
                 name; set \"ssl.ca.location\" in [kafka.librdkafka] to the authority's certificate, PEM, and name the \
                 broker as its certificate does",
            ),
        }
    }
}

/// The line without thread and broker before it and the age of the connection behind it.
fn without_frame(line: &str) -> &str {
    let after_thread = match line.split_once("]: ") {
        Some((thread, rest)) if thread.starts_with("[thrd:") => rest,
        _ => line,
    };
    let said = after_thread
        .split_once(": ")
        .map_or(after_thread, |(_broker, said)| said);
    said.rsplit_once(" (after ").map_or(said, |(said, _)| said)
}

#[cfg(test)]
mod tests {
    use super::Obstacle;

    fn read(said: &str) -> Obstacle {
        Obstacle::read(&format!(
            "[thrd:ssl://b:1/bootstrap]: ssl://b:1/bootstrap: {said}"
        ))
    }

    #[test]
    fn each_line_of_librdkafka_has_its_meaning() {
        assert_eq!(
            Obstacle::read(
                "[thrd:b:1/bootstrap]: b:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN \
                 (after 0ms in state APIVERSION_QUERY)"
            ),
            Obstacle::PerhapsTls
        );
        for (said, obstacle) in [
            (
                "SSL handshake failed: Disconnected: connection reset by peer: connecting to a PLAINTEXT broker listener? \
                 (after 2ms in state SSL_HANDSHAKE)",
                Obstacle::PerhapsPlain,
            ),
            (
                "Disconnected: connection reset by peer (after 0ms in state SSL_HANDSHAKE)",
                Obstacle::PerhapsPlain,
            ),
            (
                "SSL handshake failed: error:0A00010B:SSL routines::wrong version number (after 1ms in state SSL_HANDSHAKE)",
                Obstacle::NoTls,
            ),
            (
                "error:0A000086:SSL routines::certificate verify failed (after 1ms in state SSL_HANDSHAKE)",
                Obstacle::Untrusted,
            ),
            (
                "SSL read error: error:0A00045C:SSL routines::tlsv13 alert certificate required",
                Obstacle::NoClientCertificate,
            ),
            (
                "Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT, 3 identical error(s) \
                 suppressed)",
                Obstacle::Said("connect to 127.0.0.1:9 failed: Connection refused".to_owned()),
            ),
            (
                "ApiVersionRequest failed: Local: Timed out: probably due to broker version < 0.10 (see \
                 api.version.request configuration) (after 10003ms in state APIVERSION_QUERY)",
                Obstacle::Silence,
            ),
            (
                "Connection setup timed out in state SSL_HANDSHAKE (after 30004ms in state SSL_HANDSHAKE)",
                Obstacle::Silence,
            ),
            (
                "Failed to resolve 'b:1': Name or service not known (after 0ms in state CONNECT)",
                Obstacle::Said("Failed to resolve 'b:1': Name or service not known".to_owned()),
            ),
        ] {
            assert_eq!(read(said), obstacle, "{said}");
        }
    }

    #[test]
    fn what_is_certain_outweighs_a_guess_and_a_guess_outweighs_the_network() {
        let refused = Obstacle::Said("refused".to_owned());
        assert!(Obstacle::Silence < refused && refused < Obstacle::PerhapsTls);
        assert!(Obstacle::PerhapsPlain < Obstacle::NoTls && Obstacle::NoTls < Obstacle::Untrusted);
        assert!(!Obstacle::PerhapsPlain.is_certain() && Obstacle::NoTls.is_certain());
    }

    #[test]
    fn a_long_or_odd_line_stays_one_short_line() {
        let Obstacle::Said(said) = read(&format!("a\nb{}", "x".repeat(1000))) else {
            panic!("no words")
        };
        assert!(said.starts_with("a bx") && said.len() == 300, "{said}");
    }
}
