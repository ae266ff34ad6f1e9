//! Counts in the records about the run: one `interval` record a minute, and the totals in `run_closed`.
//!
//! Responsible for reading the source's statistics tolerantly and for differences between two readings. Invariant:
//! a figure that the source does not give counts as 0 and is never guessed.

use serde_json::Value;

use crate::text::push_number;

/// Counts of frames and records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames received by the source.
    pub received: u64,
    /// Frames that became events.
    pub events: u64,
    /// Frames dropped as duplicates.
    pub duplicates: u64,
    /// Frames kept as dead letters.
    pub dead_letters: u64,
    /// Frames of the protocol itself.
    pub control: u64,
    /// Frames of no interest.
    pub ignored: u64,
    /// Frames that a filter left out.
    pub filtered: u64,
    /// Frames subtracted in a hand-over.
    pub subtracted: u64,
    /// Frames lost to a full queue or spool.
    pub dropped: u64,
    /// Frames, counted above as well, that a hand-over delivered without being certain that they had not come before.
    pub handover_ambiguous: u64,
    /// Records that the pipeline took over.
    pub pulled: u64,
    /// Records whose outcome and audit are acknowledged.
    pub resolved: u64,
    /// Audit records of the run, this one included where it is `run_closed`.
    pub audits: u64,
}

impl Counts {
    /// Reads the `frames` object of the source's statistics.
    #[must_use]
    pub fn from_stats(stats: &Value) -> Self {
        let count = |name: &str| {
            stats
                .pointer(&format!("/frames/{name}"))
                .and_then(Value::as_u64)
                .unwrap_or(0)
        };
        Self {
            received: count("received"),
            events: count("events"),
            duplicates: count("duplicates"),
            dead_letters: count("dead_letters"),
            control: count("control"),
            ignored: count("ignored"),
            filtered: count("filtered"),
            subtracted: count("subtracted"),
            dropped: count("dropped"),
            handover_ambiguous: count("handover_ambiguous"),
            pulled: 0,
            resolved: 0,
            audits: 0,
        }
    }

    /// What was added since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for ((_, now), (_, before)) in difference.members_mut().into_iter().zip(earlier.members()) {
            *now = now.saturating_sub(before);
        }
        difference
    }

    pub(super) fn push_json(&self, into: &mut Vec<u8>) {
        let mut separator = b'{';
        for (name, count) in self.members() {
            into.push(separator);
            into.push(b'"');
            into.extend_from_slice(name.as_bytes());
            into.extend_from_slice(b"\":");
            push_number(into, count);
            separator = b',';
        }
        into.push(b'}');
    }

    fn members(&self) -> [(&'static str, u64); 13] {
        let mut copy = *self;
        copy.members_mut().map(|(name, count)| (name, *count))
    }

    fn members_mut(&mut self) -> [(&'static str, &mut u64); 13] {
        [
            ("received", &mut self.received),
            ("events", &mut self.events),
            ("duplicates", &mut self.duplicates),
            ("deadLetters", &mut self.dead_letters),
            ("control", &mut self.control),
            ("ignored", &mut self.ignored),
            ("filtered", &mut self.filtered),
            ("subtracted", &mut self.subtracted),
            ("dropped", &mut self.dropped),
            ("handoverAmbiguous", &mut self.handover_ambiguous),
            ("pulled", &mut self.pulled),
            ("resolved", &mut self.resolved),
            ("audits", &mut self.audits),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_taken_member_by_member() {
        let stats = serde_json::json!({"frames": {"received": 10, "events": 7, "duplicates": 2, "ignored": 1, "handover_ambiguous": 4}});
        let before =
            Counts::from_stats(&serde_json::json!({"frames": {"received": 4, "events": 3}, "other": []}));
        let difference = Counts::from_stats(&stats).since(&before);
        assert_eq!(
            difference,
            Counts {
                received: 6,
                events: 4,
                duplicates: 2,
                ignored: 1,
                handover_ambiguous: 4,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn counts_are_json_with_every_member() {
        let mut json = Vec::new();
        Counts {
            received: 5,
            dropped: 1,
            resolved: 4,
            ..Counts::default()
        }
        .push_json(&mut json);
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["received"], 5);
        assert_eq!(value["deadLetters"], 0);
        assert_eq!(value["resolved"], 4);
        assert_eq!(value.as_object().unwrap().len(), 13);
    }
}
