//! The summary at the end of a run.
//!
//! Responsible for one block that a person reads and one line that a program reads. Refuses to hide a broken law.
//! Invariant: every figure that the laws are made of is in it.

use std::fmt;

use serde_json::{Value, json};

use crate::metrics::Figures;
use crate::pipeline::{Counters, Measure};

/// What a run came to, in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Identity of the run, as in its audit records.
    pub run_id: String,
    /// Why it ended, in words.
    pub ending: String,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// Last sequence that the source was told.
    pub committed: Option<u64>,
    /// The pipeline's counts.
    pub counters: Counters,
    /// What was still in flight at the end.
    pub measure: Measure,
    /// Audit records written into the chain.
    pub audits_written: u64,
    /// Figures and laws.
    pub figures: Figures,
    /// The source's statistics, as it gave them.
    pub source: Value,
}

impl Summary {
    /// The summary as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let counters = &self.counters;
        json!({
            "runId": self.run_id,
            "ending": self.ending,
            "durationMs": self.duration_ms,
            "committed": self.committed,
            "pulled": counters.pulled,
            "resolved": counters.resolved,
            "inFlight": self.measure.in_flight,
            "events": counters.events,
            "deadLetters": counters.dead_letters,
            "control": counters.control,
            "lastResort": counters.last_resort,
            "refused": counters.refused,
            "auditsWritten": self.audits_written,
            "auditsAcknowledged": counters.audits,
            "orderExceptions": counters.order_exceptions,
            "producerReplacements": counters.producer_replacements,
            "resent": counters.resent,
            "strayOutcomes": counters.stray_outcomes,
            "totalIngested": self.figures.total_ingested,
            "totalDropped": self.figures.total_dropped,
            "totalDuplicated": self.figures.total_duplicated,
            "handoverAmbiguous": self.figures.handover_ambiguous,
            "laws": {
                "frames": self.figures.laws.frames,
                "records": self.figures.laws.records,
                "adapter": self.figures.laws.adapter,
            },
            "source": self.source,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = &self.counters;
        let figures = &self.figures;
        writeln!(
            f,
            "run {} ended: {} ({} ms)",
            self.run_id, self.ending, self.duration_ms
        )?;
        writeln!(
            f,
            "  frames    received {}  duplicates {}  dropped {}  ambiguous in hand-overs {}",
            figures.total_ingested,
            figures.total_duplicated,
            figures.total_dropped,
            figures.handover_ambiguous
        )?;
        writeln!(
            f,
            "  records   pulled {}  resolved {}  in flight {}  committed {}",
            counters.pulled,
            counters.resolved,
            self.measure.in_flight,
            self.committed
                .map_or_else(|| "none".to_owned(), |sequence| sequence.to_string())
        )?;
        writeln!(
            f,
            "  delivered events {}  dead letters {}  control {}  last resort {}",
            counters.events, counters.dead_letters, counters.control, counters.last_resort
        )?;
        writeln!(
            f,
            "  audit     written {}  acknowledged {}",
            self.audits_written, counters.audits
        )?;
        writeln!(
            f,
            "  troubles  refused {}  sent again {}  order exceptions {}  producers replaced {}",
            counters.refused, counters.resent, counters.order_exceptions, counters.producer_replacements
        )?;
        write!(
            f,
            "  laws      {}  ({})",
            figures.laws.to_string().replace(", ", "  "),
            match figures.laws.hold() {
                false => "BROKEN",
                true if figures.laws.frames.and(figures.laws.records).is_none() =>
                    "those that are known hold",
                true => "all hold",
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_and_line_carry_the_laws_and_their_terms() {
        let counters = Counters {
            pulled: 10,
            resolved: 8,
            events: 8,
            ..Counters::default()
        };
        let measure = Measure {
            in_flight: 1,
            resolved_behind: 0,
            oldest_received_us: Some(0),
        };
        let figures = Figures::read(
            &json!({"frames": {"received": 11, "handover_ambiguous": 3, "law": 0}}),
            &counters,
            &measure,
            0,
        );
        let summary = Summary {
            run_id: "r".to_owned(),
            ending: "stopped".to_owned(),
            duration_ms: 5,
            committed: Some(7),
            counters,
            measure,
            audits_written: 9,
            figures,
            source: json!({}),
        };
        assert_eq!(summary.to_json()["laws"]["adapter"], 1);
        assert_eq!(summary.to_json()["pulled"], 10);
        assert_eq!(summary.to_json()["handoverAmbiguous"], 3);
        let text = summary.to_string();
        assert!(
            text.contains("received 11  duplicates 0  dropped 0  ambiguous in hand-overs 3\n"),
            "{text}"
        );
        assert!(
            text.contains("pulled 10  resolved 8  in flight 1  committed 7"),
            "{text}"
        );
        assert!(
            text.ends_with("  laws      frames 0  records unknown  adapter 1  (BROKEN)"),
            "{text}"
        );
        let settled = Measure {
            in_flight: 2,
            ..measure
        };
        for (stats, ending) in [
            (
                json!({"frames": {"law": 0}}),
                "frames 0  records unknown  adapter 0  (those that are known hold)",
            ),
            (
                json!({"frames": {"law": 0}, "records": {"law": 0}}),
                "frames 0  records 0  adapter 0  (all hold)",
            ),
        ] {
            let summary = Summary {
                figures: Figures::read(&stats, &counters, &settled, 0),
                ..summary.clone()
            };
            let text = summary.to_string();
            assert!(text.ends_with(&format!("  laws      {ending}")), "{text}");
        }
    }
}
