//! What the webhook sink needs to know, and why it cannot start.

use config_faults::authorities::{self, AuthorityError};

use super::signature::SigningKey;
use crate::config::{SecretError, SecretPlace, Webhook};

/// Settings of the webhook sink.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The configured section.
    pub webhook: Webhook,
    /// CloudEvents `source` of records that carry no attribute of that name.
    pub default_source: String,
    /// Most parcels that can be unsettled at once; the queue of outcomes holds as many.
    pub max_in_flight_records: usize,
}

/// Why the webhook sink cannot start; none is retryable.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The extra authorities cannot be used.
    #[error("webhook.ca_file: {_0}; {mend}", mend = authorities::MEND)]
    CaFile(#[source] AuthorityError),
    /// Nobody is trusted.
    #[error(
        "no trusted root certificate found on this system; install ca-certificates or set webhook.ca_file"
    )]
    NoRoots,
    /// A secret cannot be read.
    #[error("{0}; put a secret there: whsec_ and base64")]
    Secret(#[from] SecretError),
    /// A secret is not one.
    #[error("the secret of {place} {reason}; write whsec_ and base64")]
    Key {
        /// Variable or file.
        place: SecretPlace,
        /// What is wrong with it, without repeating it.
        reason: String,
    },
    /// The client or its thread cannot be made.
    #[error("{0}")]
    System(String),
}

impl SettingsError {
    /// What is wrong with a secret, if anything is; `variable` gives the value of a variable.
    ///
    /// # Errors
    /// [`SettingsError::Secret`] or [`SettingsError::Key`].
    pub(crate) fn of_secret(
        place: &SecretPlace,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Self> {
        key(place, variable).map(drop)
    }

    /// Says whether the same start may succeed later without a change: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Reads the secret at a place as a key.
pub(super) fn key(
    place: &SecretPlace,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<SigningKey, SettingsError> {
    let secret = place.read(variable)?;
    SigningKey::parse(&secret).map_err(|error| SettingsError::Key {
        place: place.clone(),
        reason: error.to_string(),
    })
}
