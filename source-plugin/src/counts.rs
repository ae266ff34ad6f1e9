//! What became of the frames: one counter per outcome and the law that ties them together.
//!
//! Responsible for the figures only. Refuses to derive one from another. Invariant: between two calls of admission
//! [`Counts::frames_law`] is 0.

/// Counters of one source since it was opened; all monotonic but `held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames taken from the transport.
    pub received: u64,
    /// Bytes of those frames.
    pub received_bytes: u64,
    /// Frames that became an event record.
    pub events: u64,
    /// Frames whose identity was in the window.
    pub duplicates: u64,
    /// Frames that became a dead-letter record.
    pub dead_letters: u64,
    /// Frames for the session itself: heartbeats, acknowledgements, warnings.
    pub control: u64,
    /// Frames with nothing in them.
    pub ignored: u64,
    /// Frames that a rule of the operator left out.
    pub filtered: u64,
    /// Frames of the second channel that the first had delivered too.
    pub subtracted: u64,
    /// Frames lost to a full queue.
    pub dropped: u64,
    /// Frames of a second channel that wait for the hand-over; goes up and down.
    pub held: u64,
    /// Frames of the second channel that went their way and that the first may have delivered too.
    pub handover_ambiguous: u64,
    /// Frames above the size limit; each is a dead letter as well.
    pub oversized: u64,
    /// Events whose time was there but could not be read.
    pub unreadable_timestamps: u64,
    /// Conversations of the past that became an event record; they were in no frame.
    pub backfilled: u64,
    /// Conversations of the past whose state was in the window.
    pub backfill_duplicates: u64,
}

impl Counts {
    /// Returns frames received minus frames with an outcome: 0, or a frame went missing or was counted twice.
    #[must_use]
    pub fn frames_law(&self) -> i64 {
        let outcomes = [
            self.events,
            self.duplicates,
            self.dead_letters,
            self.control,
            self.ignored,
            self.filtered,
            self.subtracted,
            self.dropped,
            self.held,
        ];
        outcomes
            .iter()
            .fold(self.received, |rest, outcome| rest.wrapping_sub(*outcome))
            .cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn each_term_alone_falsifies_the_law() {
        type Term = (&'static str, fn(&mut Counts) -> &mut u64, i64);
        let terms: [Term; 10] = [
            ("received", |counts| &mut counts.received, 1),
            ("events", |counts| &mut counts.events, -1),
            ("duplicates", |counts| &mut counts.duplicates, -1),
            ("dead_letters", |counts| &mut counts.dead_letters, -1),
            ("control", |counts| &mut counts.control, -1),
            ("ignored", |counts| &mut counts.ignored, -1),
            ("filtered", |counts| &mut counts.filtered, -1),
            ("subtracted", |counts| &mut counts.subtracted, -1),
            ("dropped", |counts| &mut counts.dropped, -1),
            ("held", |counts| &mut counts.held, -1),
        ];
        for (name, term, expected) in terms {
            let mut counts = Counts::default();
            assert_eq!(counts.frames_law(), 0);
            *term(&mut counts) += 1;
            assert_eq!(counts.frames_law(), expected, "{name}");
        }
    }

    #[test]
    fn side_counters_are_no_terms() {
        let counts = Counts {
            received_bytes: 7,
            handover_ambiguous: 3,
            oversized: 1,
            unreadable_timestamps: 2,
            backfilled: 4,
            backfill_duplicates: 1,
            ..Counts::default()
        };
        assert_eq!(counts.frames_law(), 0);
    }
}
