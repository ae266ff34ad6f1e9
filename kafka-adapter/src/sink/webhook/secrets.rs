//! The signing secrets while the program runs.
//!
//! Responsible for reading them at the start and again at intervals, so that a rotated file is picked up. Refuses to
//! sign with fewer secrets than are configured: a file that cannot be read leaves the last good set in force.
//! Invariant: one log line where reading begins to fail, and one where it works again.

use std::time::{Duration, Instant};

use crate::config::SecretPlace;

use super::settings::{SettingsError, key};
use super::signature::SigningKey;

/// How long a set of secrets is used before the files are read again.
const FRESH: Duration = Duration::from_secs(10);

/// The secrets in force.
#[derive(Debug)]
pub(super) struct Secrets {
    places: Vec<SecretPlace>,
    keys: Vec<SigningKey>,
    read_at: Instant,
    failing: bool,
}

impl Secrets {
    /// Reads every secret.
    pub(super) fn read(places: Vec<SecretPlace>) -> Result<Self, SettingsError> {
        Ok(Self {
            keys: keys(&places)?,
            places,
            read_at: Instant::now(),
            failing: false,
        })
    }

    /// The keys to sign with now.
    pub(super) fn keys(&mut self) -> &[SigningKey] {
        let in_file = |place: &SecretPlace| matches!(place, SecretPlace::File(_));
        if self.read_at.elapsed() >= FRESH && self.places.iter().any(in_file) {
            self.read_again();
        }
        &self.keys
    }

    fn read_again(&mut self) {
        self.read_at = Instant::now();
        match keys(&self.places) {
            Ok(keys) => {
                self.keys = keys;
                if std::mem::take(&mut self.failing) {
                    tracing::info!("webhook secrets read again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "webhook secrets cannot be read, signing with the last ones");
                }
            }
        }
    }
}

fn keys(places: &[SecretPlace]) -> Result<Vec<SigningKey>, SettingsError> {
    let variable = |name: &str| std::env::var(name).ok();
    places.iter().map(|place| key(place, &variable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_rotated_file_is_picked_up_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, FIRST).unwrap();
        let mut secrets = Secrets::read(vec![SecretPlace::File(path.clone())]).unwrap();
        let sign = |secrets: &Secrets| super::super::signature::sign(&secrets.keys, "id", 1, b"{}");
        let first = sign(&secrets);
        std::fs::write(&path, "torn").unwrap();
        secrets.read_again();
        assert_eq!((sign(&secrets), secrets.failing), (first.clone(), true));
        std::fs::write(&path, SECOND).unwrap();
        secrets.read_again();
        assert!(sign(&secrets) != first && !secrets.failing);
    }

    #[test]
    fn a_secret_that_is_none_is_named_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hush").unwrap();
        let error = Secrets::read(vec![SecretPlace::File(path.clone())]).unwrap_err();
        let expected = format!(
            "the secret of {} does not begin with whsec_; write whsec_ and base64",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}
