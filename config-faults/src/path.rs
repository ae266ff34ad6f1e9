//! Paths of a configuration as a person writes them: `delivery.to`, `events[3]`, `headers."x.y"`.
//!
//! Responsible for rendering and for saying which paths name a secret. Refuses to let a control character through:
//! a key that is not a plain word is quoted and escaped. Invariant: steps order array entries by number.

use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value;

/// Longest key that a path shows, in characters; the rest is cut so that one hostile key cannot flood a report.
const KEY_CHARACTERS: usize = 64;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// An entry of an array.
    Entry(usize),
    /// A key of an object.
    Key(String),
}

/// Writes steps as a path; an empty list is the empty path.
#[must_use]
pub(crate) fn render(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Entry(number) => {
                path.push('[');
                path.push_str(&number.to_string());
                path.push(']');
            }
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&plain_key(key));
            }
        }
    }
    path
}

/// Puts `path` below `prefix`; either may be empty.
#[must_use]
pub fn join(prefix: &str, path: &str) -> String {
    if prefix.is_empty() || path.is_empty() || path.starts_with('[') {
        format!("{prefix}{path}")
    } else {
        format!("{prefix}.{path}")
    }
}

/// The path of a key of the object at `path`.
#[must_use]
pub fn child(path: &str, key: &str) -> String {
    join(path, &plain_key(key))
}

/// The path of an entry of the array at `path`.
#[must_use]
pub fn entry(path: &str, number: usize) -> String {
    format!("{path}[{number}]")
}

/// Says whether a path may name a secret: one of its keys contains `secret`, `password`, `token` or `key`.
#[must_use]
pub fn is_secret(path: &str) -> bool {
    let lower = path.to_lowercase();
    ["secret", "password", "token", "key"]
        .iter()
        .any(|word| lower.contains(word))
}

/// Shows a key: as it is if it is a plain word, else quoted and escaped.
fn plain_key(key: &str) -> String {
    let cut: String = key.chars().take(KEY_CHARACTERS).collect();
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    if !cut.is_empty() && cut.chars().all(plain) {
        cut
    } else {
        format!("\"{}\"", cut.escape_debug())
    }
}

/// Turns a JSON Pointer into steps by walking the value: `/0` is an entry of an array but a key of an object.
pub(crate) fn steps(location: &Location, value: &Value) -> Vec<Step> {
    let mut here = Some(value);
    location
        .iter()
        .map(|segment| {
            let text = match &segment {
                LocationSegment::Property(name) => name.to_string(),
                LocationSegment::Index(number) => number.to_string(),
            };
            match (here, text.parse::<usize>()) {
                (Some(Value::Array(entries)), Ok(number)) => {
                    here = entries.get(number);
                    Step::Entry(number)
                }
                (at, _) => {
                    here = at.and_then(|value| value.get(&text));
                    Step::Key(text)
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Step, child, entry, is_secret, join, render};

    #[test]
    fn a_path_reads_like_the_file() {
        let steps = [
            Step::Key("events".into()),
            Step::Entry(3),
            Step::Key("x y".into()),
        ];
        assert_eq!(render(&steps), "events[3].\"x y\"");
        assert_eq!(join("a", "[1]"), "a[1]");
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a.b", "c"), "a.b.c");
        assert_eq!(join("a", ""), "a");
        assert_eq!(entry(&child(&child("", "events"), "x y"), 3), "events.\"x y\"[3]");
    }

    #[test]
    fn secret_words_are_found_in_any_case_and_place() {
        for path in [
            "client_Secret",
            "sasl.password",
            "a.sessionToken",
            "pii.key",
            "KEYS[0]",
        ] {
            assert!(is_secret(path), "{path}");
        }
        assert!(!is_secret("delivery.to"));
    }

    #[test]
    fn a_long_key_is_cut() {
        assert_eq!(render(&[Step::Key("k".repeat(1000))]).len(), 64);
    }
}
