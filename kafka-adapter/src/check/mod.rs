//! `genesys-kafka check`: everything that a run needs, examined before it runs.
//!
//! Responsible for what is examined, in which order it is shown, and for examining side by side whatever goes to the
//! network. Refuses to create, send or fence anything, and, offline, to let anything leave the machine. Invariant: every
//! wait has a deadline, so that the whole takes about as long as its slowest part.

mod aside;
mod clock;
mod configuration;
mod files;
mod item;
mod kafka;
mod operations;
mod plugin;
mod report;
mod secrets;
mod webhook;

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::{Config, Located};
use crate::host::{self, LoadError, Plugin};
use crate::run;

pub use item::{Item, Outcome, Subject};
pub use report::Report;

/// Why what needs a configuration was not examined.
const FAULTY: &str = "the configuration has faults";
/// Why what goes to the network was not examined.
const OFFLINE: &str = "offline";

/// What is known before anything is examined: the inputs, read and held against the plugin.
#[derive(Debug)]
pub struct Setup {
    /// The configuration file, if one was read.
    pub file: Option<PathBuf>,
    /// Faults of the adapter's own part.
    pub faults: Vec<Located>,
    /// The plugin; none if `source.library` itself is faulty.
    pub plugin: Option<Result<Plugin, LoadError>>,
    /// What the plugin finds wrong with its own part, or why it could not tell.
    pub verdict: Result<Vec<Located>, host::Error>,
    /// The checked configuration, if nothing is wrong with it.
    pub config: Option<Config>,
}

/// Examines everything; `offline` leaves out what goes to the network.
#[must_use]
pub fn examine(setup: &Setup, offline: bool) -> Report {
    let mut items = configuration::items(setup);
    items.extend(plugin::items(setup));
    let Some(config) = &setup.config else {
        let needing = [
            plugin::LOGIN,
            kafka::BROKERS,
            webhook::ENDPOINT,
            files::DEAD_LETTER,
        ];
        items.extend(needing.map(|subject| subject.skipped(FAULTY)));
        items.push(clock::item(SystemTime::now()));
        return Report::new(items);
    };
    let login = plugin::Login::begin(setup, config, offline);
    let kafka = run::uses_kafka(config).then(|| kafka::Cluster::begin(config, offline));
    let webhook = config
        .webhook
        .as_ref()
        .map(|webhook| webhook::Receiver::begin(webhook, offline));
    let files = files::items(&run::routing(config));
    let (login, clocks) = login.items();
    items.extend(login);
    items.extend(kafka.into_iter().flat_map(kafka::Cluster::items));
    let (webhook, webhook_clock) = webhook.map(webhook::Receiver::items).unwrap_or_default();
    items.extend(webhook);
    items.extend(files);
    items.extend(secrets::items(setup, config));
    items.extend(operations::item(config.operations.listen.as_ref()));
    items.push(clock::item(SystemTime::now()));
    items.push(if offline {
        clock::SKEW.skipped(OFFLINE)
    } else {
        let signs = config
            .webhook
            .as_ref()
            .is_some_and(|webhook| !webhook.secrets.is_empty());
        let others = [
            ("login service", clocks.login),
            ("API", clocks.api),
            ("webhook", webhook_clock),
        ];
        clock::skew_item(&others, signs)
    });
    Report::new(items)
}
