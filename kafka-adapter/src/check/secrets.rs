//! The rows about secret files that every user of the machine can read.
//!
//! Responsible for those of the adapter and for those that the plugin tells of. Refuses to call one a failure: the secret
//! works. Invariant: path and mode are told, never the content.

use config_faults::Exposure;

use super::item::{Item, Subject};
use super::{Setup, configuration};
use crate::config::{Config, exposed};

const SECRET: Subject = Subject::new("secret.file", "secret file");

/// One warning for each such file.
pub(super) fn items(setup: &Setup, config: &Config) -> Vec<Item> {
    let own = exposed(config)
        .into_iter()
        .map(|(key, exposure)| SECRET.warns(format!("{key}: {}", exposure.detail()), Exposure::MEND));
    let plugin = setup.plugin.as_ref().and_then(|plugin| plugin.as_ref().ok());
    let of_plugin = plugin.map(|plugin| plugin.warnings(&config.source.config.to_string()));
    own.chain(
        of_plugin
            .into_iter()
            .flatten()
            .map(|warning| configuration::warning(SECRET, &warning.below("source.config"))),
    )
    .collect()
}
