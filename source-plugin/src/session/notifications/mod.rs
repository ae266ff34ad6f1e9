//! The session of the `notifications` transport: as many listeners as the topics need, each on a channel of its own.
//!
//! Responsible for the plan, for the number of listeners, and for the beginning and the end of all of them. Refuses to
//! know what happens on a channel. Invariant: the source is subscribed while every listener is; a listener that cannot go
//! on ends them all.

mod answered;
mod backfill;
mod board;
mod exchange;
pub(crate) mod genesys;
mod idle;
mod listener;
mod parts;
mod planned;
pub(crate) mod platform;
mod quota;
mod reading;
mod refusals;
mod reuse;
mod room;
mod standby;
mod succession;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::Instant;

use self::backfill::Backfill;
use self::board::{Board, Shared};
use self::listener::{End, Listener};
use self::platform::{Platform, Wanted};
use self::standby::answered;
use self::wire::Wire;
use super::failure::Failure;
use super::intake::Intake;
use super::interruptions::History;
use super::outage::Outage;
use super::status::State;
use super::{CLOSE_NORMAL, Command, RESUME_BELOW, closed, stop};
use crate::backoff::{Backoff, Policy};
use crate::queue::Ending;
pub(crate) use parts::Settings as ListenerSettings;

/// Channels of one OAuth client.
///
/// # Source
/// Notifications REST interface, `POST /api/v2/notifications/channels`: the 21st ends the one used longest ago.
pub(crate) const MAX_CHANNELS: usize = 20;

/// The numbers of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) listener: ListenerSettings,
    pub(crate) reconnect: Policy,
    /// Time between two looks at who is a member of what.
    pub(crate) refresh: Duration,
    /// Whether the history is asked for what gaps have cost, and the longest conversation of it, in bytes.
    pub(crate) backfill: Option<usize>,
}

/// See the module documentation.
pub(crate) struct Fleet<P, R> {
    platform: Rc<P>,
    shared: Shared,
    settings: Settings,
    rng: R,
    /// What each listener is to listen to.
    shares: Vec<watch::Sender<Arc<[String]>>>,
    /// Topics for which there is no room.
    left_out: Arc<[String]>,
    spare: Arc<Semaphore>,
    /// Rung when a gap waits for the history.
    bell: Arc<Notify>,
    /// The one who asks it, once there is a plan.
    backfill: JoinSet<()>,
}

