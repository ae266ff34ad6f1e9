//! A receiver that answers 200 at once and does as little else as HTTP/1.1 allows: it must not be the limit.
//!
//! Responsible for counting requests and for the moment of the last one that is expected. Refuses to understand them;
//! a request without a length ends its connection. Invariant: a request is counted once it is there whole, and before
//! its answer is written.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What every request is answered.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Longest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Pause between two looks at the count.
const POLL: Duration = Duration::from_millis(2);

/// What is kept of the requests beside their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing.
    Nothing,
    /// The first requests whole, so many of them.
    First(usize),
    /// The id of each event and when it was there, in microseconds since 1970.
    Times,
}

struct Shared {
    keep: Keep,
    expected: u64,
    count: AtomicU64,
    last: OnceLock<Instant>,
    whole: Mutex<Vec<Vec<u8>>>,
    times: Mutex<Vec<(String, u64)>>,
}

/// A running receiver; stopped when dropped.
pub(crate) struct Accepting {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Accepting {
    /// Starts a receiver that expects so many requests.
    pub(crate) fn start(expected: u64, keep: Keep) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            keep,
            expected,
            count: AtomicU64::new(0),
            last: OnceLock::new(),
            whole: Mutex::default(),
            times: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                // an error of the listener shows as requests that are missing
                drop(runtime.block_on(async {
                    tokio::select! {
                        ended = accept(listener, served) => ended,
                        _ = stopped => Ok(()),
                    }
                }));
            })?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that requests are sent to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/bench", self.address)
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Waits for the last expected request and gives the time at which it was there; `is_alive` says whether waiting
    /// makes sense.
    pub(crate) fn wait_for_last(
        &self,
        timeout: Duration,
        mut is_alive: impl FnMut() -> bool,
    ) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(last) = self.shared.last.get() {
                return Ok(*last);
            }
            ensure!(
                is_alive() && Instant::now() < deadline,
                "{} of {} requests came within {timeout:?}",
                self.count(),
                self.shared.expected
            );
            std::thread::sleep(POLL);
        }
    }

    /// The first requests, head and body, as far as they were to be kept.
    pub(crate) fn whole(&self) -> Vec<Vec<u8>> {
        let whole = self.shared.whole.lock();
        whole.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events with their times, if they were to be kept.
    pub(crate) fn times(&self) -> Vec<(String, u64)> {
        let times = self.shared.times.lock();
        times.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // a client that leaves is the normal end
        tokio::spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut pending = Vec::with_capacity(16 << 10);
    loop {
        let length = match request_bytes(&pending) {
            Some(length) if pending.len() >= length => length,
            _ if pending.len() > MAX_REQUEST_BYTES => return Err(io::ErrorKind::InvalidData.into()),
            _ => {
                if stream.read_buf(&mut pending).await? == 0 {
                    return Ok(());
                }
                continue;
            }
        };
        shared.note(&pending[..length]);
        pending.drain(..length);
        stream.write_all(ANSWER).await?;
    }
}

impl Shared {
    fn note(&self, request: &[u8]) {
        match self.keep {
            Keep::Nothing => {}
            Keep::First(most) => {
                let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
                if whole.len() < most {
                    whole.push(request.to_vec());
                }
            }
            Keep::Times => {
                let id = header(request, b"webhook-id:").map(|id| String::from_utf8_lossy(id).into_owned());
                let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
                times.push((id.unwrap_or_default(), simulator::wall_us()));
            }
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            self.last.get_or_init(Instant::now);
        }
    }
}

/// Bytes of the head of a request, its empty line included; nothing while it is not there whole.
pub(crate) fn head_bytes(pending: &[u8]) -> Option<usize> {
    Some(pending.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4)
}

/// Bytes of the request that stands first; nothing while its head is not there whole.
fn request_bytes(pending: &[u8]) -> Option<usize> {
    let head = head_bytes(pending)?;
    let length = header(&pending[..head], b"content-length:");
    let body = length.and_then(|length| str::from_utf8(length).ok()?.parse().ok());
    // a body of unknown length: more than is ever read, so that the connection ends
    Some(body.map_or(usize::MAX, |body: usize| head.saturating_add(body)))
}

/// The value of a header by its name in lower case with the colon.
fn header<'a>(request: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = request.split(|byte| *byte == b'\n');
    let line = lines.find(|line| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    Some(line.get(name.len()..)?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nWebhook-Id: e-1\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn a_request_ends_where_its_length_says() {
        assert_eq!(request_bytes(REQUEST), Some(REQUEST.len()));
        assert_eq!(request_bytes(&REQUEST[..20]), None);
        assert_eq!(request_bytes(b"POST / HTTP/1.1\r\n\r\n"), Some(usize::MAX));
        assert_eq!(header(REQUEST, b"webhook-id:"), Some(b"e-1".as_slice()));
    }
}
