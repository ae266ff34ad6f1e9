//! One share of the topics, listened to over whatever channel carries it: connect, subscribe, read, and come back.
//!
//! Responsible for the order of things on one channel and for its gaps. Refuses to listen to a part of what it is asked
//! for without saying so: what is rejected, and each time without a subscription, is a gap. Invariant: records that
//! admission has built are published before the next wait, so that the listener may be stopped at any wait.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use rand::Rng;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::board::Shared;
use super::parts::{Attached, Break, Lost, Pending, Settings, Unheard};
use super::platform::{Answer, Channel, Platform};
use super::refusals::Refusals;
use super::standby::Standby;
use super::wire::Wire;
use crate::backoff::Backoff;
use crate::gap::{Cause, Detail, LossKind};
use crate::queue::Ending;
use crate::session::CLOSE_NORMAL;
use crate::session::failure::{Failure, FailureKind};
use crate::session::interruptions::Part;
use crate::session::outage::Outage;
use crate::session::status::State;
use crate::transport::socket::Loss;

/// Shares of a channel's life that are left when its successor is made, drawn between the two, so that the channels of a
/// source do not all end at once. They count for lives of minutes, as a test has them.
const LEAD: (f64, f64) = (0.3, 0.5);

/// Twice to thrice the time, at most, by which a channel is replaced before its end: the same shares of it count.
const MAX_LEAD: Duration = Duration::from_secs(3600);

/// A request to subscribe that is under way.
pub(super) type Request = LocalBoxFuture<'static, Result<Answer, Failure>>;

/// See the module documentation.
pub(crate) struct Listener<P, R> {
    pub(super) number: usize,
    pub(super) platform: Rc<P>,
    pub(super) shared: Shared,
    pub(super) topics: watch::Receiver<Arc<[String]>>,
    stop: watch::Receiver<bool>,
    /// Channels that may exist beside those that are listened to.
    pub(super) spare: Arc<Semaphore>,
    pub(super) settings: Settings,
    backoff: Backoff<R>,
    pub(super) standby_backoff: Backoff<R>,
    pub(super) outage: Outage,
    /// A channel that may be connected again.
    pub(super) kept: Option<Channel>,
    /// How often the present channel, or the one that is kept, has been connected again.
    pub(super) reuses: u32,
    /// Attempts in a row to connect it that neither its socket nor the API had a word for.
    pub(super) doubts: u32,
    pub(super) attached: Option<Attached>,
    pub(super) standby: Option<Standby>,
    pub(super) request: Option<Request>,
    pub(super) pending: VecDeque<Pending>,
    /// When the next hand-over may be tried, after one that failed.
    pub(super) standby_at: Option<Instant>,
    /// The hand-over has no room left: the old channel is to be closed at once.
    pub(super) is_hold_full: bool,
    pub(super) refusals: Refusals,
    /// When those are to be asked for again.
    pub(super) ask_rejected_at: Option<Instant>,
    pub(super) has_listened: bool,
}

/// How a listener ended.
pub(crate) enum End {
    /// It was told to; what is left to be closed.
    Stopped(Vec<Wire>),
    /// It cannot go on.
    Failed(Ending),
}

