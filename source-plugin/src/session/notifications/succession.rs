//! A listener's switch: the standby takes the place of a channel that has been read to its end, or that is dead.
//!
//! Responsible for what was held. Refuses to call certain what is not: between the last that the old channel is known to
//! have delivered and the first that the new one does lies a gap, if it is one. Invariant: each held frame is admitted or
//! subtracted, in order.

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::parts::{Attached, Lost, Pending};
use super::platform::Platform;
use super::reading::Pause;
use super::standby::{HeldFrame, Holding, Standby};
use crate::admission::Room;
use crate::decode::ControlFrame;
use crate::gap::{Cause, LossKind};
use crate::handover::{OldEnd, Verdict};
use crate::session::CLOSE_NORMAL;
use crate::session::interruptions::Part;
use crate::session::status::State;
use crate::transport::socket::Loss;

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Puts the standby in the place of a channel that is over; gives the loss back if there is none.
    pub(super) fn succeed(&mut self, lost: Lost) -> Result<(), Lost> {
        let (holding, is_dead) = match self.standby.take() {
            Some(Standby::Holding(holding)) => (holding, false),
            Some(Standby::Dead(holding, _)) => (holding, true),
            Some(Standby::Opening(_)) | None => return Err(lost),
        };
        let Some(old) = self.attached.take() else {
            return Err(lost);
        };
        let is_read = old.closing_until.is_some() && lost.loss.detail.kind == LossKind::Close;
        if lost.cause == Cause::TokenRevoked {
            self.platform.discard_token();
        }
        self.switch(&old, *holding, is_read, &lost, is_dead)
    }

    fn switch(
        &mut self,
        old: &Attached,
        holding: Holding,
        is_read: bool,
        lost: &Lost,
        is_dead: bool,
    ) -> Result<(), Lost> {
        let now_us = self.now_us();
        let Holding {
            channel,
            wire,
            topics,
            handover,
            subscribing,
            answer,
            overflow,
            said,
            ..
        } = holding;
        let end = if is_read { OldEnd::Read } else { OldEnd::Died };
        let switched = handover.switch(end);
        self.shared
            .borrow_mut()
            .intake
            .admission
            .count_ambiguous(switched.tally.ambiguous);
        tracing::info!(
            channel = self.number,
            held = switched.frames.len(),
            subtracted = switched.tally.subtracted,
            ambiguous = switched.tally.ambiguous,
            "channel replaced"
        );
        // Since when the new channel delivers everything, if it does.
        let since_us = answer.as_ref().map(|(_, answered_us)| *answered_us);
        // A close that we did not ask for may have been sent long before it was read.
        let complete_us = if is_read { now_us } else { old.wire.complete_us() };
        // The gap of a stop is told by whoever stops, of all channels at once.
        let is_stop = lost.cause == Cause::Stopped;
        if !is_stop && since_us.is_none_or(|since_us| complete_us < since_us) {
            let detail = lost.loss.detail.clone();
            self.absent(&old.topics, lost.cause, detail, complete_us);
            if let Some(since_us) = since_us {
                let part = Part::Listener(self.number);
                self.shared.borrow_mut().intake.partly_listening(part, since_us);
            }
        }
        self.shared
            .borrow()
            .intake
            .status
            .update(|figures| figures.handovers_total += u64::from(!is_dead));
        let subscribed_at = answer.is_some().then(Instant::now);
        (self.reuses, self.doubts) = (0, 0);
        self.take_over(channel, wire, topics, subscribed_at);
        if let Some((answer, _)) = answer {
            let is_empty_handed = answer.is_refusal();
            let _is_any_left = self.shared.borrow_mut().grasped(self.number, is_empty_handed);
            self.judge_rejected(answer.rejected, now_us);
        } else {
            if let Some(attached) = &mut self.attached {
                // Refused while the old channel was read to its end, so that nobody has heard of it.
                attached.is_refused = subscribing.is_none();
            }
            self.request = subscribing;
            if !is_stop {
                self.enter(State::Subscribing);
            }
        }
        let vacancy = self.begin_batch();
        let mut tail = switched.tail;
        for (frame, verdict) in switched.frames {
            self.judged(frame, verdict, vacancy);
        }
        if let Some((key, frame)) = overflow {
            let judged = tail.judge(key);
            self.shared
                .borrow_mut()
                .intake
                .admission
                .count_ambiguous(judged.ambiguous);
            self.judged(frame, judged.verdict, vacancy);
        }
        self.shared.borrow_mut().intake.publish();
        if let Some(attached) = &mut self.attached {
            attached.wire.ask(now_us).ok();
            let awaited = attached.wire.unanswered();
            attached.tail = (!tail.is_settled()).then_some((tail, awaited));
        }
        self.note_polled(Some(now_us));
        if is_dead {
            let loss = Loss::new(LossKind::Eof, Some("both channels of a hand-over were lost"));
            let is_revoked = matches!(said, Some(ControlFrame::TokenRevoked));
            return Err(Lost {
                cause: if is_revoked {
                    Cause::TokenRevoked
                } else {
                    Cause::Reconnect
                },
                is_channel_alive: false,
                ..Lost::connection(loss, CLOSE_NORMAL)
            });
        }
        // It was said while the old channel was read to its end, and is not said again.
        match said.map(|said| self.control(&said)) {
            Some(Err(Pause::Over(lost))) => Err(lost),
            _ => Ok(()),
        }
    }

    /// Lets a held frame go its way.
    fn judged(&mut self, frame: HeldFrame, verdict: Verdict, vacancy: Room) {
        match verdict {
            Verdict::Emit => {
                self.sight(&frame.0);
                let pending = Pending { frame, is_held: true };
                // Without room it stays pending, which the next look at the queue finds.
                let _pause = self.admit(pending, vacancy);
            }
            Verdict::Subtract => {
                self.shared.borrow_mut().intake.admission.subtract_held();
            }
        }
    }

    /// Takes what a standby holds when the old channel is read no further for a reason of our own.
    pub(super) fn release_standby(&mut self, cause: Cause, loss: Loss) {
        let _over = self.succeed(Lost {
            cause,
            ..Lost::connection(loss, CLOSE_NORMAL)
        });
    }
}
