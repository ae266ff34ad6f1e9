//! Where a credential comes from: an environment variable, read once, or a file, read at every use.
//!
//! Responsible for that difference, and for the warning of a file that every user can read; the reading itself is
//! `config_faults`'. Refuses to ask the environment twice: a host may change it meanwhile. Invariant: a value never
//! reaches a log, an error or Debug output.

use config_faults::{Exposure, SecretPlace};
use secrecy::SecretString;

pub use config_faults::SecretError;

use crate::config::Credentials;

/// Gives the value of environment variables, so that a test needs no process-wide state.
pub trait Environment {
    /// Returns the value of the variable `name`, if it is set and is UTF-8.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for std::collections::BTreeMap<String, String> {
    fn variable(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// A credential: its place, and its value where that is a variable.
#[derive(Clone, Debug)]
pub struct SecretSource {
    place: SecretPlace,
    /// The value of a variable, taken when the configuration was read; a file is read again at each use, so that a
    /// rotated credential is picked up without a restart.
    value: Option<SecretString>,
}

impl SecretSource {
    /// Takes the credential from its place, to show a fault before the first use.
    ///
    /// # Errors
    /// [`SecretError`]; see [`SecretError::is_retryable`].
    pub fn new(place: SecretPlace, environment: &dyn Environment) -> Result<Self, SecretError> {
        let value = place.read(&|name| environment.variable(name))?;
        let value = matches!(place, SecretPlace::Variable(_)).then_some(value);
        Ok(Self { place, value })
    }

    /// Returns the credential; a file is read now.
    ///
    /// # Errors
    /// [`SecretError::File`] or [`SecretError::Content`]; retryable.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match &self.value {
            Some(value) => Ok(value.clone()),
            None => self.place.read(&|_| None),
        }
    }

    /// The file and its mode, if this is a file that every user of the machine can read.
    #[must_use]
    pub fn exposure(&self) -> Option<Exposure> {
        self.place.exposure()
    }
}

/// Each credential whose file every user of the machine can read, by its key; the source works all the same.
pub(crate) fn exposed(credentials: &Credentials) -> impl Iterator<Item = (&'static str, Exposure)> {
    [
        ("client_id", &credentials.client_id),
        ("client_secret", &credentials.client_secret),
    ]
    .into_iter()
    .filter_map(|(key, source)| Some((key, source.exposure()?)))
}

/// Warns of each of them.
pub(crate) fn warn_of_exposed(credentials: &Credentials) {
    for (key, exposure) in exposed(credentials) {
        let (path, mode) = (exposure.path.display(), exposure.octal());
        tracing::warn!(key, %path, mode, "{}", Exposure::WARNING);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use config_faults::SecretPlace;
    use secrecy::ExposeSecret as _;

    use super::SecretSource;

    #[test]
    fn a_variable_is_read_once_and_a_file_at_each_use() {
        let mut environment = BTreeMap::from([("ID".to_owned(), " first ".to_owned())]);
        let place = SecretPlace::Variable("ID".to_owned());
        let variable = SecretSource::new(place, &environment).unwrap();
        environment.clear();
        assert_eq!(variable.read().unwrap().expose_secret(), "first");

        let mut file = tempfile::NamedTempFile::new().unwrap();
        let place = SecretPlace::File(file.path().to_owned());
        let error = SecretSource::new(place.clone(), &environment).unwrap_err();
        assert!(error.to_string().ends_with("is empty"), "{error}");
        file.write_all(b"first\n").unwrap();
        let source = SecretSource::new(place, &environment).unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "first");
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "second");
    }

    #[test]
    fn the_value_is_not_in_debug_output() {
        let environment = BTreeMap::from([("ID".to_owned(), "hush".to_owned())]);
        let place = SecretPlace::Variable("ID".to_owned());
        let source = SecretSource::new(place, &environment).unwrap();
        assert!(!format!("{source:?}").contains("hush"));
    }
}
