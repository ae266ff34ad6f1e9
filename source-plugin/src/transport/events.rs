//! One WebSocket to one address, opened under one deadline: the feed of the `events` transport, or the socket of a channel.
//!
//! Refuses to wait longer than `connect_ms` for name, TCP, proxy, TLS and upgrade together. The token is not sent here: the
//! subscription, the first frame, carries it.
//!
//! Over 400 lines with its tests: each step of the way has its own error, and the texts of the errors stand beside them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::{
    HeaderMap,
    header::{RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS},
};

use super::proxy::Proxies;
use super::socket::{ByteStream, Socket, codec, filtered};
use crate::backoff::parse_retry_after;
use crate::clock::Clock;
use crate::endpoint::authority;
use crate::gap::escape;
use crate::tls;

/// What a WebSocket carries, which decides what an operator is told to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one feed of the `events` transport.
    Events,
    /// A channel of the notification service, whose address is its only credential.
    Channel,
}

impl Target {
    /// The setting that its address comes from.
    fn setting(self) -> &'static str {
        match self {
            Self::Events => "endpoints.events",
            Self::Channel => "endpoints.streaming",
        }
    }

    /// What a refusal of the upgrade means here.
    fn hint(self, status: u16) -> &'static str {
        match (self, status) {
            (Self::Events, 401) => ": the access token is not accepted",
            (Self::Events, 403) => {
                ": missing scope or role; give the OAuth client a role that may read what it subscribes to"
            }
            (Self::Events, 404) => ": check region or endpoints.events",
            (Self::Channel, 401 | 403 | 404 | 410) => {
                ": the channel has ended; if new ones are refused as well, check region and endpoints.streaming"
            }
            (_, 429) => ": too many connections",
            _ => "",
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The deadline passed.
    #[error(
        "no connection to {host} within {} ms; check the network, region and {}",
        .after.as_millis(),
        .target.setting()
    )]
    Deadline {
        /// What was to be opened.
        target: Target,
        /// Host and port.
        host: String,
        /// The deadline.
        after: Duration,
    },
    /// Name resolution, TCP or TLS failed.
    #[error("cannot connect to {host}: {reason}; check the network, region and {}", .target.setting())]
    Network {
        /// What was to be opened.
        target: Target,
        /// Host and port.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The proxy on the way refused or broke the tunnel.
    #[error(
        "cannot connect to {host} through the proxy {proxy}: {reason}; check HTTPS_PROXY (for ws:// HTTP_PROXY) and \
         NO_PROXY"
    )]
    Proxy {
        /// Host and port.
        host: String,
        /// Host and port of the proxy.
        proxy: String,
        /// What happened.
        reason: String,
    },
    /// The server answered the upgrade with something else than 101.
    #[error("{host} refused the WebSocket with HTTP {status}{}", .target.hint(*.status))]
    Refused {
        /// What was to be opened.
        target: Target,
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The answer was no upgrade.
    #[error("{host} does not speak WebSocket: {reason}; check region and {}", .target.setting())]
    Protocol {
        /// What was to be opened.
        target: Target,
        /// Host and port.
        host: String,
        /// What was wrong.
        reason: String,
    },
}

impl ConnectError {
    /// Says whether trying again may help without an operator's hand.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(
            self,
            Self::Refused {
                target: Target::Events,
                status: 403,
                ..
            }
        )
    }

    /// Returns how long the server asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the HTTP status behind it, 0 if there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => *status,
            _ => 0,
        }
    }
}

