//! From layers to a checked configuration: read everything, report everything, then build.
//!
//! Responsible for the order: file, environment, flags over the defaults; schema, rules, then the plugin's own
//! faults. Refuses to build while one fault is known. Invariant: reading has no side effect and uses no network.

use std::ffi::OsString;
use std::path::PathBuf;

use config_faults::Fault;
use serde_json::{Map, Value};

use super::origin::{Located, Merged, Origin};
use super::raw::{self, Raw};
use super::types::{
    Audit, AuditTo, Config, Control, DeadLetter, Delivery, Destination, Kafka, Operations, Source, Topics,
};
use super::{Effective, environment, file, rules};

/// A value that a command-line flag sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The flag as it is written, such as `--to`.
    pub flag: &'static str,
    /// The key that it sets, such as `delivery.to`.
    pub key: &'static str,
    /// The value.
    pub value: Value,
}

/// Everything that a configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file that was named; it must exist.
    pub file: Option<PathBuf>,
    /// Where `genesys-kafka.toml` is looked for otherwise; it need not exist.
    pub folders: Vec<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What flags set, in the order of the command line.
    pub flags: Vec<Setting>,
}

impl Inputs {
    /// The folders where a configuration file is looked for: here, then the system's.
    #[must_use]
    pub fn default_folders() -> Vec<PathBuf> {
        vec![PathBuf::from("."), PathBuf::from("/etc/genesys-kafka")]
    }
}

/// Every fault of a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.faults))]
pub struct Faults {
    /// The faults, in the order of their paths; never empty.
    pub faults: Vec<Located>,
}

