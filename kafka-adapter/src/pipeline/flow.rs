//! The flow: which entries are handed to the sink next, and in which order.
//!
//! Responsible for the queues before the sink: what waited for a full outlet, what is up for sending, what was never
//! looked at. Refuses to send anything while the pipeline drains. Invariant: entries of one route go in the order in
//! which they were put up for sending, but those that are due again go first, behind nothing of their own key.

use crate::sink::{Meaning, Route, Sink};

use super::delivery::Step;
use super::feed::Batch;
use super::window::Status;
use super::{Mode, Pipeline};

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Hands entries to the sink until nothing is left that it has room for, or something fails.
    ///
    /// Where the gate keeps the order of each key, an outlet that is full holds up its own route alone: an audit record
    /// passes events that wait for a webhook.
    pub(super) fn flow(&mut self, now_us: i64) {
        self.unpark(now_us);
        self.take_due(now_us);
        let mut full = [false; Route::ALL.len()];
        for route in Route::ALL.map(Route::index) {
            while !full[route]
                && self.flows()
                && let Some(&number) = self.stalled[route].front()
            {
                match self.deliver(number, now_us) {
                    Step::Again => {}
                    Step::Full => full[route] = true,
                    Step::DeadProducer => return,
                    Step::Sent | Step::Held => {
                        self.stalled[route].pop_front();
                    }
                }
            }
        }
        while self.flows() {
            let Some(&number) = self.ready.front() else {
                if !self.move_cursor() {
                    return;
                }
                continue;
            };
            let route = self
                .window
                .entry(number)
                .map_or(0, |entry| entry.leg_route().index());
            let step = if full[route] {
                Step::Full
            } else {
                self.deliver(number, now_us)
            };
            match step {
                Step::Again => {}
                Step::DeadProducer => return,
                Step::Full if self.gate.is_none() => return,
                Step::Full => {
                    full[route] = true;
                    self.stalled[route].push_back(number);
                    self.ready.pop_front();
                }
                Step::Sent | Step::Held => {
                    self.ready.pop_front();
                }
            }
        }
    }

    fn flows(&self) -> bool {
        matches!(self.mode, Mode::Flow) && self.dead_producer.is_none()
    }

    /// Puts the next untouched entry up for sending, or into the queue behind its key.
    fn move_cursor(&mut self) -> bool {
        if self.cursor >= self.cursor_end {
            return false;
        }
        let Some(entry) = self.window.entry(self.cursor) else {
            return false;
        };
        let passes = match &mut self.gate {
            Some(gate) => gate.admit(entry.key, self.cursor),
            None => true,
        };
        if passes {
            self.ready.push_back(self.cursor);
        }
        self.cursor += 1;
        true
    }

    /// Gives a parked entry another try, alone, once its pause is over.
    fn unpark(&mut self, now_us: i64) {
        let Some(place) = self.parked.iter().position(|(_, due)| *due <= now_us) else {
            return;
        };
        let (number, _) = self.parked.swap_remove(place);
        if let Some(entry) = self.window.entry_mut(number) {
            entry.status = Status::Held(Meaning::Refused);
            self.failed.push(number);
            self.mode = Mode::Drain;
        }
    }
}
