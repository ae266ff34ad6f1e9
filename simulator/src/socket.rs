//! One open WebSocket on the server's side: its client's frames, its answers, and its end.
//!
//! Responsible for reading, writing, waiting and closing; what is sent is its owner's affair. Refuses client frames that
//! break RFC 6455, messages over 1 MiB, and clients that send but never read. The invariant: an owner hears of a write only
//! when the kernel has taken its bytes, and of the end exactly once.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::debug;

use crate::frame::{self, ClientFrame, Violation};
use crate::server::{Shared, Signal};

/// Time for a client to end its side after we have ended ours, and for a last frame to be taken.
const LINGER_MS: u64 = 2_000;
/// Unsent pongs and answers: a client that sends pings but never reads must not fill our memory.
const MAX_REPLY_BYTES: usize = 64 << 10;
/// Payload that a trickling frame announces: far more than anybody waits for, far below the usual limits.
const TRICKLED_BYTES: u64 = 1 << 20;

/// How a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// We close, with a close frame.
    Close { code: u16, reason: String },
    /// We end with FIN only.
    Drop,
    /// We end with RST.
    Reset,
    /// The client sent a close frame.
    Peer(Option<u16>),
    /// The client is gone without one.
    Gone(&'static str),
    /// The simulator stops.
    Stopped,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset => Self::Gone("connection reset by the client"),
            ErrorKind::BrokenPipe => Self::Gone("client has closed its side"),
            _ => Self::Gone("connection lost"),
        }
    }
}

impl From<Violation> for End {
    fn from(Violation(code): Violation) -> Self {
        Self::Close {
            code,
            reason: "client frame breaks RFC 6455".to_owned(),
        }
    }
}