impl Faults {
    /// Says whether the same configuration may be right later: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

fn lines(faults: &[Located]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A configuration that was read and checked, but not built: more faults may come from the plugin.
#[derive(Debug)]
pub struct Draft {
    merged: Merged,
    faults: Vec<Located>,
}

impl Draft {
    /// Reads and checks all inputs.
    #[must_use]
    pub fn read(inputs: &Inputs) -> Self {
        let schema = raw::schema();
        let mut merged = Merged::default();
        let mut faults = Vec::new();
        if let Some(path) = inputs.file.clone().or_else(|| file::find(&inputs.folders)) {
            faults.extend(file::read(&path, &mut merged));
        }
        faults.extend(environment::read(
            inputs.environment.iter().cloned(),
            &schema,
            &mut merged,
        ));
        for setting in &inputs.flags {
            let keys: Vec<String> = setting.key.split('.').map(str::to_owned).collect();
            merged.set(&keys, setting.value.clone(), &Origin::Flag(setting.flag));
        }
        let mut draft = Self { merged, faults };
        // A file that could not be read explains every missing value; guessing at them would bury that line.
        if draft.faults.is_empty() {
            let set = Value::Object(draft.merged.value.clone());
            let of_schema = config_faults::check(&schema, &set)
                .into_iter()
                .map(|fault| rules::not_built(fault, &set));
            draft.add(of_schema.chain(rules::check(&set)).collect());
        }
        draft
    }

    /// Adds faults that name paths of the whole configuration.
    pub fn add(&mut self, faults: Vec<Fault>) {
        let located = faults.into_iter().map(|fault| self.merged.located(fault));
        self.faults.extend(located);
    }

    /// Adds faults of the plugin's own configuration, whose paths begin at `source.config`.
    pub fn add_of_plugin(&mut self, faults: Vec<Fault>) {
        self.add(
            faults
                .into_iter()
                .map(|fault| fault.below("source.config"))
                .collect(),
        );
    }

    /// The faults found so far.
    #[must_use]
    pub fn faults(&self) -> &[Located] {
        &self.faults
    }

    /// Says whether the layers themselves could be read, so that asking the plugin makes sense.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.faults.iter().all(|located| !located.fault.path.is_empty())
    }

    /// The plugin that is to be loaded, if `source.library` is usable.
    #[must_use]
    pub fn library(&self) -> Option<PathBuf> {
        let default = raw::Source::default().library;
        match self.at(&["source", "library"]) {
            None => Some(PathBuf::from(default)),
            Some(Value::String(library)) if !library.is_empty() => Some(PathBuf::from(library)),
            Some(_) => None,
        }
    }

    /// The plugin's own configuration as JSON text; an empty object where none is written.
    #[must_use]
    pub fn plugin_config(&self) -> String {
        match self.at(&["source", "config"]) {
            Some(config @ Value::Object(_)) => config.to_string(),
            _ => "{}".to_owned(),
        }
    }

    fn at(&self, keys: &[&str]) -> Option<&Value> {
        let (first, rest) = keys.split_first()?;
        rest.iter()
            .try_fold(self.merged.value.get(*first)?, |here, key| here.get(key))
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// [`Faults`] if any is known; not retryable.
    pub fn build(mut self) -> Result<(Config, Effective), Faults> {
        let set = Value::Object(self.merged.value.clone());
        if self.faults.is_empty() {
            match serde_json::from_value::<Raw>(set) {
                Ok(raw) => {
                    let config = checked(&raw);
                    let mut whole = serde_json::to_value(&raw).unwrap_or_default();
                    if let Some(audit) = whole.get_mut("audit").and_then(Value::as_object_mut) {
                        audit.insert(
                            "to".to_owned(),
                            serde_json::to_value(config.audit.to).unwrap_or_default(),
                        );
                    }
                    let whole = match whole {
                        Value::Object(map) => map,
                        _ => Map::new(),
                    };
                    return Ok((config, Effective::new(whole, self.merged)));
                }
                // The schema is made from the same types; should they ever disagree, that is a fault like any other.
                Err(error) => {
                    let fault = Fault::new("", format!("the configuration does not fit its types: {error}"));
                    self.faults.push(Located { fault, origin: None });
                }
            }
        }
        self.faults
            .sort_by(|a, b| (&a.fault.path, &a.fault.message).cmp(&(&b.fault.path, &b.fault.message)));
        self.faults.dedup();
        Err(Faults { faults: self.faults })
    }
}

/// The checked types from the written ones.
fn checked(raw: &Raw) -> Config {
    let audit_to = raw.audit.to.unwrap_or(match raw.delivery.to {
        Destination::Kafka => AuditTo::Kafka,
        Destination::Lines => AuditTo::Lines,
    });
    Config {
        source: Source {
            library: PathBuf::from(&raw.source.library),
            name: raw.source.name.clone(),
            config: Value::Object(raw.source.config.clone()),
        },
        delivery: Delivery {
            to: raw.delivery.to,
            guarantee: raw.delivery.guarantee,
            max_in_flight_records: usize::try_from(raw.delivery.max_in_flight_records).unwrap_or(usize::MAX),
            max_in_flight_bytes: raw.delivery.max_in_flight_bytes,
            drain_ms: raw.delivery.drain_ms,
        },
        kafka: Kafka {
            bootstrap_servers: raw.kafka.bootstrap_servers.clone().unwrap_or_default(),
            envelope: raw.kafka.envelope,
            message_max_bytes: raw.kafka.message_max_bytes,
            start_timeout_ms: raw.kafka.start_timeout_ms,
            create_topics: raw.kafka.create_topics,
            partitions: raw.kafka.partitions,
            replication_factor: raw.kafka.replication_factor,
            topics: Topics {
                events: raw.kafka.topics.events.clone(),
                audit: raw.kafka.topics.audit.clone(),
                dead_letter: raw.kafka.topics.dead_letter.clone(),
                control: raw.kafka.topics.control.clone(),
            },
            librdkafka: raw
                .kafka
                .librdkafka
                .iter()
                .map(|(name, value)| (name.clone(), value.text()))
                .collect(),
        },
        audit: Audit {
            to: audit_to,
            path: raw.audit.path.as_ref().map(PathBuf::from),
            compliance_tag: raw.audit.compliance_tag.clone(),
        },
        dead_letter: DeadLetter {
            path: PathBuf::from(&raw.dead_letter.path),
        },
        control: Control {
            path: raw.control.path.as_ref().map(PathBuf::from),
        },
        operations: Operations {
            metrics_ms: raw.operations.metrics_ms,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use config_faults::Fault;
    use serde_json::json;

    use super::{Draft, Inputs, Setting};
    use crate::config::{AuditTo, Destination, Origin};

    fn inputs(file: &str, variables: &[(&str, &str)], flags: Vec<Setting>) -> (tempfile::TempDir, Inputs) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("genesys-kafka.toml"), file).unwrap();
        let environment = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let folders = vec![PathBuf::from("/nonexistent"), folder.path().to_path_buf()];
        (
            folder,
            Inputs {
                file: None,
                folders,
                environment,
                flags,
            },
        )
    }

    fn to_lines() -> Setting {
        Setting {
            flag: "--to",
            key: "delivery.to",
            value: json!("lines"),
        }
    }

    fn report(inputs: &Inputs, folder: &tempfile::TempDir) -> Vec<String> {
        let faults = Draft::read(inputs).build().unwrap_err();
        assert!(!faults.is_retryable());
        let folder = format!("{}/", folder.path().display());
        faults
            .to_string()
            .lines()
            .map(|line| line.replace(&folder, ""))
            .collect()
    }

    #[test]
    fn no_file_is_needed_to_write_lines() {
        let inputs = Inputs {
            flags: vec![to_lines()],
            ..Inputs::default()
        };
        let (config, effective) = Draft::read(&inputs).build().unwrap();
        assert_eq!(
            (config.delivery.to, config.audit.to),
            (Destination::Lines, AuditTo::Lines)
        );
        assert_eq!(config.delivery.max_in_flight_records, 10_000);
        assert_eq!(config.source.config, json!({}));
        assert_eq!(effective.origin("delivery.to"), Origin::Flag("--to"));
        assert_eq!(effective.origin("delivery.drain_ms"), Origin::Default);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = "[delivery]\nto = \"kafka\"\ndrain_ms = 1\nmax_in_flight_records = 2\n[kafka]\nbootstrap_servers = \"a:1\"\n";
        let variables = [
            ("GENESYS_KAFKA__DELIVERY__DRAIN_MS", "3"),
            ("GENESYS_KAFKA__DELIVERY__TO", "kafka"),
        ];
        let (folder, inputs) = inputs(file, &variables, vec![to_lines()]);
        let (config, effective) = Draft::read(&inputs).build().unwrap();
        assert_eq!(config.delivery.to, Destination::Lines);
        assert_eq!(
            (config.delivery.drain_ms, config.delivery.max_in_flight_records),
            (3, 2)
        );
        assert_eq!(
            effective.origin("delivery.drain_ms"),
            Origin::Environment("GENESYS_KAFKA__DELIVERY__DRAIN_MS".into())
        );
        let path = folder.path().join("genesys-kafka.toml");
        assert_eq!(
            effective.origin("delivery.max_in_flight_records"),
            Origin::File { path, line: 4 }
        );
    }

    #[test]
    fn every_fault_of_every_layer_and_of_the_plugin_is_in_one_report() {
        let file = "[delivery]\nto = \"webhook\"\nguarantee = \"exactly_once\"\ndrain_mss = 1\n\
                    [kafka.librdkafka]\n\"bootstrap.servers\" = \"a:1\"\n[source.config]\nregion = \"mars\"\n[sink]\n";
        let variables = [("GENESYS_KAFKA__KAFKA__PARTITIONS", "many")];
        let flag = Setting {
            flag: "--bootstrap-servers",
            key: "kafka.bootstrap_servers",
            value: json!("a:x"),
        };
        let (folder, inputs) = inputs(file, &variables, vec![flag]);
        let mut draft = Draft::read(&inputs);
        assert!(draft.is_readable());
        draft.add_of_plugin(vec![
            Fault::new("region", "unknown region"),
            Fault::new("", "no credentials"),
        ]);
        let folder = format!("{}/", folder.path().display());
        let report = draft.build().unwrap_err().to_string().replace(&folder, "");
        assert_eq!(
            report.lines().collect::<Vec<_>>(),
            [
                "genesys-kafka.toml:4: delivery.drain_mss: unknown key; did you mean `drain_ms`? known keys here: \
                 `drain_ms`, `guarantee`, `max_in_flight_bytes`, `max_in_flight_records`, `to`",
                "genesys-kafka.toml:3: delivery.guarantee: exactly once needs a spool, which is not built yet; use \
                 `at_least_once`",
                "genesys-kafka.toml:2: delivery.to: delivery to a webhook is not built yet; use `kafka` or `lines`",
                "--bootstrap-servers: kafka.bootstrap_servers: expected a comma-separated list of host:port; write \
                 `broker-1:9092,broker-2:9092`",
                "genesys-kafka.toml:6: kafka.librdkafka.\"bootstrap.servers\": is set by the adapter: the adapter has \
                 its own key; use `kafka.bootstrap_servers` instead",
                "environment variable GENESYS_KAFKA__KAFKA__PARTITIONS: kafka.partitions: expected integer, found string",
                "genesys-kafka.toml:9: sink: unknown key; known keys here: `audit`, `control`, `dead_letter`, \
                 `delivery`, `kafka`, `operations`, `source`",
                "genesys-kafka.toml:7: source.config: no credentials",
                "genesys-kafka.toml:8: source.config.region: unknown region",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_the_only_fault() {
        let (folder, broken) = inputs("[delivery\n", &[], vec![]);
        let report = report(&broken, &folder);
        assert_eq!(report.len(), 1);
        assert!(
            report[0].starts_with("genesys-kafka.toml:1: not TOML: "),
            "{report:?}"
        );
        let inputs = Inputs {
            file: Some("/nonexistent/x.toml".into()),
            ..broken
        };
        let draft = Draft::read(&inputs);
        assert!(!draft.is_readable());
        assert_eq!(
            draft.build().unwrap_err().to_string(),
            "configuration file `/nonexistent/x.toml` does not exist; name an existing file with --config"
        );
    }

    #[test]
    fn the_plugin_is_asked_with_what_is_written_even_beside_other_faults() {
        let (_folder, inputs) = inputs(
            "[source]\nlibrary = \"./x.so\"\n[source.config]\na = 1\n[nope]\n",
            &[],
            vec![],
        );
        let draft = Draft::read(&inputs);
        assert_eq!(draft.library(), Some(PathBuf::from("./x.so")));
        assert_eq!(draft.plugin_config(), r#"{"a":1}"#);
        let wrong = Setting {
            flag: "--library",
            key: "source.library",
            value: json!(""),
        };
        let draft = Draft::read(&Inputs {
            flags: vec![wrong],
            ..Inputs::default()
        });
        assert_eq!((draft.library(), draft.plugin_config().as_str()), (None, "{}"));
    }
}
