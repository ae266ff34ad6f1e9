//! Listening on an open connection: micro-batches, keep-alive, the full queue, and the loss that ends it.
//!
//! Refuses to wait while a frame is ready, and to take more than 512 frames or 256 KiB without giving timers and
//! commands a turn. The silence clock runs only while we read.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::status::State;
use super::vigil::Vigil;
use super::{Break, CLOSE_NORMAL, CLOSE_TOO_BIG, Failure, Link, RESUME_BELOW, Session};
use crate::admission::{Outcome, Room};
use crate::decode::ControlFrame;
use crate::gap::{Cause, Detail, LossKind, escape};
use crate::transport::socket::{Loss, Received, Socket};

/// Most frames of one micro-batch.
pub(super) const BATCH_FRAMES: usize = 512;

/// Bytes of frames after which a micro-batch ends.
pub(super) const BATCH_BYTES: usize = 256 * 1024;

/// Time between two notes that the socket had nothing more: as often as the spool marks it.
pub(super) const ALIVE_EVERY: Duration = Duration::from_millis(500);

/// Why a micro-batch ended.
enum Pause {
    /// Nothing is ready, or it was long enough.
    Wait,
    /// The queue is full and the frame that did not fit is held, or the spool takes no record.
    Full,
    /// The connection is over.
    Lost(Cause, Loss, u16),
    /// The server does not want us.
    Refused(Failure),
}

impl<L: Link, R: Rng> Session<L, R> {
    /// Listens until the connection is over, then records the gap and closes it.
    pub(super) async fn listen(&mut self) -> Break {
        let (pause, from_us) = self.batches().await;
        let now_us = self.intake.clock.now_us();
        if let Some(since) = self.subscribed_at {
            self.backoff.connection_lasted(since.elapsed());
        }
        let (cause, detail, close_code, broken) = match pause {
            Pause::Lost(cause, loss, close_code) => {
                let failure = Failure::from(&loss);
                if cause == Cause::TokenRevoked {
                    self.link.discard_token();
                }
                (cause, loss.detail, close_code, Break::Failed(failure))
            }
            Pause::Refused(failure) => {
                let detail = Detail::new(LossKind::Refused, Some(&failure.text));
                (Cause::Reconnect, detail, CLOSE_NORMAL, Break::Failed(failure))
            }
            Pause::Full | Pause::Wait => {
                let (cause, reason) = self.intake.full();
                let detail = Detail::new(LossKind::Local, Some(reason));
                (cause, detail, CLOSE_NORMAL, Break::Full)
            }
        };
        if self.subscribed_at.is_some() {
            self.intake.absent(cause, detail, from_us, now_us);
        }
        self.intake.publish();
        self.intake.status.enter(State::Disconnected);
        if let Some(socket) = self.socket.take() {
            socket.close(close_code, "").await;
        }
        broken
    }

    /// Takes micro-batches until the connection is over; returns why, and since when nothing is certain.
    async fn batches(&mut self) -> (Pause, i64) {
        let mut vigil = Vigil::new(self.settings.keep_alive, Instant::now());
        let mut grace_at = Some(Instant::now() + self.settings.subscribe_grace);
        let mut alive_at = Instant::now() + ALIVE_EVERY;
        loop {
            let Some(socket) = &mut self.socket else {
                return (Pause::Wait, self.intake.clock.now_us());
            };
            grace_at = grace_at.filter(|_| self.subscribed_at.is_none());
            let spooled_alive_at = self.intake.writer.as_ref().map(|_| alive_at);
            let wake_at = grace_at
                .into_iter()
                .chain(spooled_alive_at)
                .fold(vigil.wake_at(), Instant::min);
            let first = tokio::select! {
                biased;
                first = socket.next() => Some(first),
                () = tokio::time::sleep_until(wake_at) => None,
            };
            let now = Instant::now();
            if first.is_none() {
                // The socket was asked first and had nothing.
                self.note_alive(self.intake.clock.now_us());
                alive_at = now + ALIVE_EVERY;
            }
            let pause = match first {
                Some(first) => {
                    vigil.heard(now);
                    self.batch(first)
                }
                None => match vigil.silence(now) {
                    Some(loss) => Pause::Lost(Cause::Reconnect, loss, CLOSE_NORMAL),
                    None => Pause::Wait,
                },
            };
            match pause {
                Pause::Wait => {}
                Pause::Full => match self.stall().await {
                    Ok(()) => vigil.resumed(Instant::now()),
                    Err(()) => return (Pause::Full, self.complete_us()),
                },
                // Also of a close frame: everything that was sent before it is here, but not known is when it was sent.
                over => return (over, self.complete_us()),
            }
            let number = self.socket.as_ref().and_then(Socket::unfinished);
            let looked = vigil.look(number, now);
            if let Err(loss) = looked.and_then(|()| self.timers(&mut vigil, &mut grace_at)) {
                return (
                    Pause::Lost(Cause::Reconnect, loss, CLOSE_NORMAL),
                    self.complete_us(),
                );
            }
            // A socket that always has a frame ready would otherwise keep timers and commands from being seen.
            tokio::task::yield_now().await;
        }
    }

