//! The hand-over from one channel to the next: which frames of the second one the first has delivered already.
//!
//! Responsible for holding what the second socket (the standby) delivers while the first one (the old one) is still
//! authoritative, and for taking what both delivered out of it, in order. Refuses sockets, clocks and admission, which
//! are the session's, and sets: identical bodies are real events (mute, unmute, mute is three), so what both delivered
//! is found as an overlap of two sequences, topic by topic. Invariant: of the overlaps that fit what was seen the
//! shortest is taken, so that nothing is lost; what that may deliver twice is counted.
//!
//! # What is taken for granted
//! The server puts an event into the queues of all sockets that are subscribed at that moment, and each queue is
//! delivered in order within a topic, with the answers to pings at their place. Nothing is assumed about the order
//! between topics, about when a subscription takes effect for which topic, or about how far one socket lags behind the
//! other. Then, for each topic, what the standby delivers begins with the last frames of the old one, and:
//!
//! - what the old one delivers after its answer to a ping that was sent after the standby's first answer was sent while
//!   the standby was subscribed: the standby delivers it too (*certain*);
//! - what the standby delivered before its second answer was sent while the old one was open: the old one delivers it
//!   too, if it is closed by us an overlap later and read to its end (*covered*). The overlap is for a server that
//!   serves one queue a little after the other;
//! - what the old one delivered before it was certain, and the standby delivers too, is among what is covered. So the
//!   overlap is at least as long as the certain and as the covered frames are many, and where bodies differ from one
//!   another only one length fits.
//!
//! Where a server does otherwise and no overlap fits, everything held of that topic is delivered and what the old one
//! had delivered with the same body is counted.
//!
//! # How a session uses it
//! [`Handover::begin`] before the subscribe request of the standby, [`Handover::subscribed`] at the answer; each
//! [`Next`] is done as it is returned. Meanwhile each frame of the old one is admitted and told to
//! [`Handover::delivered`], each of the standby is given to [`Handover::hold`]. After the overlap, or at once when
//! something is full, [`Handover::closing`], the close, the rest of the old one, then [`Handover::switch`]. What the
//! standby delivers later goes through the [`Tail`], which ends when the standby has answered a ping sent after the
//! switch. If the standby fails, the old one goes on and [`Handover::abandon`] ends the attempt.

mod alignment;
mod fences;
mod key;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use alignment::Alignment;
pub(crate) use alignment::{Judged, Verdict};
use fences::Fences;
pub(crate) use fences::{Next, Side};
pub(crate) use key::Key;
pub(crate) use tail::Tail;

/// What the note of one frame of the old socket is counted as: its digest, in a vector that grows by doubling.
const NOTE_BYTES: usize = 2 * size_of::<u128>();

/// What a topic of the old socket is counted as: its place in a table that is at least three eighths full.
const TOPIC_BYTES: usize = 3 * size_of::<(u128, Delivered)>();

/// Frames do not fit any more: switch at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// How the old socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldEnd {
    /// We closed it and read it to the server's close frame.
    Read,
    /// In any other way: reset, silence, or closed by the server before we asked for it.
    Died,
}

/// What the old socket delivered on one topic.
#[derive(Debug, Default)]
struct Delivered {
    bodies: Vec<u128>,
    /// How many of the last of them the standby delivers for certain.
    certain: usize,
    /// How many of the standby's first frames the old one delivers for certain; counted at the switch.
    covered: usize,
}

#[derive(Debug)]
struct Waiting<F> {
    key: Key,
    frame: F,
}

/// How many frames went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Held frames that the old socket delivered too.
    pub(crate) subtracted: u64,
    /// Delivered frames that the old socket may have delivered too.
    pub(crate) ambiguous: u64,
    /// Topics on which no overlap fitted what was seen.
    pub(crate) unexplained_topics: u64,
}

/// What a switch gives.
#[derive(Debug)]
pub(crate) struct Switched<F> {
    /// The held frames in the order in which they came.
    pub(crate) frames: Vec<(F, Verdict)>,
    /// Judges what the standby delivers from here on.
    pub(crate) tail: Tail,
    /// The figures of `frames`.
    pub(crate) tally: Tally,
}

/// One hand-over; `F` is whatever the session keeps of a held frame.
#[derive(Debug)]
pub(crate) struct Handover<F> {
    /// Bound of the held frames and, apart from them, of what is noted of the old socket.
    max_bytes: usize,
    held_bytes: usize,
    noted_bytes: usize,
    topics: HashMap<u128, Delivered>,
    held: Vec<Waiting<F>>,
    fences: Fences,
    /// Set once what the old socket delivers is certain to come on the standby.
    is_certain: bool,
    /// How many of the held frames the old socket delivers for certain.
    covered: usize,
    /// Set if the notes of the old socket were given up for want of room: then nothing can be subtracted.
    is_blind: bool,
}

