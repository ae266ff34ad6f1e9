//! The plugin under test: where its library is, and a configuration that leads it to a simulator.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use simulator::{Options, Simulator};

/// Returns the path of the plugin's library: beside the test binary, where Cargo leaves it as a dependency's
/// artefact, else in the profile's folder.
///
/// # Panics
/// If neither is there.
#[must_use]
pub fn library() -> PathBuf {
    let name = "libgenesys_source.so";
    let places = [
        crate::profile_dir().join("deps").join(name),
        crate::profile_dir().join(name),
    ];
    places
        .iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is in none of {places:?}; run `cargo build --workspace`"))
        .clone()
}

/// Starts a simulator; `adjust` changes the defaults (100 events/s, endless).
///
/// # Panics
/// If the options are out of range or loopback has no free port.
#[must_use]
pub fn simulator(adjust: impl FnOnce(&mut Options)) -> Simulator {
    let mut options = Options::default();
    adjust(&mut options);
    Simulator::start(options).unwrap_or_else(|error| panic!("simulator: {error}"))
}

/// Returns the plugin's configuration for a simulator; the secrets are files in `folder`, and its spool
/// is there.
///
/// # Panics
/// If `folder` cannot be written.
#[must_use]
pub fn config(simulator: &Simulator, folder: &Path) -> Value {
    let credentials = simulator::Credentials::default();
    let secret_file = |name: &str, text: &str| {
        let path = folder.join(name);
        crate::write_secret(&path, text);
        path
    };
    json!({
        "transport": "events",
        "region": "us-east-1",
        "client_id": {"file": secret_file("client-id", &credentials.client_id)},
        "client_secret": {"file": secret_file("client-secret", &credentials.client_secret)},
        "endpoints": {"login": simulator.login_url(), "events": simulator.events_url()},
        "subscription": {"min_interval_ms": 0},
        "reconnect": {"min_ms": 1},
        "spool": {"dir": folder.join("spool"), "max_bytes": 1 << 30},
    })
}
