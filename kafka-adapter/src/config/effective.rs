//! The effective configuration: every value with its origin, secrets masked.
//!
//! Responsible for printing it as TOML that the adapter would read again. Refuses to print a secret. Invariant:
//! every key of the adapter is in it, set or not.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use config_faults::{Fault, child};
use serde_json::{Map, Value};

use super::draft::{Faults, in_order};
use super::mask;
use super::{Merged, Origin};

/// The sections in the order of the documentation; another one comes after them.
const SECTIONS: [&str; 8] = [
    "source",
    "delivery",
    "kafka",
    "webhook",
    "audit",
    "dead_letter",
    "control",
    "operations",
];

/// A checked configuration with the origin of each value.
#[derive(Clone)]
pub struct Effective {
    value: Map<String, Value>,
    merged: Merged,
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Effective")
            .field(&mask::tree("", &Value::Object(self.value.clone())))
            .finish()
    }
}

impl Effective {
    pub(super) fn new(value: Map<String, Value>, merged: Merged) -> Self {
        Self { value, merged }
    }

    /// Where the value at a path comes from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.merged.origin(path).cloned().unwrap_or(Origin::Default)
    }

    /// Refuses the configuration for what its values lead to, each fault with the origin of its value.
    ///
    /// # Errors
    /// [`Faults`] unless there is none; not retryable.
    pub fn refuse(&self, faults: Vec<Fault>) -> Result<(), Faults> {
        if faults.is_empty() {
            return Ok(());
        }
        let located = faults.into_iter().map(|fault| self.merged.located(fault));
        Err(Faults {
            faults: in_order(located.collect()),
        })
    }

    /// Writes the configuration as TOML, the origin of each value in a comment behind it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut sections: Vec<&String> = self.value.keys().collect();
        sections.sort_by_key(|name| {
            SECTIONS
                .iter()
                .position(|known| known == name)
                .unwrap_or(SECTIONS.len())
        });
        for name in sections {
            if let Some(Value::Object(section)) = self.value.get(name) {
                self.table(&mut out, &child("", name), section);
            }
        }
        out
    }

    fn table(&self, out: &mut String, path: &str, table: &Map<String, Value>) {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut lines = format!("[{path}]\n");
        // Sorted here, because a map keeps the order of insertion where some crate asks serde_json for that.
        let sorted: BTreeMap<&String, &Value> = table.iter().collect();
        for (key, value) in sorted.iter().filter(|(_, value)| !value.is_object()) {
            let at = child(path, key);
            let name = child("", key);
            // Writing to a `String` cannot fail.
            let _infallible = match inline(&mask::tree(&at, value)) {
                Some(shown) => writeln!(lines, "{name} = {shown} # {}", self.origin(&at)),
                None => writeln!(lines, "# {name} is not set"),
            };
        }
        out.push_str(&lines);
        for (key, value) in sorted {
            if let Value::Object(inner) = value {
                self.table(out, &child(path, key), inner);
            }
        }
    }
}

/// A value as TOML on one line; nothing for `null`.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // JSON escapes are TOML escapes, except for DEL, which JSON leaves as it is.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        Value::Array(entries) => {
            format!(
                "[{}]",
                entries.iter().filter_map(inline).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .filter_map(|(key, inner)| Some(format!("{} = {}", child("", key), inline(inner)?)))
                .collect();
            if pairs.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use crate::config::{Draft, Inputs, Setting};

    fn printed(file: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, file).unwrap();
        let flag = Setting {
            flag: "--to",
            key: "delivery.to",
            value: json!("lines"),
        };
        let environment = vec![("GENESYS_KAFKA__DELIVERY__DRAIN_MS".into(), "7".into())];
        let inputs = Inputs {
            file: Some(path),
            folders: vec![],
            environment,
            flags: vec![flag],
        };
        let (_, effective) = Draft::read(&inputs).build().unwrap();
        effective
            .to_toml()
            .replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn every_value_shows_where_it_comes_from() {
        let text =
            printed("[source.config]\nregion = \"eu-west-1\"\n[kafka.librdkafka]\n\"linger.ms\" = 5\n");
        let wanted = [
            "[source]",
            "library = \"libgenesys_source.so\" # default",
            "[source.config]",
            "region = \"eu-west-1\" # c.toml:2",
            "drain_ms = 7 # environment variable GENESYS_KAFKA__DELIVERY__DRAIN_MS",
            "to = \"lines\" # --to",
            "# bootstrap_servers is not set",
            "[kafka.librdkafka]",
            "\"linger.ms\" = 5 # c.toml:4",
            "to = \"lines\" # default",
            "metrics_ms = 10000 # default",
        ];
        let mut at = 0;
        for line in wanted {
            let found = text.lines().skip(at).position(|have| have == line);
            at += found.unwrap_or_else(|| panic!("{line}\n in \n{text}")) + 1;
        }
    }

    #[test]
    fn secrets_are_masked_and_the_text_can_be_read_again() {
        let text = printed(
            "[source.config]\nclient_secret = \"hunter2\"\nclient_id = { env = \"ID\" }\n\
             pii.rules = [{ field = \"a\\\"b\\u007f\\n\", action = \"mask\", api_key = \"hunter2\" }]\n\
             [kafka.librdkafka]\n\"sasl.password\" = \"hunter2\"\n\"ssl.key.location\" = \"/k\"\n",
        );
        assert!(!text.contains("hunter2"), "{text}");
        let again: toml::Table = toml::from_str(&text).unwrap();
        let again = serde_json::to_value(again).unwrap();
        assert_eq!(again["source"]["config"]["client_id"]["env"], "ID");
        assert_eq!(
            again["source"]["config"]["pii"]["rules"][0]["field"],
            "a\"b\u{7f}\n"
        );
        assert_eq!(again["kafka"]["librdkafka"]["ssl.key.location"], "/k");
        assert_eq!(
            again["kafka"]["librdkafka"]["sasl.password"],
            Value::from(crate::config::mask::MASK)
        );
    }
}
