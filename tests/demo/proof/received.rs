//! The account of frames: what the simulator sent, what the plugin received, what became of it.

use super::{Comparison, Discarded};
use crate::evidence::Evidence;
use crate::transport::Transport;

pub(super) const RECEIVED: &str = "frames received by the plugin";
pub(super) const OUTCOMES: &str = "frames with an outcome";
pub(super) const DUPLICATES: &str = "duplicates removed";
pub(super) const BEYOND: &str = "frames of the protocol beyond those that were sent";

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
    let outcomes = NAMES.map(|name| (name, evidence.counted(name)));
    let sum: u64 = outcomes.iter().map(|(_, count)| count).sum();
    let parts: Vec<String> = outcomes
        .iter()
        .enumerate()
        .filter(|(place, (_, count))| *place < 4 || *count > 0)
        .map(|(_, (name, count))| format!("{name} {count}"))
        .collect();
    let (lost, total) = (evidence.transport.loss(), discarded.total());
    let with_an_outcome = Comparison::new(OUTCOMES, sum, evidence.counted("received"), parts.join(" + "));
    match evidence.transport {
        Transport::Notifications => vec![
            Comparison::new(
                RECEIVED,
                evidence
                    .counted("received")
                    .saturating_sub(evidence.counted("control")),
                truth.frames.saturating_sub(total as u64),
                format!(
                    "frames sent, {} of them to two sockets, {total} discarded by the {lost}",
                    truth.overlapping
                ),
            ),
            with_an_outcome,
            // a pong that is on its way when the source stops is not read any more
            Comparison::new(
                BEYOND,
                evidence.counted("control").saturating_sub(truth.of_protocol),
                0_u64,
                format!("{} pongs, heartbeats and notices sent", truth.of_protocol),
            ),
        ],
        Transport::Events => vec![
            Comparison::new(
                RECEIVED,
                evidence.counted("received"),
                (truth.frames + truth.of_protocol).saturating_sub(total as u64),
                format!(
                    "{} frames and {} acknowledgements sent, {total} discarded by the {lost}",
                    truth.frames, truth.of_protocol
                ),
            ),
            with_an_outcome,
            Comparison::new(
                DUPLICATES,
                evidence.counted("duplicates"),
                truth.duplicates_us.len() - discarded.duplicates,
                format!(
                    "events sent twice, {} of them discarded by the {lost}",
                    discarded.duplicates
                ),
            ),
            Comparison::new(
                "acknowledgements seen by the plugin",
                evidence.counted("control"),
                truth.of_protocol,
                "subscriptions",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::handover;
    use super::super::tests::{broken, broken_over};
    use super::*;
    use crate::sink::Sink;

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

    #[test]
    fn a_frame_that_one_of_two_channels_lost_is_seen() {
        let broken = broken_over(Transport::Notifications, Sink::Kafka, |evidence| {
            evidence.truth.frames += 1;
            evidence.truth.overlapping += 1;
        });
        assert_eq!(broken, [RECEIVED, handover::SUBTRACTED]);
        let broken = broken_over(Transport::Notifications, Sink::Kafka, |evidence| {
            evidence.truth.of_protocol = 0;
        });
        assert_eq!(broken, [BEYOND]);
    }
}
