//! Where a credential comes from: an environment variable, read once, or a file, read at every use.
//!
//! Refuses an absent or empty value and a file above 64 KiB. A value never reaches a log, an error or Debug output:
//! it is a [`SecretString`] from the moment it is read, and every message names the place, not the content.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use secrecy::SecretString;

/// Largest credential file that is read, in bytes; a bound against a path that names a log or a device.
const MAX_FILE_BYTES: u64 = 64 * 1024;

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

/// A credential's place.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Taken from the environment when the configuration was read.
    Variable {
        /// Name of the variable.
        name: String,
        /// Its value.
        value: SecretString,
    },
    /// Read again at each use, so that a rotated credential is picked up without a restart.
    File {
        /// Path of the file.
        path: PathBuf,
    },
}

/// Why a credential could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is absent or empty.
    #[error("environment variable {name} is {}", if *.empty { "empty" } else { "not set" })]
    Variable {
        /// Name of the variable.
        name: String,
        /// Whether it is set but empty.
        empty: bool,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The file holds nothing, more than 64 KiB, or is not UTF-8.
    #[error("{} {reason}", .path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with its content.
        reason: &'static str,
    },
}

impl SecretError {
    /// Says whether trying again may help: a file may be in the middle of its rotation, a variable never changes.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Variable { .. })
    }
}

impl SecretSource {
    /// Takes the variable `name` from `environment`.
    ///
    /// # Errors
    /// [`SecretError::Variable`] if it is absent or empty; not retryable.
    pub fn from_variable(name: &str, environment: &dyn Environment) -> Result<Self, SecretError> {
        match environment.variable(name) {
            Some(value) if !value.trim().is_empty() => Ok(Self::Variable {
                name: name.to_owned(),
                value: value.trim().to_owned().into(),
            }),
            found => Err(SecretError::Variable {
                name: name.to_owned(),
                empty: found.is_some(),
            }),
        }
    }

    /// Returns the credential; a file is read now. White space around it does not belong to it.
    ///
    /// # Errors
    /// [`SecretError::File`] or [`SecretError::Content`]; retryable.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let path = match self {
            Self::Variable { value, .. } => return Ok(value.clone()),
            Self::File { path } => path,
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| SecretError::File {
                path: path.clone(),
                error,
            })?;
        let content = |reason| SecretError::Content {
            path: path.clone(),
            reason,
        };
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(content("holds more than 64 KiB, which is no credential"));
        }
        match text.trim() {
            "" => Err(content("is empty")),
            value => Ok(value.to_owned().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use secrecy::ExposeSecret as _;

    use super::SecretSource;

    #[test]
    fn a_variable_that_is_missing_or_empty_is_named() {
        let environment = BTreeMap::from([("EMPTY".to_owned(), " ".to_owned())]);
        let missing = SecretSource::from_variable("ABSENT", &environment).unwrap_err();
        assert_eq!(missing.to_string(), "environment variable ABSENT is not set");
        let empty = SecretSource::from_variable("EMPTY", &environment).unwrap_err();
        assert_eq!(empty.to_string(), "environment variable EMPTY is empty");
    }

    #[test]
    fn a_file_is_read_again_at_each_use() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let source = SecretSource::File {
            path: file.path().to_owned(),
        };
        assert!(source.read().unwrap_err().to_string().ends_with("is empty"));
        file.write_all(b"first\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "first");
        std::fs::write(file.path(), "second\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "second");
    }

    #[test]
    fn the_value_is_not_in_debug_output() {
        let environment = BTreeMap::from([("ID".to_owned(), "hush".to_owned())]);
        let source = SecretSource::from_variable("ID", &environment).unwrap();
        assert!(!format!("{source:?}").contains("hush"));
    }
}
