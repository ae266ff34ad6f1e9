//! Listening on an open connection: micro-batches, keep-alive, the full queue, and the loss that ends it.
//!
//! Refuses to wait while a frame is ready, and to take more than 512 frames or 256 KiB without giving timers and
//! commands a turn. The silence clock runs only while we read, and only what is whole sets it back: neither a byte now
//! and then of a frame, nor fragments without end with pongs between them, keep a connection.

use rand::Rng;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::status::State;
use super::{Break, CLOSE_NORMAL, CLOSE_TOO_BIG, Failure, Link, RESUME_BELOW, Session};
use crate::admission::{Frame, Outcome, Room};
use crate::decode::ControlFrame;
use crate::gap::{Cause, Detail, LossKind, escape};
use crate::transport::socket::{Loss, Received, Socket};

/// Most frames of one micro-batch.
const BATCH_FRAMES: usize = 512;

/// Bytes of frames after which a micro-batch ends.
const BATCH_BYTES: usize = 256 * 1024;

/// A message of which fragments have come, but not the last. Fragments wake nobody: `since` is the first look after the
/// first of them, a ping's interval later at most.
#[derive(Clone, Copy)]
struct Unfinished {
    number: u64,
    since: Instant,
}

/// Why a micro-batch ended.
enum Pause {
    /// Nothing is ready, or it was long enough.
    Wait,
    /// The queue is full; the frame that did not fit is held.
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
        let now_us = self.clock.now_us();
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
                let detail = Detail::new(LossKind::Local, Some("queue full"));
                (Cause::QueueFull, detail, CLOSE_NORMAL, Break::QueueFull)
            }
        };
        if self.subscribed_at.is_some() {
            self.interruptions
                .absent(&mut self.admission, cause, detail, from_us, now_us);
        }
        self.publish();
        self.status.enter(State::Disconnected);
        if let Some(socket) = self.socket.take() {
            socket.close(close_code, "").await;
        }
        broken
    }

    /// Takes micro-batches until the connection is over; returns why, and since when nothing is certain.
    async fn batches(&mut self) -> (Pause, i64) {
        let keep_alive = self.settings.keep_alive;
        let mut ping_at = Instant::now() + keep_alive.ping;
        let mut silent_at = Instant::now() + keep_alive.silence;
        let mut grace_at = Some(Instant::now() + self.settings.subscribe_grace);
        let mut unfinished: Option<Unfinished> = None;
        loop {
            let Some(socket) = &mut self.socket else {
                return (Pause::Wait, self.clock.now_us());
            };
            grace_at = grace_at.filter(|_| self.subscribed_at.is_none());
            let unfinished_at = unfinished.map(|message| message.since + keep_alive.silence);
            let wake_at = grace_at
                .into_iter()
                .chain(unfinished_at)
                .fold(ping_at.min(silent_at), Instant::min);
            let first = tokio::select! {
                biased;
                first = socket.next() => Some(first),
                () = tokio::time::sleep_until(wake_at) => None,
            };
            let now = Instant::now();
            let pause = match first {
                Some(first) => {
                    silent_at = now + keep_alive.silence;
                    self.batch(first)
                }
                None if now >= silent_at => {
                    Pause::Lost(Cause::Reconnect, Loss::new(LossKind::Silence, None), CLOSE_NORMAL)
                }
                None => Pause::Wait,
            };
            match pause {
                Pause::Wait => {}
                Pause::Full => match self.stall().await {
                    Ok(()) => {
                        ping_at = Instant::now();
                        silent_at = ping_at + keep_alive.silence;
                        unfinished = None;
                    }
                    Err(()) => return (Pause::Full, self.complete_us()),
                },
                // A close frame comes after everything that was sent: nothing before it is missing.
                Pause::Lost(cause, loss, code) if loss.detail.kind == LossKind::Close => {
                    return (Pause::Lost(cause, loss, code), self.clock.now_us());
                }
                over => return (over, self.complete_us()),
            }
            let number = self.socket.as_ref().and_then(Socket::unfinished);
            unfinished = number.map(|number| match unfinished {
                Some(same) if same.number == number => same,
                _ => Unfinished { number, since: now },
            });
            if unfinished.is_some_and(|message| now >= message.since + keep_alive.silence) {
                let loss = Loss::new(LossKind::Silence, Some("fragments of a message without its end"));
                return (
                    Pause::Lost(Cause::Reconnect, loss, CLOSE_NORMAL),
                    self.complete_us(),
                );
            }
            if let Err(loss) = self.timers(&mut ping_at, &mut grace_at) {
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
    fn timers(&mut self, ping_at: &mut Instant, grace_at: &mut Option<Instant>) -> Result<(), Loss> {
        let now = Instant::now();
        if grace_at.is_some_and(|at| now >= at) {
            *grace_at = None;
            self.subscribed(self.clock.now_us());
            self.publish();
        }
        if now >= *ping_at {
            *ping_at = now + self.settings.keep_alive.ping;
            self.status.update(|figures| figures.pings_total += 1);
            if let Some(socket) = &mut self.socket {
                socket.ping(self.clock.now_us())?;
            }
        }
        Ok(())
    }

    /// Admits `first` and every frame that is ready, then publishes.
    fn batch(&mut self, first: Result<Received, Loss>) -> Pause {
        self.admission.tell_uptime(self.clock.uptime_ms());
        let vacancy = self.queue.room();
        let vacancy = Room {
            records: vacancy.records,
            bytes: vacancy.bytes,
        };
        let mut next = Some(first);
        let (mut frames, mut bytes) = (0, 0);
        let pause = loop {
            let received = match next {
                None => break Pause::Wait,
                Some(Err(loss)) => break self.lost(loss),
                Some(Ok(received)) => received,
            };
            frames += 1;
            bytes += size(&received);
            let received_us = self.clock.now_us();
            if let Err(pause) = self.frame(received, received_us, self.left_of(vacancy)) {
                break pause;
            }
            if frames >= BATCH_FRAMES || bytes >= BATCH_BYTES {
                break Pause::Wait;
            }
            next = self.socket.as_mut().and_then(|socket| socket.next_ready());
        };
        self.publish();
        pause
    }

    /// Makes a dead letter of a message that was too large in fragments; everything else is only lost.
    fn lost(&mut self, loss: Loss) -> Pause {
        let Some(length_bytes) = loss.oversized_bytes else {
            let code = loss.close_with;
            return Pause::Lost(Cause::Reconnect, loss, code);
        };
        // The codec has thrown away what it read: the digest is that of no bytes.
        let frame = Frame::Oversized {
            length_bytes,
            sha256: Sha256::digest([]).into(),
            head: &[],
        };
        let now_us = self.clock.now_us();
        // One dead letter without a body may stand above the bounds; held, it would outlive its connection.
        let outcome = self.admission.admit(frame, now_us, Room::UNBOUNDED);
        self.judge(&outcome, now_us);
        Pause::Lost(Cause::Oversized, loss, CLOSE_TOO_BIG)
    }

    /// Admits one frame; `received_us` is when it was read, which for a held one was some time ago.
    fn frame(&mut self, received: Received, received_us: i64, room: Room) -> Result<(), Pause> {
        let frame = match &received {
            Received::Pong => {
                self.status.update(|figures| figures.pongs_total += 1);
                return Ok(());
            }
            Received::Ping => return Ok(()),
            Received::Text(text) => Frame::Text(text),
            Received::Binary(bytes) => Frame::Binary(bytes),
            Received::Oversized(oversized) => Frame::Oversized {
                length_bytes: oversized.length_bytes,
                sha256: oversized.sha256,
                head: &oversized.head,
            },
        };
        let outcome = self.admission.admit(frame, received_us, room);
        let now_us = self.clock.now_us();
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
                self.interruptions.accepted(&mut self.admission, now_us);
                self.subscribed(now_us);
            }
            Outcome::DeadLetter { .. } => self.interruptions.accepted(&mut self.admission, now_us),
            Outcome::Dropped => {
                let from_us = self.complete_us();
                self.interruptions.dropped(&mut self.admission, from_us, now_us);
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
            | ControlFrame::SubscribeReply { .. }
            | ControlFrame::System { .. } => Ok(()),
        }
    }

    /// Waits, without reading, until the held frame is admitted; fails if that takes longer than `stall_ms`.
    async fn stall(&mut self) -> Result<(), ()> {
        tracing::warn!("queue full, no longer reading");
        self.status.enter_stalled();
        let deadline = Instant::now() + self.settings.stall;
        let mut share = RESUME_BELOW;
        while self.held.is_some() {
            if tokio::time::timeout_at(deadline, self.queue.wait_below(share))
                .await
                .is_err()
            {
                return Err(());
            }
            let vacancy = self.queue.room();
            self.admit_held(Room {
                records: vacancy.records,
                bytes: vacancy.bytes,
            });
            self.publish();
            // A record larger than what is left below the first share fits an empty queue.
            share = 0.0;
        }
        tracing::info!("queue has room, reading again");
        let state = if self.subscribed_at.is_some() {
            State::Subscribed
        } else {
            State::Subscribing
        };
        self.status.enter(state);
        Ok(())
    }

    /// Waits without a connection until there is room again and the held frame is admitted.
    pub(super) async fn room_again(&mut self) {
        tracing::warn!("queue stayed full, connection closed until there is room");
        let mut share = RESUME_BELOW;
        loop {
            self.queue.wait_below(share).await;
            let vacancy = self.queue.room();
            self.admit_held(Room {
                records: vacancy.records,
                bytes: vacancy.bytes,
            });
            self.publish();
            if self.held.is_none() {
                return;
            }
            share = 0.0;
            // A queue that says it is empty and still takes nothing must not keep commands from being seen.
            tokio::task::yield_now().await;
        }
    }

    /// Offers the held frame again; holds it further if there is still no room.
    pub(super) fn admit_held(&mut self, room: Room) {
        if let Some((received, received_us)) = self.held.take() {
            self.admission.tell_uptime(self.clock.uptime_ms());
            // A control frame is never held, since it needs no room. After a message that gives the connection up the
            // stream reads as ended, so that the next read, if there is one, brings the loss.
            let _pause = self.frame(received, received_us, room);
        }
    }

    /// Returns what is left of the queue's room beside the records that are built and not published.
    fn left_of(&self, vacancy: Room) -> Room {
        let (records, bytes) = self.admission.open_chunk();
        Room {
            records: vacancy.records.saturating_sub(records),
            bytes: vacancy.bytes.saturating_sub(bytes),
        }
    }

    fn complete_us(&self) -> i64 {
        self.socket
            .as_ref()
            .map_or_else(|| self.clock.now_us(), |socket| socket.complete_us())
    }
}

fn size(received: &Received) -> usize {
    match received {
        Received::Text(text) => text.len(),
        Received::Binary(bytes) => bytes.len(),
        Received::Oversized(oversized) => oversized.head.len(),
        Received::Ping | Received::Pong => 0,
    }
}
