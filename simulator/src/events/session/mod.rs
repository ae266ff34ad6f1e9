//! One open WebSocket: wait for a subscription, send what the feed has, carry out what the script wants.
//!
//! Responsible for reading and writing one socket in one task. Refuses client frames that break RFC 6455 and messages
//! over 1 MiB. The invariant: every frame of a batch is committed or abandoned before the session ends, and every
//! session ends with one `closed` line.

mod wire;

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
use crate::frame::{self, Violation};
use crate::server::{Shared, Signal};
use crate::truth::Kind;

/// Time for a client to subscribe after the upgrade.
const SUBSCRIBE_MS: u64 = 30_000;
/// Time for a client to end its side after we have ended ours, and for a last frame to be taken.
const LINGER_MS: u64 = 2_000;

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
                // first recorded, then told: who has seen the acknowledgement finds the subscription in force
                self.shared.feed().subscribe(self.connection, Instant::now());
                self.shared.announce_progress();
                self.shared.wake();
                self.write_replies().await?;
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
            Action::Trickle { ms } => self.trickle(ms, false).await,
            Action::Unfinished { ms } => self.trickle(ms, true).await,
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
