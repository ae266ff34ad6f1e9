//! The hand-over: one channel replaced by the next while it is read, and what both delivered taken out once.

use super::Comparison;
use crate::evidence::Evidence;

pub(super) const REPLACED: &str = "channels replaced while they were read";
pub(super) const SUBTRACTED: &str = "frames that both channels delivered, taken out";
pub(super) const AMBIGUOUS: &str = "frames that may have been delivered by both";

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    vec![
        Comparison::new(
            REPLACED,
            evidence.handovers.count,
            evidence.truth.closings,
            "notices that a channel is to close",
        ),
        Comparison::new(
            SUBTRACTED,
            evidence.counted("subtracted"),
            evidence.truth.overlapping,
            "frames sent to two sockets",
        ),
        Comparison::new(AMBIGUOUS, evidence.handovers.ambiguous, 0_u64, ""),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::received;
    use super::super::tests::broken_over;
    use super::*;
    use crate::sink::Sink;
    use crate::transport::Transport;

    fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        broken_over(Transport::Notifications, Sink::Kafka, change)
    }

    #[test]
    fn a_channel_that_was_not_replaced_and_a_doubtful_frame_are_seen() {
        assert_eq!(broken(|evidence| evidence.handovers.count = 0), [REPLACED]);
        assert_eq!(broken(|evidence| evidence.handovers.ambiguous = 1), [AMBIGUOUS]);
    }

    #[test]
    fn a_frame_taken_out_that_only_one_channel_delivered_is_seen() {
        let broken = broken(|evidence| {
            let closed = evidence.audits.records.last_mut().unwrap();
            *closed.counts.get_mut("subtracted").unwrap() += 1;
        });
        assert_eq!(broken, [received::OUTCOMES, SUBTRACTED]);
    }
}
