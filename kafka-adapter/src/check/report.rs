//! All that was examined, as a table for people, as JSON for programs, and as an exit.
//!
//! Responsible for the order of the rows, the verdict and the exit. Refuses colour, which a log would keep. Invariant:
//! table, JSON and exit never disagree, since all three are read from the same rows.

use std::fmt;

use serde::Serialize;

use super::item::{Item, Outcome};
use crate::exit::Exit;

/// Version of the JSON form (`schemas/check.schema.json`).
const SCHEMA_VERSION: &str = "1.0";

/// The exits of a failure, the worst first: what no restart mends before what one may.
const WORST_FIRST: [Exit; 3] = [Exit::Config, Exit::Credentials, Exit::Unavailable];

/// What was examined; displays as the table, without a line end after the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: &'static str,
    ready: bool,
    checks: &'a [Item],
}

impl Report {
    /// A report of these rows.
    #[must_use]
    pub fn new(items: Vec<Item>) -> Self {
        Self { items }
    }

    /// The rows.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.exit() == Exit::Success
    }

    /// The exit of the worst failure; success if there is none.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let failures: Vec<Exit> = self.items.iter().filter_map(Item::failure).collect();
        let worst = WORST_FIRST.into_iter().find(|exit| failures.contains(exit));
        worst.or(failures.first().copied()).unwrap_or(Exit::Success)
    }

    /// The report as one line of JSON; see `schemas/check.schema.json`.
    ///
    /// # Panics
    /// Never: texts and a truth value can always be written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = Document {
            schema_version: SCHEMA_VERSION,
            ready: self.is_ready(),
            checks: &self.items,
        };
        serde_json::to_string(&document).expect("texts and a truth value can always be written")
    }

    fn count(&self, what: impl Fn(Outcome) -> bool) -> usize {
        self.items.iter().filter(|item| what(item.outcome)).count()
    }

    /// The last line: whether a run can start, and the counts.
    fn verdict(&self) -> String {
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let warned = self.count(|outcome| outcome == Outcome::Warning);
        let skipped = self.count(|outcome| outcome == Outcome::Skipped);
        let mut verdict = if failed > 0 {
            format!("not ready: {failed} of {} failed", self.items.len() - skipped)
        } else {
            format!(
                "ready: {}",
                counted(
                    self.count(|outcome| outcome == Outcome::Ok),
                    "check holds",
                    "checks hold"
                )
            )
        };
        if warned > 0 {
            verdict.push_str(&format!(", {}", counted(warned, "warning", "warnings")));
        }
        if skipped > 0 {
            verdict.push_str(&format!(", {skipped} not examined"));
        }
        verdict
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.items.iter().map(|item| item.title.chars().count()).max();
        let width = width.unwrap_or(0);
        for item in &self.items {
            let mark = item.outcome.mark();
            writeln!(f, "{mark} {:<width$}  {}", item.title, item.detail)?;
            if let Some(mend) = &item.mend {
                writeln!(f, "  {:<width$}  mend: {mend}", "")?;
            }
        }
        write!(f, "{}", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::item::Subject;

    const FIRST: Subject = Subject::new("a", "first");
    const SECOND: Subject = Subject::new("b.c", "the second");

    #[test]
    fn the_table_is_aligned_and_ends_with_the_verdict() {
        let report = Report::new(vec![
            FIRST.holds("fine"),
            SECOND.fails(Exit::Unavailable, "away", "start it"),
            FIRST.warns("odd", "look"),
            SECOND.skipped("offline"),
        ]);
        assert_eq!(
            report.to_string(),
            "✓ first       fine\n\
             ✗ the second  away\n              mend: start it\n\
             ! first       odd\n              mend: look\n\
             – the second  offline\n\
             not ready: 1 of 3 failed, 1 warning, 1 not examined"
        );
        assert_eq!(
            report.to_json(),
            r#"{"schemaVersion":"1.0","ready":false,"checks":[{"id":"a","outcome":"ok","detail":"fine","mend":null},"#
                .to_owned()
                + r#"{"id":"b.c","outcome":"failed","detail":"away","mend":"start it"},"#
                + r#"{"id":"a","outcome":"warning","detail":"odd","mend":"look"},"#
                + r#"{"id":"b.c","outcome":"skipped","detail":"offline","mend":null}]}"#
        );
    }

    #[test]
    fn warnings_are_no_failure() {
        let report = Report::new(vec![FIRST.holds("fine"), SECOND.warns("odd", "look")]);
        assert_eq!((report.exit(), report.is_ready()), (Exit::Success, true));
        assert!(report.to_string().ends_with("\nready: 1 check holds, 1 warning"));
    }

    #[test]
    fn the_worst_failure_decides_the_exit() {
        let failed = |exit| FIRST.fails(exit, "x", "y");
        for (exits, worst) in [
            (vec![Exit::Unavailable], Exit::Unavailable),
            (vec![Exit::Unavailable, Exit::Credentials], Exit::Credentials),
            (
                vec![Exit::Credentials, Exit::Unavailable, Exit::Config],
                Exit::Config,
            ),
        ] {
            let items = exits.into_iter().map(failed).collect();
            assert_eq!(Report::new(items).exit(), worst);
        }
    }
}
