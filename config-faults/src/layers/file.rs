//! The configuration file: TOML, with the line of every value.
//!
//! Responsible for finding and reading it. Refuses an explicitly named file that is not there, text that is not
//! TOML (every syntax error in one pass), and numbers that JSON cannot carry. Invariant: a value keeps its line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Fault, child, entry};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{Located, Merged, Origin};

/// Name of the file that is looked for where none is named.
pub const FILE_NAME: &str = "genesys-kafka.toml";

/// Largest file that is read, in bytes: a configuration is a few kilobytes.
const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The first default file that exists in these folders.
#[must_use]
pub fn find(folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(FILE_NAME))
        .find(|file| file.is_file())
}

/// Reads a file into `merged`; gives the faults of reading, those of the whole file at the empty path.
#[must_use]
pub fn read(path: &Path, merged: &mut Merged) -> Vec<Located> {
    let unread = |message: String, mend: &str| {
        let fault =
            Fault::new("", format!("configuration file `{}` {message}", path.display())).with_mend(mend);
        vec![Located { fault, origin: None }]
    };
    match fs::metadata(path) {
        Ok(known) if known.len() > FILE_MAX_BYTES => {
            return unread(
                format!("has {} bytes", known.len()),
                "a configuration has at most 4 MiB",
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return unread("does not exist".to_owned(), "name an existing file with --config");
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text, merged),
        Err(error) => unread(
            format!("cannot be read: {error}"),
            "check its permissions and that it is text",
        ),
    }
}

/// Parses the text of a file into `merged`; gives the syntax errors.
#[must_use]
pub fn parse(path: &Path, text: &str, merged: &mut Merged) -> Vec<Located> {
    let lines = Lines::of(path, text);
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut faults: Vec<Located> = errors
        .iter()
        .map(|error| Located {
            fault: Fault::new("", format!("not TOML: {}", error.message())),
            origin: Some(lines.origin(error.span().map_or(0, |span| span.start))),
        })
        .collect();
    // What a parser guesses after a syntax error would only add faults that nobody made.
    if faults.is_empty() {
        walk(table.get_ref(), &mut Vec::new(), &lines, merged, &mut faults);
    }
    faults
}

/// Where lines begin, to turn a byte offset into a line.
struct Lines<'a> {
    path: &'a Path,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(path: &'a Path, text: &str) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1)
            .collect();
        Self { path, starts }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset) + 1;
        Origin::File {
            path: self.path.to_path_buf(),
            line,
        }
    }
}

fn walk(
    table: &DeTable<'_>,
    keys: &mut Vec<String>,
    lines: &Lines<'_>,
    merged: &mut Merged,
    faults: &mut Vec<Located>,
) {
    for (key, spanned) in table {
        keys.push(key.get_ref().to_string());
        let origin = lines.origin(key.span().start);
        if let DeValue::Table(inner) = spanned.get_ref() {
            merged.open_table(keys, &origin);
            walk(inner, keys, lines, merged, faults);
        } else {
            let path = keys.iter().fold(String::new(), |path, key| child(&path, key));
            match json(spanned.get_ref()) {
                Ok(value) => {
                    merged.set(keys, value, &origin);
                    if let DeValue::Array(entries) = spanned.get_ref() {
                        for (at, one) in entries.iter().enumerate() {
                            locate(&entry(&path, at), one, lines, merged);
                        }
                    }
                }
                Err(message) => {
                    faults.push(Located {
                        fault: Fault::new(path, message),
                        origin: Some(origin),
                    });
                }
            }
        }
        keys.pop();
    }
}

/// Gives an entry of an array, and what is inside it, the line that it stands on.
fn locate(path: &str, value: &Spanned<DeValue<'_>>, lines: &Lines<'_>, merged: &mut Merged) {
    merged.locate(path, lines.origin(value.span().start));
    match value.get_ref() {
        DeValue::Array(entries) => {
            for (at, one) in entries.iter().enumerate() {
                locate(&entry(path, at), one, lines, merged);
            }
        }
        DeValue::Table(table) => {
            for (key, one) in table {
                locate(&child(path, key.get_ref()), one, lines, merged);
            }
        }
        _ => {}
    }
}

/// A TOML value as JSON; a date becomes text.
pub(super) fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => Value::from(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| "the number does not fit into 64 bits".to_owned())?,
        ),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| "expected a finite number".to_owned())?,
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(entries) => Value::Array(
            entries
                .iter()
                .map(|one| json(one.get_ref()))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, one)| Ok((key.get_ref().to_string(), json(one.get_ref())?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{parse, read};
    use crate::layers::{Merged, Origin};

    fn parsed(text: &str) -> (Merged, Vec<String>) {
        let mut merged = Merged::default();
        let faults = parse(Path::new("c.toml"), text, &mut merged);
        (merged, faults.iter().map(ToString::to_string).collect())
    }

    fn line(merged: &Merged, path: &str) -> usize {
        match merged.origin(path) {
            Some(Origin::File { line, .. }) => *line,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn every_value_keeps_its_line() {
        let (merged, faults) = parsed(
            "[source.config]\nregion = \"x\"\nevents = [\n  \"a\",\n  { b = 1_000 },\n]\n\n[kafka.librdkafka]\n\
             \"linger.ms\" = 0x10\ncompression.type = \"lz4\"\n[operations]\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            Value::Object(merged.value.clone()),
            json!({"source": {"config": {"region": "x", "events": ["a", {"b": 1000}]}},
                "kafka": {"librdkafka": {"linger.ms": 16, "compression": {"type": "lz4"}}}, "operations": {}})
        );
        let lines: Vec<usize> = [
            "source.config",
            "source.config.region",
            "source.config.events",
            "source.config.events[0]",
            "source.config.events[1].b",
            "kafka.librdkafka.\"linger.ms\"",
            "operations",
        ]
        .iter()
        .map(|path| line(&merged, path))
        .collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 9, 11]);
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let (merged, faults) = parsed("[delivery]\nto = \n\n[kafka\npartitions = 1\n");
        assert!(faults.len() >= 2, "{faults:?}");
        assert!(faults[0].starts_with("c.toml:2: not TOML: "), "{faults:?}");
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with("c.toml:4: not TOML: ")),
            "{faults:?}"
        );
        assert!(merged.value.is_empty());
    }

    #[test]
    fn a_key_that_is_written_twice_is_a_fault() {
        let (_, faults) = parsed("a = 1\na = 2\n");
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("c.toml:2: not TOML: duplicate key"),
            "{faults:?}"
        );
    }

    #[test]
    fn numbers_that_json_cannot_carry_are_faults_and_dates_become_text() {
        let (merged, faults) = parsed("a = inf\nb = 99999999999999999999\nc = 2026-01-02\nd = -1.5\n");
        assert_eq!(
            faults,
            [
                "c.toml:1: a: expected a finite number",
                "c.toml:2: b: the number does not fit into 64 bits"
            ]
        );
        assert_eq!(Value::Object(merged.value), json!({"c": "2026-01-02", "d": -1.5}));
    }

    #[test]
    fn a_file_that_is_not_there_is_one_line() {
        let faults = read(Path::new("/nonexistent/c.toml"), &mut Merged::default());
        assert_eq!(
            faults[0].to_string(),
            "configuration file `/nonexistent/c.toml` does not exist; name an existing file with --config"
        );
    }
}
