//! A channel's socket and its clocks: pings of RFC 6455, and the service's own, which it answers in the stream.
//!
//! Responsible for noticing that a socket is dead, and for what the answers prove. Refuses to decode a frame: that it
//! was an answer is told. Invariant: answers come in the order of their questions, so each belongs to the oldest that
//! has none.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::KeepAlive;
use crate::gap::LossKind;
use crate::session::status::Status;
use crate::session::vigil::Vigil;
use crate::transport::socket::{Loss, Received, Socket};

/// The service's ping.
///
/// # Source
/// Notification service documentation, "Health check": `{"message":"ping"}`, answered on `channel.metadata`.
const PING: &str = r#"{"message":"ping"}"#;

/// Questions that may be without an answer at a time; a socket that has so many is dead long before.
const MAX_ASKED: usize = 64;

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    vigil: Vigil,
    ask_every: Duration,
    answer_within: Duration,
    ask_at: Instant,
    /// When each question without an answer was sent, by both clocks.
    asked: VecDeque<(Instant, i64)>,
}

impl Wire {
    /// Begins with a socket that has just been opened.
    pub(super) fn new(socket: Socket, keep_alive: KeepAlive, now: Instant) -> Self {
        // Three questions in the longest silence: the documentation names no interval, and the heartbeats of 30 s show
        // only that the server sends, not that it still hears.
        let ask_every = keep_alive.silence / 3;
        Self {
            socket,
            vigil: Vigil::new(keep_alive, now),
            ask_every,
            answer_within: keep_alive.silence / 2,
            ask_at: now + ask_every,
            asked: VecDeque::new(),
        }
    }

    /// Returns when there is something to do if nothing comes.
    pub(super) fn wake_at(&self) -> Instant {
        let answer_at = self.asked.front().map(|(asked, _)| *asked + self.answer_within);
        answer_at
            .into_iter()
            .fold(self.vigil.wake_at().min(self.ask_at), Instant::min)
    }

    /// Waits for the next frame; see [`Socket::next`].
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection.
    /// # Cancel safety
    /// Safe: a frame that has been taken is returned at once.
    pub(super) async fn next(&mut self) -> Result<Received, Loss> {
        self.socket.next().await
    }

    /// Returns the next frame if it is there without waiting.
    pub(super) fn next_ready(&mut self) -> Option<Result<Received, Loss>> {
        self.socket.next_ready()
    }

    /// Notes that something whole has come.
    pub(super) fn heard(&mut self) {
        self.vigil.heard(Instant::now());
    }

    /// Begins the clocks anew after a time in which nothing was read.
    pub(super) fn resumed(&mut self) {
        let now = Instant::now();
        self.vigil.resumed(now);
        for (asked, _) in &mut self.asked {
            *asked = now;
        }
    }

    /// Asks the service whether it is there.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection.
    pub(super) fn ask(&mut self, now_us: i64) -> Result<(), Loss> {
        let now = Instant::now();
        self.ask_at = now + self.ask_every;
        if self.asked.len() < MAX_ASKED {
            self.asked.push_back((now, now_us));
            self.socket.send_ready(PING)?;
        }
        Ok(())
    }

    /// Notes an answer of the service, which stands behind everything that it sent before it had the question.
    pub(super) fn answered(&mut self) {
        if let Some((_, sent_us)) = self.asked.pop_front() {
            self.socket.proven(sent_us);
        }
    }

    /// Returns how many questions have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Does what is due by now; says whether the service was asked.
    ///
    /// # Errors
    /// The [`Loss`] of a connection that is dead, or that broke as something was sent.
    pub(super) fn timers(&mut self, now_us: i64, status: &Status) -> Result<bool, Loss> {
        let now = Instant::now();
        if let Some(loss) = self.vigil.silence(now) {
            return Err(loss);
        }
        self.vigil.look(self.socket.unfinished(), now)?;
        if self
            .asked
            .front()
            .is_some_and(|(asked, _)| now >= *asked + self.answer_within)
        {
            return Err(Loss::new(
                LossKind::Silence,
                Some("no answer to the ping of the service"),
            ));
        }
        if self.vigil.is_ping_due(now) {
            status.update(|figures| figures.pings_total += 1);
            self.socket.ping(now_us)?;
        }
        let is_due = now >= self.ask_at;
        if is_due {
            self.ask(now_us)?;
        }
        Ok(is_due)
    }

    /// Returns an instant before which everything that was sent has been read; see [`Socket::complete_us`].
    pub(super) fn complete_us(&self) -> i64 {
        self.socket.complete_us()
    }

    /// Notes that what was sent before `now_us` and is missing lies inside a gap that ended then.
    pub(super) fn covered_until(&mut self, now_us: i64) {
        self.socket.covered_until(now_us);
    }

    /// Sends a close frame; the server's is still to be read, and what it sent before.
    pub(super) fn begin_close(&mut self, code: u16) {
        self.socket.begin_close(code);
    }

    /// Says goodbye and ends; takes at most half a second.
    pub(super) async fn close(self, code: u16) {
        self.socket.close(code, "").await;
    }
}
