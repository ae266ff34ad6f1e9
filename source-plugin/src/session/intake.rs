//! The two sides that a session stands between: what judges a frame, and what takes the records.
//!
//! A session knows admission and queue only through these traits, so that it can be tested without either.

use std::sync::Arc;

use secrecy::SecretString;

use crate::queue::{Ending, Queue, Vacancy};
use crate::record::Chunk;

/// A frame as a transport delivers it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A message over the limit, which was not kept.
    Oversized {
        /// Payload bytes, as announced or as far as they had arrived.
        length_bytes: u64,
        /// Digest of the payload, if it was read to its end.
        sha256: Option<&'a [u8; 32]>,
        /// Its first bytes; may be empty.
        head: &'a [u8],
    },
}

/// What became of a frame, as far as the session must know.
#[derive(Debug)]
pub enum Outcome {
    /// It is an event and has become a record.
    Event,
    /// It is an event that was seen before.
    Duplicate,
    /// It has become a dead letter.
    DeadLetter,
    /// It speaks to the session.
    Control(ControlFrame),
    /// There is nothing in it, or a rule left it out.
    Ignored,
    /// It is an event that was dropped, since there was no room and the policy says so.
    Dropped,
    /// There is no room: it was not judged and must be offered again.
    Full,
}

/// A frame that speaks to the session.
#[derive(Debug)]
pub enum ControlFrame {
    /// The subscription is accepted.
    Subscribed {
        /// The server's session token, which replaces ours.
        session_token: Option<SecretString>,
    },
    /// The subscription is refused.
    SubscriptionRefused {
        /// HTTP-like status.
        status: u16,
        /// The server's words.
        message: String,
        /// How long it asks to wait.
        retry_after_ms: Option<u64>,
    },
    /// The token was revoked.
    TokenRevoked,
    /// Anything that only shows life.
    Alive,
}

/// Judges frames and builds records: admission.
pub trait Intake {
    /// Figures that are published together with the records.
    type Counts;

    /// Judges one frame. `room` is what the queue could take when the last chunk was published; records built since
    /// count against it.
    fn admit(&mut self, frame: Frame<'_>, received_time_us: i64, room: Vacancy) -> Outcome;

    /// Appends a control record, room or not; `write` appends its body, JSON.
    fn append_control(&mut self, type_: &'static str, write: &mut dyn FnMut(&mut Vec<u8>), now_us: i64);

    /// Takes the records built since the last call.
    fn take_chunk(&mut self) -> Option<Chunk>;

    /// Returns the figures.
    fn counts(&self) -> Self::Counts;
}

/// Takes records: the queue.
pub trait Outlet<C> {
    /// Returns how much can be published.
    fn room(&self) -> Vacancy;

    /// Publishes records, if there are any, and the figures that belong to them.
    fn publish(&self, chunk: Option<Chunk>, counts: C);

    /// Waits until the queue is below `share` (0.0 to 1.0) of its bounds; 0.0: until it is empty.
    fn wait_below(&self, share: f64) -> impl Future<Output = ()>;

    /// Says that nothing more will be published.
    fn end(&self, ending: Ending);
}

/// A queue that takes records and leaves the figures alone, for hosts that read them elsewhere.
impl<C> Outlet<C> for Arc<Queue> {
    fn room(&self) -> Vacancy {
        Queue::room(self)
    }

    fn publish(&self, chunk: Option<Chunk>, _counts: C) {
        if let Some(chunk) = chunk {
            Queue::publish(self, chunk);
        }
    }

    async fn wait_below(&self, share: f64) {
        Queue::wait_below(self, share).await;
    }

    fn end(&self, ending: Ending) {
        Queue::end(self, ending);
    }
}
