//! One open WebSocket: wait for a subscription, send what the feed has, carry out what the script wants.
//!
//! Responsible for one connection of the events protocol in one task; `socket` reads and writes. Refuses a connection that
//! does not subscribe within 30 s. The invariant: every frame of a batch is committed or abandoned before the session ends, and every
//! session ends with one `closed` line.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::events::subscribe::{Refusal, acknowledgement};
use crate::fault::{Action, RetryAfter};
use crate::feed::{Batch, Next};
use crate::frame;
use crate::server::Shared;
use crate::socket::{End, Socket};
use crate::truth::Kind;

/// Time for a client to subscribe after the upgrade.
const SUBSCRIBE_MS: u64 = 30_000;

/// An open WebSocket of the events protocol.
pub(crate) struct Session {
    socket: Socket,
    connection: u64,
    shared: Arc<Shared>,
    // no events any more: the client has to end the connection
    held: bool,
}

impl Session {
    pub(crate) fn new(stream: TcpStream, surplus: Vec<u8>, connection: u64, shared: Arc<Shared>) -> Self {
        Self {
            socket: Socket::new(stream, surplus, connection, Arc::clone(&shared)),
            connection,
            shared,
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
        let (connection, shared) = (self.connection, Arc::clone(&self.shared));
        let leave = |drained, code, detail: &str| shared.feed().leave(connection, drained, code, detail);
        self.socket.finish(end, leave).await;
    }

    async fn play(&mut self) -> Result<Infallible, End> {
        self.await_subscription().await?;
        info!(connection = self.connection, "subscribed");
        let mut batch = Batch::default();
        loop {
            self.socket.check_stop()?;
            self.socket.pump()?;
            self.socket.write_replies().await?;
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
                Next::Idle(until) => self.socket.wait(until).await?,
                Next::Act(action) => self.act(action).await?,
                Next::Hold => self.held = true,
            }
        }
    }

    async fn await_subscription(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + Duration::from_millis(SUBSCRIBE_MS);
        loop {
            self.socket.check_stop()?;
            self.socket.pump()?;
            self.socket.write_replies().await?;
            if self.answer_texts().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(End::Close {
                    code: 1008,
                    reason: "no subscription within 30 s".to_owned(),
                });
            }
            self.socket.wait(Some(deadline)).await?;
        }
    }

    // judges each message that came in; says whether one was acknowledged
    async fn answer_texts(&mut self) -> Result<bool, End> {
        let mut acknowledged = false;
        for text in self.socket.take_texts() {
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
            Some(Ok(Some(ms))) => self.socket.pause(Some(ms), true).await?,
            Some(Ok(None)) => {
                self.shared.remember_subscription(self.connection, text, None);
                self.socket.pause(None, true).await?;
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
                self.socket
                    .reply(frame::TEXT, acknowledgement(&session_token).as_bytes())?;
                // first recorded, then told: who has seen the acknowledgement finds the subscription in force
                self.shared.feed().subscribe(self.connection, Instant::now());
                self.shared.announce_progress();
                self.shared.wake();
                self.socket.write_replies().await?;
                Ok(true)
            }
            Err(refusal) => {
                self.shared
                    .feed()
                    .note(Kind::Refused, self.connection, refused, "subscription");
                self.socket.reply(frame::TEXT, refusal.to_text().as_bytes())?;
                self.socket.write_replies().await?;
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
            Action::Silence { ms } => self.socket.pause(Some(ms), true).await,
            Action::Stall { ms } => self.socket.pause(ms, false).await,
            Action::Oversized { bytes, announced } => self.send_oversized(bytes, announced).await,
            Action::Trickle { ms } => self.socket.trickle(ms, false).await,
            Action::Unfinished { ms } => self.socket.trickle(ms, true).await,
            // the feed inserts the others itself, and the check of a fault keeps login's and connect's away
            _ => Ok(()),
        }
    }

    async fn send_oversized(&mut self, bytes: u64, announced: bool) -> Result<(), End> {
        self.socket.send_oversized(bytes, announced).await?;
        self.held |= announced;
        let detail = if announced { "announced only" } else { "" };
        self.shared.feed().sent_oversized(self.connection, bytes, detail);
        self.shared.announce_progress();
        Ok(())
    }

    // commits frame by frame what the kernel takes
    async fn write_batch(&mut self, batch: &mut Batch) -> Result<(), End> {
        let (mut written, total) = (0, batch.bytes.len());
        while written < total {
            written += self.socket.write_part(&batch.bytes[written..]).await?;
            self.shared.feed().commit(self.connection, batch, written);
            self.shared.announce_progress();
        }
        Ok(())
    }
}
