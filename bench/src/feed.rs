//! A server that speaks just enough of OAuth and of the `events` protocol to feed a client as fast as it reads.
//!
//! The simulator makes each event anew, which costs as much CPU as a client; this feed sends pre-encoded frames, many
//! with one system call, and changes only their ids. It listens on loopback alone and checks nothing. Invariant: a feed
//! sends at most its number of frames, each with an id of its own, over all its connections together.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::frames::Ring;

/// How long a blocked read or write goes without looking whether the feed has been stopped.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Longest request and subscription that are read, in bytes.
const MAX_REQUEST_BYTES: usize = 64 << 10;

struct Shared {
    ring: Ring,
    limit: u64,
    stop: AtomicBool,
    next_round: AtomicU64,
    sent: AtomicU64,
    first_write: OnceLock<Instant>,
    done: OnceLock<Instant>,
}

/// A running feed; stopped when dropped.
pub(crate) struct Feed {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts a feed of at most `limit` frames.
    pub(crate) fn start(ring: &Ring, limit: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            ring: ring.clone(),
            limit,
            stop: AtomicBool::new(false),
            next_round: AtomicU64::new(1),
            sent: AtomicU64::new(0),
            first_write: OnceLock::new(),
            done: OnceLock::new(),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || serve(&listener, &served))?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Base URL of the login.
    pub(crate) fn login_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// URL of the socket.
    pub(crate) fn events_url(&self) -> String {
        format!("ws://{}/events", self.address)
    }

    /// When the first frame was given to the kernel.
    pub(crate) fn first_write(&self) -> Option<Instant> {
        self.shared.first_write.get().copied()
    }

    /// Waits until the first frame is given to the kernel.
    pub(crate) fn wait_until_begun(&self, timeout: Duration) -> anyhow::Result<()> {
        self.wait_for(&self.shared.first_write, timeout)
    }

    /// Waits until the kernel has taken the last frame.
    pub(crate) fn wait_until_done(&self, timeout: Duration) -> anyhow::Result<()> {
        self.wait_for(&self.shared.done, timeout)
    }

    fn wait_for(&self, moment: &OnceLock<Instant>, timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        while moment.get().is_none() {
            let sent = self.shared.sent.load(Ordering::Relaxed);
            ensure!(
                Instant::now() < deadline,
                "only {sent} of {} frames were read in {timeout:?}",
                self.shared.limit
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // wakes the listener; if that fails there is none
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let shared = Arc::clone(shared);
        let connection = std::thread::Builder::new()
            .name("feed".to_owned())
            // a client that leaves is the normal end
            .spawn(move || drop(converse(stream, &shared)));
        connections.extend(connection);
    }
    for connection in connections {
        drop(connection.join());
    }
}

fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_UP))?;
    stream.set_write_timeout(Some(LOOK_UP))?;
    let mut peer = Peer {
        stream,
        pending: Vec::new(),
        shared,
    };
    while !peer.answer_request()? {}
    peer.skip_subscription()?;
    let text = r#"{"type":"subscribed","sessionToken":"bench-session-0123456789"}"#;
    let mut frame = vec![0x81, u8::try_from(text.len()).map_err(io::Error::other)?];
    frame.extend_from_slice(text.as_bytes());
    peer.write_all(&frame)?;
    peer.play()?;
    peer.wait_for_close()
}

struct Peer<'a> {
    stream: TcpStream,
    pending: Vec<u8>,
    shared: &'a Shared,
}

impl Peer<'_> {
    /// Answers one HTTP request; says whether the connection is a WebSocket now.
    fn answer_request(&mut self) -> io::Result<bool> {
        let head_length = loop {
            let end = self.pending.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.read_more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.pending[..head_length]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let body_length: usize = header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        while self.pending.len() < head_length + body_length {
            self.read_more()?;
        }
        self.pending.drain(..head_length + body_length);
        if let Some(key) = header("sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                 sec-websocket-accept: {accept}\r\n\r\n"
            );
            self.write_all(answer.as_bytes())?;
            return Ok(true);
        }
        let body =
            r#"{"access_token":"bench-token-0123456789abcdef","token_type":"bearer","expires_in":86400}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.write_all(answer.as_bytes())?;
        Ok(false)
    }

    /// Reads the client's first frame, the subscription, and forgets it.
    fn skip_subscription(&mut self) -> io::Result<()> {
        loop {
            let length = match self.pending.as_slice() {
                [_, second, rest @ ..] => match (second & 0x7F, rest) {
                    (126, [high, low, ..]) => Some(8 + usize::from(u16::from_be_bytes([*high, *low]))),
                    (short @ 0..126, _) => Some(6 + usize::from(short)),
                    _ => None,
                },
                _ => None,
            };
            match length {
                Some(length) if self.pending.len() >= length => {
                    self.pending.drain(..length);
                    return Ok(());
                }
                _ => self.read_more()?,
            }
        }
    }

    fn play(&mut self) -> io::Result<()> {
        let mut ring = self.shared.ring.clone();
        let frames = u64::try_from(ring.len()).map_err(io::Error::other)?;
        loop {
            let left = self
                .shared
                .limit
                .saturating_sub(self.shared.sent.load(Ordering::Relaxed));
            if left == 0 {
                self.shared.done.get_or_init(Instant::now);
                return Ok(());
            }
            ring.stamp(self.shared.next_round.fetch_add(1, Ordering::Relaxed));
            let count = left.min(frames);
            self.shared.first_write.get_or_init(Instant::now);
            self.write_all(ring.first(usize::try_from(count).map_err(io::Error::other)?))?;
            self.shared.sent.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Waits for the client's end of the connection: a close frame or nothing at all.
    fn wait_for_close(&mut self) -> io::Result<()> {
        loop {
            if self.pending.first().is_some_and(|first| first & 0x0F == 0x8) {
                return Ok(());
            }
            self.pending.clear();
            self.read_more()?;
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "each caller asks until it has a whole message"
    )]
    fn read_more(&mut self) -> io::Result<()> {
        if self.pending.len() > MAX_REQUEST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.pending.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) => self.pass_over_timeout(error)?,
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "write_all loses its place when a write times out"
    )]
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.pass_over_timeout(error)?,
            }
        }
        Ok(())
    }

    fn pass_over_timeout(&self, error: io::Error) -> io::Result<()> {
        let waits = matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
        );
        if waits && !self.shared.stop.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Feed;
    use crate::client::{Work, harvest, read};
    use crate::frames::Ring;

    #[test]
    fn a_plain_client_reads_the_feed_with_and_without_a_parse() {
        let ring = Ring::on_the_wire(&harvest(64).unwrap()).unwrap();
        let feed = Feed::start(&ring, u64::MAX).unwrap();
        for work in [Work::Receive, Work::Parse] {
            let window = Duration::from_millis(20);
            let reading = read(&feed.events_url(), work, window, window).unwrap();
            assert!(reading.per_second > 1_000.0, "{reading:?}");
        }
        assert!(feed.first_write().is_some());
    }
}
