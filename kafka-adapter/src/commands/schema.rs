//! `genesys-kafka schema`: the JSON Schema of the configuration, or of what is delivered.
//!
//! Responsible for printing the contracts that this very program was built with. Refuses to invent a schema for a
//! plugin that cannot be loaded: the configuration's then leaves `source.config` open. Invariant: what it prints is
//! one JSON document.

use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Error;
use crate::config::{self, Draft, Inputs};
use crate::host::Plugin;

/// Base of the plugin's schema inside the adapter's, so that its own references stay its own.
const PLUGIN_SCHEMA_ID: &str = "urn:genesys-kafka:source-config";

/// A schema that the program carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Schema {
    /// The configuration file, the plugin's part included where the plugin is found
    Config,
    /// The events topic
    Event,
    /// The audit topic
    Audit,
    /// The control topic
    Control,
    /// The dead-letter topic
    DeadLetter,
    /// The positions topic
    Position,
    /// The first frame of the events transport
    Subscription,
    /// The report of `check --json`
    Check,
}

impl Schema {
    /// The committed file, for every schema that is not made from types.
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Config => None,
            Self::Event => Some(include_str!("../../../schemas/event.schema.json")),
            Self::Audit => Some(include_str!("../../../schemas/audit.schema.json")),
            Self::Control => Some(include_str!("../../../schemas/control.schema.json")),
            Self::DeadLetter => Some(include_str!("../../../schemas/dead-letter.schema.json")),
            Self::Position => Some(include_str!("../../../schemas/position.schema.json")),
            Self::Subscription => Some(include_str!("../../../schemas/subscription.schema.json")),
            Self::Check => Some(include_str!("../../../schemas/check.schema.json")),
        }
    }
}

/// Prints a schema.
pub(super) fn print(name: Schema, inputs: &Inputs, out: &mut dyn Write) -> Result<(), Error> {
    match name.text() {
        Some(text) => out.write_all(text.as_bytes())?,
        None => {
            let library = Draft::read(inputs).library();
            let schema = configuration(library.as_deref().and_then(plugin_schema).as_ref());
            writeln!(out, "{schema:#}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The configuration schema of a plugin that can be loaded; why it cannot is worth a line, not a failure.
fn plugin_schema(library: &Path) -> Option<Value> {
    match Plugin::load(library) {
        Ok(plugin) => plugin.describe().get("config_schema").cloned(),
        Err(error) => {
            eprintln!("genesys-kafka: source.config is left open: {error}");
            None
        }
    }
}

/// The adapter's schema with the plugin's in the place of `source.config`.
fn configuration(plugin: Option<&Value>) -> Value {
    let mut schema = config::schema();
    if let Some(Value::Object(plugin)) = plugin
        && let Some(place) = schema.pointer_mut("/$defs/Source/properties/config")
    {
        let mut embedded = plugin.clone();
        embedded.entry("$id").or_insert_with(|| json!(PLUGIN_SCHEMA_ID));
        *place = Value::Object(embedded);
    }
    schema
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use serde_json::{Value, json};

    use super::{Schema, configuration, print};
    use crate::config::{Inputs, Setting};

    #[test]
    fn every_schema_is_one_json_document_that_is_a_schema() {
        let flag = Setting {
            flag: "--library",
            key: "source.library",
            value: json!("/nonexistent/lib.so"),
        };
        let inputs = Inputs {
            flags: vec![flag],
            ..Inputs::default()
        };
        for name in Schema::value_variants() {
            let mut out = Vec::new();
            print(*name, &inputs, &mut out).unwrap();
            let schema: Value = serde_json::from_slice(&out).unwrap();
            assert!(schema.get("$schema").is_some(), "{name:?}");
            let unusable = config_faults::check(&schema, &json!(null))
                .into_iter()
                .any(|fault| fault.message.contains("not a usable JSON Schema"));
            assert!(!unusable, "{name:?}");
        }
    }

    #[test]
    fn the_plugins_schema_is_embedded_and_keeps_its_own_references() {
        let plugin = json!({"type": "object", "additionalProperties": false,
            "properties": {"region": {"$ref": "#/$defs/Region"}}, "$defs": {"Region": {"type": "string"}}});
        let schema = configuration(Some(&plugin));
        let faults =
            |region: Value| config_faults::check(&schema, &json!({"source": {"config": {"region": region}}}));
        assert!(faults(json!("us-east-1")).is_empty());
        assert_eq!(
            faults(json!(1))[0].to_string(),
            "source.config.region: expected string, found integer"
        );
        assert!(
            config_faults::check(
                &configuration(None),
                &json!({"source": {"config": {"region": 1}}})
            )
            .is_empty()
        );
    }
}
