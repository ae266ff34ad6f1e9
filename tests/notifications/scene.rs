//! A contact centre on loopback and a source that listens to it.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{NotificationOptions, Options, Simulator};
use support::host::config;
use tempfile::TempDir;

/// A simulator whose notifications come from the test alone, and where the source's files are.
pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    folder: TempDir,
}

impl Scene {
    /// Starts a quiet contact centre; `adjust` changes its numbers.
    pub(crate) fn quiet(adjust: impl FnOnce(&mut NotificationOptions)) -> Self {
        Self::start(|settings| {
            settings.updates_per_s = 0;
            adjust(settings);
        })
    }

    /// Starts a contact centre.
    pub(crate) fn start(adjust: impl FnOnce(&mut NotificationOptions)) -> Self {
        Self::with(|options| adjust(&mut options.notifications))
    }

    /// Starts a contact centre, the login and clock of which may be adjusted too.
    pub(crate) fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.notifications.heartbeat_ms = 3_000;
        adjust(&mut options);
        Self {
            simulator: Simulator::start(options).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The configuration of a source with this subscription.
    pub(crate) fn config(&self, subscription: &Value) -> Value {
        let mut config = config(
            &self.simulator,
            self.folder.path(),
            json!({
                "transport": "notifications",
                "endpoints": {"api": self.simulator.api_url()},
                "reconnect": {"min_ms": 1, "max_ms": 200, "stable_ms": 10},
                "keep_alive": {"ping_ms": 100, "silence_ms": 3500},
                "timeouts": {"connect_ms": 5_000, "login_ms": 5_000},
                "handover": {"overlap_ms": 100},
            }),
        );
        config["subscription"] = subscription.clone();
        config
    }
}

/// Topics that nobody but a test publishes on.
pub(crate) fn topics(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("v2.users.00000000-0000-4000-8000-{number:012}.presence"))
        .collect()
}

/// How long something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
