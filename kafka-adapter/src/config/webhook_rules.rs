//! The rules of `[webhook]`, which hold where events go there.
//!
//! Responsible for the address, for keys that exclude each other, and for secrets and authorities that are not where they
//! are said to be or are none. Refuses nothing while events go elsewhere. Invariant: no fault repeats the address or a secret.

use std::ffi::OsString;

use config_faults::{Fault, authorities};
use rustls::RootCertStore;
use serde_json::Value;

use super::rules::at;
use super::secrets;
use super::target::Target;
use crate::sink::WebhookError;

/// Checks the section; `set` is what was set, without the defaults.
pub(super) fn check(set: &Value, environment: &[(OsString, OsString)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if at(set, "delivery.to").and_then(Value::as_str) != Some("webhook") {
        return faults;
    }
    let allow_private = at(set, "webhook.allow_private") == Some(&Value::Bool(true));
    match at(set, "webhook.url") {
        None => faults.push(
            Fault::new(
                "webhook.url",
                "is required, but missing: delivery.to is `webhook`",
            )
            .with_mend("set it to https://host/path"),
        ),
        Some(Value::String(url)) if !url.is_empty() => {
            if let Err(error) = Target::parse(url, allow_private) {
                faults.push(Fault::new("webhook.url", error.to_string()));
            }
        }
        // of the wrong type: the schema says so
        Some(_) => {}
    }
    let variable = secrets::variables(environment);
    let mut signed = false;
    for path in ["webhook.secret", "webhook.previous_secret"] {
        let place = match secrets::place(set, path) {
            Ok(None) => continue,
            Ok(Some(place)) => place,
            Err(fault) => {
                faults.push(fault);
                signed = true;
                continue;
            }
        };
        if let Err(error) = WebhookError::of_secret(&place, &variable) {
            faults.push(Fault::new(path, error.to_string()));
        }
        if path == "webhook.previous_secret" && !signed {
            faults.push(
                Fault::new(path, "is set without webhook.secret")
                    .with_mend("set webhook.secret to the one that is in force"),
            );
        }
        signed = true;
    }
    if let Some(path) = at(set, "webhook.ca_file")
        .and_then(Value::as_str)
        .filter(|path| !path.is_empty())
        && let Err(error) = authorities::add(&mut RootCertStore::empty(), path.as_ref())
    {
        faults.push(Fault::new("webhook.ca_file", error.to_string()).with_mend(authorities::MEND));
    }
    if signed && at(set, "webhook.envelope").and_then(Value::as_str) == Some("plain") {
        faults.push(
            Fault::new(
                "webhook.envelope",
                "`plain` and webhook.secret exclude each other: a signature covers the body alone, and a plain body \
                 has no CloudEvents context",
            )
            .with_mend("leave one of the two out"),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn lines(webhook: &Value) -> Vec<String> {
        let set = json!({"delivery": {"to": "webhook"}, "webhook": webhook});
        let environment = [
            ("SET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("SHORT", "whsec_aGk="),
            ("EMPTY", ""),
        ]
        .map(|(name, value)| (name.into(), value.into()));
        check(&set, &environment)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_rule_has_its_line() {
        let url = "https://hooks.example/secret-path";
        for (webhook, expected) in [
            (
                json!({}),
                "webhook.url: is required, but missing: delivery.to is `webhook`; set it to https://host/path",
            ),
            (
                json!({"url": "hooks.example/secret-path"}),
                "webhook.url: has no scheme; write https://host/path",
            ),
            (
                json!({"url": "https://me:pw@hooks.example/secret-path"}),
                "webhook.url: carries a user name or password; leave them out, and sign requests with webhook.secret",
            ),
            (
                json!({"url": "http://hooks.example/secret-path"}),
                "webhook.url: is plain http to hooks.example, which is not this machine; write https://",
            ),
            (
                json!({"url": "http://localhost:8080/secret-path"}),
                "webhook.url: leads to localhost, an address of this machine or of a private network; \
                 set webhook.allow_private = true if it is meant",
            ),
            (
                json!({"url": url, "secret": {"env": "SET", "file": "x"}}),
                "webhook.secret: both env and file are set; keep one of the two",
            ),
            (
                json!({"url": url, "secret": {"env": "EMPTY"}}),
                "webhook.secret: environment variable EMPTY is empty; put a secret there: whsec_ and base64",
            ),
            (
                json!({"url": url, "secret": {"env": "SHORT"}}),
                "webhook.secret: the secret of environment variable SHORT holds 2 bytes, and must hold 24 to 64; write \
                 whsec_ and base64",
            ),
            (
                json!({"url": url, "ca_file": "/nonexistent/ca.pem"}),
                "webhook.ca_file: cannot read /nonexistent/ca.pem: No such file or directory (os error 2); name a file \
                 with the certificate of the authority, PEM, or leave it out",
            ),
            (
                json!({"url": url, "previous_secret": {"env": "SET"}}),
                "webhook.previous_secret: is set without webhook.secret; set webhook.secret to the one that is in force",
            ),
            (
                json!({"url": url, "secret": {"env": "SET"}, "envelope": "plain"}),
                "webhook.envelope: `plain` and webhook.secret exclude each other: a signature covers the body alone, \
                 and a plain body has no CloudEvents context; leave one of the two out",
            ),
        ] {
            assert_eq!(lines(&webhook), [expected]);
        }
        assert!(
            lines(&json!({"url": url, "secret": {"env": "SET"}, "previous_secret": {"env": "SET"}}))
                .is_empty()
        );
        assert!(lines(&json!({"url": "http://127.0.0.1:1/", "allow_private": true})).is_empty());
    }

    #[test]
    fn nothing_is_said_while_events_go_elsewhere_or_the_schema_has_said_it() {
        assert!(check(&json!({"webhook": {"url": "nonsense"}}), &[]).is_empty());
        assert!(lines(&json!({"url": 3, "secret": 4, "envelope": []})).is_empty());
        assert!(lines(&json!({"url": ""})).is_empty());
    }
}
