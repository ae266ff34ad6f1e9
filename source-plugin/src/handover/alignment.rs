//! One topic of a hand-over: how long the overlap of two sequences is, found out as the second one comes.
//!
//! Responsible for the lengths that are possible: the last frames of the old socket, as many as the length says, are the
//! first of the standby. Refuses to prefer a length because it is likelier. Invariant: the shortest length that fits
//! decides, so that a frame is subtracted only if every length that fits says so.

use std::collections::HashMap;

/// Most lengths that are followed beyond the first frame, so that a topic of nothing but identical bodies costs no more
/// than this at each. Where bodies differ, one is left by then.
const MAX_LENGTHS: usize = 1024;

/// What becomes of a frame of the standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes its way.
    Emit,
    /// The old socket delivered it.
    Subtract,
}

/// A verdict and what it says about this frame and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What becomes of the frame.
    pub(crate) verdict: Verdict,
    /// How many more of the frames that went their way may have been delivered by the old socket too.
    pub(crate) ambiguous: u64,
}

impl Judged {
    /// A frame that the old socket did not deliver.
    pub(super) const NEW: Self = Self {
        verdict: Verdict::Emit,
        ambiguous: 0,
    };
}

/// See the module.
#[derive(Debug)]
pub(super) struct Alignment {
    /// Bodies that the old socket delivered.
    old: Vec<u128>,
    /// Lengths that fit what was seen, ascending; those that are not longer than that are taken out.
    longer: Vec<usize>,
    /// Set if lengths that may fit were left out of `longer`, the longest first.
    is_cut: bool,
    /// Frames of the standby that were seen.
    seen: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Every length that fits is longer than what was seen, or just as long.
    Overlapping,
    /// The shortest length that fits is exceeded.
    Over {
        /// Frames that went their way since.
        emitted: u64,
        /// Those of them that are counted as ambiguous.
        counted: u64,
    },
    /// No length fits: bodies of the old socket that nothing was matched with, and how many of each.
    Unexplained(HashMap<u128, u64>),
}

impl Alignment {
    /// Makes an alignment with what the old socket delivered; the overlap is no shorter than `at_least`.
    pub(super) fn new(old: Vec<u128>, at_least: usize) -> Self {
        Self {
            longer: (at_least..=old.len()).collect(),
            old,
            is_cut: false,
            seen: 0,
            state: State::Overlapping,
        }
    }

    /// Judges the next frame of the standby.
    pub(super) fn next(&mut self, body: u128) -> Judged {
        if matches!(self.state, State::Overlapping) && self.longer.first() == Some(&self.seen) {
            self.longer.remove(0);
            self.state = State::Over {
                emitted: 0,
                counted: 0,
            };
        }
        let (old, seen) = (&self.old, self.seen);
        self.longer
            .retain(|length| old.get(old.len() - length + seen) == Some(&body));
        self.is_cut |= self.longer.len() > MAX_LENGTHS;
        self.longer.truncate(MAX_LENGTHS);
        self.seen += 1;
        if matches!(self.state, State::Overlapping) {
            if !self.longer.is_empty() {
                return Judged {
                    verdict: Verdict::Subtract,
                    ambiguous: 0,
                };
            }
            self.start_over();
        }
        let ambiguous = match &mut self.state {
            State::Overlapping => 0,
            State::Over { emitted, counted } => {
                *emitted += 1;
                // A longer overlap fits to its end, or may: so far the frames may be the old socket's.
                let fits = self.longer.first() == Some(&self.seen);
                if fits {
                    self.longer.remove(0);
                }
                if fits || (self.is_cut && self.seen <= self.old.len()) {
                    *emitted - std::mem::replace(counted, *emitted)
                } else {
                    0
                }
            }
            State::Unexplained(unmatched) => match unmatched.get_mut(&body) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    1
                }
                _ => 0,
            },
        };
        Judged {
            verdict: Verdict::Emit,
            ambiguous,
        }
    }

    /// Says that no length fits.
    pub(super) fn is_unexplained(&self) -> bool {
        matches!(self.state, State::Unexplained(_))
    }

    /// Says that nothing is subtracted or counted any more, whatever comes.
    pub(super) fn is_settled(&self) -> bool {
        match &self.state {
            _ if self.is_cut && self.seen < self.old.len() => false,
            State::Overlapping => self.longer == [self.seen],
            State::Over { .. } => self.longer.is_empty(),
            State::Unexplained(_) => false,
        }
    }

    /// Forgets what was matched, since no length fits.
    pub(super) fn start_over(&mut self) {
        let mut unmatched = HashMap::new();
        for body in &self.old {
            *unmatched.entry(*body).or_default() += 1;
        }
        self.state = State::Unexplained(unmatched);
        self.longer = Vec::new();
    }

    /// Ends it; returns how many frames stay ambiguous because a longer overlap was not refuted.
    pub(super) fn end(self) -> u64 {
        match self.state {
            State::Over { emitted, counted } if !self.longer.is_empty() => emitted - counted,
            _ => 0,
        }
    }
}
