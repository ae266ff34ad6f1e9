//! One channel, its socket, and what waits for that.
//!
//! Data, ids and lives only. The invariant: an id is never given out twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fault::Action;
use crate::notifications::registry::Frame;
use crate::notifications::settings::NotificationOptions;

/// What waits for a socket, in order.
#[derive(Debug)]
pub(in crate::notifications) enum Waiting {
    Frame(Frame),
    Order(Action),
}

/// An open socket.
#[derive(Debug)]
pub(in crate::notifications) struct Slot {
    pub(in crate::notifications) channel: Arc<str>,
    pub(in crate::notifications) number: u64,
    pub(in crate::notifications) waiting: VecDeque<Waiting>,
    /// A batch of it is being written.
    pub(in crate::notifications) writing: bool,
    pub(in crate::notifications) next_heartbeat: Instant,
    /// When the close after `socket_closing` is due.
    pub(in crate::notifications) closes: Option<Instant>,
    /// No heartbeats and pongs until then; `None` inside: for good.
    pub(in crate::notifications) frozen: Option<Option<Instant>>,
    /// The next two notifications change places.
    pub(in crate::notifications) swaps: bool,
    /// The last notifications sent, the newest last.
    pub(in crate::notifications) sent: VecDeque<Frame>,
}

#[derive(Debug)]
pub(in crate::notifications) struct Channel {
    pub(in crate::notifications) number: u64,
    pub(in crate::notifications) id: Arc<str>,
    /// The login whose token created it.
    pub(in crate::notifications) login: u64,
    pub(in crate::notifications) expires: Instant,
    pub(in crate::notifications) expires_us: u64,
    pub(super) last_used: Instant,
    /// Topics as asked for, and the names that each stands for.
    pub(in crate::notifications) topics: BTreeMap<String, Vec<Arc<str>>>,
    pub(in crate::notifications) socket: Option<u64>,
    pub(in crate::notifications) sent: u64,
}

/// When a channel that is used now ends, on both clocks.
pub(super) fn end_of_life(options: &NotificationOptions, now: Instant) -> (Instant, u64) {
    let life = Duration::from_millis(options.channel_life_ms);
    let at_us = crate::clock::wall_us().saturating_add(options.channel_life_ms.saturating_mul(1000));
    // the checked range keeps the addition far from the end of the clock
    (now.checked_add(life).unwrap_or(now), at_us)
}

/// A channel's id as the vendor's samples show it: a digit, then 26 characters of base 32.
pub(super) fn channel_id() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bytes = [
        uuid::Uuid::new_v4().into_bytes(),
        uuid::Uuid::new_v4().into_bytes(),
    ]
    .concat();
    let text = bytes
        .iter()
        .take(26)
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    format!("streaming-4-{}", text.collect::<String>())
}
