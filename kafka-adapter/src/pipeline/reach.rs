//! Whether the destination can be reached, as the log tells it.
//!
//! Responsible for one line when it goes away and one when it is back. Refuses to act on it: back-pressure does.

use crate::sink::Sink;

use super::Pipeline;
use super::feed::Batch;

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

    /// Says whether the destination could not be reached, or took nothing, at the last look.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.unreachable || self.breaker.is_open()
    }
}