impl<P: Platform, R: Rng> Listener<P, R> {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a listener, each of its own type"
    )]
    pub(super) fn new(
        platform: Rc<P>,
        shared: Shared,
        topics: watch::Receiver<Arc<[String]>>,
        stop: watch::Receiver<bool>,
        spare: Arc<Semaphore>,
        settings: Settings,
        backoff: Backoff<R>,
        standby_backoff: Backoff<R>,
    ) -> Self {
        let number = shared.borrow_mut().join();
        Self {
            number,
            platform,
            shared,
            topics,
            stop,
            spare,
            settings,
            backoff,
            standby_backoff,
            outage: Outage::of_channel(number),
            kept: None,
            reuses: 0,
            doubts: 0,
            attached: None,
            standby: None,
            request: None,
            pending: VecDeque::new(),
            standby_at: None,
            is_hold_full: false,
            refusals: Refusals::default(),
            ask_rejected_at: None,
            has_listened: false,
        }
    }

    /// Runs until it is stopped or cannot go on. A sender of `stop` that is gone counts as a stop.
    pub(crate) async fn run(mut self) -> End {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|is_stopped| *is_stopped) => End::Stopped(self.finish()),
            ending = self.live() => End::Failed(ending),
        }
    }

    /// Lets nothing that has been read be lost; returns the sockets.
    fn finish(mut self) -> Vec<Wire> {
        // What is certain of the channel that is read: the gap of the stop begins there, also where a successor is about to
        // take over.
        let complete_us = self.complete_us();
        self.release_standby(Cause::Stopped, Loss::new(LossKind::Local, Some("stopped")));
        self.admit_pending_unbounded();
        let mut board = self.shared.borrow_mut();
        board.polled(self.number, None, complete_us);
        board.intake.publish();
        self.attached.into_iter().map(|attached| attached.wire).collect()
    }

    /// Connects again and again; returns only when there is no point in going on.
    async fn live(&mut self) -> Ending {
        loop {
            let is_blocked = self.shared.borrow().intake.is_blocked();
            if is_blocked {
                self.room_again().await;
            }
            if let Some(ending) = self.shared.borrow_mut().intake.take_broken() {
                return ending;
            }
            if self.is_idle() {
                self.idle().await;
            }
            let (broken, lost) = match self.attach().await {
                Ok(()) => self.listen().await,
                Err(failure) => (Break::Failed(failure), false),
            };
            if !matches!(broken, Break::LetGo) {
                self.enter(State::Disconnected);
            }
            match broken {
                Break::LetGo => {}
                Break::Full => {
                    self.outage.begin();
                    self.room_again().await;
                }
                Break::Failed(failure) => match self.failed(&failure, lost) {
                    Ok(delay) => tokio::time::sleep(delay).await,
                    Err(ending) => return ending,
                },
            }
        }
    }

    /// Connects a channel, the one that it had or a new one, and sends the subscribe request.
    async fn attach(&mut self) -> Result<(), Failure> {
        self.enter(State::Connecting);
        let channel = self.next_channel().await?;
        let socket = match self.platform.connect(&channel).await {
            Ok(socket) => socket,
            Err(failure) => {
                self.keep(channel, &failure, false);
                return Err(failure);
            }
        };
        {
            let board = self.shared.borrow();
            board.intake.status.update(|figures| {
                figures.connects_total += 1;
                figures.reconnects_total += u64::from(self.has_listened);
            });
        }
        let wire = Wire::new(socket, self.settings.keep_alive, Instant::now());
        let topics = Arc::clone(&self.topics.borrow_and_update());
        self.take_over(channel, wire, topics, None);
        self.enter(State::Subscribing);
        self.ask_for_topics();
        Ok(())
    }

    /// Makes a channel the authoritative one.
    pub(super) fn take_over(
        &mut self,
        channel: Channel,
        wire: Wire,
        topics: Arc<[String]>,
        subscribed_at: Option<Instant>,
    ) {
        let life = channel.expires_at.saturating_duration_since(Instant::now());
        let share = LEAD.0 + (LEAD.1 - LEAD.0) * self.backoff.draw();
        let lead = life.mul_f64(share).min(MAX_LEAD.mul_f64(share));
        let expires_at = channel.expires_at.checked_sub(lead).unwrap_or_else(Instant::now);
        self.attached = Some(Attached {
            replace_at: expires_at.min(channel.renew_at),
            channel,
            wire,
            topics,
            is_refused: false,
            subscribed_at,
            tail: None,
            closing_until: None,
        });
    }

    /// Asks for the topics that are wanted now, as the whole of the subscription.
    pub(super) fn ask_for_topics(&mut self) {
        let topics = Arc::clone(&self.topics.borrow_and_update());
        let Some(attached) = &mut self.attached else {
            return;
        };
        (attached.topics, attached.is_refused) = (Arc::clone(&topics), false);
        // Set again by the answer; a request that fails has a time of its own.
        self.ask_rejected_at = None;
        let (platform, id) = (Rc::clone(&self.platform), attached.channel.id.clone());
        self.shared
            .borrow()
            .intake
            .status
            .update(|figures| figures.subscriptions_total += 1);
        self.request = Some(async move { platform.subscribe(&id, &topics).await }.boxed_local());
    }

    /// Listens until the connection is over, then records the gap and closes it; says whether a subscription was lost.
    async fn listen(&mut self) -> (Break, bool) {
        let (lost, broken) = match self.turns().await {
            Ok(lost) => {
                let failure = Failure::from(&lost.loss);
                (lost, Break::Failed(failure))
            }
            Err(Unheard::Refused(failure)) => {
                let lost = Lost {
                    is_channel_alive: failure.kind != FailureKind::ChannelGone,
                    ..Lost::connection(Loss::new(LossKind::Refused, Some(&failure.text)), CLOSE_NORMAL)
                };
                (lost, Break::Failed(failure))
            }
            Err(Unheard::Full) => {
                let (cause, reason) = self.shared.borrow().intake.full();
                let loss = Loss::new(LossKind::Local, Some(reason));
                let lost = Lost {
                    cause,
                    ..Lost::connection(loss, CLOSE_NORMAL)
                };
                (lost, Break::Full)
            }
        };
        let has_let_go = self.has_let_go();
        // What a standby holds has been read, so it is not lost.
        self.release_standby(lost.cause, lost.loss.clone());
        (self.standby, self.request) = (None, None);
        let Some(attached) = self.attached.take() else {
            return (broken, false);
        };
        if lost.cause == Cause::TokenRevoked {
            self.platform.discard_token();
        }
        let was_subscribed = attached.subscribed_at.is_some();
        if let Some(since) = attached.subscribed_at {
            self.backoff.connection_lasted(since.elapsed());
            // Also of a close frame: everything that was sent before it is here, but not known is when it was sent.
            let from_us = attached.wire.complete_us();
            self.absent(&attached.topics, lost.cause, lost.loss.detail, from_us);
        }
        self.shared.borrow_mut().intake.publish();
        if has_let_go {
            self.kept = Some(attached.channel).filter(|_| lost.is_channel_alive);
            return (Break::LetGo, false);
        }
        if lost.is_channel_alive {
            match &broken {
                Break::Failed(failure) => self.keep(attached.channel, failure, was_subscribed),
                Break::Full | Break::LetGo => self.kept = Some(attached.channel),
            }
        }
        self.enter(State::Disconnected);
        attached.wire.close(lost.close_code).await;
        (broken, was_subscribed)
    }

    /// Notes that nobody listens to these topics since `from_us`; nothing where there are none, since a gap that names no
    /// topic is one of all.
    pub(super) fn absent(&mut self, topics: &Arc<[String]>, cause: Cause, detail: Detail, from_us: i64) {
        if topics.is_empty() {
            return;
        }
        let part = Part::Listener(self.number);
        self.shared
            .borrow_mut()
            .intake
            .partly_absent(part, Arc::clone(topics), cause, detail, from_us);
    }

    /// Takes note of a failure, `lost` if it ended a subscription; returns the wait before the next attempt, or the end.
    fn failed(&mut self, failure: &Failure, lost: bool) -> Result<Duration, Ending> {
        let has_listened = {
            let board = self.shared.borrow();
            board.intake.status.update(|figures| {
                figures.failed_attempts_total += 1;
                figures.last_error = Some(failure.text.clone());
            });
            board.has_listened()
        };
        let repeated = self.outage.failed(failure.kind, lost);
        if failure.kind == FailureKind::Token {
            self.platform.discard_token();
        }
        if let Some(ending) = failure.ending().filter(|_| !has_listened) {
            return Err(ending);
        }
        let delay = self.backoff.next_delay(failure.pace(repeated));
        let delay = delay.ok_or_else(|| failure.gave_up(self.backoff.attempts()))?;
        self.outage.tell(failure, lost, delay);
        Ok(delay)
    }

    pub(super) fn enter(&self, state: State) {
        self.shared.borrow_mut().enter(self.number, state);
    }

    pub(super) fn now_us(&self) -> i64 {
        self.shared.borrow().intake.clock.now_us()
    }

    /// Notes how far the authoritative channel has been read, `polled_us` if that is to its end.
    pub(super) fn note_polled(&self, polled_us: Option<i64>) {
        let complete_us = self.complete_us();
        // Once it is closed for its successor, what comes is held, and not in the log before the switch.
        let is_closing = self
            .attached
            .as_ref()
            .is_some_and(|attached| attached.closing_until.is_some());
        let polled_us = polled_us.filter(|_| !is_closing);
        self.shared
            .borrow_mut()
            .polled(self.number, polled_us, complete_us);
    }

    pub(super) fn complete_us(&self) -> i64 {
        self.attached
            .as_ref()
            .map_or_else(|| self.now_us(), |attached| attached.wire.complete_us())
    }
}
