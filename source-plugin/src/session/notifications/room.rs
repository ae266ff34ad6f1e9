//! A listener without room: it reads no further, then gives its connection up, and nothing that was read is lost.
//!
//! Refuses to read while a frame is pending. Invariant: pending frames are offered again in the order in which they came.

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::parts::Unheard;
use super::platform::Platform;
use super::reading::Offered;
use crate::admission::Room;
use crate::session::RESUME_BELOW;
use crate::session::status::State;

impl<P: Platform, R: Rng> Listener<P, R> {
    pub(super) fn is_blocked(&self) -> bool {
        !self.pending.is_empty() || self.shared.borrow().intake.is_blocked()
    }

    /// Says whether reading may go on.
    fn is_relieved(&self, share: f64) -> bool {
        self.pending.is_empty() && self.shared.borrow().intake.has_room(share)
    }

    /// Waits, without reading, until there is room and nothing is pending; fails if that takes longer than `stall_ms`.
    pub(super) async fn stall(&mut self) -> Result<(), Unheard> {
        let words = self.shared.borrow().intake.words();
        tracing::warn!(channel = self.number, "{}", words.stalled);
        self.enter(State::Stalled);
        let deadline = Instant::now() + self.settings.stall;
        let mut share = RESUME_BELOW;
        while !self.is_relieved(RESUME_BELOW) {
            let (room_made, is_broken) = {
                let intake = &self.shared.borrow().intake;
                (intake.room_made(share), intake.broken_spool.is_some())
            };
            if is_broken || tokio::time::timeout_at(deadline, room_made).await.is_err() {
                return Err(Unheard::Full);
            }
            self.relieve();
            // A record larger than what is left below the first share fits an empty queue.
            share = 0.0;
        }
        tracing::info!(channel = self.number, "{}", words.resumed);
        if let Some(attached) = &mut self.attached {
            attached.wire.resumed();
        }
        if let Some(holding) = self.standby.as_mut().and_then(|standby| standby.holding()) {
            holding.wire.resumed();
        }
        let is_subscribed = self
            .attached
            .as_ref()
            .is_some_and(|attached| attached.subscribed_at.is_some());
        self.enter(if is_subscribed {
            State::Subscribed
        } else {
            State::Subscribing
        });
        Ok(())
    }

    /// Waits without a connection until there is room again and nothing is pending.
    pub(super) async fn room_again(&mut self) {
        tracing::warn!(
            channel = self.number,
            "{}",
            self.shared.borrow().intake.words().closed
        );
        let mut share = RESUME_BELOW;
        loop {
            let room_made = self.shared.borrow().intake.room_made(share);
            room_made.await;
            self.relieve();
            let is_broken = self.shared.borrow().intake.broken_spool.is_some();
            if self.is_relieved(RESUME_BELOW) || is_broken {
                return;
            }
            share = 0.0;
            // A queue that says it is empty and still takes nothing must not keep commands from being seen.
            tokio::task::yield_now().await;
        }
    }

    /// Offers again what is pending and what is not written.
    fn relieve(&mut self) {
        let vacancy = self.begin_batch();
        self.admit_pending(vacancy);
        self.shared.borrow_mut().intake.publish();
    }

    fn admit_pending(&mut self, vacancy: Room) {
        while let Some(pending) = self.pending.pop_front() {
            if let Offered::Kept(pending) = self.offer(pending, vacancy) {
                self.pending.push_front(pending);
                return;
            }
        }
    }

    /// Admits what is pending, whatever room there is: at a stop it is not lost.
    pub(super) fn admit_pending_unbounded(&mut self) {
        let _vacancy = self.begin_batch();
        self.admit_pending(Room::UNBOUNDED);
    }
}
