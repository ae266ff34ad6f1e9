//! A session: connect, subscribe, listen, and come back, until it is told to stop or cannot go on.
//!
//! Responsible for the order of things: token, subscription spacing, connection, acknowledgement, gaps, delays. It
//! refuses to decide what a frame means (admission does) and to keep records (the queue does). Invariant: records that
//! admission has built are published before the next wait, so that the session may be stopped at any wait.

mod failure;
mod intake;
mod interruptions;
mod listen;
pub(crate) mod notifications;
mod outage;
pub mod status;
#[cfg(test)]
mod tests;
mod vigil;

use std::time::Duration;

use rand::Rng;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admission::Room;
use crate::backoff::Backoff;
use crate::config::KeepAlive;
use crate::gap::LossKind;
use crate::queue::Ending;
use crate::subscription::Subscription;
use crate::transport::socket::{Received, Socket};
pub(crate) use failure::{Failure, FailureKind};
pub(crate) use intake::Intake;
use outage::Outage;
use status::State;

/// RFC 6455 close code: the purpose of the connection is fulfilled.
const CLOSE_NORMAL: u16 = 1000;

/// RFC 6455 close code: a message is too big to process.
const CLOSE_TOO_BIG: u16 = 1009;

/// Share of the queue's bounds below which reading goes on after it was full.
const RESUME_BELOW: f64 = 0.9;

/// What the host wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// Listen.
    #[default]
    Run,
    /// Stop reading, record the gap, end in good order.
    Drain,
    /// End at once.
    Close,
}

/// Gets tokens and connections; one implementation per transport, one for tests.
pub(crate) trait Link {
    /// Returns an access token.
    async fn token(&mut self) -> Result<SecretString, Failure>;

    /// Forgets the token, since the server does not take it.
    fn discard_token(&mut self);

    /// Opens a connection.
    async fn connect(&mut self) -> Result<Socket, Failure>;
}

/// The numbers of a session.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) subscription: Subscription,
    pub(crate) subscription_interval: Duration,
    pub(crate) subscribe_grace: Duration,
    /// Deadline for sending the subscription.
    pub(crate) send: Duration,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) stall: Duration,
}

/// Why a connection, or the attempt to make one, is over.
#[derive(Debug)]
enum Break {
    /// It failed.
    Failed(Failure),
    /// We closed it, because the queue or the spool stayed full.
    Full,
}

/// See the module documentation.
pub(crate) struct Session<L, R> {
    link: L,
    intake: Intake,
    backoff: Backoff<R>,
    settings: Settings,
    session_token: SecretString,
    socket: Option<Socket>,
    /// Read, but not admitted for want of room.
    /// The frame that did not fit, and when it was received.
    held: Option<(Received, i64)>,
    /// When the last subscription was sent or, once there is a sign of it, had arrived.
    subscription_sent_at: Option<Instant>,
    /// Since when the current connection has been subscribed.
    subscribed_at: Option<Instant>,
    has_subscribed: bool,
    outage: Outage,
}

impl<L: Link, R: Rng> Session<L, R> {
    pub(crate) fn new(link: L, intake: Intake, backoff: Backoff<R>, settings: Settings) -> Self {
        Self {
            link,
            intake,
            backoff,
            settings,
            session_token: uuid::Uuid::new_v4().to_string().into(),
            socket: None,
            held: None,
            subscription_sent_at: None,
            subscribed_at: None,
            has_subscribed: false,
            outage: Outage::default(),
        }
    }

    /// Runs until a command stops it or it cannot go on. A sender that is gone counts as [`Command::Close`].
    pub(crate) async fn run(mut self, mut commands: watch::Receiver<Command>) {
        self.intake.recover();
        let command = tokio::select! {
            biased;
            command = stop(&mut commands) => command,
            ending = self.live() => {
                tracing::error!(error = ending.message, "source gives up");
                self.intake.status.enter(State::Failed);
                self.intake.publish();
                self.intake.queue.end(ending);
                return;
            }
        };
        if command == Command::Drain {
            tokio::select! {
                biased;
                () = closed(&mut commands) => {}
                () = self.drain() => {}
            }
        }
        tracing::info!("source ended");
        self.intake.status.enter(State::Ended);
    }

    /// Stops reading, records the gap, ends the queue, and only then says goodbye to the server.
    async fn drain(&mut self) {
        tracing::info!("draining: no longer reading");
        self.intake.status.enter(State::Draining);
        let now_us = self.intake.clock.now_us();
        // Closed by hand, not by a guard: what was held is one record above the bounds at most, and it is not lost.
        self.admit_held(Room::UNBOUNDED);
        if self.has_subscribed {
            // A gap that is already open ends where the stop begins: from here on the cause is another.
            self.intake.listening(now_us);
            let listening = self.socket.as_ref().filter(|_| self.subscribed_at.is_some());
            let from_us = listening.map_or(now_us, Socket::complete_us);
            self.intake.stopped(from_us, now_us);
        }
        self.intake.publish();
        // The host commits meanwhile, which makes room; at its deadline it gets the end without this.
        while self.intake.is_blocked() && self.intake.broken_spool.is_none() {
            self.intake.room_made(RESUME_BELOW).await;
            self.intake.publish();
        }
        self.intake.queue.end(Ending::drained());
        if let Some(socket) = self.socket.take() {
            socket.close(CLOSE_NORMAL, "").await;
        }
    }

