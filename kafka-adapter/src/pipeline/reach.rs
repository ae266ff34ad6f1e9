//! Whether the destination can be reached and takes anything, as the log and an operator are told.
//!
//! Responsible for one line when it goes away and one when it is back, and for the words that say what stands in the
//! way. Refuses to act on it: back-pressure does. Invariant: no word holds a secret or a payload, as none of a failure's
//! reason does.

use crate::sink::Sink;

use super::Pipeline;
use super::feed::Batch;

/// What stands in the way of every delivery until someone acts.
#[derive(Debug)]
pub(super) struct Blocked {
    /// The first failure that said so.
    pub(super) reason: String,
    /// By the monotonic clock.
    pub(super) since_us: i64,
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Logs when the destination goes away and when it is back, once each.
    pub(super) fn note_reach(&mut self) {
        match (self.sink.unreachable(), self.unreachable) {
            (Some(reason), false) => {
                self.unreachable = true;
                tracing::warn!(reason, "destination unreachable, the source is slowed down");
            }
            (None, true) => {
                self.unreachable = false;
                tracing::info!("destination reachable again");
            }
            _ => {}
        }
    }

    /// Why nothing can be delivered at present, in words, if that is so.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let shut = || self.breaker.reason().map(str::to_owned);
        self.sink
            .unreachable()
            .or_else(|| self.blocked.as_ref().map(|blocked| blocked.reason.clone()))
            .or_else(|| self.dead_producer.clone())
            .or_else(shut)
    }
}
