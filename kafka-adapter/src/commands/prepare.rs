//! The common start of the commands: read the configuration, load the plugin, ask it.
//!
//! Responsible for one report that holds the adapter's faults and the plugin's. Refuses to go on the network.
//! Invariant: the plugin is asked even where the adapter's own part is wrong, so that one pass shows everything.

use config_faults::Fault;

use super::Error;
use crate::config::{Draft, Inputs};
use crate::host::Plugin;

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
    let mut plugin = None;
    if draft.is_readable()
        && let Some(library) = draft.library()
    {
        match Plugin::load(&library) {
            Ok(loaded) => {
                if let Some(schema) = loaded.describe().get("config_schema") {
                    draft.name_source(schema);
                }
                let faults = loaded
                    .check(&draft.plugin_config(), false, 0)
                    .map_err(Error::Check)?;
                draft.add_of_plugin(faults);
                plugin = Some(loaded);
            }
            Err(error) => draft.add(vec![Fault::new("source.library", error.to_string())]),
        }
    }
    Ok(Prepared { draft, plugin })
}
