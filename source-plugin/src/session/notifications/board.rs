//! What the listeners of one source share: the way to the host, and a board on which each shows where it is.
//!
//! Refuses a borrow across a wait: everything here is done between two of them, on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::gap::{Cause, Detail, LossKind};
use crate::session::intake::Intake;
use crate::session::interruptions::Part;
use crate::session::status::State;

/// Where one listener is.
#[derive(Clone, Copy, Debug)]
struct Place {
    state: State,
    /// Until when everything that had arrived is in the log; counts while it listens.
    polled_us: i64,
    /// Until when everything that was sent to it has been read.
    complete_us: i64,
    has_listened: bool,
    /// It has no topic, since it is to have none or each is refused.
    is_empty_handed: bool,
}

/// See the module documentation.
pub(super) struct Board {
    pub(super) intake: Intake,
    places: Vec<Place>,
    shown: Option<State>,
}

/// The one board of a source.
pub(super) type Shared = Rc<RefCell<Board>>;

impl Board {
    pub(super) fn new(intake: Intake) -> Self {
        Self {
            intake,
            places: Vec::new(),
            shown: None,
        }
    }

    /// Makes a place for one more listener; returns its number.
    pub(super) fn join(&mut self) -> usize {
        self.places.push(Place {
            state: State::Connecting,
            polled_us: 0,
            complete_us: 0,
            has_listened: false,
            is_empty_handed: false,
        });
        self.places.len() - 1
    }

    /// Shows where a listener is; the state of the source is that of the one that has the farthest to go.
    pub(super) fn enter(&mut self, number: usize, state: State) {
        let is_connected = matches!(state, State::Subscribing | State::Subscribed | State::Stalled);
        let now_us = self.intake.clock.now_us();
        if let Some(place) = self.places.get_mut(number) {
            place.state = state;
            if state == State::Subscribed {
                place.has_listened |= !place.is_empty_handed;
                place.polled_us = now_us;
            }
        }
        let farthest = self
            .places
            .iter()
            .map(|place| place.state)
            .max_by_key(|state| distance(*state));
        if let Some(farthest) = farthest
            && self.shown != Some(farthest)
        {
            self.shown = Some(farthest);
            if farthest == State::Stalled {
                self.intake.status.enter_stalled();
            } else {
                self.intake.status.enter(farthest);
            }
        }
        if is_connected {
            self.intake.status.update(|figures| {
                figures.connected_since_us.get_or_insert(now_us);
            });
        }
        if farthest == Some(State::Subscribed) {
            self.intake.listening(now_us);
            self.intake.publish();
            self.intake.mark_alive(now_us);
        }
    }

    /// Notes whether a listener has any topic; says whether one of them has, or may still be given one.
    pub(super) fn grasped(&mut self, number: usize, is_empty_handed: bool) -> bool {
        if let Some(place) = self.places.get_mut(number) {
            place.is_empty_handed = is_empty_handed;
            place.has_listened |= !is_empty_handed && place.state == State::Subscribed;
        }
        self.places.iter().any(|place| !place.is_empty_handed)
    }

    /// Says whether any listener has ever been subscribed to a topic.
    pub(super) fn has_listened(&self) -> bool {
        self.places.iter().any(|place| place.has_listened)
    }

    /// Notes how far a listener has read, and tells the spool how far all of them have.
    pub(super) fn polled(&mut self, number: usize, polled_us: Option<i64>, complete_us: i64) {
        if let Some(place) = self.places.get_mut(number) {
            place.complete_us = complete_us;
            if let Some(polled_us) = polled_us {
                place.polled_us = polled_us;
            }
        }
        let alive_us = self.listening().map(|place| place.polled_us).min();
        if let Some(alive_us) = alive_us {
            self.intake.note_alive(alive_us);
        }
    }

    /// Returns until when everything that was sent to those who listen has been read; `None` if nobody does.
    pub(super) fn complete_us(&self) -> Option<i64> {
        self.listening().map(|place| place.complete_us).min()
    }

    /// Records which topics no channel has room for, in place of those that were told before.
    pub(super) fn left_out(&mut self, topics: &Arc<[String]>) {
        let (part, now_us) = (Part::LeftOut, self.intake.clock.now_us());
        self.intake.partly_listening(part, now_us);
        if !topics.is_empty() {
            let reason = "the channels that this source may have take no more topics";
            let detail = Detail::new(LossKind::Local, Some(reason));
            self.intake
                .partly_absent(part, Arc::clone(topics), Cause::OverQuota, detail, now_us);
        }
        self.intake.publish();
    }

    fn listening(&self) -> impl Iterator<Item = &Place> {
        self.places
            .iter()
            .filter(|place| matches!(place.state, State::Subscribed | State::Stalled))
    }
}

/// How far a state is from listening.
fn distance(state: State) -> u8 {
    match state {
        State::Subscribed => 0,
        State::Stalled => 1,
        State::Subscribing => 2,
        State::Connecting => 3,
        State::Disconnected => 4,
        State::Draining | State::Ended | State::Failed => 5,
    }
}
