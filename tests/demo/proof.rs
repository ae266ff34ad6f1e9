//! The proof: what the simulator did against what arrived, as comparisons of two numbers each.
//!
//! Responsible for the list of comparisons, which is one for every way in and out; a webhook adds what only requests can
//! show, notification channels add the hand-over.
//! Refuses every excuse for a missing frame but one: it was sent inside the interval of a recorded and closed gap, where
//! a lost connection may discard what lay unread in the socket. Invariant: a comparison holds if and only if its two numbers are
//! equal.

mod audit;
mod dead_letters;
mod events;
mod gaps;
mod handover;
mod received;
mod requests;
mod run;

use crate::evidence::Evidence;
use crate::sink::Sink;
use crate::transport::Transport;

/// One line of the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// What is compared.
    pub(crate) what: &'static str,
    /// What was found.
    pub(crate) found: i64,
    /// What must be.
    pub(crate) expected: i64,
    /// Where the second number comes from.
    pub(crate) note: String,
}

impl Comparison {
    fn new(what: &'static str, found: impl Number, expected: impl Number, note: impl Into<String>) -> Self {
        Self {
            what,
            found: found.signed(),
            expected: expected.signed(),
            note: note.into(),
        }
    }

    /// Says whether the two numbers are equal.
    pub(crate) fn holds(&self) -> bool {
        self.found == self.expected
    }
}

/// What can stand in a comparison.
trait Number {
    /// The number, saturated: counts of a demo are far below 2⁶³.
    fn signed(self) -> i64;
}

impl Number for i64 {
    fn signed(self) -> i64 {
        self
    }
}

impl Number for u64 {
    fn signed(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Number for usize {
    fn signed(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

/// Frames that were sent and are missing, each inside a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Discarded {
    events: usize,
    bad_frames: usize,
    duplicates: usize,
}

impl Discarded {
    fn of(evidence: &Evidence) -> Self {
        let intervals = gaps::intervals(evidence);
        let inside = |topic: Option<&str>, at_us: i64| gaps::covers(&intervals, topic, at_us);
        let duplicates = &evidence.truth.duplicates_us;
        let kept = usize::try_from(evidence.counted("duplicates")).unwrap_or(usize::MAX);
        let in_gaps = duplicates.iter().filter(|at_us| inside(None, **at_us)).count();
        Self {
            events: events::missing(evidence)
                .filter(|event| inside(event.topic.as_deref(), event.sent_us))
                .count(),
            bad_frames: dead_letters::missing(evidence)
                .iter()
                .filter(|frame| inside(None, frame.sent_us))
                .count(),
            // a duplicate leaves no trace of its own: as many as were not counted, and no more than lay in a gap
            duplicates: duplicates.len().saturating_sub(kept).min(in_gaps),
        }
    }

    fn total(self) -> usize {
        self.events + self.bad_frames + self.duplicates
    }
}

/// Every comparison.
pub(crate) fn prove(evidence: &Evidence) -> Vec<Comparison> {
    let discarded = Discarded::of(evidence);
    let of_requests = match evidence.sink {
        Sink::Kafka => Vec::new(),
        Sink::Webhook => requests::compare(evidence),
    };
    let of_handovers = match evidence.transport {
        Transport::Notifications => handover::compare(evidence),
        Transport::Events => Vec::new(),
    };
    [
        received::compare(evidence, discarded),
        events::compare(evidence, discarded),
        of_requests,
        dead_letters::compare(evidence, discarded),
        audit::compare(evidence),
        of_handovers,
        gaps::compare(evidence),
        run::compare(evidence),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::sample::{GAP_US, evidence};

    /// What no longer holds once the sound sample has been changed.
    pub(super) fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        broken_of(Sink::Kafka, change)
    }

    /// Every way in.
    const TRANSPORTS: [Transport; 2] = [Transport::Notifications, Transport::Events];

    /// What no longer holds once the sound sample of a way out has been changed.
    pub(super) fn broken_of(sink: Sink, change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        broken_over(Transport::Events, sink, change)
    }

    /// The same over a transport.
    pub(super) fn broken_over(
        transport: Transport,
        sink: Sink,
        change: impl FnOnce(&mut Evidence),
    ) -> Vec<&'static str> {
        let mut evidence = evidence(transport, sink);
        change(&mut evidence);
        let failing = prove(&evidence)
            .into_iter()
            .filter(|comparison| !comparison.holds());
        failing.map(|comparison| comparison.what).collect()
    }

    #[test]
    fn the_sound_sample_proves_everything() {
        for sink in [Sink::Kafka, Sink::Webhook] {
            for transport in TRANSPORTS {
                assert_eq!(
                    broken_over(transport, sink, |_| {}),
                    [""; 0],
                    "{transport:?} {sink:?}"
                );
                let discarded = Discarded::of(&evidence(transport, sink));
                assert_eq!((discarded.events, discarded.total()), (1, 1));
            }
        }
    }

    #[test]
    fn the_readme_states_the_number_of_comparisons() {
        let readme = std::fs::read_to_string(support::workspace_root().join("README.md")).unwrap();
        let count = |transport, sink| prove(&evidence(transport, sink)).len();
        let kafka = count(Transport::Notifications, Sink::Kafka);
        let webhook = count(Transport::Notifications, Sink::Webhook);
        let events = count(Transport::Events, Sink::Kafka);
        for line in [
            format!("the proof holds: {kafka} comparisons\n"),
            format!(" of {kafka} shown)"),
            format!("({webhook} comparisons)"),
            format!("({events} comparisons)"),
        ] {
            assert!(readme.contains(&line), "README.md lacks: {line}");
        }
        // what it shows of the proof are lines of the proof
        let shown: Vec<&str> = readme.lines().filter(|line| line.starts_with("  ✓ ")).collect();
        assert!(readme.contains(&format!("({} of {kafka} shown)", shown.len())));
        let all = prove(&evidence(Transport::Notifications, Sink::Kafka));
        for line in shown {
            let known = all.iter().any(|comparison| line.contains(comparison.what));
            assert!(known, "README.md shows what is not compared: {line}");
        }
    }

    #[test]
    fn a_frame_discarded_outside_every_gap_is_no_excuse() {
        let broken = broken(|evidence| {
            for event in &mut evidence.truth.events {
                if event.sent_us >= GAP_US.0 {
                    event.sent_us = GAP_US.1 + 1;
                }
            }
        });
        assert_eq!(broken, [received::RECEIVED, events::ONCE]);
    }

    #[test]
    fn a_duplicate_may_be_missing_only_inside_a_gap() {
        let fewer = |evidence: &mut Evidence| {
            let closed = evidence.audits.records.last_mut().unwrap();
            *closed.counts.get_mut("duplicates").unwrap() -= 1;
            *closed.counts.get_mut("received").unwrap() -= 1;
        };
        assert_eq!(broken(fewer), [received::RECEIVED, received::DUPLICATES]);
        let excused = broken(|evidence| {
            fewer(evidence);
            evidence.truth.duplicates_us[1] = GAP_US.0 + 1;
        });
        assert_eq!(excused, [""; 0]);
    }
}
