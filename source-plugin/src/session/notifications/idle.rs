//! A listener without topics: it lets its channel go, and waits until there are topics again.
//!
//! Refuses to close a channel before its last topics are taken off, and to read it less than to its end: what was sent
//! before is delivered. Invariant: nothing that nobody wants any more leaves a gap open.

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::platform::Platform;
use crate::session::CLOSE_NORMAL;
use crate::session::interruptions::Part;
use crate::session::listen::ALIVE_EVERY;
use crate::session::status::State;

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Says whether there is nothing to listen to.
    pub(super) fn is_idle(&self) -> bool {
        self.topics.borrow().is_empty()
    }

    /// Begins to close a channel whose last topics have been taken off; it is then read to its end.
    pub(super) fn let_go(&mut self) {
        let is_between = self.request.is_some() || self.standby.is_some();
        let (until, is_idle) = (Instant::now() + self.settings.close, self.is_idle());
        if let Some(attached) = &mut self.attached
            && is_idle
            && !is_between
            && attached.topics.is_empty()
            && attached.closing_until.is_none()
        {
            attached.wire.begin_close(CLOSE_NORMAL);
            attached.closing_until = Some(until);
        }
    }

    /// Says whether the channel was let go, and not lost.
    pub(super) fn has_let_go(&self) -> bool {
        let attached = self.attached.as_ref();
        self.standby.is_none()
            && attached.is_some_and(|attached| attached.topics.is_empty() && attached.closing_until.is_some())
    }

    /// Waits without a channel until there are topics again. Whoever wants nothing lacks nothing: it counts as subscribed.
    pub(super) async fn idle(&mut self) {
        tracing::info!(channel = self.number, "no topics are left, the channel is let go");
        let now_us = self.now_us();
        self.judge_rejected(Vec::new(), now_us);
        {
            let mut board = self.shared.borrow_mut();
            let _is_any_left = board.grasped(self.number, true);
            board.intake.partly_listening(Part::Listener(self.number), now_us);
            board.intake.publish();
        }
        let _over = self.outage.end();
        // The next connection follows a wish, not a loss.
        self.has_listened = false;
        self.enter(State::Subscribed);
        while self.is_idle() {
            self.note_polled(Some(self.now_us()));
            tokio::select! {
                changed = self.topics.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
                () = tokio::time::sleep(ALIVE_EVERY) => {}
            }
        }
    }
}
