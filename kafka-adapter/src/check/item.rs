//! One thing that was examined: what it is, how it stands, and how to mend it.
//!
//! Responsible for the form of a row. Refuses a failure without a mend and a mend of several lines. Invariant: `id`s are
//! stable, since programs read them; titles and words are for people and may change.

use std::borrow::Cow;

use serde::Serialize;

use crate::exit::Exit;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, or may, and an operator should know.
    Warning,
    /// A run would fail, or lose what was promised; the exit that says why.
    Failed(Exit),
    /// Not examined; the detail says why.
    Skipped,
}

impl Outcome {
    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The mark in the table.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Failed(_) => '✗',
            Self::Skipped => '–',
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What is examined: a name for programs and one for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Stable name, such as `kafka.topic.audit`.
    pub id: &'static str,
    /// A few words, such as `audit topic`.
    pub title: &'static str,
}

impl Subject {
    /// Names a subject.
    #[must_use]
    pub const fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title }
    }

    /// It is as it should be.
    #[must_use]
    pub fn holds(self, detail: impl Into<String>) -> Item {
        self.item(Outcome::Ok, detail.into(), None)
    }

    /// It was not examined; says why.
    #[must_use]
    pub fn skipped(self, why: impl Into<String>) -> Item {
        self.item(Outcome::Skipped, why.into(), None)
    }

    /// An operator should know.
    #[must_use]
    pub fn warns(self, detail: impl Into<String>, mend: impl Into<String>) -> Item {
        self.item(Outcome::Warning, detail.into(), Some(mend.into()))
    }

    /// A run would fail.
    #[must_use]
    pub fn fails(self, exit: Exit, detail: impl Into<String>, mend: impl Into<String>) -> Item {
        self.item(Outcome::Failed(exit), detail.into(), Some(mend.into()))
    }

    /// A run would fail with this message. The errors of this program end with their mend, behind the last semicolon;
    /// `otherwise` is the mend of those that have none.
    #[must_use]
    pub fn fails_as(self, exit: Exit, message: &str, otherwise: &str) -> Item {
        match message.rsplit_once("; ") {
            Some((detail, mend)) => self.fails(exit, detail, mend),
            None => self.fails(exit, message, otherwise),
        }
    }

    fn item(self, outcome: Outcome, detail: String, mend: Option<String>) -> Item {
        Item {
            id: Cow::Borrowed(self.id),
            title: Cow::Borrowed(self.title),
            outcome,
            detail: one_line(detail),
            mend: mend.map(one_line),
        }
    }
}

/// Messages of plugins, brokers and the system may hold line breaks, which would tear the table.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) {
        return text.replace(char::is_control, " ");
    }
    text
}

/// A row of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Stable name; rows about faults of a configuration share it.
    pub id: Cow<'static, str>,
    /// A few words for the table.
    #[serde(skip)]
    pub title: Cow<'static, str>,
    /// How it stands.
    pub outcome: Outcome,
    /// What was found, in one line; never a secret.
    pub detail: String,
    /// How to mend it, in one line; present for failures and warnings.
    pub mend: Option<String>,
}

impl Item {
    /// The same row under another name.
    #[must_use]
    pub fn named(self, id: String, title: String) -> Self {
        Self {
            id: Cow::Owned(id),
            title: Cow::Owned(one_line(title)),
            ..self
        }
    }

    /// The exit that a failure asks for.
    #[must_use]
    pub fn failure(&self) -> Option<Exit> {
        match self.outcome {
            Outcome::Failed(exit) => Some(exit),
            Outcome::Ok | Outcome::Warning | Outcome::Skipped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject = Subject::new("a.b", "a thing");

    #[test]
    fn what_stands_behind_the_last_semicolon_is_the_mend() {
        let item = SUBJECT.fails_as(Exit::Config, "no file; looked here; put it there", "ask");
        assert_eq!(
            (item.detail.as_str(), item.mend.as_deref()),
            ("no file; looked here", Some("put it there"))
        );
        let item = SUBJECT.fails_as(Exit::Config, "no file", "ask");
        assert_eq!(
            (item.detail.as_str(), item.mend.as_deref()),
            ("no file", Some("ask"))
        );
    }

    #[test]
    fn a_row_stays_one_line_whatever_was_said() {
        let item = SUBJECT.warns("a\nb\u{1b}[0m", "c\r\nd");
        assert_eq!(
            (item.detail.as_str(), item.mend.as_deref()),
            ("a b [0m", Some("c  d"))
        );
    }
}
