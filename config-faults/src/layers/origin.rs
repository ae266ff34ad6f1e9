//! Where each value of the configuration comes from.
//!
//! Responsible for merging the layers (defaults, file, environment, flags) value by value. Refuses nothing but a value that
//! stands where a later layer needs a table: what else is wrong shows when the merged value is checked. Invariant: every
//! value that is not a default has an origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::{Fault, child, entry, type_name};
use serde_json::{Map, Value};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A fault and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// What is wrong.
    pub fault: Fault,
    /// Where the value, or what it should stand in, was written; absent where nobody wrote anything.
    pub origin: Option<Origin>,
}

impl Located {
    /// Its place in a report: faults of the file by line, then those of the environment, of flags, and of what nobody
    /// wrote; within each by path. A file that cannot be read comes first.
    #[must_use]
    pub fn place(&self) -> (u8, usize, &str, &str) {
        let (layer, line) = match &self.origin {
            Some(Origin::File { line, .. }) => (0, *line),
            None if self.fault.path.is_empty() => (0, 0),
            Some(Origin::Environment(_)) => (1, 0),
            Some(Origin::Flag(_)) => (2, 0),
            Some(Origin::Default) | None => (3, 0),
        };
        (layer, line, &self.fault.path, &self.fault.message)
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

/// What the layers set, and from where.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// What was set; defaults are not in it.
    pub value: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
    /// The faults of values that gave way to a table, which no later check can see.
    pub displaced: Vec<Located>,
}

impl Merged {
    /// Sets the value at a path of keys; what an earlier layer set there is forgotten. The tables on the way get no
    /// origin: who sets one key with a flag has not written what is missing beside it.
    pub fn set(&mut self, keys: &[String], value: Value, origin: &Origin) {
        let Some((last, parents)) = keys.split_last() else {
            return;
        };
        let mut path = String::new();
        let mut here = &mut self.value;
        for key in parents {
            path = child(&path, key);
            let inner = here
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                let message = format!("expected table, found {}", type_name(inner));
                self.displaced.push(Located {
                    fault: Fault::new(path.clone(), message),
                    origin: self.origins.get(&path).cloned(),
                });
                *inner = Value::Object(Map::new());
                self.origins
                    .retain(|known, _| known != &path && !is_below(known, &path));
            }
            let Value::Object(map) = inner else { return };
            here = map;
        }
        let path = child(&path, last);
        self.origins
            .retain(|known, _| known != &path && !is_below(known, &path));
        record(&mut self.origins, &path, &value, origin);
        here.insert(last.clone(), value);
    }

    /// Notes where a table begins, and that it is there even if it is empty.
    pub fn open_table(&mut self, keys: &[String], origin: &Origin) {
        let mut here = &mut self.value;
        let mut path = String::new();
        for key in keys {
            path = child(&path, key);
            let inner = here
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = inner else { return };
            here = map;
        }
        self.origins.insert(path, origin.clone());
    }

    /// Moves the origin of one entry to its own line.
    pub fn locate(&mut self, path: &str, origin: Origin) {
        self.origins.insert(path.to_owned(), origin);
    }

    /// The origin of exactly this path.
    #[must_use]
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }

    /// The origin of this path or of the nearest thing that it stands in.
    #[must_use]
    pub fn nearest_origin(&self, path: &str) -> Option<&Origin> {
        let mut here = path;
        loop {
            if let Some(origin) = self.origins.get(here) {
                return Some(origin);
            }
            let end = here.rfind(['.', '['])?;
            here = here.split_at(end).0;
        }
    }

    /// Adds the origin to a fault. A table that only its keys made has theirs: who set `webhook.secret.env` alone has
    /// written all there is of `webhook.secret`.
    #[must_use]
    pub fn located(&self, fault: Fault) -> Located {
        let path = fault.path.as_str();
        let inside = || {
            let mut origins = self.origins.iter();
            origins.find_map(|(known, origin)| is_below(known, path).then_some(origin))
        };
        let origin = self.origin(path).or_else(inside);
        let origin = origin.or_else(|| self.nearest_origin(path)).cloned();
        Located { fault, origin }
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn record(origins: &mut BTreeMap<String, Origin>, path: &str, value: &Value, origin: &Origin) {
    origins.insert(path.to_owned(), origin.clone());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, inner)| record(origins, &child(path, key), inner, origin)),
        Value::Array(entries) => {
            entries
                .iter()
                .enumerate()
                .for_each(|(at, inner)| record(origins, &entry(path, at), inner, origin));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Fault, Merged, Origin};

    fn keys(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn the_later_layer_wins_and_its_origin_with_it() {
        let mut merged = Merged::default();
        let file = Origin::File {
            path: "c.toml".into(),
            line: 3,
        };
        merged.set(&keys("delivery.to"), json!("kafka"), &file);
        merged.set(&keys("delivery.drain_ms"), json!(5), &file);
        merged.set(&keys("delivery.to"), json!("lines"), &Origin::Flag("--to"));
        assert_eq!(
            Value::Object(merged.value.clone()),
            json!({"delivery": {"to": "lines", "drain_ms": 5}})
        );
        assert_eq!(merged.origin("delivery.to"), Some(&Origin::Flag("--to")));
        assert_eq!(merged.origin("delivery.drain_ms"), Some(&file));
    }

    #[test]
    fn a_replaced_table_takes_its_origins_with_it() {
        let mut merged = Merged::default();
        let file = Origin::File {
            path: "c.toml".into(),
            line: 3,
        };
        merged.set(&keys("a.b.c"), json!([1, {"d": 2}]), &file);
        assert_eq!(merged.nearest_origin("a.b.c[1].d"), Some(&file));
        let variable = Origin::Environment("V".into());
        merged.set(&keys("a.b"), json!(7), &variable);
        assert_eq!(merged.origin("a.b.c[1].d"), None);
        assert_eq!(merged.nearest_origin("a.b.c[1].d"), Some(&variable));
        merged.set(&keys("a.b.e"), json!(8), &Origin::Flag("--e"));
        assert_eq!(Value::Object(merged.value.clone()), json!({"a": {"b": {"e": 8}}}));
        assert_eq!(merged.nearest_origin("z"), None);
        assert_eq!(
            merged
                .displaced
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["environment variable V: a.b: expected table, found integer"]
        );
    }

    #[test]
    fn a_fault_of_a_table_that_only_its_keys_made_has_their_origin() {
        let mut merged = Merged::default();
        let file = Origin::File {
            path: "c.toml".into(),
            line: 3,
        };
        merged.open_table(&keys("webhook"), &file);
        merged.set(
            &keys("webhook.secret.env"),
            json!("X"),
            &Origin::Environment("V".into()),
        );
        for (path, line) in [
            ("webhook.secret", "environment variable V: webhook.secret: no"),
            ("webhook.secret.file", "c.toml:3: webhook.secret.file: no"),
            ("webhook.url", "c.toml:3: webhook.url: no"),
            ("web", "web: no"),
        ] {
            assert_eq!(merged.located(Fault::new(path, "no")).to_string(), line);
        }
    }
}
