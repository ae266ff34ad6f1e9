//! What a listener is made of: its numbers, the channel that it has, frames that wait, and how things end.
//!
//! Data only; what is done with it is the listener's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::platform::Channel;
use super::standby::{Bounds, HeldFrame};
use super::wire::Wire;
use crate::config::KeepAlive;
use crate::gap::Cause;
use crate::handover::Tail;
use crate::session::failure::Failure;
use crate::transport::socket::Loss;

/// The numbers of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_alive: KeepAlive,
    /// How long queue or spool may be full before the connection is closed.
    pub(crate) stall: Duration,
    /// How long both sockets are read in a hand-over.
    pub(crate) overlap: Duration,
    /// Bytes of frames that a hand-over holds.
    pub(crate) max_held_bytes: usize,
    /// How long the server may take to answer a close.
    pub(crate) close: Duration,
    /// Time after which topics that are refused are asked for again.
    pub(crate) ask_again: Duration,
}

impl Settings {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            overlap: self.overlap,
            max_bytes: self.max_held_bytes,
            keep_alive: self.keep_alive,
        }
    }
}

/// A frame that is read and not admitted.
pub(super) struct Pending {
    pub(super) frame: HeldFrame,
    /// Whether it counts as held.
    pub(super) is_held: bool,
}

/// The channel that is authoritative.
pub(super) struct Attached {
    pub(super) channel: Channel,
    pub(super) wire: Wire,
    /// What it was last asked to carry.
    pub(super) topics: Arc<[String]>,
    /// Whether that was refused or not answered, so that it has to be asked again.
    pub(super) is_refused: bool,
    /// Since when its subscription counts.
    pub(super) subscribed_at: Option<Instant>,
    /// When its successor is to be made.
    pub(super) replace_at: Instant,
    /// What may still come twice after a hand-over, and the pings that must be answered before it ends.
    pub(super) tail: Option<(Tail, usize)>,
    /// Until when the server may answer our close; set once it is sent.
    pub(super) closing_until: Option<Instant>,
}

/// Why a connection, or the attempt to make one, is over.
pub(super) enum Break {
    Failed(Failure),
    /// We closed it, because the queue or the spool stayed full.
    Full,
    /// We closed it, because it had no topics left.
    LetGo,
}

/// How a connection was lost.
pub(super) struct Lost {
    pub(super) cause: Cause,
    pub(super) loss: Loss,
    pub(super) close_code: u16,
    /// Whether its channel may be connected again.
    pub(super) is_channel_alive: bool,
}

impl Lost {
    pub(super) fn connection(loss: Loss, close_code: u16) -> Self {
        Self {
            cause: Cause::Reconnect,
            loss,
            close_code,
            is_channel_alive: true,
        }
    }
}

/// Why listening ended, if the connection was not lost.
pub(super) enum Unheard {
    /// The queue or the spool stayed full.
    Full,
    /// The subscription was refused.
    Refused(Failure),
}
