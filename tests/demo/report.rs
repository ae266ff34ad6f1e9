//! What a person sees: the status line, the proof, one record of each topic.
//!
//! Responsible for text alone. Refuses to print a value longer than a few lines. Invariant: a broken comparison is
//! printed like every other one, with both numbers.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::ReadRecord;

use crate::proof::Comparison;

/// Time between two status lines where the output is no terminal.
const SPARSE: Duration = Duration::from_secs(5);
/// Longest string of a sample record, in characters.
const STRING: usize = 72;
/// Most members of an array of a sample record.
const MEMBERS: usize = 1;

/// Figures of the status line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Events that the simulator has sent.
    pub(crate) sent: u64,
    /// Records in the events topic.
    pub(crate) delivered: u64,
    /// Records in the audit topic.
    pub(crate) audit: u64,
    /// Records in the dead-letter topic.
    pub(crate) dead_letters: u64,
    /// Duplicates that the plugin has removed, by the adapter's last metrics line.
    pub(crate) duplicates: u64,
    /// Gaps opened.
    pub(crate) gaps: u64,
    /// Records that wait in the plugin, by the adapter's last metrics line.
    pub(crate) queue_depth: u64,
}

impl Status {
    fn line(&self, since_start: Duration) -> String {
        format!(
            "{:>3} s  sent {}  delivered {}  audit {}  dead letters {}  duplicates removed {}  gaps {}  queue {}",
            since_start.as_secs(),
            self.sent,
            self.delivered,
            self.audit,
            self.dead_letters,
            self.duplicates,
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

/// The value of a record as text.
pub(crate) fn text_of(record: &ReadRecord) -> Cow<'_, str> {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default())
}

/// One record of a topic, shortened.
pub(crate) fn sample(topic: &str, record: &ReadRecord) -> String {
    let mut text = format!(
        "{topic}  partition {}  offset {}  key {}\n",
        record.partition,
        record.offset,
        if record.key.is_some() {
            record.key_text()
        } else {
            "none".to_owned()
        }
    );
    for (name, value) in &record.headers {
        let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
        text.push_str(&format!("  {name}: {}\n", shortened_text(&value)));
    }
    let value = serde_json::from_str(&text_of(record)).unwrap_or(Value::Null);
    let pretty = serde_json::to_string_pretty(&shortened(value)).unwrap_or_default();
    for line in pretty.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(shortened_text(&text)),
        Value::Array(members) => {
            let more = members.len().saturating_sub(MEMBERS);
            let mut kept: Vec<Value> = members.into_iter().take(MEMBERS).map(shortened).collect();
            if more > 0 {
                kept.push(Value::String(format!("… {more} more")));
            }
            Value::Array(kept)
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, shortened(member)))
            .collect(),
        other => other,
    }
}

fn shortened_text(text: &str) -> String {
    if text.chars().count() <= STRING {
        return text.to_owned();
    }
    let head: String = text.chars().take(STRING).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn a_sample_is_shortened_but_keeps_its_members() {
        let value = shortened(json!({"text": "é".repeat(100), "list": [1, 2, 3], "n": null}));
        assert_eq!(value["text"].as_str().unwrap().chars().count(), STRING + 1);
        assert_eq!(value["list"], json!([1, "… 2 more"]));
        assert!(value["n"].is_null());
    }
}
