//! The adapter's own secret files that every user of the machine can read.
//!
//! Responsible for finding them, and for one warning each when a run begins. Refuses nothing: such a secret works. Invariant: path and mode are
//! told, never the content.

use config_faults::{Exposure, SecretPlace};

use super::types::Config;

/// The librdkafka property that names the file of our own private key, and its path in the configuration.
const KEY_FILE: &str = "ssl.key.location";
const KEY_PATH: &str = "kafka.librdkafka.\"ssl.key.location\"";

/// Each secret file of the adapter's own that every user of the machine can read, by its key.
#[must_use]
pub fn exposed(config: &Config) -> Vec<(&'static str, Exposure)> {
    let signing = config.webhook.iter().flat_map(|webhook| &webhook.secrets);
    let of_webhook = ["webhook.secret", "webhook.previous_secret"]
        .into_iter()
        .zip(signing.cloned());
    let key_file = config.kafka.librdkafka.get(KEY_FILE);
    let key_file = key_file.map(|path| (KEY_PATH, SecretPlace::File(path.into())));
    let audit_key = config.audit.key.clone().map(|place| ("audit.key", place));
    of_webhook
        .chain(key_file)
        .chain(audit_key)
        .filter_map(|(key, place)| Some((key, place.exposure()?)))
        .collect()
}

/// Warns of each of them.
pub fn warn_of_exposed(config: &Config) {
    for (key, exposure) in exposed(config) {
        let (path, mode) = (exposure.path.display(), exposure.octal());
        tracing::warn!(key, %path, mode, "{}", Exposure::WARNING);
    }
}
