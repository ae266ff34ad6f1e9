//! The secrets of the adapter's own, as the configuration names their places.
//!
//! Responsible for one place each, in what was set and in the written types, and for the look-up of variables. Refuses a
//! secret of two places. Invariant: nothing is read here.

use std::ffi::OsString;

use config_faults::{Fault, SecretPlace};
use serde_json::Value;

use super::raw;
use super::rules::at;

/// The place of the secret at `path` of what was set; none where none is set.
///
/// # Errors
/// A fault where both forms are set.
pub(super) fn place(set: &Value, path: &str) -> Result<Option<SecretPlace>, Fault> {
    let text = |key: &str| {
        at(set, &format!("{path}.{key}"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    match (text("env"), text("file")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Fault::new(path, "both env and file are set").with_mend("keep one of the two"))
        }
        (Some(name), None) => Ok(Some(SecretPlace::Variable(name))),
        (None, Some(file)) => Ok(Some(SecretPlace::File(file.into()))),
    }
}

/// The place of a written secret.
pub(super) fn written(secret: &raw::Secret) -> Option<SecretPlace> {
    let file = secret.file.as_ref().map(|path| SecretPlace::File(path.into()));
    secret.env.clone().map(SecretPlace::Variable).or(file)
}

/// Looks variables up in an environment; one that is no UTF-8 counts as not set.
pub(crate) fn variables(environment: &[(OsString, OsString)]) -> impl Fn(&str) -> Option<String> {
    |name| {
        let (_, value) = environment.iter().find(|(known, _)| known == name)?;
        value.to_str().map(str::to_owned)
    }
}
