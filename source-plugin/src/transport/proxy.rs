//! The way to a WebSocket through an HTTP proxy, where the environment names one.
//!
//! Responsible for the choice and for the tunnel (`CONNECT`). The choice is that of REST calls, made by the matcher that
//! reqwest uses: `HTTPS_PROXY` for `wss://`, `HTTP_PROXY` for `ws://` (as curl has it), `ALL_PROXY` where the one in
//! question is not set, each also in small letters, and `NO_PROXY` for what is reached without. Loopback is no exception
//! unless `NO_PROXY` names it. Without a port in its address a proxy is at 80, or 443 for `https://`, as reqwest has it.
//! Refuses SOCKS, and to read beyond the proxy's answer: the first byte behind it is the server's. Invariant: the user name
//! and password of a proxy are in the header of the tunnel and nowhere else.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

use super::events::{dial, encrypt};
use super::socket::ByteStream;
use crate::tls;

/// Largest head of a proxy's answer, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The proxies that the environment names, as they were when this was made.
pub struct Proxies(Matcher);

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

impl Proxies {
    /// Reads the environment of this process, as reqwest does when a client is built.
    #[must_use]
    pub fn from_environment() -> Self {
        Self(Matcher::from_system())
    }

    /// No proxy for any address.
    #[must_use]
    pub fn none() -> Self {
        Self(Matcher::builder().build())
    }

    /// The proxy on the way to a WebSocket, if there is one.
    pub(super) fn on_the_way_to(&self, url: &Url) -> Option<Proxy> {
        let scheme = if url.scheme() == "ws" { "http" } else { "https" };
        let target: Uri = format!("{scheme}://{}/", &authority(url)).parse().ok()?;
        let found = self.0.intercept(&target)?;
        let scheme = found.uri().scheme_str().unwrap_or("http").to_owned();
        let default_port = if scheme == "https" { 443 } else { 80 };
        Some(Proxy {
            host: found.uri().host().unwrap_or_default().to_owned(),
            port: found.uri().port_u16().unwrap_or(default_port),
            scheme,
            authorization: found.basic_auth().cloned(),
        })
    }
}

/// One proxy.
pub(super) struct Proxy {
    host: String,
    port: u16,
    scheme: String,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Host and port, for an error.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Connects to the proxy and has it connect to the server of an address; the error is what went wrong.
    ///
    /// # Cancel safety
    /// Safe: the half-open connection is dropped.
    pub(super) async fn tunnel(
        &self,
        tls: &Arc<ClientConfig>,
        url: &Url,
    ) -> Result<Box<dyn ByteStream>, String> {
        let plain = match self.scheme.as_str() {
            "http" | "https" => dial(&self.host, self.port).await,
            other => return Err(format!("{other}:// is no scheme of an HTTP proxy, http:// is")),
        };
        let plain = plain.map_err(|error| tls::reason(&error))?;
        let stream = if self.scheme == "https" {
            let encrypted = encrypt(tls, &self.host, Box::new(plain)).await;
            encrypted.map_err(|error| tls::reason(&error))?
        } else {
            Box::new(plain)
        };
        self.ask(stream, &authority(url)).await
    }

    /// Asks for the tunnel on a connection to the proxy.
    async fn ask(
        &self,
        mut stream: Box<dyn ByteStream>,
        target: &str,
    ) -> Result<Box<dyn ByteStream>, String> {
        let agent = concat!("genesys-source/", env!("CARGO_PKG_VERSION"));
        let mut request =
            format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nuser-agent: {agent}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".to_owned(),
            _ => tls::reason(&error),
        };
        stream.write_all(&request).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_HEAD_BYTES {
                return Err(format!("its answer is longer than {} KiB", MAX_HEAD_BYTES >> 10));
            }
            // One at a time: what follows the head is not ours to read.
            head.push(stream.read_u8().await.map_err(broken)?);
        }
        match status(&head) {
            Some(200..=299) => Ok(stream),
            Some(407) => Err(
                "HTTP 407, it wants a user name and password, as in http://USER:PASSWORD@HOST:PORT"
                    .to_owned(),
            ),
            Some(status) => Err(format!("HTTP {status}, it does not connect to that server")),
            None => Err("what answers there is no HTTP proxy".to_owned()),
        }
    }
}

