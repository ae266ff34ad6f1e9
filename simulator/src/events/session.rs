//! One open WebSocket: wait for a subscription, send what the feed has, carry out what the script wants.
//!
//! Responsible for reading and writing one socket in one task. Refuses client frames that break RFC 6455 and messages
//! over 1 MiB. The invariant: every frame of a batch is committed or abandoned before the session ends, and every
//! session ends with one `closed` line.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{debug, info};

use crate::events::subscribe::{Refusal, acknowledgement};
use crate::fault::{Action, RetryAfter};
use crate::feed::{Batch, Next};
use crate::frame::{self, ClientFrame, Violation};
use crate::server::{Shared, Signal};
use crate::truth::Kind;

/// Time for a client to subscribe after the upgrade.
const SUBSCRIBE_MS: u64 = 30_000;
/// Time for a client to end its side after we have ended ours, and for a last frame to be taken.
const LINGER_MS: u64 = 2_000;
/// Unsent pongs and answers: a client that sends pings but never reads must not fill our memory.
const MAX_REPLY_BYTES: usize = 64 << 10;

/// How a session ends.
#[derive(Debug)]
enum End {
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
pub(crate) struct Session {
    stream: TcpStream,
    connection: u64,
    shared: Arc<Shared>,
    signal: watch::Receiver<Signal>,
    incoming: Vec<u8>,
    // a fragmented message under way
    fragments: Option<Vec<u8>>,
    texts: Vec<String>,
    replies: Vec<u8>,
    // no events any more: the client has to end the connection
    held: bool,
}

impl Session {
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
            held: false,
        }
    }

    /// Plays the session to its end.
    pub(crate) async fn run(mut self) {
        let end = match self.play().await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        debug!(connection = self.connection, ?end, "session ends");
        self.finish(end).await;
    }

    async fn play(&mut self) -> Result<Infallible, End> {
        self.await_subscription().await?;
        info!(connection = self.connection, "subscribed");
        let mut batch = Batch::default();
        loop {
            self.check_stop()?;
            self.pump()?;
            self.write_replies().await?;
            self.answer_texts().await?;
            let next = match self.held {
                true => Next::Idle(None),
                false => self
                    .shared
                    .feed()
                    .fill(self.connection, Instant::now(), &mut batch),
            };
            if !batch.bytes.is_empty() {
                let written = self.write_batch(&mut batch).await;
                if written.is_err() {
                    self.shared.feed().abandon(self.connection, &mut batch);
                    self.shared.announce_progress();
                }
                written?;
            }
            match next {
                // a socket that always takes everything must not starve the other tasks of this thread
                Next::More => tokio::task::yield_now().await,
                Next::Idle(until) => self.wait(until).await?,
                Next::Act(action) => self.act(action).await?,
                Next::Hold => self.held = true,
            }
        }
    }

    async fn await_subscription(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + Duration::from_millis(SUBSCRIBE_MS);
        loop {
            self.check_stop()?;
            self.pump()?;
            self.write_replies().await?;
            if self.answer_texts().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(End::Close {
                    code: 1008,
                    reason: "no subscription within 30 s".to_owned(),
                });
            }
            self.wait(Some(deadline)).await?;
        }
    }

    // judges each message that came in; says whether one was acknowledged
    async fn answer_texts(&mut self) -> Result<bool, End> {
        let mut acknowledged = false;
        for text in std::mem::take(&mut self.texts) {
            acknowledged |= self.answer(&text).await?;
        }
        Ok(acknowledged)
    }

    async fn answer(&mut self, text: &str) -> Result<bool, End> {
        let mut scripted = None;
        match self.shared.feed().subscription() {
            Some(Action::Refuse { status, retry_after }) => {
                let mut refusal = Refusal::new(status, "refused by the script");
                refusal.retry_after_s = retry_after.map(|after| match after {
                    RetryAfter::Seconds(seconds) | RetryAfter::DateIn(seconds) => seconds,
                });
                scripted = Some(Err(refusal));
            }
            Some(Action::Slow { ms }) => scripted = Some(Ok(Some(ms))),
            Some(Action::Hang) => scripted = Some(Ok(None)),
            _ => {}
        }
        match scripted {
            Some(Ok(Some(ms))) => self.pause(Some(ms), true).await?,
            Some(Ok(None)) => {
                self.shared.remember_subscription(self.connection, text, None);
                self.pause(None, true).await?;
            }
            _ => {}
        }
        let verdict = match scripted {
            Some(Err(refusal)) => Err(refusal),
            _ => self.shared.judge_subscription(text),
        };
        let refused = verdict.as_ref().err().map(|refusal| refusal.status);
        self.shared.remember_subscription(self.connection, text, refused);
        match verdict {
            Ok(session_token) => {
                self.reply(frame::TEXT, acknowledgement(&session_token).as_bytes())?;
                self.write_replies().await?;
                self.shared.feed().subscribe(self.connection, Instant::now());
                self.shared.announce_progress();
                self.shared.wake();
                Ok(true)
            }
            Err(refusal) => {
                self.shared
                    .feed()
                    .note(Kind::Refused, self.connection, refused, "subscription");
                self.reply(frame::TEXT, refusal.to_text().as_bytes())?;
                self.write_replies().await?;
                match refusal.status {
                    // it may come again on this connection
                    429 => Ok(false),
                    _ => Err(End::Close {
                        code: 1008,
                        reason: refusal.message,
                    }),
                }
            }
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Close { code, reason } => Err(End::Close { code, reason }),
            Action::Drop => Err(End::Drop),
            Action::Reset => Err(End::Reset),
            Action::Silence { ms } => self.pause(Some(ms), true).await,
            Action::Stall { ms } => self.pause(ms, false).await,
            Action::Oversized { bytes, announced } => self.send_oversized(bytes, announced).await,
            // the feed inserts the others itself, and the check of a fault keeps login's and connect's away
            _ => Ok(()),
        }
    }

    /// Sends nothing for a while, answers nothing, and reads only to throw away, if at all.
    async fn pause(&mut self, ms: Option<u64>, read: bool) -> Result<(), End> {
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

    async fn send_oversized(&mut self, bytes: u64, announced: bool) -> Result<(), End> {
        const PIECE: usize = 64 << 10;
        let head = br#"{"type":"oversized","pad":""#;
        let mut piece = Vec::with_capacity(PIECE);
        frame::push_header(&mut piece, 0x80 | frame::TEXT, bytes);
        if announced {
            self.write_all(&piece).await?;
            self.shared
                .feed()
                .sent_oversized(self.connection, bytes, "announced only");
            self.held = true;
            return Ok(());
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
        self.write_all(b"\"}").await?;
        self.shared.feed().sent_oversized(self.connection, bytes, "");
        self.shared.announce_progress();
        Ok(())
    }

    fn check_stop(&self) -> Result<(), End> {
        if self.signal.borrow().stop {
            Err(End::Stopped)
        } else {
            Ok(())
        }
    }

    async fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        tokio::select! {
            ready = self.stream.readable() => ready?,
            () = sleep_until(until) => {}
            _ = self.signal.changed() => {}
        }
        Ok(())
    }

    // writes what the kernel takes, committing frame by frame
    async fn write_batch(&mut self, batch: &mut Batch) -> Result<(), End> {
        let (mut written, total) = (0, batch.bytes.len());
        while written < total {
            match self.stream.try_write(&batch.bytes[written..]) {
                Ok(0) => return Err(End::Gone("client has closed its side")),
                Ok(count) => {
                    written += count;
                    self.shared.feed().commit(self.connection, batch, written);
                    self.shared.announce_progress();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.try_write(&bytes[written..]) {
                Ok(0) => return Err(End::Gone("client has closed its side")),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                Err(error) => return Err(error.into()),
            }
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

    async fn write_replies(&mut self) -> Result<(), End> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let replies = std::mem::take(&mut self.replies);
        self.write_all(&replies).await
    }

    fn reply(&mut self, opcode: u8, payload: &[u8]) -> Result<(), End> {
        if self.replies.len() + payload.len() > MAX_REPLY_BYTES {
            return Err(End::Gone("client sends but does not read"));
        }
        frame::push_frame(&mut self.replies, opcode, payload);
        Ok(())
    }

    // takes in what has arrived without waiting
    fn pump(&mut self) -> Result<(), End> {
        loop {
            while let Some(frame) = frame::take_frame(&mut self.incoming)? {
                self.take(frame)?;
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

    fn take(&mut self, frame: ClientFrame) -> Result<(), End> {
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

    fn join(&mut self, mut begun: Vec<u8>, frame: ClientFrame) -> Result<(), End> {
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

    async fn finish(mut self, end: End) {
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
        self.shared
            .feed()
            .leave(self.connection, drained && taken, code, &detail);
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