    /// Does what is due by now.
    fn timers(&mut self, vigil: &mut Vigil, grace_at: &mut Option<Instant>) -> Result<(), Loss> {
        let now = Instant::now();
        if grace_at.is_some_and(|at| now >= at) {
            *grace_at = None;
            self.subscribed(self.intake.clock.now_us());
            self.intake.publish();
        }
        if vigil.is_ping_due(now) {
            self.intake.status.update(|figures| figures.pings_total += 1);
            if let Some(socket) = &mut self.socket {
                socket.ping(self.intake.clock.now_us())?;
            }
        }
        Ok(())
    }

    /// Admits `first` and every frame that is ready, then publishes.
    fn batch(&mut self, first: Result<Received, Loss>) -> Pause {
        self.intake.admission.tell_uptime(self.intake.clock.uptime_ms());
        let vacancy = self.intake.vacancy();
        let mut next = Some(first);
        let (mut frames, mut bytes) = (0, 0);
        // When the socket was asked last, and when it was asked in vain: before the next line is reached.
        let (mut asked_us, mut polled_us) = (0, None);
        let pause = loop {
            let received = match next {
                None => {
                    polled_us = Some(asked_us);
                    break Pause::Wait;
                }
                Some(Err(loss)) => break self.lost(loss),
                Some(Ok(received)) => received,
            };
            frames += 1;
            bytes += received.size_bytes();
            let received_us = self.intake.clock.now_us();
            if let Err(pause) = self.frame(received, received_us, self.intake.left_of(vacancy)) {
                break pause;
            }
            if frames >= BATCH_FRAMES || bytes >= BATCH_BYTES {
                break Pause::Wait;
            }
            asked_us = received_us;
            next = self.socket.as_mut().and_then(|socket| socket.next_ready());
        };
        self.intake.publish();
        if let Some(polled_us) = polled_us {
            self.note_alive(polled_us);
        }
        match pause {
            Pause::Wait if self.intake.is_blocked() => Pause::Full,
            pause => pause,
        }
    }

    /// Makes a dead letter of a message that was too large in fragments; everything else is only lost.
    fn lost(&mut self, loss: Loss) -> Pause {
        let Some(length_bytes) = loss.oversized_bytes else {
            let code = loss.close_with;
            return Pause::Lost(Cause::Reconnect, loss, code);
        };
        let now_us = self.intake.clock.now_us();
        let outcome = self.intake.admit_unread(length_bytes, now_us);
        self.judge(&outcome, now_us);
        Pause::Lost(Cause::Oversized, loss, CLOSE_TOO_BIG)
    }

    /// Admits one frame; `received_us` is when it was read, which for a held one was some time ago.
    fn frame(&mut self, received: Received, received_us: i64, room: Room) -> Result<(), Pause> {
        if let Received::Pong = received {
            self.intake.status.update(|figures| figures.pongs_total += 1);
        }
        let Some(outcome) = self.intake.admit(&received, received_us, room) else {
            return Ok(());
        };
        let now_us = self.intake.clock.now_us();
        self.judge(&outcome, now_us);
        match outcome {
            Outcome::Full => {
                self.held = Some((received, received_us));
                Err(Pause::Full)
            }
            Outcome::Control(control) => self.control(control, now_us),
            _ if matches!(&received, Received::Oversized(oversized) if oversized.gives_up) => {
                let loss = Loss::new(LossKind::Protocol, Some("message far over max_frame_bytes"));
                Err(Pause::Lost(Cause::Oversized, loss, CLOSE_TOO_BIG))
            }
            _ => Ok(()),
        }
    }

