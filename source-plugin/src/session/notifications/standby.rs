//! The second channel of a hand-over: opened, subscribed and held back until the first one has been read to its end.
//!
//! Responsible for the order of its steps. Refuses to admit anything: what it delivers is held, and the listener decides
//! when to switch. Invariant: a standby takes one of the spare channels from before it is made until after the switch.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::platform::{Answer, Channel, Platform};
use super::wire::Wire;
use crate::config::KeepAlive;
use crate::decode::ControlFrame;
use crate::handover::{Handover, Key, Next, Side};
use crate::session::failure::Failure;
use crate::transport::socket::{Loss, Received, Socket};

/// A frame that is held, and when it was received.
pub(super) type HeldFrame = (Received, i64);

/// What a hand-over needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Time for which both sockets are read, after the standby has shown that it is subscribed.
    pub(super) overlap: Duration,
    /// Bytes of held frames.
    pub(super) max_bytes: usize,
    pub(super) keep_alive: KeepAlive,
}

/// A second channel; see the module documentation.
pub(super) enum Standby {
    /// It is being made and connected.
    Opening(LocalBoxFuture<'static, Result<Box<Opened>, Failure>>),
    /// It is connected.
    Holding(Box<Holding>),
    /// It is lost; what it holds is kept until the old channel has answered so many pings.
    Dead(Box<Holding>, usize),
}

/// A channel that is connected and not subscribed.
pub(super) struct Opened {
    channel: Channel,
    socket: Socket,
    permit: OwnedSemaphorePermit,
}

/// What happened on a standby.
pub(super) enum Turn {
    Opened(Result<Box<Opened>, Failure>),
    Subscribed(Result<Answer, Failure>),
    Frame(Result<Received, Loss>),
    /// A timer is due.
    Wake,
}

/// A channel that is connected, and what it has delivered.
pub(super) struct Holding {
    pub(super) channel: Channel,
    pub(super) wire: Wire,
    pub(super) topics: Arc<[String]>,
    pub(super) handover: Handover<HeldFrame>,
    /// The subscribe request, until it is answered.
    pub(super) subscribing: Option<LocalBoxFuture<'static, Result<Answer, Failure>>>,
    /// What it was answered, and when, in microseconds since 1970 UTC.
    pub(super) answer: Option<(Answer, i64)>,
    /// When the overlap is over; set once it begins.
    overlap_until: Option<Instant>,
    /// Until when the answers to pings are waited for; a service that answers two of them with one is not waited for
    /// for ever.
    pub(super) patient_until: Option<Instant>,
    overlap: Duration,
    /// It is lost, and the old channel is being read to its end: its loss is met again after the switch.
    pub(super) is_broken: bool,
    /// What the service has said of its end.
    pub(super) said: Option<ControlFrame>,
    /// What did not fit any more; nothing is read behind it.
    pub(super) overflow: Option<(Key, HeldFrame)>,
    _permit: OwnedSemaphorePermit,
}

impl Standby {
    /// Begins with a spare channel, as soon as there is one.
    pub(super) fn open<P: Platform>(platform: &Rc<P>, spare: &Arc<Semaphore>) -> Self {
        let (platform, spare) = (Rc::clone(platform), Arc::clone(spare));
        Self::Opening(
            async move {
                let permit = spare.acquire_owned().await.map_err(|_| Failure::closed())?;
                let channel = platform.create_channel().await?;
                let socket = platform.connect(&channel).await?;
                Ok(Box::new(Opened {
                    channel,
                    socket,
                    permit,
                }))
            }
            .boxed_local(),
        )
    }

    /// Waits for what happens next.
    ///
    /// # Cancel safety
    /// Safe: requests go on with the next call, and a frame that has been taken is returned at once.
    pub(super) async fn turn(&mut self) -> Turn {
        match self {
            Self::Opening(opening) => Turn::Opened(opening.await),
            Self::Holding(holding) if !holding.is_broken => holding.turn().await,
            Self::Holding(_) | Self::Dead(..) => std::future::pending().await,
        }
    }

    /// Returns the channel that is connected and alive.
    pub(super) fn holding(&mut self) -> Option<&mut Holding> {
        match self {
            Self::Opening(_) | Self::Dead(..) => None,
            Self::Holding(holding) => Some(holding),
        }
    }
}

impl Holding {
    /// Sends the subscribe request; `asked` of the old socket's pings have no answer yet.
    pub(super) fn begin<P: Platform>(
        opened: Opened,
        platform: &Rc<P>,
        topics: Arc<[String]>,
        asked: usize,
        bounds: Bounds,
    ) -> Self {
        let mut handover = Handover::begin(bounds.max_bytes);
        for _ in 0..asked {
            handover.pinged(Side::Old);
        }
        let subscribing = {
            let platform = Rc::clone(platform);
            let (id, topics) = (opened.channel.id.clone(), Arc::clone(&topics));
            async move { platform.subscribe(&id, &topics).await }.boxed_local()
        };
        Self {
            wire: Wire::new(opened.socket, bounds.keep_alive, Instant::now()),
            channel: opened.channel,
            topics,
            handover,
            subscribing: Some(subscribing),
            answer: None,
            overlap_until: None,
            patient_until: None,
            overlap: bounds.overlap,
            is_broken: false,
            said: None,
            overflow: None,
            _permit: opened.permit,
        }
    }

    async fn turn(&mut self) -> Turn {
        let wake_at = [self.overlap_until, self.patient_until]
            .into_iter()
            .flatten()
            .fold(self.wire.wake_at(), Instant::min);
        tokio::select! {
            answer = answered(&mut self.subscribing) => {
                self.subscribing = None;
                Turn::Subscribed(answer)
            }
            frame = self.wire.next(), if self.overflow.is_none() => Turn::Frame(frame),
            () = tokio::time::sleep_until(wake_at) => Turn::Wake,
        }
    }

    /// Does what a hand-over asks for; `old` is the other socket.
    ///
    /// # Errors
    /// The side whose connection broke as it was asked, and its [`Loss`].
    pub(super) fn follow(
        &mut self,
        next: Option<Next>,
        old: &mut Wire,
        now_us: i64,
    ) -> Result<(), (Side, Loss)> {
        match next {
            None => Ok(()),
            Some(Next::Ping(Side::Old)) => {
                self.handover.pinged(Side::Old);
                old.ask(now_us).map_err(|loss| (Side::Old, loss))
            }
            Some(Next::Ping(Side::Standby)) => {
                self.handover.pinged(Side::Standby);
                self.wire.ask(now_us).map_err(|loss| (Side::Standby, loss))
            }
            Some(Next::Overlap) => {
                self.overlap_until
                    .get_or_insert_with(|| Instant::now() + self.overlap);
                Ok(())
            }
        }
    }

    /// Says whether the overlap has passed.
    pub(super) fn is_over(&self) -> bool {
        let now = Instant::now();
        let mut ends = [self.overlap_until, self.patient_until].into_iter().flatten();
        ends.any(|until| now >= until)
    }

    /// Lets no second end of the overlap be told.
    pub(super) fn closing(&mut self) {
        self.handover.closing();
        (self.overlap_until, self.patient_until) = (None, None);
    }
}

/// Waits for the answer to a request; for ever where there is none.
pub(super) async fn answered<T>(request: &mut Option<LocalBoxFuture<'static, T>>) -> T {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}