/// Opens connections to one address.
pub struct Connector {
    /// What the WebSocket carries.
    pub target: Target,
    /// The WebSocket's address.
    pub url: Url,
    /// The proxies on the way.
    pub proxies: Proxies,
    /// The shared TLS configuration.
    pub tls: Arc<rustls::ClientConfig>,
    /// Largest message that is decoded, in bytes.
    pub max_frame_bytes: usize,
    /// One deadline for everything.
    pub deadline: Duration,
    /// Tells the time at which a connection was opened, and reads `Retry-After` dates.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The path and query of a configured address stay out, as they may carry a credential.
        f.debug_struct("Connector")
            .field("host", &authority(&self.url))
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`ConnectError`]; see [`ConnectError::is_retryable`].
    /// # Cancel safety
    /// Safe: the half-open connection is dropped.
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        let host = || authority(&self.url);
        let opening = async {
            let stream = self.byte_stream().await?;
            self.upgrade(stream).await
        };
        tokio::time::timeout(self.deadline, opening)
            .await
            .unwrap_or_else(|_| {
                Err(ConnectError::Deadline {
                    target: self.target,
                    host: host(),
                    after: self.deadline,
                })
            })
    }

    async fn byte_stream(&self) -> Result<Box<dyn ByteStream>, ConnectError> {
        let broken = |error: std::io::Error| ConnectError::Network {
            target: self.target,
            host: authority(&self.url),
            reason: tls::reason(&error),
        };
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let plain: Box<dyn ByteStream> = match self.proxies.on_the_way_to(&self.url) {
            None => Box::new(dial(host, port).await.map_err(broken)?),
            Some(proxy) => {
                let tunnel = proxy.tunnel(&self.tls, &self.url).await;
                tunnel.map_err(|reason| ConnectError::Proxy {
                    host: authority(&self.url),
                    proxy: proxy.name(),
                    reason,
                })?
            }
        };
        if self.url.scheme() == "ws" {
            return Ok(plain);
        }
        encrypt(&self.tls, host, plain).await.map_err(broken)
    }

    /// Makes a WebSocket of a byte stream.
    ///
    /// # Errors
    /// [`ConnectError::Refused`], [`ConnectError::Protocol`] or [`ConnectError::Network`].
    /// # Cancel safety
    /// Safe: the stream is dropped.
    pub async fn upgrade(&self, stream: Box<dyn ByteStream>) -> Result<Socket, ConnectError> {
        let stream = filtered(stream, self.max_frame_bytes);
        let config = codec(self.max_frame_bytes);
        match client_async_with_config(self.url.as_str(), stream, Some(config)).await {
            // RFC 6455, 4.1: an extension that was not asked for fails the connection; the library lets it pass.
            Ok((_, response)) if response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS) => {
                Err(ConnectError::Protocol {
                    target: self.target,
                    host: authority(&self.url),
                    reason: "it answered with an extension that was not asked for".to_owned(),
                })
            }
            Ok((stream, _)) => Ok(Socket::new(stream, self.clock.now_us())),
            Err(error) => Err(self.refusal(&error)),
        }
    }

    fn refusal(&self, error: &Error) -> ConnectError {
        let host = authority(&self.url);
        match error {
            Error::Http(response) => ConnectError::Refused {
                target: self.target,
                host,
                status: response.status().as_u16(),
                retry_after: retry_after(response.headers(), self.clock.now_us()),
            },
            Error::Io(error) => ConnectError::Network {
                target: self.target,
                host,
                reason: escape(&error.to_string()),
            },
            error => ConnectError::Protocol {
                target: self.target,
                host,
                reason: tls::with_mend(&error.to_string()),
            },
        }
    }
}

/// Opens a TCP connection; brackets around an IPv6 address are taken off.
pub(super) async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect((bare(host), port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Puts TLS on a connection to a host.
pub(super) async fn encrypt(
    tls: &Arc<rustls::ClientConfig>,
    host: &str,
    stream: Box<dyn ByteStream>,
) -> std::io::Result<Box<dyn ByteStream>> {
    let name = ServerName::try_from(bare(host).to_owned())
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
    let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
    Ok(Box::new(encrypted))
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn retry_after(headers: &HeaderMap, now_us: i64) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now_us)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{ConnectError, Connector, Proxies, Target};
    use crate::clock::paused::PausedClock;

    fn connector() -> Connector {
        Connector {
            target: Target::Events,
            url: "ws://127.0.0.1:1/events?hush".parse().unwrap(),
            proxies: Proxies::none(),
            tls: crate::tls::client_config(None, false).unwrap(),
            max_frame_bytes: 1024,
            deadline: Duration::from_secs(15),
            clock: Arc::new(PausedClock::start()),
        }
    }

    async fn answered(answer: &'static str) -> ConnectError {
        refused(connector(), answer).await
    }

    async fn refused(connector: Connector, answer: &'static str) -> ConnectError {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let server = async {
            let mut request = [0; 4096];
            let read = theirs.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /events?hush HTTP/1.1\r\n"));
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs
        };
        let (refused, _theirs) = tokio::join!(connector.upgrade(Box::new(ours)), server);
        refused.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_carry_status_and_retry_after() {
        let throttled =
            answered("HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(
            (throttled.status(), throttled.retry_after()),
            (429, Some(Duration::from_secs(17)))
        );
        for (answer, status, retryable, part) in [
            (
                "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
                401,
                true,
                "access token is not accepted",
            ),
            (
                "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                403,
                false,
                "missing scope or role",
            ),
            (
                "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                404,
                true,
                "check region or endpoints.events",
            ),
            (
                "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                503,
                true,
                "HTTP 503",
            ),
        ] {
            let error = answered(answer).await;
            assert_eq!((error.status(), error.is_retryable()), (status, retryable));
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_of_a_channel_names_its_own_setting_and_what_has_ended() {
        let channel = || Connector {
            target: Target::Channel,
            ..connector()
        };
        let mend = "check region and endpoints.streaming";
        for status in [401, 403, 404, 410] {
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            let error = refused(channel(), answer.leak()).await;
            let text = format!(
                "127.0.0.1:1 refused the WebSocket with HTTP {status}: the channel has ended; if new ones are refused as \
                 well, {mend}"
            );
            assert_eq!((error.to_string(), error.is_retryable()), (text, true));
        }
        let error = refused(channel(), "220 mail.example.com ESMTP\r\n\r\n").await;
        assert!(error.to_string().ends_with(mend), "{error}");
        let error = channel().connect().await.unwrap_err().to_string();
        assert!(
            error.ends_with("check the network, region and endpoints.streaming"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_upgrade_says_so() {
        let error = answered("220 mail.example.com ESMTP\r\n\r\n").await;
        assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
    }
}
