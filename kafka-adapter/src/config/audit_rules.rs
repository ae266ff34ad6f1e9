//! The rules of `audit.key`.
//!
//! Responsible for a key that is not where it is said to be, or is none. Refuses nothing where no key is set. Invariant:
//! no fault repeats the key.

use std::ffi::OsString;

use config_faults::Fault;
use serde_json::Value;

use super::secrets;
use crate::audit::AuditKey;

const KEY: &str = "audit.key";

/// Checks the key; `set` is what was set, without the defaults.
pub(super) fn check(set: &Value, environment: &[(OsString, OsString)]) -> Option<Fault> {
    match secrets::place(set, KEY) {
        Ok(None) => None,
        Ok(Some(place)) => AuditKey::read(&place, &secrets::variables(environment))
            .err()
            .map(|error| Fault::new(KEY, error.to_string())),
        Err(fault) => Some(fault),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn line(key: &Value) -> Option<String> {
        let environment = [("SET", "0123456789abcdef0123456789abcdef"), ("SHORT", "hush")]
            .map(|(name, value)| (name.into(), value.into()));
        check(&json!({"audit": {"key": key}}), &environment).map(|fault| fault.to_string())
    }

    #[test]
    fn a_key_of_two_places_or_of_none_or_too_short_is_a_fault() {
        for (key, expected) in [
            (
                json!({"env": "SET", "file": "x"}),
                "audit.key: both env and file are set; keep one of the two",
            ),
            (
                json!({"env": "ABSENT"}),
                "audit.key: environment variable ABSENT is not set; put a key there, such as `openssl rand -hex 32` writes",
            ),
            (
                json!({"env": "SHORT"}),
                "audit.key: the key of environment variable SHORT has 4 bytes, and must have 32 or more; take what \
                 `openssl rand -hex 32` writes",
            ),
        ] {
            assert_eq!(line(&key).as_deref(), Some(expected));
        }
        for sound in [json!({"env": "SET"}), json!({})] {
            assert_eq!(line(&sound), None);
        }
    }

    #[test]
    fn what_the_schema_refuses_is_left_to_it() {
        for key in [json!(3), json!("0123456789abcdef"), json!({"env": 4})] {
            assert_eq!(line(&key), None);
        }
    }
}
