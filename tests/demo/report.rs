//! What a person sees while the demo runs, and the lines of the proof.
//!
//! Responsible for text alone. Refuses to scroll a terminal. Invariant: a broken comparison is
//! printed like every other one, with both numbers.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use crate::proof::Comparison;

/// Time between two status lines where the output is no terminal.
const SPARSE: Duration = Duration::from_secs(5);

/// Figures of the status line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Events that the simulator has sent, to each socket.
    pub(crate) sent: u64,
    /// Events delivered.
    pub(crate) delivered: u64,
    /// Audit records.
    pub(crate) audit: u64,
    /// Dead letters.
    pub(crate) dead_letters: u64,
    /// What was taken out of the feed, and how often, by the adapter's log.
    pub(crate) removed: (&'static str, u64),
    /// Gaps opened.
    pub(crate) gaps: u64,
    /// Records that wait in the plugin, by the adapter's last metrics line.
    pub(crate) queue_depth: u64,
}

impl Status {
    fn line(&self, since_start: Duration) -> String {
        format!(
            "{:>3} s  sent {}  delivered {}  audit {}  dead letters {}  {} {}  gaps {}  queue {}",
            since_start.as_secs(),
            self.sent,
            self.delivered,
            self.audit,
            self.dead_letters,
            self.removed.0,
            self.removed.1,
            self.gaps,
            self.queue_depth
        )
    }
}

/// Where the status line goes.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
    printed: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            terminal: stdout().is_terminal(),
            printed: None,
        }
    }

    /// Shows the status: over the last one on a terminal, else now and then on a line of its own.
    pub(crate) fn show(&mut self, status: &Status) {
        let line = status.line(self.start.elapsed());
        if self.terminal {
            write_out(&format!("\r{line}\x1b[K"));
        } else if self.printed.is_none_or(|printed| printed.elapsed() >= SPARSE) {
            write_out(&format!("{line}\n"));
        } else {
            return;
        }
        self.printed = Some(Instant::now());
    }

    /// Ends the status line, so that what follows has a line of its own.
    pub(crate) fn end(&mut self) {
        if self.terminal && self.printed.take().is_some() {
            write_out("\n");
        }
    }
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    write_out(&format!("{line}\n"));
}

fn write_out(text: &str) {
    let mut out = stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // nobody reads any more; the exit status still tells
    }
}

/// What the source tells in a line of the adapter's log.
pub(crate) fn told(line: &str) -> Option<String> {
    let (_, told) = line.split_once(" source: ")?;
    let (told, _) = told.split_once(" module=").unwrap_or((told, ""));
    Some(format!("      {told}"))
}

/// A figure of the adapter's last metrics line.
pub(crate) fn metric(lines: &[String], name: &str) -> Option<u64> {
    let wanted = format!(" {name}=");
    let line = lines.iter().rev().find(|line| line.contains(&wanted))?;
    let (_, rest) = line.split_once(&wanted)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// One comparison as a line.
pub(crate) fn line(comparison: &Comparison) -> String {
    let (mark, relation) = if comparison.holds() {
        ('✓', '=')
    } else {
        ('✗', '≠')
    };
    let Comparison {
        what,
        found,
        expected,
        note,
    } = comparison;
    format!("  {mark} {what:<52} {found:>6} {relation} {expected:<6} {note}")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_shows_both_numbers_and_whether_they_are_equal() {
        let mut comparison = Comparison {
            what: "events delivered exactly once",
            found: 7,
            expected: 8,
            note: String::new(),
        };
        assert!(line(&comparison).starts_with("  ✗ events delivered exactly once"));
        assert!(line(&comparison).ends_with(" 7 ≠ 8"));
        comparison.found = 8;
        assert!(line(&comparison).contains('✓') && line(&comparison).ends_with(" 8 = 8"));
    }

    #[test]
    fn what_the_source_tells_is_shown_without_its_time_and_module() {
        let line =
            "2026-11-24T10:54:16Z  INFO source: channel replaced channel=0 held=3 module=genesys_source::x";
        assert_eq!(told(line).unwrap(), "      channel replaced channel=0 held=3");
        assert_eq!(
            told("2026-11-24T10:54:16Z  INFO kafka_adapter::run: run opened"),
            None
        );
    }

    #[test]
    fn a_metric_is_taken_from_the_last_line_that_has_it() {
        let lines = [
            "INFO metrics totalDuplicated=1 queueDepth=0",
            "INFO metrics totalDuplicated=12 queueDepth=3",
            "x",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(metric(&lines, "totalDuplicated"), Some(12));
        assert_eq!(metric(&lines, "queueDepth"), Some(3));
        assert_eq!(metric(&lines, "Depth"), None);
    }
}
