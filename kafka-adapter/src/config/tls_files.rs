//! The files that TLS to the brokers needs, looked at before librdkafka does.
//!
//! Responsible for those of `[kafka.librdkafka]`: librdkafka tells of a missing one in OpenSSL's words, and only when
//! the producer is made. Refuses to judge what is in a key or a certificate, which is OpenSSL's work. Invariant: nothing
//! is said while nothing goes to Kafka, or goes there in plain text.

use std::fs::File;
use std::path::Path;

use config_faults::{Fault, authorities, child, instead_of_file};
use serde_json::{Map, Value};

use super::rules::{at, to_kafka};

/// The property that names the authorities: a file, a folder, or the word for the system's.
const AUTHORITIES: &str = "ssl.ca.location";
/// Its word for the system's own authorities.
const PROBE: &str = "probe";
/// Properties that name a file each.
const FILES: [&str; 4] = [
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// Looks at the files; `set` is what was set, without the defaults.
pub(super) fn check(set: &Value) -> Vec<Fault> {
    let Some(Value::Object(properties)) = at(set, "kafka.librdkafka") else {
        return Vec::new();
    };
    if !to_kafka(set) || !is_encrypted(properties) {
        return Vec::new();
    }
    let named = |property: &str| properties.get(property).and_then(Value::as_str).map(Path::new);
    let fault = |property: &str, message: String| Fault::new(child("kafka.librdkafka", property), message);
    let authorities = named(AUTHORITIES)
        .filter(|path| *path != Path::new(PROBE) && !path.is_dir())
        .and_then(|path| authorities::read(path).err())
        .map(|error| fault(AUTHORITIES, error.to_string()).with_mend(authorities::MEND));
    let unread = |property: &str| {
        let path = named(property)?;
        if let Some(said) = instead_of_file(path) {
            let message = format!("{} {said}", path.display());
            return Some(fault(property, message).with_mend("name a regular file"));
        }
        let error = File::open(path).err()?;
        let message = format!("cannot read {}: {error}", path.display());
        Some(fault(property, message).with_mend("put it there, readable by this user"))
    };
    authorities
        .into_iter()
        .chain(FILES.into_iter().filter_map(unread))
        .collect()
}

/// Says whether the brokers are spoken to in TLS.
fn is_encrypted(properties: &Map<String, Value>) -> bool {
    let protocol = properties.get("security.protocol").and_then(Value::as_str);
    protocol.is_some_and(|protocol| ["ssl", "sasl_ssl"].contains(&protocol.trim().to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn lines(librdkafka: &Value) -> Vec<String> {
        let set = json!({"kafka": {"librdkafka": librdkafka}});
        check(&set).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_file_that_cannot_be_used_is_named_by_its_property() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.pem");
        std::fs::write(&text, "hello").unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(
            lines(
                &json!({"security.protocol": "ssl", "ssl.ca.location": pipe, "ssl.certificate.location": pipe})
            ),
            [
                format!(
                    "kafka.librdkafka.\"ssl.ca.location\": {} is a pipe, not a file; name a file with the certificate of \
                     the authority, PEM, or leave it out",
                    pipe.display()
                ),
                format!(
                    "kafka.librdkafka.\"ssl.certificate.location\": {} is a pipe, not a file; name a regular file",
                    pipe.display()
                ),
            ]
        );
        assert_eq!(
            lines(&json!({"security.protocol": "SSL", "ssl.ca.location": text, "ssl.key.location": "/nonexistent/key"})),
            [
                format!(
                    "kafka.librdkafka.\"ssl.ca.location\": {} holds no PEM certificate; name a file with the \
                     certificate of the authority, PEM, or leave it out",
                    text.display()
                ),
                "kafka.librdkafka.\"ssl.key.location\": cannot read /nonexistent/key: No such file or directory (os \
                 error 2); put it there, readable by this user"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn nothing_is_said_of_a_folder_of_the_systems_authorities_or_of_what_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let absent = "/nonexistent/ca.pem";
        for silent in [
            json!({"security.protocol": "ssl", "ssl.ca.location": folder.path()}),
            json!({"security.protocol": "sasl_ssl", "ssl.ca.location": "probe"}),
            json!({"security.protocol": "plaintext", "ssl.ca.location": absent}),
            json!({"ssl.ca.location": absent}),
        ] {
            assert_eq!(lines(&silent), Vec::<String>::new());
        }
        let elsewhere = json!({"delivery": {"to": "lines"},
            "kafka": {"librdkafka": {"security.protocol": "ssl", "ssl.ca.location": absent}}});
        assert_eq!(check(&elsewhere), []);
    }
}
