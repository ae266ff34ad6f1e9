//! A listener's reading: what wakes it, micro-batches, and the full queue.
//!
//! Refuses to wait while a frame is ready, and to take more than 512 frames or 256 KiB without giving timers, requests
//! and commands a turn. Invariant: frames are admitted in the order in which they were read, also those that had to wait
//! for room.

use std::sync::Arc;

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::parts::{Lost, Pending, Unheard};
use super::platform::{Answer, Platform};
use super::standby::{self, answered};
use crate::admission::{Outcome, Room};
use crate::decode::{self, ControlFrame, Decoded, Scratch, Transport};
use crate::gap::{Cause, LossKind};
use crate::handover::{Key, Side};
use crate::plan;
use crate::session::failure::Failure;
use crate::session::intake::frame;
use crate::session::listen::{ALIVE_EVERY, BATCH_BYTES, BATCH_FRAMES};
use crate::session::{CLOSE_NORMAL, CLOSE_TOO_BIG};
use crate::transport::socket::{Loss, Received};

/// What woke a listener.
enum Woken {
    Frame(Result<Received, Loss>),
    Answer(Result<Answer, Failure>),
    Standby(standby::Turn),
    Topics,
    Timer,
}

/// What became of a frame that was offered to admission.
pub(super) enum Offered {
    Taken,
    /// There is no room for it.
    Kept(Pending),
    /// It was taken, and ends the micro-batch.
    Last(Pause),
}