impl<P: Platform, R: Rng + SeedableRng + 'static> Fleet<P, R> {
    pub(crate) fn new(platform: P, intake: Intake, settings: Settings, rng: R) -> Self {
        let bell = Arc::new(Notify::new());
        let history = match settings.backfill {
            Some(_) => History::Asked(Arc::clone(&bell)),
            None => History::Off,
        };
        Self {
            platform: Rc::new(platform),
            shared: Rc::new(RefCell::new(Board::new(intake.with_history(history)))),
            settings,
            rng,
            shares: Vec::new(),
            left_out: Arc::default(),
            spare: Arc::new(Semaphore::new(MAX_CHANNELS)),
            bell,
            backfill: JoinSet::new(),
        }
    }

    /// Runs until a command stops it or it cannot go on. A sender that is gone counts as [`Command::Close`].
    pub(crate) async fn run(self, commands: watch::Receiver<Command>) {
        LocalSet::new().run_until(self.run_here(commands)).await;
    }

    async fn run_here(mut self, mut commands: watch::Receiver<Command>) {
        self.shared.borrow_mut().intake.recover();
        let (halt, _) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let command = tokio::select! {
            biased;
            command = stop(&mut commands) => command,
            ending = self.live(&mut listeners, &halt) => {
                tracing::error!(error = ending.message, "source gives up");
                let intake = &mut self.shared.borrow_mut().intake;
                intake.status.enter(State::Failed);
                intake.end_waiting();
                intake.publish();
                intake.queue.end(ending);
                return;
            }
        };
        if command == Command::Drain {
            tokio::select! {
                biased;
                () = closed(&mut commands) => {}
                () = self.drain(&mut listeners, &halt) => {}
            }
        }
        tracing::info!("source ended");
        self.shared.borrow().intake.status.enter(State::Ended);
    }

    /// Plans, listens and plans again; returns only when there is no point in going on.
    async fn live(&mut self, listeners: &mut JoinSet<End>, halt: &watch::Sender<bool>) -> Ending {
        let wanted = match self.first_plan().await {
            Ok(wanted) => wanted,
            Err(ending) => return ending,
        };
        self.follow(wanted, listeners, halt);
        self.start_backfill();
        let mut planning: Option<LocalBoxFuture<'static, Result<Wanted, Failure>>> = None;
        let mut refresh_at = Instant::now() + self.settings.refresh;
        loop {
            tokio::select! {
                Some(ended) = listeners.join_next() => {
                    if let Some(ending) = failed(ended) {
                        return ending;
                    }
                }
                Some(ended) = self.backfill.join_next() => {
                    if let Err(error) = ended
                        && let Ok(panic) = error.try_into_panic()
                    {
                        std::panic::resume_unwind(panic);
                    }
                }
                wanted = self.platform.changed() => self.follow(wanted, listeners, halt),
                () = tokio::time::sleep_until(refresh_at), if planning.is_none() => {
                    // Beside the rest: in a large organisation it takes minutes.
                    let platform = Rc::clone(&self.platform);
                    planning = Some(async move { platform.plan().await }.boxed_local());
                }
                planned = answered(&mut planning) => {
                    (planning, refresh_at) = (None, Instant::now() + self.settings.refresh);
                    match planned {
                        Ok(wanted) => self.follow(wanted, listeners, halt),
                        Err(failure) => tracing::warn!(error = failure.text, "not planned again"),
                    }
                }
            }
        }
    }

    /// Plans until it succeeds or there is no point in going on.
    async fn first_plan(&mut self) -> Result<Wanted, Ending> {
        let mut backoff = self.backoff(self.settings.reconnect);
        let mut outage = Outage::default();
        loop {
            let failure = match self.platform.plan().await {
                Ok(wanted) => {
                    let _over = outage.end();
                    return Ok(wanted);
                }
                Err(failure) => failure,
            };
            self.shared.borrow().intake.status.update(|figures| {
                figures.failed_attempts_total += 1;
                figures.last_error = Some(failure.text.clone());
            });
            let repeated = outage.failed(failure.kind, false);
            if let Some(ending) = failure.ending() {
                return Err(ending);
            }
            let delay = backoff.next_delay(failure.pace(repeated));
            let delay = delay.ok_or_else(|| failure.gave_up(backoff.attempts()))?;
            outage.tell(&failure, false, delay);
            tokio::time::sleep(delay).await;
        }
    }

    /// Tells each listener what it is to listen to, and starts those that are missing.
    fn follow(&mut self, wanted: Wanted, listeners: &mut JoinSet<End>, halt: &watch::Sender<bool>) {
        let Wanted { shares, left_out } = wanted;
        let topics = shares.iter().flat_map(|share| share.iter().cloned()).collect();
        self.shared.borrow_mut().intake.interruptions.set_topics(topics);
        if left_out != self.left_out {
            self.shared.borrow_mut().left_out(&left_out);
            self.left_out = left_out;
        }
        for (number, share) in shares.into_iter().enumerate() {
            match self.shares.get(number) {
                Some(sender) => {
                    sender.send_if_modified(|present| {
                        let is_other = *present != share;
                        *present = share;
                        is_other
                    });
                }
                None => self.start(share, listeners, halt),
            }
        }
    }

    fn start(&mut self, share: Arc<[String]>, listeners: &mut JoinSet<End>, halt: &watch::Sender<bool>) {
        let (sender, topics) = watch::channel(share);
        self.shares.push(sender);
        // One fewer for hand-overs; there is always one, though, or a channel could not be replaced at all.
        if self.spare.available_permits() > 1 {
            self.spare.forget_permits(1);
        }
        let standby = Policy {
            max_attempts: None,
            ..self.settings.reconnect
        };
        let (backoff, standby_backoff) = (self.backoff(self.settings.reconnect), self.backoff(standby));
        let listener = Listener::new(
            Rc::clone(&self.platform),
            Rc::clone(&self.shared),
            topics,
            halt.subscribe(),
            Arc::clone(&self.spare),
            self.settings.listener,
            backoff,
            standby_backoff,
        );
        listeners.spawn_local(listener.run());
    }

    fn start_backfill(&mut self) {
        let Some(max_frame_bytes) = self.settings.backfill else {
            return;
        };
        let mut rng = R::from_rng(&mut self.rng);
        let backfill = Backfill {
            platform: Rc::clone(&self.platform),
            shared: Rc::clone(&self.shared),
            bell: Arc::clone(&self.bell),
            max_frame_bytes,
            dice: Box::new(move || R::from_rng(&mut rng)),
            is_told: false,
        };
        self.backfill.spawn_local(backfill.run());
    }

    fn backoff(&mut self, policy: Policy) -> Backoff<R> {
        Backoff::new(policy, R::from_rng(&mut self.rng))
    }

    /// Stops reading, records the gap, ends the queue, and only then says goodbye to the server.
    async fn drain(&mut self, listeners: &mut JoinSet<End>, halt: &watch::Sender<bool>) {
        tracing::info!("draining: no longer reading");
        self.shared.borrow().intake.status.enter(State::Draining);
        halt.send_replace(true);
        self.backfill.abort_all();
        let mut wires: Vec<Wire> = Vec::new();
        while let Some(ended) = listeners.join_next().await {
            if let Ok(End::Stopped(left)) = ended {
                wires.extend(left);
            }
        }
        {
            let board = &mut *self.shared.borrow_mut();
            let now_us = board.intake.clock.now_us();
            if board.has_listened() {
                let from_us = board.complete_us().unwrap_or(now_us);
                board
                    .intake
                    .interruptions
                    .end_parts(&mut board.intake.admission, now_us);
                board.intake.listening(now_us);
                board.intake.stopped(from_us, now_us);
            }
            board.intake.end_waiting();
            board.intake.publish();
        }
        // The host commits meanwhile, which makes room; at its deadline it gets the end without this.
        loop {
            let room_made = {
                let intake = &self.shared.borrow().intake;
                if !intake.is_blocked() || intake.broken_spool.is_some() {
                    break;
                }
                intake.room_made(RESUME_BELOW)
            };
            room_made.await;
            self.shared.borrow_mut().intake.publish();
        }
        self.shared.borrow().intake.queue.end(Ending::drained());
        join_all(wires.into_iter().map(|wire| wire.close(CLOSE_NORMAL))).await;
    }
}

/// Returns why the source ends with this listener, if it does.
fn failed(ended: Result<End, JoinError>) -> Option<Ending> {
    match ended {
        Ok(End::Failed(ending)) => Some(ending),
        Ok(End::Stopped(_)) => None,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Some(Failure::closed().gave_up(0)),
        },
    }
}
