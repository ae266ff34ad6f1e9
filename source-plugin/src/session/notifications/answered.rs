//! A listener's subscription: what the answer to a request for topics makes of it.
//!
//! Responsible for the moment at which a subscription counts and for the topics that are not to be had. Refuses to take an
//! answer for a subscription where no channel of the source has been permitted anything. Invariant: what is rejected is one
//! gap, as long as it is the same.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::MAX_CHANNELS;
use super::listener::Listener;
use super::platform::{Answer, Platform, Rejected};
use crate::gap::{Cause, Detail, LossKind};
use crate::plan::follow_within;
use crate::session::failure::{Failure, FailureKind};
use crate::session::interruptions::Part;
use crate::session::status::State;

/// Wait before a request for other topics that failed is sent again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The same where the service will say no again, as far as anyone knows.
const ASK_SELDOM: Duration = Duration::from_secs(60);

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Takes the answer to a subscribe request.
    pub(super) fn subscribed(&mut self, answer: Answer) -> Result<(), Failure> {
        let is_empty_handed = answer.is_refusal();
        let is_any_left = self.shared.borrow_mut().grasped(self.number, is_empty_handed);
        // The topics of one channel may be all of a kind: what is refused there says nothing of the others.
        if is_empty_handed && !is_any_left {
            let reason = answer.rejected.first().map_or("", |rejected| &rejected.reason);
            return Err(Failure {
                kind: FailureKind::Credentials,
                text: format!(
                    "none of the topics is permitted; the first: {reason}; add what is missing to a role of the OAuth client, in \
                     the divisions concerned"
                ),
                code: 403,
                retry_after: None,
            });
        }
        let now_us = self.now_us();
        self.doubts = 0;
        self.judge_rejected(answer.rejected, now_us);
        let Some(attached) = &mut self.attached else {
            return Ok(());
        };
        if attached.subscribed_at.is_some() {
            return Ok(());
        }
        attached.subscribed_at = Some(Instant::now());
        attached.wire.covered_until(now_us);
        let complete_us = attached.wire.complete_us();
        let topics = attached.topics.len();
        {
            let mut board = self.shared.borrow_mut();
            board.intake.partly_listening(Part::Listener(self.number), now_us);
            board.polled(self.number, Some(now_us), complete_us);
            board.intake.publish();
        }
        self.enter(State::Subscribed);
        let over = self.outage.end();
        tracing::info!(
            channel = self.number,
            topics,
            failed_attempts = over.failed_attempts,
            away_ms = over.away_ms,
            "{}",
            if self.has_listened {
                "subscribed again"
            } else {
                "subscribed"
            }
        );
        self.has_listened = true;
        Ok(())
    }

    /// Takes the refusal of a subscribe request; returns the wait before the next one where the channel is listened to.
    ///
    /// What a refusal means is public in part only. A channel that is read is not gone because its new topics are called
    /// wrong (400): they alone are missing. One that was just made cannot be gone, so that its topics are wrong. One that is
    /// connected again may be refused since its token is another one by now (401, 403), and gives way to a new one.
    ///
    /// # Errors
    /// The failure, as what it means to a channel that has no subscription.
    pub(super) fn refused(&mut self, mut failure: Failure) -> Result<Duration, Failure> {
        let attached = self.attached.as_mut();
        let subscribed = attached.filter(|attached| attached.subscribed_at.is_some());
        let is_wrong = failure.kind == FailureKind::ChannelGone && failure.code == 400;
        if let Some(attached) = subscribed
            && (is_wrong || failure.kind != FailureKind::ChannelGone)
        {
            tracing::warn!(error = failure.text, "topics not changed, asking again");
            attached.is_refused = true;
            let is_final = is_wrong || failure.kind == FailureKind::Credentials;
            let least = if is_final { ASK_SELDOM } else { ASK_AGAIN };
            return Ok(failure.retry_after.unwrap_or_default().max(least));
        }
        if self.reuses > 0 && failure.kind == FailureKind::Credentials {
            failure.kind = FailureKind::ChannelGone;
        } else if self.reuses == 0 && is_wrong {
            failure.kind = FailureKind::Configuration;
        }
        Err(failure)
    }

    /// Says whether topics that were refused are to be asked for again: a permission may have been granted since.
    pub(super) fn is_rejected_due(&self) -> bool {
        self.ask_rejected_at.is_some_and(|at| Instant::now() >= at)
    }

    /// Records which topics are not to be had, if that has changed.
    pub(super) fn judge_rejected(&mut self, rejected: Vec<Rejected>, now_us: i64) {
        // However soon that is, 19 channels ask for no more than half of what the rate limit gives.
        let ask_again = self.settings.ask_again.max(follow_within(MAX_CHANNELS));
        self.ask_rejected_at = (!rejected.is_empty()).then(|| Instant::now() + ask_again);
        let Some(refused) = self.refusals.replace(rejected) else {
            return;
        };
        let part = Part::Rejected(self.number);
        let mut board = self.shared.borrow_mut();
        board.intake.partly_listening(part, now_us);
        if let Some(first) = refused.first() {
            let topics = refused.iter().map(|one| one.topic.clone()).collect();
            let detail = Detail::new(LossKind::Refused, Some(&first.reason));
            board
                .intake
                .partly_absent(part, topics, Cause::TopicRejected, detail, now_us);
        }
        board.intake.publish();
    }
}
