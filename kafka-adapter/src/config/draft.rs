//! From layers to a checked configuration: read everything, report everything, then build.
//!
//! Responsible for the order: file, environment, flags over the defaults; schema, rules, then the plugin's own
//! faults. Refuses to build while one fault is known. Invariant: reading has no side effect and uses no network.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config_faults::Fault;
use serde_json::{Map, Value};

use super::listen::Listen;
use super::raw::{self, Raw};
use super::target::Target;
use super::types::{
    Audit, AuditTo, Config, Control, DeadLetter, Delivery, Destination, Kafka, Operations, Source, Topics,
    Webhook,
};
use super::{
    Effective, Located, Merged, Origin, audit_rules, environment, file, rules, secrets, tls_files,
    webhook_rules,
};

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
        vec![PathBuf::new(), PathBuf::from("/etc/genesys-kafka")]
    }
}

/// Every fault of a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.faults))]
pub struct Faults {
    /// The faults: those of the file by line, then of the environment, of flags and of what nobody wrote, each by path;
    /// never empty.
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
    file: Option<PathBuf>,
    merged: Merged,
    readable: bool,
    faults: Vec<Located>,
}

impl Draft {
    /// Reads and checks all inputs.
    #[must_use]
    pub fn read(inputs: &Inputs) -> Self {
        let schema = raw::schema();
        let mut merged = Merged::default();
        let mut faults = Vec::new();
        let file = inputs.file.clone().or_else(|| file::find(&inputs.folders));
        if let Some(path) = &file {
            faults.extend(file::read(path, &mut merged));
        }
        let readable = faults
            .iter()
            .all(|located: &Located| !located.fault.path.is_empty());
        faults.extend(environment::read(
            inputs.environment.iter().cloned(),
            &schema,
            &mut merged,
        ));
        for setting in &inputs.flags {
            let keys: Vec<String> = setting.key.split('.').map(str::to_owned).collect();
            merged.set(&keys, setting.value.clone(), &Origin::Flag(setting.flag));
        }
        faults.append(&mut merged.displaced);
        let mut draft = Self {
            file,
            merged,
            readable,
            faults,
        };
        // A file that could not be read explains every missing value; guessing at them would bury that line.
        if readable {
            let set = Value::Object(draft.merged.value.clone());
            let of_schema = config_faults::check(&schema, &set).into_iter();
            let of_webhook = webhook_rules::check(&set, &inputs.environment);
            let of_audit = audit_rules::check(&set, &inputs.environment);
            let of_rules = rules::check(&set).into_iter().chain(tls_files::check(&set));
            draft.add(
                of_schema
                    .chain(of_rules)
                    .chain(of_webhook)
                    .chain(of_audit)
                    .collect(),
            );
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

    /// The configuration file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The faults found so far.
    #[must_use]
    pub fn faults(&self) -> &[Located] {
        &self.faults
    }

    /// Says whether the file could be read, so that asking the plugin makes sense.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readable
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

    /// Hands `source.name` down to a plugin whose configuration has a `name`, where none is written for it.
    ///
    /// The name stands in the plugin's own records; two names for one source would be a riddle to their reader.
    pub fn name_source(&mut self, plugin_schema: &Value) {
        let takes_name = plugin_schema.pointer("/properties/name").is_some();
        let Some(name) = self
            .at(&["source", "name"])
            .filter(|name| name.is_string())
            .cloned()
        else {
            return;
        };
        let is_open = matches!(self.at(&["source", "config"]), None | Some(Value::Object(_)));
        if takes_name && is_open && self.at(&["source", "config", "name"]).is_none() {
            let origin = self
                .merged
                .nearest_origin("source.name")
                .cloned()
                .unwrap_or(Origin::Default);
            let keys = ["source", "config", "name"].map(str::to_owned);
            self.merged.set(&keys, name, &origin);
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
        Err(Faults {
            faults: in_order(self.faults),
        })
    }
}

/// The faults in the order of a report (see [`Faults::faults`]), each once.
#[must_use]
pub fn in_order(mut faults: Vec<Located>) -> Vec<Located> {
    faults.sort_by(|a, b| a.place().cmp(&b.place()));
    faults.dedup();
    faults
}

/// The checked types from the written ones.
fn checked(raw: &Raw) -> Config {
    let audit_to = raw.audit.to.unwrap_or(match raw.delivery.to {
        Destination::Kafka => AuditTo::Kafka,
        Destination::Webhook | Destination::Lines => AuditTo::Lines,
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
            transaction_timeout_ms: raw.kafka.transaction_timeout_ms,
            fenced_pause_ms: raw.kafka.fenced_pause_ms,
            topics: Topics {
                events: raw.kafka.topics.events.clone(),
                audit: raw.kafka.topics.audit.clone(),
                dead_letter: raw.kafka.topics.dead_letter.clone(),
                control: raw.kafka.topics.control.clone(),
                positions: raw.kafka.topics.positions.clone(),
            },
            librdkafka: raw
                .kafka
                .librdkafka
                .iter()
                .map(|(name, value)| (name.clone(), value.text()))
                .collect(),
        },
        webhook: (raw.delivery.to == Destination::Webhook)
            .then(|| webhook(&raw.webhook))
            .flatten(),
        audit: Audit {
            to: audit_to,
            path: raw.audit.path.as_ref().map(PathBuf::from),
            compliance_tag: raw.audit.compliance_tag.clone(),
            key: secrets::written(&raw.audit.key),
            max_file_bytes: raw.audit.max_file_bytes,
            keep_files: usize::try_from(raw.audit.keep_files).unwrap_or(usize::MAX),
        },
        dead_letter: DeadLetter {
            path: PathBuf::from(&raw.dead_letter.path),
        },
        control: Control {
            path: raw.control.path.as_ref().map(PathBuf::from),
        },
        operations: Operations {
            metrics_ms: raw.operations.metrics_ms,
            listen: raw
                .operations
                .listen
                .as_deref()
                .and_then(|text| Listen::parse(text).ok()),
            max_lag_ms: raw.operations.max_lag_ms,
        },
    }
}

/// The webhook; none if its address is wrong, which `webhook_rules` has said.
fn webhook(raw: &raw::Webhook) -> Option<Webhook> {
    Some(Webhook {
        target: Target::parse(raw.url.as_deref()?, raw.allow_private).ok()?,
        envelope: raw.envelope,
        secrets: [&raw.secret, &raw.previous_secret]
            .into_iter()
            .filter_map(secrets::written)
            .collect(),
        timeout_ms: raw.timeout_ms,
        max_in_flight: usize::try_from(raw.max_in_flight).unwrap_or(usize::MAX),
        max_attempts: raw.max_attempts,
        ca_file: raw.ca_file.as_ref().map(PathBuf::from),
        allow_private: raw.allow_private,
    })
}

#[cfg(test)]
mod tests;
