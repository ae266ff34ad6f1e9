//! `--config`: what a source is configured with, as JSON or as the adapter's file holds it.
//!
//! Responsible for taking `[source.config]` as the adapter does, its variables over the file. Refuses to judge the adapter's
//! own keys, which `genesys-kafka config` does. Invariant: a fault of the adapter's file names the line or the variable.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use config_faults::layers::{Merged, environment, file};
use config_faults::{Fault, type_name};
use serde_json::Value;

/// How a file of the adapter is told from one of JSON.
const ADAPTERS: &str = "toml";

/// Where the adapter's file holds the source's configuration.
const PART: [&str; 2] = ["source", "config"];

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The source's configuration as JSON text.
    pub(crate) json: String,
    /// What it was taken from, if that is the adapter's file.
    merged: Option<Merged>,
}

impl Configuration {
    /// Reads a file, or none; `Ok(Err)` are the faults of the adapter's, one a line.
    ///
    /// # Errors
    /// If a file of JSON cannot be read; not retryable.
    pub(crate) fn read(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Result<Self, Vec<String>>> {
        let Some(path) = path else {
            return Ok(Ok(Self {
                json: "{}".to_owned(),
                merged: None,
            }));
        };
        if path.extension().is_none_or(|extension| extension != ADAPTERS) {
            let json = std::fs::read_to_string(path);
            let json = json.with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(Ok(Self { json, merged: None }));
        }
        Ok(Self::of_adapter(path, variables))
    }

    fn of_adapter(
        path: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<String>> {
        let mut merged = Merged::default();
        let mut faults = file::read(path, &mut merged);
        let part = format!("{}{}", environment::PREFIX, PART.join("__").to_uppercase());
        let of_part = variables
            .into_iter()
            .filter(|(name, _)| name.to_string_lossy().starts_with(&part));
        // No type of the adapter's counts inside this part.
        faults.extend(environment::read(of_part, &Value::Null, &mut merged));
        faults.append(&mut merged.displaced);
        let found = merged.value.get(PART[0]).and_then(|source| source.get(PART[1]));
        let json = match found {
            None => "{}".to_owned(),
            Some(config @ Value::Object(_)) => config.to_string(),
            Some(other) => {
                let fault = Fault::new(
                    PART.join("."),
                    format!("expected table, found {}", type_name(other)),
                );
                faults.push(merged.located(fault));
                String::new()
            }
        };
        if faults.is_empty() {
            return Ok(Self {
                json,
                merged: Some(merged),
            });
        }
        Err(faults.iter().map(ToString::to_string).collect())
    }

    /// The lines that tell faults of the source's configuration, each with the place where the value was written.
    pub(crate) fn lines(&self, faults: &[Fault]) -> Vec<String> {
        let line = |fault: &Fault| match &self.merged {
            Some(merged) => merged.located(fault.clone().below(&PART.join("."))).to_string(),
            None => fault.to_string(),
        };
        faults.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use config_faults::Fault;
    use serde_json::{Value, json};

    use super::Configuration;

    /// Reads a file of that name with variables.
    fn read(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Configuration, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let read = Configuration::read(Some(&path), variables).unwrap();
        let prefix = format!("{}/", folder.path().display());
        read.map_err(|lines| lines.iter().map(|line| line.replace(&prefix, "")).collect())
    }

    fn config(read: Result<Configuration, Vec<String>>) -> Value {
        serde_json::from_str(&read.unwrap().json).unwrap()
    }

    #[test]
    fn the_sources_part_of_the_adapters_file_is_taken_with_the_variables_over_it() {
        let text = "[source.config]\nregion = \"us-east-1\"\nclient_secret = { env = \"X\" }\n\
            [source.config.subscription]\nqueues = [\"Support\"]\n[kafka]\nbootstrap_servers = \"k:9092\"\n";
        let variables = [
            ("GENESYS_KAFKA__SOURCE__CONFIG__REGION", "eu-west-1"),
            ("GENESYS_KAFKA__SOURCE__CONFIG__SUBSCRIPTION__REFRESH_MS", "60000"),
            ("GENESYS_KAFKA__DELIVERY__DRAIN_MS", "no matter here"),
        ];
        assert_eq!(
            config(read("genesys-kafka.toml", text, &variables)),
            json!({"region": "eu-west-1", "client_secret": {"env": "X"},
                "subscription": {"queues": ["Support"], "refresh_ms": 60_000}})
        );
        let none = config(read("c.toml", "[kafka]\nbootstrap_servers = \"k:9092\"\n", &[]));
        assert_eq!(none, json!({}));
    }

    #[test]
    fn json_is_taken_as_it_stands_and_no_variable_over_it() {
        let variables = [("GENESYS_KAFKA__SOURCE__CONFIG__REGION", "eu-west-1")];
        assert_eq!(
            config(read("c.json", "{\"region\":\"x\"}", &variables)),
            json!({"region": "x"})
        );
        assert_eq!(Configuration::read(None, []).unwrap().unwrap().json, "{}");
        assert!(Configuration::read(Some("/nonexistent/c.json".as_ref()), []).is_err());
    }

    #[test]
    fn each_fault_of_the_adapters_file_names_its_line_or_its_variable() {
        let lines = |text: &str, variables: &[(&str, &str)]| read("c.toml", text, variables).unwrap_err();
        assert_eq!(
            lines("[source]\nconfig = 3\n", &[]),
            ["c.toml:2: source.config: expected table, found integer"]
        );
        assert_eq!(
            lines("", &[("GENESYS_KAFKA__SOURCE__CONFIG____X", "1")]),
            [
                "environment variable GENESYS_KAFKA__SOURCE__CONFIG____X: the name leads to no key; write \
              GENESYS_KAFKA__SECTION__KEY"
            ]
        );
        assert!(lines("[source", &[])[0].starts_with("c.toml:1: not TOML: "));
        let known = read("c.toml", "[source.config]\nregion = \"x\"\n", &[]).unwrap();
        let told = known.lines(&[Fault::new("region", "unknown")]).remove(0);
        assert!(
            told.ends_with("c.toml:2: source.config.region: unknown"),
            "{told}"
        );
    }
}