/// Host and port, as a tunnel names them.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(443);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// The status of an answer's head.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{MAX_HEAD_BYTES, Proxies, Proxy};

    fn proxies(https: &str, http: &str, no: &str) -> Proxies {
        let matcher = Matcher::builder()
            .https(https.to_owned())
            .http(http.to_owned())
            .no(no.to_owned());
        Proxies(matcher.build())
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        proxies
            .on_the_way_to(&url.parse().unwrap())
            .map(|proxy| proxy.name())
    }

    #[test]
    fn the_scheme_decides_on_the_proxy_and_no_proxy_on_none() {
        let both = proxies(
            "http://tls.example.com:3128",
            "plain.example.com",
            "10.0.0.0/8, .internal.example.com,127.0.0.1,::1",
        );
        for (url, name) in [
            (
                "wss://streaming.mypurecloud.de/channels/c",
                Some("tls.example.com:3128"),
            ),
            ("ws://localhost:8080/channels/c", Some("plain.example.com:80")),
            ("wss://a.internal.example.com/", None),
            ("wss://internal.example.com.org/", Some("tls.example.com:3128")),
            ("ws://127.0.0.1:4000/", None),
            ("ws://[::1]:4000/", None),
            ("wss://10.1.2.3/", None),
        ] {
            assert_eq!(chosen(&both, url).as_deref(), name, "{url}");
        }
        let encrypted = proxies("https://proxy.example.com", "", "");
        assert_eq!(
            chosen(&encrypted, "wss://a/").as_deref(),
            Some("proxy.example.com:443")
        );
        assert_eq!(chosen(&encrypted, "ws://a/"), None);
        assert_eq!(chosen(&Proxies::none(), "wss://a/"), None);
        assert_eq!(chosen(&proxies("http://p", "", "*"), "wss://a/"), None);
    }

    fn proxy() -> Proxy {
        let one = proxies("http://user:p%40ss@proxy.example.com:3128", "", "");
        one.on_the_way_to(&"wss://streaming.example.com/channels/hush".parse().unwrap())
            .unwrap()
    }

    async fn answered(answer: &[u8]) -> Result<Vec<u8>, String> {
        let (ours, mut theirs) = tokio::io::duplex(2 * MAX_HEAD_BYTES);
        let server = async {
            let mut request = vec![0; 4096];
            let read = theirs.read(&mut request).await.unwrap();
            let expected = format!(
                "CONNECT streaming.example.com:443 HTTP/1.1\r\nhost: streaming.example.com:443\r\nuser-agent: \
                 genesys-source/{}\r\nproxy-authorization: Basic dXNlcjpwQHNz\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(std::str::from_utf8(&request[..read]).unwrap(), expected);
            theirs.write_all(answer).await.unwrap();
            drop(theirs);
        };
        let proxy = proxy();
        let (tunnel, ()) = tokio::join!(proxy.ask(Box::new(ours), "streaming.example.com:443"), server);
        let mut rest = Vec::new();
        tunnel?.read_to_end(&mut rest).await.unwrap();
        Ok(rest)
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_begins_right_behind_the_answer_of_the_proxy() {
        let rest = answered(b"HTTP/1.0 200 Connection established\r\nvia: x\r\n\r\nfirst bytes").await;
        assert_eq!(rest.unwrap(), b"first bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_what_the_proxy_wants_and_shows_no_password() {
        let long = vec![b'x'; MAX_HEAD_BYTES];
        for (answer, text) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
                "HTTP 407, it wants a user name and password, as in http://USER:PASSWORD@HOST:PORT",
            ),
            (
                b"HTTP/1.1 403 Forbidden\r\n\r\n",
                "HTTP 403, it does not connect to that server",
            ),
            (
                b"220 mail.example.com\r\n\r\n",
                "what answers there is no HTTP proxy",
            ),
            (&long, "its answer is longer than 16 KiB"),
            (
                b"HTTP/1.1 200 OK\r\n",
                "it closed the connection without an answer",
            ),
        ] {
            assert_eq!(answered(answer).await.unwrap_err(), text);
        }
        assert_eq!(proxy().name(), "proxy.example.com:3128");
        assert!(!format!("{:?}", proxies("http://user:hush@p", "", "")).contains("hush"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socks_proxy_is_refused_before_it_is_asked() {
        let socks = proxies("socks5h://user:hush@proxy.example.com:1080", "", "");
        let url = "wss://streaming.example.com/".parse().unwrap();
        let proxy = socks.on_the_way_to(&url).unwrap();
        let tls = crate::tls::client_config(None, false).unwrap();
        let refused = proxy.tunnel(&tls, &url).await.err().unwrap();
        assert_eq!(refused, "socks5h:// is no scheme of an HTTP proxy, http:// is");
    }
}