impl<F> Handover<F> {
    /// Begins a hand-over, before the subscribe request of the standby is sent.
    ///
    /// # Units
    /// `max_bytes`: bytes of held frames. As much again bounds the notes of what the old socket delivers, 32 bytes a
    /// frame; twice that in the time from the signal to the old socket's end.
    pub(crate) fn begin(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            held_bytes: 0,
            noted_bytes: 0,
            topics: HashMap::new(),
            held: Vec::new(),
            fences: Fences::default(),
            is_certain: false,
            covered: 0,
            is_blind: false,
        }
    }

    /// Notes that every subscribe request of the standby was answered.
    pub(crate) fn subscribed(&mut self) -> Option<Next> {
        self.fences.subscribed()
    }

    /// Notes a ping of whatever cause; also, right after the beginning, each one that is not answered yet.
    pub(crate) fn pinged(&mut self, side: Side) {
        self.fences.pinged(side);
    }

    /// Notes the answer to a ping, in its place among the frames; returns what is to be done next, if that changes.
    pub(crate) fn ponged(&mut self, side: Side) -> Option<Next> {
        let next = self.fences.ponged(side)?;
        match next {
            Next::Ping(Side::Old) => {}
            Next::Ping(Side::Standby) => self.is_certain = true,
            Next::Overlap => self.covered = self.held.len(),
        }
        Some(next)
    }

    /// Notes a frame that the old socket delivered and that goes its way at once.
    ///
    /// # Errors
    /// [`Full`] if the notes have reached their bound; the frame is noted all the same.
    pub(crate) fn delivered(&mut self, key: Key) -> Result<(), Full> {
        if self.is_blind {
            return Err(Full);
        }
        let is_certain = self.is_certain;
        let mut cost = NOTE_BYTES;
        let topic = self.topics.entry(key.topic).or_insert_with(|| {
            cost += TOPIC_BYTES;
            Delivered::default()
        });
        topic.bodies.push(key.body);
        topic.certain += usize::from(is_certain);
        self.noted_bytes += cost;
        if self.noted_bytes <= self.max_bytes {
            return Ok(());
        }
        if self.noted_bytes > self.max_bytes.saturating_mul(2) {
            self.is_blind = true;
            self.topics = HashMap::new();
            self.noted_bytes = 0;
        }
        Err(Full)
    }

    /// Holds a frame of the standby.
    ///
    /// # Units
    /// `size_bytes`: what the frame takes in memory beside `F` itself.
    ///
    /// # Errors
    /// The frame, if it does not fit: switch at once, and offer it to the [`Tail`].
    pub(crate) fn hold(&mut self, key: Key, size_bytes: usize, frame: F) -> Result<(), F> {
        let size_bytes = size_bytes.saturating_add(size_of::<Waiting<F>>());
        if size_bytes > self.max_bytes.saturating_sub(self.held_bytes) {
            return Err(frame);
        }
        self.held_bytes += size_bytes;
        self.held.push(Waiting { key, frame });
        Ok(())
    }

    /// Returns how many frames are held, and their bytes.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.held.len(), self.held_bytes)
    }

    /// Notes that the close of the old socket is sent.
    pub(crate) fn closing(&mut self) {
        self.fences.closing();
    }

    /// Takes the overlap out of what is held; the old socket is at its end.
    pub(crate) fn switch(self, end: OldEnd) -> Switched<F> {
        if self.is_blind {
            return Self::switch_blindly(self.held);
        }
        let mut topics = self.topics;
        if end == OldEnd::Read {
            for waiting in self.held.iter().take(self.covered) {
                topics.entry(waiting.key.topic).or_default().covered += 1;
            }
        }
        let aligned = |(topic, delivered): (u128, Delivered)| {
            let at_least = delivered.certain.max(delivered.covered);
            (topic, Alignment::new(delivered.bodies, at_least))
        };
        let mut alignments: HashMap<u128, Alignment> = topics.into_iter().map(aligned).collect();
        let next = |waiting: &Waiting<F>| match alignments.get_mut(&waiting.key.topic) {
            Some(alignment) => alignment.next(waiting.key.body),
            None => Judged::NEW,
        };
        let first: Vec<Judged> = self.held.iter().map(next).collect();
        let mut tally = Tally::default();
        for alignment in alignments
            .values_mut()
            .filter(|alignment| alignment.is_unexplained())
        {
            // What seemed to fit before nothing fitted is not subtracted either.
            alignment.start_over();
            tally.unexplained_topics += 1;
        }
        let mut judge = |key: Key, first: Judged| match alignments.get_mut(&key.topic) {
            Some(alignment) if alignment.is_unexplained() => alignment.next(key.body),
            _ => first,
        };
        let frames = self.held.into_iter().zip(first);
        let frames = frames.map(|(waiting, first)| {
            let judged = judge(waiting.key, first);
            tally.ambiguous += judged.ambiguous;
            tally.subtracted += u64::from(judged.verdict == Verdict::Subtract);
            (waiting.frame, judged.verdict)
        });
        let frames = frames.collect();
        Switched {
            frames,
            tail: Tail::new(alignments),
            tally,
        }
    }

    /// Delivers everything and counts everything.
    fn switch_blindly(held: Vec<Waiting<F>>) -> Switched<F> {
        let tally = Tally {
            ambiguous: held.len() as u64,
            ..Tally::default()
        };
        let frames = held.into_iter().map(|waiting| (waiting.frame, Verdict::Emit));
        Switched {
            frames: frames.collect(),
            tail: Tail::blind(),
            tally,
        }
    }

    /// Gives the attempt up because the standby failed; returns the held frames, each of which counts as subtracted.
    ///
    /// Only after the old socket has answered a ping that was sent since: until then it may die with their like unread,
    /// and [`Handover::switch`] is what keeps them.
    pub(crate) fn abandon(self) -> Vec<F> {
        self.held.into_iter().map(|waiting| waiting.frame).collect()
    }
}
