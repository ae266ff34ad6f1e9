//! The common start of the commands: read the configuration, load the plugin, ask it.
//!
//! Responsible for one report that holds the adapter's faults and the plugin's. Refuses to go on the network.
//! Invariant: the plugin is asked even where the adapter's own part is wrong, so that one pass shows everything.

use config_faults::Fault;

use super::Error;
use crate::config::{Config, Draft, Faults, Inputs, Located};
use crate::host::{self, LoadError, Plugin};
use crate::run::kafka_settings;
use crate::sink::KafkaSettings;

/// A configuration that was read and held against the plugin.
pub(super) struct Prepared {
    /// The configuration with every fault that was found.
    pub(super) draft: Draft,
    /// The plugin, unless it could not be loaded.
    pub(super) plugin: Option<Plugin>,
}

/// Reads the configuration and the plugin's verdict on it.
pub(super) fn prepare(inputs: &Inputs) -> Result<Prepared, Error> {
    judge(Draft::read(inputs))
}

/// Adds the plugin's verdict to a draft.
pub(super) fn judge(mut draft: Draft) -> Result<Prepared, Error> {
    let plugin = match load(&draft) {
        Some(Ok(loaded)) => {
            ask(&mut draft, &loaded).map_err(Error::Check)?;
            Some(loaded)
        }
        Some(Err(error)) => {
            draft.add(vec![Fault::new("source.library", error.to_string())]);
            None
        }
        None => None,
    };
    Ok(Prepared { draft, plugin })
}

/// Loads the plugin that a draft names, unless its file or `source.library` is unusable.
pub(super) fn load(draft: &Draft) -> Option<Result<Plugin, LoadError>> {
    let library = draft.library().filter(|_| draft.is_readable())?;
    Some(Plugin::load(&library))
}

/// Asks a plugin for the faults of its part of a draft, and adds them.
pub(super) fn ask(draft: &mut Draft, plugin: &Plugin) -> Result<(), host::Error> {
    if let Some(schema) = plugin.describe().get("config_schema") {
        draft.name_source(schema);
    }
    let faults = plugin.check(&draft.plugin_config())?;
    draft.add_of_plugin(faults);
    Ok(())
}

/// What `--from-kafka` reads with; `topic` names which one, for the fault.
pub(super) fn topic_settings(config: &Config, topic: &str) -> Result<KafkaSettings, Error> {
    if config.kafka.bootstrap_servers.is_empty() {
        let fault = Fault::new(
            "kafka.bootstrap_servers",
            format!("is required, but missing: --from-kafka reads the {topic} topic"),
        )
        .with_mend("set it, or give --bootstrap-servers");
        let faults = vec![Located { fault, origin: None }];
        return Err(Faults { faults }.into());
    }
    Ok(kafka_settings(config))
}
