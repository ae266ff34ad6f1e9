//! A listener's hand-over: when it begins, what each step of the standby means, and the switch.
//!
//! Responsible for never being without the one channel or the other while it can be helped. Refuses a hand-over while the
//! one before may still bring something twice. Invariant: a frame of the standby is admitted once the old channel has been
//! read to its end, or is dead; what is not certain then is a gap.

use std::sync::Arc;

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::parts::Lost;
use super::platform::Platform;
use super::reading::Pause;
use super::standby::{Holding, Standby, Turn};
use crate::admission::{Frame, Outcome, Room};
use crate::decode::ControlFrame;
use crate::gap::LossKind;

use crate::handover::{Key, Side, Verdict};
use crate::session::CLOSE_NORMAL;
use crate::session::failure::Failure;
use crate::session::intake::frame;
use crate::transport::socket::{Loss, Received};

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Makes the successor of the channel at the next opportunity.
    pub(super) fn replace_now(&mut self, why: &'static str) {
        if let Some(attached) = &mut self.attached
            && self.standby.is_none()
        {
            tracing::info!(channel = self.number, why, "channel is to be replaced");
            attached.replace_at = Instant::now();
        }
    }

    /// Returns when the next hand-over is to begin; `None` while it cannot.
    pub(super) fn replace_due_at(&self) -> Option<Instant> {
        let attached = self.attached.as_ref()?;
        let is_ready = attached.subscribed_at.is_some()
            && attached.tail.is_none()
            && attached.closing_until.is_none()
            && self.request.is_none()
            && self.standby.is_none();
        let at = self
            .standby_at
            .map_or(attached.replace_at, |at| at.max(attached.replace_at));
        is_ready.then_some(at)
    }

    /// Begins a hand-over if it is time.
    pub(super) fn begin_standby_if_due(&mut self) {
        if self.replace_due_at().is_some_and(|at| Instant::now() >= at) {
            self.standby_at = None;
            tracing::debug!(channel = self.number, "hand-over begins");
            self.standby = Some(Standby::open(&self.platform, &self.spare));
        }
    }

    /// Says whether frames of the authoritative channel are of interest to a hand-over.
    pub(super) fn is_handing_over(&self) -> bool {
        self.standby.is_some()
            || self
                .attached
                .as_ref()
                .is_some_and(|attached| attached.tail.is_some())
    }

    /// Says whether a frame of the authoritative channel was delivered by the one before; tells the hand-over, if one is
    /// under way, of one that was not.
    pub(super) fn is_repeated(&mut self, key: Key, frame: &Frame<'_>) -> bool {
        if let Some(attached) = &mut self.attached
            && let Some((tail, _)) = &mut attached.tail
        {
            let judged = tail.judge(key);
            let admission = &mut self.shared.borrow_mut().intake.admission;
            admission.count_ambiguous(judged.ambiguous);
            if judged.verdict == Verdict::Subtract {
                admission.subtract(frame);
                return true;
            }
        }
        if let Some(Standby::Holding(holding) | Standby::Dead(holding, _)) = &mut self.standby
            && holding.handover.delivered(key).is_err()
        {
            self.is_hold_full = true;
        }
        false
    }

    /// Takes note of what happened on the standby.
    pub(super) fn standby_turned(&mut self, turn: Turn) -> Pause {
        match turn {
            Turn::Opened(Ok(opened)) => {
                let Some(attached) = &self.attached else {
                    return Pause::Wait;
                };
                let (topics, asked) = (Arc::clone(&attached.topics), attached.wire.unanswered());
                let holding = Holding::begin(*opened, &self.platform, topics, asked, self.settings.bounds());
                self.standby = Some(Standby::Holding(Box::new(holding)));
                Pause::Wait
            }
            Turn::Opened(Err(failure)) => self.standby_failed(&failure),
            Turn::Subscribed(Err(failure)) => self.standby_lost(&failure),
            Turn::Subscribed(Ok(answer)) => {
                let now_us = self.now_us();
                let patience = self.settings.keep_alive.silence;
                let next = self.holding().and_then(|holding| {
                    holding.answer = Some((answer, now_us));
                    holding.patient_until = Some(Instant::now() + patience);
                    holding.handover.subscribed()
                });
                self.follow(next)
            }
            Turn::Frame(first) => self.standby_batch(first),
            Turn::Wake => self.standby_woke(),
        }
    }

    fn holding(&mut self) -> Option<&mut Holding> {
        self.standby.as_mut().and_then(Standby::holding)
    }

    fn standby_woke(&mut self) -> Pause {
        let now_us = self.now_us();
        let status = Arc::clone(&self.shared.borrow().intake.status);
        let Some(holding) = self.holding() else {
            return Pause::Wait;
        };
        match holding.wire.timers(now_us, &status) {
            Ok(true) => holding.handover.pinged(Side::Standby),
            Ok(false) => {}
            Err(loss) => return self.standby_lost(&Failure::from(&loss)),
        }
        if holding.is_over() {
            self.close_old();
        }
        Pause::Wait
    }

    /// Sends the close of the old channel, which is then read to its end.
    pub(super) fn close_old(&mut self) {
        let close = self.settings.close;
        let Some(holding) = self.holding() else { return };
        holding.closing();
        if let Some(attached) = &mut self.attached
            && attached.closing_until.is_none()
        {
            attached.wire.begin_close(CLOSE_NORMAL);
            attached.closing_until = Some(Instant::now() + close);
        }
    }

    /// Does what the hand-over asks for next.
    pub(super) fn follow(&mut self, next: Option<crate::handover::Next>) -> Pause {
        let now_us = self.now_us();
        let (Some(standby), Some(attached)) = (&mut self.standby, &mut self.attached) else {
            return Pause::Wait;
        };
        let Some(holding) = standby.holding() else {
            return Pause::Wait;
        };
        match holding.follow(next, &mut attached.wire, now_us) {
            Ok(()) => Pause::Wait,
            Err((Side::Old, loss)) => Pause::Over(Lost::connection(loss, CLOSE_NORMAL)),
            Err((Side::Standby, loss)) => self.standby_lost(&Failure::from(&loss)),
        }
    }

    /// Notes an answer of the service on the authoritative channel.
    pub(super) fn ponged(&mut self) -> Result<(), Pause> {
        let Some(attached) = &mut self.attached else {
            return Ok(());
        };
        attached.wire.answered();
        if let Some((tail, awaited)) = attached.tail.take() {
            let awaited = awaited.saturating_sub(1);
            if awaited > 0 && !tail.is_settled() {
                attached.tail = Some((tail, awaited));
            } else {
                let ambiguous = tail.end();
                self.shared
                    .borrow_mut()
                    .intake
                    .admission
                    .count_ambiguous(ambiguous);
            }
        }
        let next = self
            .holding()
            .and_then(|holding| holding.handover.ponged(Side::Old));
        self.abandon_if_proven();
        match self.follow(next) {
            Pause::Wait => Ok(()),
            over => Err(over),
        }
    }

    /// Holds `first` and every frame of the standby that is ready.
    fn standby_batch(&mut self, first: Result<Received, Loss>) -> Pause {
        let mut next = Some(first);
        let mut pause = Pause::Wait;
        for _ in 0..crate::session::listen::BATCH_FRAMES {
            let received = match next {
                None => break,
                Some(Err(loss)) => return self.standby_lost(&Failure::from(&loss)),
                Some(Ok(received)) => received,
            };
            if let Some(over) = self.standby_received(received) {
                pause = over;
                break;
            }
            next = self.holding().and_then(|holding| holding.wire.next_ready());
        }
        self.shared.borrow_mut().intake.publish();
        pause
    }

    fn standby_received(&mut self, received: Received) -> Option<Pause> {
        let received_us = self.now_us();
        let key = frame(&received).and_then(|frame| Key::of(&frame));
        let size_bytes = received.size_bytes();
        if let Some(holding) = self.holding() {
            holding.wire.heard();
        }
        match key {
            Some(key) => {
                if let Some(frame) = frame(&received) {
                    self.shared.borrow_mut().intake.admission.hold(&frame);
                }
                let handover = &mut self.holding()?.handover;
                let refused = handover.hold(key, size_bytes, (received, received_us));
                let Err(frame) = refused else { return None };
                // Read already, so it is offered to the tail once there is one.
                self.holding()?.overflow = Some((key, frame));
                self.is_hold_full = true;
                Some(Pause::Wait)
            }
            None => {
                let control = self.standby_control(&received, received_us)?;
                match control {
                    ControlFrame::Pong => {
                        let holding = self.holding()?;
                        holding.wire.answered();
                        let next = holding.handover.ponged(Side::Standby);
                        match self.follow(next) {
                            Pause::Wait => None,
                            over => Some(over),
                        }
                    }
                    ControlFrame::NoLongerSubscribed
                    | ControlFrame::TokenRevoked
                    | ControlFrame::ChannelGone
                    | ControlFrame::SocketClosing => {
                        let loss = Loss::new(LossKind::Refused, Some(control.name()));
                        self.holding()?.said = Some(control);
                        Some(self.standby_lost(&Failure::from(&loss)))
                    }
                    _ => None,
                }
            }
        }
    }

    /// Admits a frame of the protocol itself, which is not held.
    fn standby_control(&mut self, received: &Received, received_us: i64) -> Option<ControlFrame> {
        let intake = &mut self.shared.borrow_mut().intake;
        match intake.admit(received, received_us, Room::UNBOUNDED)? {
            Outcome::Control(control) => Some(control),
            _ => None,
        }
    }

    /// Takes the loss of the standby: what it holds is kept until the old channel has shown that it had it too.
    fn standby_lost(&mut self, failure: &Failure) -> Pause {
        let now_us = self.now_us();
        let Some(attached) = &mut self.attached else {
            return Pause::Wait;
        };
        let is_empty = match &mut self.standby {
            Some(Standby::Holding(holding)) if attached.closing_until.is_some() => {
                holding.is_broken = true;
                return Pause::Wait;
            }
            Some(Standby::Holding(holding)) => holding.handover.held().0 == 0,
            _ => true,
        };
        if is_empty {
            return self.standby_failed(failure);
        }
        let asked = attached.wire.ask(now_us);
        if let Some(Standby::Holding(holding)) = self.standby.take() {
            self.standby = Some(Standby::Dead(holding, attached.wire.unanswered()));
        }
        self.standby_paced(failure);
        match asked {
            Ok(()) => Pause::Wait,
            Err(loss) => Pause::Over(Lost::connection(loss, CLOSE_NORMAL)),
        }
    }

    /// Throws away what a dead standby holds once the old channel has delivered its like.
    fn abandon_if_proven(&mut self) {
        let Some(Standby::Dead(_, awaited)) = &mut self.standby else {
            return;
        };
        *awaited = awaited.saturating_sub(1);
        if *awaited > 0 {
            return;
        }
        if let Some(Standby::Dead(holding, _)) = self.standby.take() {
            let admission = &mut self.shared.borrow_mut().intake.admission;
            for _ in holding.handover.abandon() {
                admission.subtract_held();
            }
        }
    }

    fn standby_failed(&mut self, failure: &Failure) -> Pause {
        self.standby = None;
        self.standby_paced(failure);
        Pause::Wait
    }

    fn standby_paced(&mut self, failure: &Failure) {
        let delay = self.standby_backoff.next_delay(failure.pace(false));
        let delay = delay.unwrap_or(self.settings.keep_alive.silence);
        tracing::warn!(
            error = failure.text,
            channel = self.number,
            "hand-over failed, trying again"
        );
        self.standby_at = Some(Instant::now() + delay);
    }
}
