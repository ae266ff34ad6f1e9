//! `genesys-kafka run`: deliver until a signal or the end of the source.
//!
//! Responsible for the order: configuration and plugin first, then this machine's files and port, then signals, then the
//! pipeline. Refuses to open a
//! source while one fault is known. Invariant: the first signal drains, the second exits at once.

use config_faults::Fault;

use super::{Error, prepare};
use crate::config::{Config, Draft, Faults, Inputs};
use crate::exit::Exit;
use crate::host::Plugin;
use crate::operations;
use crate::run;
use crate::shutdown::Shutdown;
use crate::sink::{Outlet, try_file};

/// Runs as configured.
pub(super) fn run(inputs: &Inputs) -> Result<(), Error> {
    let prepare::Prepared { draft, plugin } = prepare::prepare(inputs)?;
    let (config, plugin) = ready(draft, plugin, |_| ())?;
    let shutdown = Shutdown::on_signals().map_err(Error::Signals)?;
    let (major, minor) = plugin.abi_version();
    let version = plugin
        .describe()
        .get("version")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unknown");
    tracing::info!(library = %plugin.path().display(), version, abi = %format_args!("{major}.{minor}"), "plugin loaded");
    run::run(&config, &plugin, shutdown.requested())?;
    Ok(())
}

/// Configuration and plugin, or every fault; a plugin that could not be loaded is one of them. What is tried on this machine is
/// the configuration as `change` leaves it.
pub(super) fn ready(
    draft: Draft,
    plugin: Option<Plugin>,
    change: impl FnOnce(&mut Config),
) -> Result<(Config, Plugin), Faults> {
    let located = draft.faults().to_vec();
    let (mut config, effective) = draft.build()?;
    change(&mut config);
    effective.refuse(surroundings(&config))?;
    // `prepare` leaves the plugin out only together with a fault, on which `build` has just failed.
    plugin
        .map(|plugin| (config, plugin))
        .ok_or(Faults { faults: located })
}

/// What this machine refuses of a sound configuration: each file of records is tried, and the listener's address. The start
/// tries them once more, since they may change in between.
fn surroundings(config: &Config) -> Vec<Fault> {
    let routing = run::routing(config);
    let files = routing.table().into_iter().filter_map(|(route, outlet)| {
        let Outlet::File(path) = outlet else { return None };
        try_file(path, route).err().map(|error| error.fault())
    });
    let listen = config.operations.listen.as_ref();
    let listener = listen.and_then(|listen| operations::probe(listen).err());
    files.chain(listener.map(|error| error.fault())).collect()
}

/// What the end of a run means for the program.
pub(super) fn exit(error: &run::Error) -> Exit {
    match error.kind() {
        run::ErrorKind::Config => Exit::Config,
        run::ErrorKind::Credentials => Exit::Credentials,
        run::ErrorKind::GaveUp => Exit::Unavailable,
        run::ErrorKind::Internal => Exit::Failure,
        run::ErrorKind::Law => Exit::Software,
    }
}

#[cfg(test)]
mod tests {
    use plugin_abi::status;

    use super::exit;
    use crate::exit::Exit;
    use crate::laws::Laws;
    use crate::{host, run};

    fn failed(status: i32) -> run::Error {
        run::Error::Open(host::Error {
            status,
            name: status::name(status),
            retryable: status::is_retryable(status),
            code: 0,
            message: "said so".to_owned(),
        })
    }

    #[test]
    fn the_end_of_a_run_has_its_exit() {
        assert_eq!(exit(&failed(status::AUTH)), Exit::Credentials);
        assert_eq!(exit(&failed(status::FAILED)), Exit::Unavailable);
        assert_eq!(exit(&failed(status::CONFIG)), Exit::Config);
        assert_eq!(exit(&failed(status::BUSY)), Exit::Config);
        assert_eq!(exit(&run::Error::Law(Laws::default())), Exit::Software);
    }
}
