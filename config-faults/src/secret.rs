//! Where a secret is, an environment variable or a file, and how both sides read it.
//!
//! Responsible for reading it and for noticing a file that every user can read. Refuses an absent or empty secret, a pipe
//! and a file above 64 KiB. Invariant: the value is a [`SecretString`] from the moment it is read, and every message names the
//! place, not the content.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use crate::instead_of_file;

/// Largest secret file that is read, in bytes; a bound against a path that names a log or a device.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The bit of a file's mode that lets users read it who are neither its owner nor of its group.
const READABLE_BY_OTHERS: u32 = 0o004;

/// The place of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// An environment variable.
    Variable(String),
    /// A file.
    File(PathBuf),
}

impl fmt::Display for SecretPlace {
    /// As a message may name it: neither a variable nor a path that may be the secret itself is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {}", shown_variable(name)),
            Self::File(path) => f.write_str(&shown_path(path)),
        }
    }
}

/// Why a secret could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is absent or empty.
    #[error("environment variable {} is {}", shown_variable(.name), if *.empty { "empty" } else { "not set" })]
    Variable {
        /// Name of the variable.
        name: String,
        /// Whether it is set but empty.
        empty: bool,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", shown_path(.path))]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system said.
        error: Arc<std::io::Error>,
    },
    /// The file is none, or holds nothing or too much.
    #[error("{} {reason}", shown_path(.path))]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it or with its content.
        reason: &'static str,
    },
}

/// What is told in place of a name that is none: the secret itself was written where its variable's name belongs.
const NO_NAME: &str = "(its name is not shown: it is no name in capitals, and may be the secret itself)";

/// The name of a variable as a message may show it.
///
/// # Source
/// POSIX.1-2024, Base Definitions 8.1: names of environment variables are capitals, digits and underscores.
#[must_use]
pub fn shown_variable(name: &str) -> &str {
    let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name { name } else { NO_NAME }
}

/// What is told in place of a path that leads nowhere: the secret itself was written where its file's path belongs.
const NO_PATH: &str = "the file (its path is not shown: it leads nowhere, and may be the secret itself)";

/// The path of a secret file as a message may show it: one that is absolute, or whose file or folder is there.
#[must_use]
pub fn shown_path(path: &Path) -> Cow<'_, str> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.is_absolute() || path.exists() || folder.is_some_and(Path::is_dir) {
        path.to_string_lossy()
    } else {
        Cow::Borrowed(NO_PATH)
    }
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
        let content = |reason| SecretError::Content {
            path: path.clone(),
            reason,
        };
        if let Some(said) = instead_of_file(path) {
            return Err(content(said));
        }
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| SecretError::File {
                path: path.clone(),
                error: Arc::new(error),
            })?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(content("holds more than 64 KiB, which is no secret"));
        }
        match text.trim() {
            "" => Err(content("is empty")),
            value => Ok(value.to_owned().into()),
        }
    }

    /// The file and its mode, if this is a file that every user of the machine can read.
    #[must_use]
    pub fn exposure(&self) -> Option<Exposure> {
        let Self::File(path) = self else { return None };
        // a file that is not there is told when it is read
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & READABLE_BY_OTHERS != 0).then(|| Exposure {
            path: path.clone(),
            mode,
        })
    }
}

/// A secret file that every user of the machine can read: a warning, since the secret works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The file; where it is a link, the mode is that of its target.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

impl Exposure {
    /// The text of the log line, with the mend; path and mode are its fields.
    pub const WARNING: &'static str = "every user of this machine can read a secret; run chmod 600 on its file, or chmod 640 if its group reads it";

    /// How to mend it.
    pub const MEND: &'static str = "run chmod 600 on it, or chmod 640 if its group reads it";

    /// What a report says of it: file and mode.
    #[must_use]
    pub fn detail(&self) -> String {
        format!(
            "{} can be read by every user of this machine (mode {})",
            self.path.display(),
            self.octal()
        )
    }

    /// The mode as `chmod` takes it, such as `0644`.
    #[must_use]
    pub fn octal(&self) -> String {
        format!("{:04o}", self.mode)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

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
        let empty = place.read(&variable).unwrap_err().to_string();
        assert!(empty.ends_with("is empty"), "{empty}");
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(place.read(&variable).unwrap_err().to_string().contains("64 KiB"));
        for text in ["first", "second"] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(place.read(&variable).unwrap().expose_secret(), text);
        }
    }

    #[test]
    fn only_a_file_that_others_can_read_is_exposed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let place = SecretPlace::File(path.clone());
        assert_eq!(place.exposure(), None, "a missing file is another fault");
        std::fs::write(&path, "hush").unwrap();
        for (mode, exposed) in [
            (0o600, None),
            (0o640, None),
            (0o644, Some("0644")),
            (0o604, Some("0604")),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = place.exposure().map(|exposure| exposure.octal());
            assert_eq!(found.as_deref(), exposed);
        }
        assert_eq!(SecretPlace::Variable("SET".to_owned()).exposure(), None);
    }

    #[test]
    fn a_secret_in_the_place_of_a_variables_name_is_not_repeated() {
        for (name, shown) in [
            ("OAUTH_CLIENT_SECRET", "OAUTH_CLIENT_SECRET"),
            ("_A1", "_A1"),
            ("hB7-written_here", super::NO_NAME),
            ("lower_case", super::NO_NAME),
            ("1A", super::NO_NAME),
            ("", super::NO_NAME),
        ] {
            assert_eq!(super::shown_variable(name), shown);
        }
    }

    #[test]
    fn a_secret_in_the_place_of_its_files_path_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        for shown in [
            file.as_path(),
            "/nonexistent/secret".as_ref(),
            "src/absent".as_ref(),
        ] {
            assert_eq!(super::shown_path(shown), shown.to_str().unwrap());
        }
        for hidden in ["hB7-written_here", "whsec_c2VjcmV0/c2VjcmV0", ""] {
            assert_eq!(super::shown_path(hidden.as_ref()), super::NO_PATH);
        }
    }
}