/// An open WebSocket.
pub(crate) struct Socket {
    stream: TcpStream,
    pub(crate) connection: u64,
    shared: Arc<Shared>,
    signal: watch::Receiver<Signal>,
    incoming: Vec<u8>,
    // a fragmented message under way
    fragments: Option<Vec<u8>>,
    texts: Vec<String>,
    replies: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, surplus: Vec<u8>, connection: u64, shared: Arc<Shared>) -> Self {
        let signal = shared.signal();
        Self {
            stream,
            connection,
            shared,
            signal,
            incoming: surplus,
            fragments: None,
            texts: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// The text messages that have come in since the last call.
    pub(crate) fn take_texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.texts)
    }

    /// Fails once the simulator stops.
    pub(crate) fn check_stop(&self) -> Result<(), End> {
        if self.signal.borrow().stop {
            Err(End::Stopped)
        } else {
            Ok(())
        }
    }

    /// Waits for the client, a moment or a signal.
    pub(crate) async fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        tokio::select! {
            ready = self.stream.readable() => ready?,
            () = sleep_until(until) => {}
            _ = self.signal.changed() => {}
        }
        Ok(())
    }

    /// Writes at least one byte and says how many the kernel has taken.
    pub(crate) async fn write_part(&mut self, bytes: &[u8]) -> Result<usize, End> {
        loop {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(End::Gone("client has closed its side")),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut written = 0;
        while written < bytes.len() {
            written += self.write_part(&bytes[written..]).await?;
        }
        Ok(())
    }

    // the client's frames are read even while it does not read ours, so that its end is seen
    async fn wait_writable(&mut self) -> Result<(), End> {
        self.check_stop()?;
        self.pump()?;
        tokio::select! {
            ready = self.stream.writable() => ready?,
            ready = self.stream.readable() => ready?,
            _ = self.signal.changed() => {}
        }
        Ok(())
    }

    /// Writes the answers that lie ready.
    pub(crate) async fn write_replies(&mut self) -> Result<(), End> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.replies);
        self.write_all(&replies).await
    }

    /// Lays an answer ready.
    pub(crate) fn reply(&mut self, opcode: u8, payload: &[u8]) -> Result<(), End> {
        if self.replies.len() + payload.len() > MAX_REPLY_BYTES {
            return Err(End::Gone("client sends but does not read"));
        }
        frame::push_frame(&mut self.replies, opcode, payload);
        Ok(())
    }

    /// Sends a byte each `ms` milliseconds, of one frame or in fragments, until the client has had enough. Pings can be
    /// answered between fragments, but not inside a frame.
    pub(crate) async fn trickle(&mut self, ms: u64, in_fragments: bool) -> Result<(), End> {
        let mut piece = Vec::new();
        if !in_fragments {
            frame::push_header(&mut piece, 0x80 | frame::TEXT, TRICKLED_BYTES);
        }
        let mut opcode = frame::TEXT;
        loop {
            if in_fragments {
                frame::push_header(&mut piece, std::mem::replace(&mut opcode, frame::CONTINUATION), 1);
            }
            piece.push(b'x');
            self.write_all(&piece).await?;
            piece.clear();
            let next = Instant::now() + Duration::from_millis(ms);
            while Instant::now() < next {
                self.wait(Some(next)).await?;
                self.check_stop()?;
                self.pump()?;
                if in_fragments {
                    self.write_replies().await?;
                }
            }
        }
    }

    /// Takes in what has arrived without waiting.
    pub(crate) fn pump(&mut self) -> Result<(), End> {
        loop {
            while let Some(frame) = frame::take_frame(&mut self.incoming)? {
                self.take(&frame)?;
            }
            if !self.read_some()? {
                return Ok(());
            }
        }
    }

    fn read_some(&mut self) -> Result<bool, End> {
        match self.stream.try_read_buf(&mut self.incoming) {
            Ok(0) => Err(End::Gone("client has closed its side")),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn discard(&mut self) -> Result<(), End> {
        while self.read_some()? {
            self.incoming.clear();
        }
        Ok(())
    }

    fn take(&mut self, frame: &ClientFrame) -> Result<(), End> {
        match frame.opcode {
            frame::PING => {
                self.shared.feed().truth.counters.pings += 1;
                self.reply(frame::PONG, &frame.payload)
            }
            frame::CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                Err(End::Peer(code))
            }
            frame::TEXT if self.fragments.is_none() => self.join(Vec::new(), frame),
            frame::CONTINUATION => match self.fragments.take() {
                Some(begun) => self.join(begun, frame),
                None => Err(Violation(1002).into()),
            },
            frame::TEXT => Err(Violation(1002).into()),
            // pongs, and binary messages, which mean nothing here
            _ => Ok(()),
        }
    }

    fn join(&mut self, mut begun: Vec<u8>, frame: &ClientFrame) -> Result<(), End> {
        begun.extend_from_slice(&frame.payload);
        if begun.len() > frame::MAX_CLIENT_BYTES || self.texts.len() > 16 {
            return Err(Violation(1009).into());
        }
        if !frame.fin {
            self.fragments = Some(begun);
            return Ok(());
        }
        self.texts
            .push(String::from_utf8(begun).map_err(|_| Violation(1007))?);
        Ok(())
    }

    /// Sends nothing for a while, answers nothing, and reads only to throw away, if at all.
    pub(crate) async fn pause(&mut self, ms: Option<u64>, read: bool) -> Result<(), End> {
        let deadline = ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        loop {
            self.check_stop()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
            if read {
                self.discard()?;
                self.wait(deadline).await?;
            } else {
                tokio::select! {
                    () = sleep_until(deadline) => {}
                    _ = self.signal.changed() => {}
                }
            }
        }
    }

    /// Sends one text frame of so many bytes, or its header only.
    pub(crate) async fn send_oversized(&mut self, bytes: u64, announced: bool) -> Result<(), End> {
        const PIECE: usize = 64 << 10;
        let head = br#"{"type":"oversized","pad":""#;
        let mut piece = Vec::with_capacity(PIECE);
        frame::push_header(&mut piece, 0x80 | frame::TEXT, bytes);
        if announced {
            return self.write_all(&piece).await;
        }
        piece.extend_from_slice(head);
        self.write_all(&piece).await?;
        let mut left = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .saturating_sub(head.len() + 2);
        piece.clear();
        piece.resize(PIECE, b'x');
        while left > 0 {
            let part = left.min(PIECE);
            self.write_all(&piece[..part]).await?;
            left -= part;
        }
        self.write_all(b"\"}").await
    }

    /// Ends the connection as `end` says. `record` hears, once the last frame has been taken or given up, whether the client
    /// can have read everything that was sent to it, with the close code and what happened.
    pub(crate) async fn finish(mut self, end: End, record: impl FnOnce(bool, Option<u16>, &str)) {
        let mut last = Vec::new();
        let (drained, code, detail) = match &end {
            End::Close { code, reason } => {
                frame::push_close(&mut last, *code, reason);
                (true, Some(*code), format!("closed by the simulator: {reason}"))
            }
            End::Drop => (true, None, "dropped by the simulator".to_owned()),
            End::Reset => (false, None, "reset by the simulator".to_owned()),
            End::Peer(code) => {
                frame::push_close(&mut last, code.unwrap_or(1000), "");
                (false, *code, "closed by the client".to_owned())
            }
            End::Gone(why) => (false, None, (*why).to_owned()),
            End::Stopped => {
                frame::push_close(&mut last, 1001, "simulator stops");
                (true, Some(1001), "simulator stopped".to_owned())
            }
        };
        let linger = Duration::from_millis(if matches!(end, End::Stopped) {
            200
        } else {
            LINGER_MS
        });
        // a client that is gone or does not read loses its close frame; that is no error here
        let taken = tokio::time::timeout(linger, self.stream.write_all(&last))
            .await
            .is_ok_and(|sent| sent.is_ok());
        record(drained && taken, code, &detail);
        self.shared.announce_progress();
        self.shared.wake();
        match end {
            End::Gone(_) => {}
            End::Reset => {
                if let Err(error) = self.stream.set_zero_linger() {
                    debug!(%error, "connection ends without a reset");
                }
            }
            _ => self.linger(linger).await,
        }
    }

    // FIN, then read to the client's end: closing with unread bytes would send RST and destroy what we have sent
    async fn linger(&mut self, time: Duration) {
        let draining = async {
            self.stream.shutdown().await?;
            loop {
                self.stream.readable().await?;
                self.incoming.clear();
                match self.stream.try_read_buf(&mut self.incoming) {
                    Ok(0) => return Ok::<(), io::Error>(()),
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        };
        if tokio::time::timeout(time, draining).await.is_err() {
            debug!(connection = self.connection, "client has not ended its side");
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
