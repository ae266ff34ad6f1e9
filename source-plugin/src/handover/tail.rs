//! What is left of a hand-over after the switch: frames of the standby that were still on their way.
//!
//! Responsible for going on with each topic's overlap where the switch left it. Refuses to hold anything. Invariant: a
//! topic whose overlap is complete takes no memory.

use std::collections::HashMap;

use super::alignment::{Alignment, Judged, Verdict};
use super::key::Key;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tail {
    topics: HashMap<u128, Alignment>,
    /// Set if it is not known what the old socket delivered.
    is_blind: bool,
}

impl Tail {
    pub(super) fn new(mut topics: HashMap<u128, Alignment>) -> Self {
        topics.retain(|_, alignment| !alignment.is_settled());
        Self {
            topics,
            is_blind: false,
        }
    }

    pub(super) fn blind() -> Self {
        Self {
            topics: HashMap::new(),
            is_blind: true,
        }
    }

    /// Judges the next frame that the standby delivers.
    pub(crate) fn judge(&mut self, key: Key) -> Judged {
        if self.is_blind {
            return Judged {
                verdict: Verdict::Emit,
                ambiguous: 1,
            };
        }
        let Some(alignment) = self.topics.get_mut(&key.topic) else {
            return Judged::NEW;
        };
        let judged = alignment.next(key.body);
        if alignment.is_settled() {
            self.topics.remove(&key.topic);
        }
        judged
    }

    /// Says that every frame from here on is a new one, so that the tail may end early.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_blind && self.topics.is_empty()
    }

    /// Ends it, after the standby has answered a ping that was sent after the switch; returns how many more of the
    /// frames that went their way may have been delivered by the old socket too.
    pub(crate) fn end(self) -> u64 {
        self.topics.into_values().map(Alignment::end).sum()
    }
}