    /// Draws from an outcome what it says about the subscription and about drops.
    fn judge(&mut self, outcome: &Outcome, now_us: i64) {
        match outcome {
            Outcome::Event => {
                self.intake.accepted(now_us);
                self.subscribed(now_us);
            }
            Outcome::DeadLetter { .. } => self.intake.accepted(now_us),
            Outcome::Dropped => {
                let from_us = self.complete_us();
                self.intake.dropped(from_us, now_us);
                self.subscribed(now_us);
            }
            Outcome::Duplicate { .. } | Outcome::Filtered => self.subscribed(now_us),
            Outcome::Control(_) | Outcome::Ignored { .. } | Outcome::Full => {}
        }
    }

    fn control(&mut self, control: ControlFrame, now_us: i64) -> Result<(), Pause> {
        match control {
            ControlFrame::Subscribed { session_token } => {
                if let Some(session_token) = session_token {
                    self.session_token = session_token;
                }
                self.subscribed(now_us);
                Ok(())
            }
            ControlFrame::SubscriptionRefused {
                status,
                message,
                retry_after_ms,
            } => {
                let text = format!(
                    "server refused the subscription with status {status}: {}",
                    escape(&message)
                );
                let retry_after = retry_after_ms.map(std::time::Duration::from_millis);
                Err(Pause::Refused(Failure::refused(status, text, retry_after)))
            }
            ControlFrame::TokenRevoked => {
                let loss = Loss::new(LossKind::Refused, Some("token revoked"));
                Err(Pause::Lost(Cause::TokenRevoked, loss, CLOSE_NORMAL))
            }
            ControlFrame::Heartbeat
            | ControlFrame::Pong
            | ControlFrame::SocketClosing
            | ControlFrame::NoLongerSubscribed
            | ControlFrame::ChannelGone
            | ControlFrame::SubscribeReply { .. }
            | ControlFrame::System { .. } => Ok(()),
        }
    }

    /// Waits, without reading, until there is room and nothing is held; fails if that takes longer than `stall_ms`.
    async fn stall(&mut self) -> Result<(), ()> {
        let words = self.intake.words();
        tracing::warn!("{}", words.stalled);
        self.intake.status.enter_stalled();
        let deadline = Instant::now() + self.settings.stall;
        let mut share = RESUME_BELOW;
        while !self.is_relieved(RESUME_BELOW) {
            if self.intake.broken_spool.is_some() {
                return Err(());
            }
            if tokio::time::timeout_at(deadline, self.intake.room_made(share))
                .await
                .is_err()
            {
                return Err(());
            }
            self.relieve();
            // A record larger than what is left below the first share fits an empty queue.
            share = 0.0;
        }
        tracing::info!("{}", words.resumed);
        let state = if self.subscribed_at.is_some() {
            State::Subscribed
        } else {
            State::Subscribing
        };
        self.intake.status.enter(state);
        Ok(())
    }

    /// Waits without a connection until there is room again and nothing is held.
    pub(super) async fn room_again(&mut self) {
        tracing::warn!("{}", self.intake.words().closed);
        let mut share = RESUME_BELOW;
        loop {
            self.intake.room_made(share).await;
            self.relieve();
            if self.is_relieved(RESUME_BELOW) || self.intake.broken_spool.is_some() {
                return;
            }
            share = 0.0;
            // A queue that says it is empty and still takes nothing must not keep commands from being seen.
            tokio::task::yield_now().await;
        }
    }

    /// Offers again what is held and what is not written.
    fn relieve(&mut self) {
        self.admit_held(self.intake.vacancy());
        self.intake.publish();
    }

    /// Offers the held frame again; holds it further if there is still no room.
    pub(super) fn admit_held(&mut self, room: Room) {
        if let Some((received, received_us)) = self.held.take() {
            self.intake.admission.tell_uptime(self.intake.clock.uptime_ms());
            // A control frame is never held, since it needs no room. After a message that gives the connection up the
            // stream reads as ended, so that the next read, if there is one, brings the loss.
            let _pause = self.frame(received, received_us, room);
        }
    }

    /// Says whether reading may go on: nothing is held, and the spool is below `share` of its bound.
    fn is_relieved(&self, share: f64) -> bool {
        self.held.is_none() && self.intake.has_room(share)
    }

    /// Notes that everything that had arrived by `time_us` is in the log.
    fn note_alive(&self, time_us: i64) {
        if self.subscribed_at.is_some() {
            self.intake.note_alive(time_us);
        }
    }

    fn complete_us(&self) -> i64 {
        self.socket
            .as_ref()
            .map_or_else(|| self.intake.clock.now_us(), |socket| socket.complete_us())
    }
}
