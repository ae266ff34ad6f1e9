//! The clocks of one connection: when to ping, and since when nothing whole has come.
//!
//! Refuses to take bytes for life: only whole frames set the silence back, so neither a byte now and then of a frame,
//! nor fragments without end with pongs between them, keep a connection. It reads no socket and tells no time.

use tokio::time::Instant;

use crate::config::KeepAlive;
use crate::gap::LossKind;
use crate::transport::socket::Loss;

/// A message of which fragments have come, but not the last. Fragments wake nobody: `since` is the first look after the
/// first of them, a ping's interval later at most.
#[derive(Clone, Copy, Debug)]
struct Unfinished {
    number: u64,
    since: Instant,
}

/// See the module documentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vigil {
    keep_alive: KeepAlive,
    ping_at: Instant,
    silent_at: Instant,
    unfinished: Option<Unfinished>,
}

impl Vigil {
    /// Begins with a connection that has just been opened.
    pub(super) fn new(keep_alive: KeepAlive, now: Instant) -> Self {
        Self {
            keep_alive,
            ping_at: now + keep_alive.ping,
            silent_at: now + keep_alive.silence,
            unfinished: None,
        }
    }

    /// Returns when there is something to do if nothing comes.
    pub(super) fn wake_at(&self) -> Instant {
        let unfinished_at = self
            .unfinished
            .map(|message| message.since + self.keep_alive.silence);
        unfinished_at
            .into_iter()
            .fold(self.ping_at.min(self.silent_at), Instant::min)
    }

    /// Notes that something whole has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.silent_at = now + self.keep_alive.silence;
    }

    /// Returns the loss of a connection on which nothing whole has come for too long.
    pub(super) fn silence(&self, now: Instant) -> Option<Loss> {
        (now >= self.silent_at).then(|| Loss::new(LossKind::Silence, None))
    }

    /// Looks at the `number` of the message that has begun and not ended.
    ///
    /// # Errors
    /// The loss of a connection whose message has been without its end for too long.
    pub(super) fn look(&mut self, number: Option<u64>, now: Instant) -> Result<(), Loss> {
        self.unfinished = number.map(|number| match self.unfinished {
            Some(same) if same.number == number => same,
            _ => Unfinished { number, since: now },
        });
        let silence = self.keep_alive.silence;
        if self
            .unfinished
            .is_some_and(|message| now >= message.since + silence)
        {
            return Err(Loss::new(
                LossKind::Silence,
                Some("fragments of a message without its end"),
            ));
        }
        Ok(())
    }

    /// Begins anew after a time in which nothing was read; a ping is due at once.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.ping_at = now;
        self.silent_at = now + self.keep_alive.silence;
        self.unfinished = None;
    }

    /// Says whether a ping is due, and takes it for sent.
    pub(super) fn is_ping_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.ping_at;
        if is_due {
            self.ping_at = now + self.keep_alive.ping;
        }
        is_due
    }
}
