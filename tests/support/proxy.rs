//! An HTTP proxy on loopback that remembers who asked for what.
//!
//! Responsible for tunnels (`CONNECT`) and for plain requests that carry a whole address. It leads every name to loopback, so
//! that a test can name hosts that only the proxy knows. Invariant: its thread ends with the [`Proxy`].

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// What a client asked the proxy for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and target, such as `CONNECT localhost:443`.
    pub line: String,
    /// The header `proxy-authorization`, if there was one.
    pub authorization: Option<String>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one that answers 407 to whoever does not send this `proxy-authorization`, if one is given.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[must_use]
    pub fn start(demanded: Option<&str>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("a bound socket");
        let asked = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let (log, demanded) = (Arc::clone(&asked), demanded.map(str::to_owned));
        let thread = std::thread::spawn(move || serve(listener, &log, demanded.as_deref(), stopped));
        Self {
            address,
            asked,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has been asked for so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the proxy does not panic");
        }
    }
}

fn serve(
    listener: std::net::TcpListener,
    log: &Arc<Mutex<Vec<Asked>>>,
    demanded: Option<&str>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a socket of ours");
        let accepting = async {
            while let Ok((client, _)) = listener.accept().await {
                let (log, demanded) = (Arc::clone(log), demanded.map(str::to_owned));
                // A client that goes away ends its own connection and nothing else.
                tokio::spawn(async move { pass(client, &log, demanded.as_deref()).await.ok() });
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stopped => {}
        }
    });
}

async fn pass(mut client: TcpStream, log: &Mutex<Vec<Asked>>, demanded: Option<&str>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_credential = |line: &&str| {
        line.get(..20)
            .is_some_and(|name| name.eq_ignore_ascii_case("proxy-authorization:"))
    };
    let authorization = headers
        .lines()
        .find(is_credential)
        .and_then(|line| line.get(20..));
    let authorization = authorization.map(|value| value.trim().to_owned());
    let is_allowed = demanded.is_none() || authorization.as_deref() == demanded;
    log.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
        line: format!("{method} {target}"),
        authorization,
    });
    if !is_allowed {
        let answer =
            b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return client.write_all(answer).await;
    }
    let address = target.trim_start_matches("http://");
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let port = authority
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(80_u16);
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    if method == "CONNECT" {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        let kept: Vec<&str> = headers.lines().filter(|line| !is_credential(line)).collect();
        let request = format!("{method} /{path} HTTP/1.1\r\n{}\r\n", kept.join("\r\n"));
        server.write_all(request.as_bytes()).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
