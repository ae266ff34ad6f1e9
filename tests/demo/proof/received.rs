//! The account of frames: what the simulator sent, what the plugin received, what became of it.

use super::{Comparison, Discarded};
use crate::evidence::Evidence;

pub(super) const RECEIVED: &str = "frames received by the plugin";
pub(super) const OUTCOMES: &str = "frames with an outcome";
pub(super) const DUPLICATES: &str = "duplicates removed";

/// The outcomes of a frame, as the audit's `run_closed` names them.
const NAMES: [&str; 8] = [
    "events",
    "duplicates",
    "deadLetters",
    "control",
    "ignored",
    "filtered",
    "subtracted",
    "dropped",
];

pub(super) fn compare(evidence: &Evidence, discarded: Discarded) -> Vec<Comparison> {
    let truth = &evidence.truth;
    let sent = truth.frames + truth.subscriptions;
    let outcomes = NAMES.map(|name| (name, evidence.counted(name)));
    let sum: u64 = outcomes.iter().map(|(_, count)| count).sum();
    let parts: Vec<String> = outcomes
        .iter()
        .enumerate()
        .filter(|(place, (_, count))| *place < 4 || *count > 0)
        .map(|(_, (name, count))| format!("{name} {count}"))
        .collect();
    vec![
        Comparison::new(
            RECEIVED,
            evidence.counted("received"),
            sent.saturating_sub(discarded.total() as u64),
            format!(
                "{} frames and {} acknowledgements sent, {} discarded by the reset",
                truth.frames,
                truth.subscriptions,
                discarded.total()
            ),
        ),
        Comparison::new(OUTCOMES, sum, evidence.counted("received"), parts.join(" + ")),
        Comparison::new(
            DUPLICATES,
            evidence.counted("duplicates"),
            truth.duplicates_us.len() - discarded.duplicates,
            format!(
                "events sent twice, {} of them discarded by the reset",
                discarded.duplicates
            ),
        ),
        Comparison::new(
            "acknowledgements seen by the plugin",
            evidence.counted("control"),
            truth.subscriptions,
            "subscriptions",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    #[test]
    fn a_frame_without_an_outcome_is_seen() {
        let broken = broken(|evidence| {
            let closed = evidence.audits.records.last_mut().unwrap();
            *closed.counts.get_mut("received").unwrap() += 1;
        });
        assert_eq!(broken, [RECEIVED, OUTCOMES]);
    }

    #[test]
    fn a_frame_that_was_sent_and_not_received_is_seen() {
        assert_eq!(broken(|evidence| evidence.truth.frames += 1), [RECEIVED]);
    }
}