    /// Connects again and again; returns only when there is no point in going on.
    async fn live(&mut self) -> Ending {
        loop {
            if self.intake.is_blocked() {
                self.room_again().await;
            }
            if let Some(ending) = self.intake.take_broken() {
                return ending;
            }
            let broken = self.connection().await;
            self.socket = None;
            let lost = self.subscribed_at.take().is_some();
            match broken {
                Break::Full => {
                    self.outage.begin();
                    self.intake.status.enter(State::Disconnected);
                    self.room_again().await;
                }
                Break::Failed(failure) => match self.failed(&failure, lost) {
                    Ok(delay) => tokio::time::sleep(delay).await,
                    Err(ending) => return ending,
                },
            }
        }
    }

    /// Makes one connection and listens on it until it breaks.
    async fn connection(&mut self) -> Break {
        match self.subscribe().await {
            Ok(()) => self.listen().await,
            Err(failure) => Break::Failed(failure),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Failure> {
        self.intake.status.enter(State::Connecting);
        // First the wait, then the token, so that a long wait does not use up its life.
        if let Some(sent_at) = self.subscription_sent_at {
            tokio::time::sleep_until(sent_at + self.settings.subscription_interval).await;
        }
        let token = self.link.token().await?;
        // Built and checked before there is a connection: nothing is opened for a payload that may not be sent.
        let payload = self.settings.subscription.payload(&token, &self.session_token)?;
        let socket = self.socket.insert(self.link.connect().await?);
        let now_us = self.intake.clock.now_us();
        self.intake.status.enter(State::Subscribing);
        self.intake.status.update(|figures| {
            figures.connects_total += 1;
            figures.reconnects_total += u64::from(self.has_subscribed);
            figures.subscriptions_total += 1;
            figures.connected_since_us = Some(now_us);
        });
        self.subscription_sent_at = Some(Instant::now());
        match tokio::time::timeout(self.settings.send, socket.send(&payload)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(loss)) => Err(Failure::from(&loss)),
            Err(_) => {
                let loss = crate::transport::socket::Loss::new(LossKind::Silence, None);
                Err(Failure {
                    text: "server did not take the subscription".to_owned(),
                    ..Failure::from(&loss)
                })
            }
        }
    }

    /// Notes that the subscription counts; the first sign of it does. A frame that was held over the loss of its
    /// connection is no sign.
    fn subscribed(&mut self, now_us: i64) {
        if self.subscribed_at.is_some() || self.socket.is_none() {
            return;
        }
        let now = Instant::now();
        // By now the server has the request. The way there may have taken longer than that of the next one will, and the
        // server measures between the two ends.
        self.subscription_sent_at = Some(now);
        self.subscribed_at = Some(now);
        self.intake.status.enter(State::Subscribed);
        self.intake.listening(now_us);
        self.intake.mark_alive(now_us);
        let over = self.outage.end();
        if self.has_subscribed {
            if let Some(socket) = &mut self.socket {
                socket.covered_until(now_us);
            }
            tracing::info!(
                failed_attempts = over.failed_attempts,
                away_ms = over.away_ms,
                "subscribed again"
            );
        } else {
            tracing::info!(
                events = self.settings.subscription.events.join(","),
                failed_attempts = over.failed_attempts,
                "subscribed"
            );
        }
        self.has_subscribed = true;
    }

    /// Takes note of a failure, `lost` if it ended a subscription; returns the wait before the next attempt, or the end.
    fn failed(&mut self, failure: &Failure, lost: bool) -> Result<Duration, Ending> {
        self.intake.status.enter(State::Disconnected);
        self.intake.status.update(|figures| {
            figures.failed_attempts_total += 1;
            figures.last_error = Some(failure.text.clone());
        });
        let repeated = self.outage.failed(failure.kind, lost);
        if failure.kind == FailureKind::Token {
            self.link.discard_token();
        }
        if let Some(ending) = failure.ending().filter(|_| !self.has_subscribed) {
            return Err(ending);
        }
        let delay = self.backoff.next_delay(failure.pace(repeated));
        let delay = delay.ok_or_else(|| failure.gave_up(self.backoff.attempts()))?;
        self.outage.tell(failure, lost, delay);
        Ok(delay)
    }
}

/// Waits for a command other than [`Command::Run`].
async fn stop(commands: &mut watch::Receiver<Command>) -> Command {
    match commands.wait_for(|command| *command != Command::Run).await {
        Ok(command) => *command,
        Err(_) => Command::Close,
    }
}

/// Waits for [`Command::Close`].
async fn closed(commands: &mut watch::Receiver<Command>) {
    // An error means that the sender is gone, which closes as well.
    let _command = commands.wait_for(|command| *command == Command::Close).await;
}
