//! Admission of what a hand-over holds back: counted as received when it comes, decided when it is released.
//!
//! Responsible for the counters of held frames. Refuses to keep the frames, which is the hand-over's. Invariant: as the
//! parent's: from its receipt to its release a frame is held, which is its one outcome until then.

use super::{Admission, Frame, Outcome, Room};

impl Admission {
    /// Counts a frame that is received and held.
    pub(crate) fn hold(&mut self, frame: &Frame<'_>) {
        self.counts.received += 1;
        self.counts.received_bytes += frame.length_bytes();
        self.counts.held += 1;
    }

    /// Decides a frame that was held; with [`Outcome::Full`] it still is.
    ///
    /// # Units
    /// `received_time_us`: as for [`Admission::admit`], the time when it was received.
    pub(crate) fn admit_held(&mut self, frame: Frame<'_>, received_time_us: i64, room: Room) -> Outcome {
        let outcome = self.decide(frame, received_time_us, room);
        if !matches!(outcome, Outcome::Full) {
            self.counts.held = self.counts.held.saturating_sub(1);
        }
        outcome
    }

    /// Counts a held frame that the first channel had delivered too.
    pub(crate) fn subtract_held(&mut self) {
        self.counts.held = self.counts.held.saturating_sub(1);
        self.counts.subtracted += 1;
    }

    /// Counts a frame that is received after the switch and that the first channel had delivered too.
    pub(crate) fn subtract(&mut self, frame: &Frame<'_>) {
        self.counts.received += 1;
        self.counts.received_bytes += frame.length_bytes();
        self.counts.subtracted += 1;
    }

    /// Counts frames that went their way and that the first channel may have delivered too.
    pub(crate) fn count_ambiguous(&mut self, frames: u64) {
        self.counts.handover_ambiguous += frames;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW_US, admission, outcome_name};
    use super::{Frame, Outcome, Room};
    use crate::counts::Counts;
    use crate::decode::Transport;

    const TEXT: &str =
        r#"{"topicName":"v2.users.u1.conversations","eventBody":{"id":"c1","participants":[]}}"#;

    #[test]
    fn a_held_frame_is_received_once_and_has_one_outcome_at_each_moment() {
        let mut admission = admission(Transport::Notifications);
        let (event, torn) = (Frame::Text(TEXT), Frame::Text("{"));
        for frame in [&event, &event, &torn] {
            admission.hold(frame);
        }
        let received_bytes = 2 * TEXT.len() as u64 + 1;
        let held = Counts {
            received: 3,
            received_bytes,
            held: 3,
            ..Counts::default()
        };
        assert_eq!(admission.counts(), held);
        let no_room = Room { records: 0, bytes: 0 };
        assert!(matches!(
            admission.admit_held(event, NOW_US, no_room),
            Outcome::Full
        ));
        assert_eq!(admission.counts(), held);

        let released = admission.admit_held(event, NOW_US, Room::UNBOUNDED);
        assert_eq!(outcome_name(&released), "event");
        assert_eq!((admission.counts().held, admission.counts().frames_law()), (2, 0));
        admission.subtract_held();
        assert_eq!((admission.counts().held, admission.counts().frames_law()), (1, 0));
        let released = admission.admit_held(torn, NOW_US, Room::UNBOUNDED);
        assert_eq!(outcome_name(&released), "dead_letter");
        admission.subtract(&event);
        admission.count_ambiguous(2);
        let counts = admission.counts();
        let expected = Counts {
            received: 4,
            received_bytes: received_bytes + TEXT.len() as u64,
            events: 1,
            dead_letters: 1,
            subtracted: 2,
            handover_ambiguous: 2,
            ..Counts::default()
        };
        assert_eq!((counts, counts.frames_law()), (expected, 0));
    }

    #[test]
    fn a_release_or_subtraction_of_what_was_not_held_falsifies_the_law() {
        let mut released = admission(Transport::Notifications);
        released.admit_held(Frame::Text(TEXT), NOW_US, Room::UNBOUNDED);
        assert_eq!(released.counts().frames_law(), -1);
        let mut subtracted = admission(Transport::Notifications);
        subtracted.subtract_held();
        assert_eq!(subtracted.counts().frames_law(), -1);
    }
}