/// Why a micro-batch ended.
pub(super) enum Pause {
    Wait,
    /// The queue is full and a frame is pending, or the spool takes no record.
    Full,
    Over(Lost),
}

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Takes turns until the connection is over.
    pub(super) async fn turns(&mut self) -> Result<Lost, Unheard> {
        let mut alive_at = Instant::now() + ALIVE_EVERY;
        let mut ask_at = None;
        loop {
            let woken = self.woken(alive_at, ask_at).await;
            let pause = match woken {
                Woken::Frame(first) => self.batch(first),
                Woken::Answer(Ok(answer)) => {
                    self.request = None;
                    self.subscribed(answer).map_err(Unheard::Refused)?;
                    Pause::Wait
                }
                Woken::Answer(Err(failure)) => {
                    self.request = None;
                    let wait = self.refused(failure).map_err(Unheard::Refused)?;
                    ask_at = Some(Instant::now() + wait);
                    Pause::Wait
                }
                Woken::Standby(turn) => self.standby_turned(turn),
                Woken::Topics => Pause::Wait,
                Woken::Timer => self.look(),
            };
            match pause {
                Pause::Wait => {}
                Pause::Full => self.stall().await?,
                Pause::Over(lost) => match self.succeed(lost) {
                    Ok(()) => {}
                    Err(lost) => return Ok(lost),
                },
            }
            if std::mem::take(&mut self.is_hold_full) {
                self.close_old();
            }
            if Instant::now() >= alive_at {
                alive_at = Instant::now() + ALIVE_EVERY;
            }
            if let Err(loss) = self.timers() {
                let lost = Lost::connection(loss, CLOSE_NORMAL);
                if let Err(lost) = self.succeed(lost) {
                    return Ok(lost);
                }
            }
            if ask_at.is_none_or(|at| Instant::now() >= at) && self.reconcile() {
                ask_at = None;
            }
            // A socket that always has a frame ready would otherwise keep timers and commands from being seen.
            tokio::task::yield_now().await;
        }
    }

    async fn woken(&mut self, alive_at: Instant, ask_at: Option<Instant>) -> Woken {
        let replace_at = self.replace_due_at();
        let is_free = self.request.is_none() && self.standby.is_none();
        // What is to be asked anyway asks for those that were refused, too.
        let ask_at = ask_at.or(self.ask_rejected_at).filter(|_| is_free);
        let Some(attached) = &mut self.attached else {
            return Woken::Timer;
        };
        // Behind our close nothing may be asked of the old channel any more.
        let asked_at = attached.wire.wake_at();
        let [asked_at, ask_at] =
            [Some(asked_at), ask_at].map(|at| at.filter(|_| attached.closing_until.is_none()));
        let wake_at = [replace_at, attached.closing_until, ask_at, asked_at]
            .into_iter()
            .flatten()
            .fold(alive_at, Instant::min);
        let standby = &mut self.standby;
        let standby = async {
            match standby {
                Some(standby) => standby.turn().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            first = attached.wire.next() => Woken::Frame(first),
            turn = standby => Woken::Standby(turn),
            answer = answered(&mut self.request) => Woken::Answer(answer),
            Ok(()) = self.topics.changed() => Woken::Topics,
            () = tokio::time::sleep_until(wake_at) => Woken::Timer,
        }
    }

    /// Looks whether something has come meanwhile; if not, everything that had arrived is read.
    fn look(&mut self) -> Pause {
        let asked_us = self.now_us();
        let ready = self
            .attached
            .as_mut()
            .and_then(|attached| attached.wire.next_ready());
        match ready {
            Some(first) => self.batch(first),
            None => {
                self.note_polled(Some(asked_us));
                Pause::Wait
            }
        }
    }

    /// Asks for other topics if others are wanted; not while two channels would have to be asked. Says whether nothing is
    /// left to ask for.
    fn reconcile(&mut self) -> bool {
        let Some(attached) = &self.attached else {
            return true;
        };
        let is_wanted = Arc::ptr_eq(&attached.topics, &self.topics.borrow())
            || *attached.topics == **self.topics.borrow();
        if is_wanted && !attached.is_refused && !self.is_rejected_due() {
            self.let_go();
            return true;
        }
        if attached.closing_until.is_some() && self.standby.is_none() {
            // Let go: what is wanted now is asked for on the next connection.
            return true;
        }
        if self.request.is_none() && self.standby.is_none() {
            self.ask_for_topics();
        }
        false
    }

    /// Does what is due by now.
    fn timers(&mut self) -> Result<(), Loss> {
        let now_us = self.now_us();
        let status = Arc::clone(&self.shared.borrow().intake.status);
        let Some(attached) = &mut self.attached else {
            return Ok(());
        };
        if attached.closing_until.is_none()
            && attached.wire.timers(now_us, &status)?
            && let Some(holding) = self.standby.as_mut().and_then(|standby| standby.holding())
        {
            holding.handover.pinged(Side::Old);
        }
        let closing_until = attached.closing_until;
        if closing_until.is_some_and(|until| Instant::now() >= until) {
            return Err(Loss::new(LossKind::Silence, Some("no answer to the close")));
        }
        self.begin_standby_if_due();
        Ok(())
    }

    /// Admits `first` and every frame that is ready, then publishes.
    fn batch(&mut self, first: Result<Received, Loss>) -> Pause {
        if let Some(attached) = &mut self.attached {
            attached.wire.heard();
        }
        let vacancy = self.begin_batch();
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
            let received_us = self.now_us();
            if let Err(pause) = self.received(received, received_us, vacancy) {
                break pause;
            }
            if frames >= BATCH_FRAMES || bytes >= BATCH_BYTES {
                break Pause::Wait;
            }
            asked_us = received_us;
            next = self
                .attached
                .as_mut()
                .and_then(|attached| attached.wire.next_ready());
        };
        self.shared.borrow_mut().intake.publish();
        self.note_polled(polled_us);
        match pause {
            Pause::Wait if self.is_blocked() => Pause::Full,
            pause => pause,
        }
    }

    pub(super) fn begin_batch(&mut self) -> Room {
        let intake = &mut self.shared.borrow_mut().intake;
        let uptime_ms = intake.clock.uptime_ms();
        intake.admission.tell_uptime(uptime_ms);
        intake.vacancy()
    }

    /// Takes a frame of the authoritative channel.
    fn received(&mut self, received: Received, received_us: i64, vacancy: Room) -> Result<(), Pause> {
        if self.is_handing_over()
            && let Some(frame) = frame(&received)
            && let Some(key) = Key::of(&frame)
            && self.is_repeated(key, &frame)
        {
            return Ok(());
        }
        self.sight(&received);
        self.admit(
            Pending {
                frame: (received, received_us),
                is_held: false,
            },
            vacancy,
        )
    }

    /// Tells the planner of a conversation that a frame is about.
    pub(super) fn sight(&self, received: &Received) {
        if let Received::Text(text) = received
            && self.platform.follows()
            && let Some(sighting) = sighting_of(text)
        {
            self.platform.sighted(&sighting);
        }
    }

    /// Admits a frame, or keeps it for when there is room.
    pub(super) fn admit(&mut self, pending: Pending, vacancy: Room) -> Result<(), Pause> {
        if !self.pending.is_empty() {
            self.pending.push_back(pending);
            return Err(Pause::Full);
        }
        match self.offer(pending, vacancy) {
            Offered::Taken => Ok(()),
            Offered::Kept(pending) => {
                self.pending.push_back(pending);
                Err(Pause::Full)
            }
            Offered::Last(pause) => Err(pause),
        }
    }

    /// Offers a frame to admission; gives it back if there is no room.
    pub(super) fn offer(&mut self, pending: Pending, vacancy: Room) -> Offered {
        let (received, received_us) = &pending.frame;
        let mut board = self.shared.borrow_mut();
        let intake = &mut board.intake;
        if let Received::Pong = received {
            intake.status.update(|figures| figures.pongs_total += 1);
        }
        let room = intake.left_of(vacancy);
        let outcome = if pending.is_held {
            intake.admit_held(received, *received_us, room)
        } else {
            intake.admit(received, *received_us, room)
        };
        let Some(outcome) = outcome else {
            return Offered::Taken;
        };
        let now_us = intake.clock.now_us();
        match &outcome {
            Outcome::Event | Outcome::DeadLetter { .. } => intake.accepted(now_us),
            Outcome::Dropped => {
                let from_us = self
                    .attached
                    .as_ref()
                    .map_or(now_us, |attached| attached.wire.complete_us());
                intake.dropped(from_us, now_us);
            }
            _ => {}
        }
        match outcome {
            Outcome::Full => {
                drop(board);
                Offered::Kept(pending)
            }
            Outcome::Control(control) => {
                drop(board);
                match self.control(&control) {
                    Ok(()) => Offered::Taken,
                    Err(pause) => Offered::Last(pause),
                }
            }
            _ if matches!(received, Received::Oversized(oversized) if oversized.gives_up) => {
                let loss = Loss::new(LossKind::Protocol, Some("message far over max_frame_bytes"));
                let lost = Lost {
                    cause: Cause::Oversized,
                    ..Lost::connection(loss, CLOSE_TOO_BIG)
                };
                Offered::Last(Pause::Over(lost))
            }
            _ => Offered::Taken,
        }
    }

    /// Makes a dead letter of a message that was too large in fragments; everything else is only lost.
    fn lost(&mut self, loss: Loss) -> Pause {
        let Some(length_bytes) = loss.oversized_bytes else {
            let close_code = loss.close_with;
            return Pause::Over(Lost::connection(loss, close_code));
        };
        let now_us = self.now_us();
        let intake = &mut self.shared.borrow_mut().intake;
        let _outcome = intake.admit_unread(length_bytes, now_us);
        intake.accepted(now_us);
        Pause::Over(Lost {
            cause: Cause::Oversized,
            ..Lost::connection(loss, CLOSE_TOO_BIG)
        })
    }

    /// Does what a frame of the authoritative channel asks for.
    pub(super) fn control(&mut self, control: &ControlFrame) -> Result<(), Pause> {
        let over = |cause, reason, is_channel_alive| {
            Err(Pause::Over(Lost {
                cause,
                is_channel_alive,
                ..Lost::connection(Loss::new(LossKind::Refused, Some(reason)), CLOSE_NORMAL)
            }))
        };
        match control {
            ControlFrame::Pong => self.ponged(),
            ControlFrame::SocketClosing => {
                self.replace_now("the server closes the socket for maintenance");
                Ok(())
            }
            ControlFrame::NoLongerSubscribed => over(Cause::Reconnect, "no longer subscribed", false),
            ControlFrame::TokenRevoked => over(Cause::TokenRevoked, "token revoked", false),
            ControlFrame::ChannelGone => over(Cause::Reconnect, "channel gone", false),
            ControlFrame::Subscribed { .. }
            | ControlFrame::SubscriptionRefused { .. }
            | ControlFrame::Heartbeat
            | ControlFrame::SubscribeReply { .. }
            | ControlFrame::System { .. } => Ok(()),
        }
    }
}

fn sighting_of(text: &str) -> Option<plan::Sighting> {
    let mut scratch = Scratch::default();
    match decode::decode(Transport::Notifications, text, &mut scratch) {
        Ok(Decoded::Event(Some(topic))) => plan::sighting(&topic.text, scratch.event_body()),
        _ => None,
    }
}
