//! Where a secret of the adapter's own is: an environment variable or a file.
//!
//! Responsible for reading it. Refuses an absent or empty one and a file above 64 KiB. Invariant: the value is a
//! [`SecretString`] from the moment it is read, and every message names the place, not the content.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use secrecy::SecretString;

/// Largest secret file that is read, in bytes; a bound against a path that names a log or a device.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The place of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// An environment variable.
    Variable(String),
    /// A file.
    File(PathBuf),
}

/// Why a secret could not be read.
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
    /// The file holds nothing or too much.
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

impl SecretPlace {
    /// Reads the secret; white space around it does not belong to it. `variable` gives the value of a variable.
    ///
    /// # Errors
    /// [`SecretError`]; see [`SecretError::is_retryable`].
    pub fn read(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, SecretError> {
        let path = match self {
            Self::Variable(name) => {
                let found = variable(name);
                return match found.as_deref().map(str::trim) {
                    Some(value) if !value.is_empty() => Ok(value.to_owned().into()),
                    other => Err(SecretError::Variable {
                        name: name.clone(),
                        empty: other.is_some(),
                    }),
                };
            }
            Self::File(path) => path,
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
            return Err(content("holds more than 64 KiB, which is no secret"));
        }
        match text.trim() {
            "" => Err(content("is empty")),
            value => Ok(value.to_owned().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::SecretPlace;

    fn variable(name: &str) -> Option<String> {
        match name {
            "SET" => Some(" hush ".to_owned()),
            "EMPTY" => Some(" ".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_variable_gives_its_value_or_is_named() {
        let read = |name: &str| SecretPlace::Variable(name.to_owned()).read(&variable);
        assert_eq!(read("SET").unwrap().expose_secret(), "hush");
        for (name, message) in [
            ("EMPTY", "environment variable EMPTY is empty"),
            ("ABSENT", "environment variable ABSENT is not set"),
        ] {
            let error = read(name).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!error.is_retryable());
        }
    }

    #[test]
    fn a_file_is_read_at_each_use_and_named_where_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let place = SecretPlace::File(path.clone());
        let missing = place.read(&variable).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read ") && missing.is_retryable());
        std::fs::write(&path, "\n").unwrap();
        assert!(
            place
                .read(&variable)
                .unwrap_err()
                .to_string()
                .ends_with("is empty")
        );
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(place.read(&variable).unwrap_err().to_string().contains("64 KiB"));
        for text in ["first", "second"] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(place.read(&variable).unwrap().expose_secret(), text);
        }
    }
}
