//! Which values of a configuration are shown as asterisks.
//!
//! Responsible for printing and `Debug` output. Refuses nothing. Invariant: a value below a key that may name a
//! secret is never shown, except the variable or file name that it is read from, which is no secret and is what an
//! operator looks for.

use config_faults::{child, is_secret, shown_path, shown_variable};
use serde_json::Value;

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// librdkafka properties that hold a secret although their name has none of the tell-tale words.
const SECRET_PROPERTIES: [&str; 2] = ["sasl.oauthbearer.config", "ssl.crl.pem"];

/// The webhook's address, whose path may be all that keeps strangers out.
const WEBHOOK_URL: &str = "webhook.url";

/// Says whether the value at `path` must not be shown.
#[must_use]
pub fn hides(path: &str) -> bool {
    let bare = path.trim_end_matches('"');
    let names_a_place = bare.ends_with(".env") || bare.ends_with(".file") || bare.ends_with(".location");
    (is_secret(path) && !names_a_place) || SECRET_PROPERTIES.iter().any(|name| bare.ends_with(name))
}

/// A copy of `value`, which stands at `path`, with every secret masked.
#[must_use]
pub fn tree(path: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, inner)| (key.clone(), tree(&child(path, key), inner)))
                .collect(),
        ),
        Value::Array(entries) => Value::Array(entries.iter().map(|inner| tree(path, inner)).collect()),
        Value::Null => Value::Null,
        _ if hides(path) => Value::from(MASK),
        // the secret itself, where the name of its variable or the path of its file belongs
        Value::String(name) if is_secret(path) && path.ends_with(".env") && shown_variable(name) != name => {
            Value::from(MASK)
        }
        Value::String(file)
            if is_secret(path) && path.ends_with(".file") && shown_path(file.as_ref()) != file.as_str() =>
        {
            Value::from(MASK)
        }
        Value::String(text) if path == WEBHOOK_URL => Value::from(origin(text)),
        Value::String(text) => Value::from(uri(text)),
        other => other.clone(),
    }
}

/// A URI with its scheme, host and port alone; of any other text, nothing.
fn origin(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return MASK.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.len() == rest.len() {
        text.to_owned()
    } else {
        format!("{scheme}://{host}/{MASK}")
    }
}

/// A URI without its credentials and its query, which may carry a token; any other text as it is.
fn uri(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_ends);
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    match path.split_once('?') {
        Some((path, _)) => format!("{scheme}://{host}{path}?{MASK}"),
        None => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MASK, hides, tree};

    #[test]
    fn a_secret_is_masked_and_where_it_comes_from_is_shown() {
        let value = json!({
            "client_secret": {"env": "OAUTH_CLIENT_SECRET"},
            "previous_secret": {"env": "the-secret-itself"},
            "hook_secret": {"file": "the-secret-itself"},
            "proxy_secret": {"file": "/run/secrets/proxy"},
            "api_token": "t0p",
            "passwords": ["a", {"b": 1}],
            "login": "https://me:pw@login.example/x",
            "events": "wss://streaming.example/ws?token=pw",
            "region": "us-east-1"
        });
        assert_eq!(
            tree("source.config", &value),
            json!({
                "client_secret": {"env": "OAUTH_CLIENT_SECRET"},
                "previous_secret": {"env": MASK},
                "hook_secret": {"file": MASK},
                "proxy_secret": {"file": "/run/secrets/proxy"},
                "api_token": MASK,
                "passwords": [MASK, {"b": MASK}],
                "login": format!("https://{MASK}@login.example/x"),
                "events": format!("wss://streaming.example/ws?{MASK}"),
                "region": "us-east-1"
            })
        );
    }

    #[test]
    fn of_the_webhook_only_scheme_host_and_port_are_shown() {
        for (url, shown) in [
            (
                "https://hooks.example:8443/T0/secret?key=pw",
                "https://hooks.example:8443/********",
            ),
            ("https://me:pw@hooks.example", "https://hooks.example/********"),
            ("https://hooks.example?key=pw", "https://hooks.example/********"),
            ("https://hooks.example", "https://hooks.example"),
            ("hooks.example/secret", MASK),
        ] {
            assert_eq!(tree("webhook.url", &json!(url)), json!(shown));
        }
    }

    #[test]
    fn librdkafka_properties_with_material_are_hidden_and_file_names_are_not() {
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "sasl.oauthbearer.config",
            "kafka.librdkafka.\"ssl.key.password\"",
        ] {
            assert!(hides(name), "{name}");
        }
        for name in [
            "ssl.key.location",
            "kafka.librdkafka.\"ssl.key.location\"",
            "linger.ms",
            "compression.type",
        ] {
            assert!(!hides(name), "{name}");
        }
    }
}
