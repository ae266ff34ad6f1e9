//! `genesys-kafka --version`: program, plugin ABI, librdkafka and what that was built with.
//!
//! Responsible for the text. Refuses nothing. Invariant: what librdkafka can do is asked of the linked library, not
//! of the build.

use plugin_abi::{ESP_ABI_MAJOR, ESP_ABI_MINOR};
use rdkafka::ClientConfig;
use rdkafka::util::get_rdkafka_version;

/// The versions, one a line.
pub(super) fn text() -> String {
    let (_, librdkafka) = get_rdkafka_version();
    format!(
        "genesys-kafka {}\nplugin ABI {ESP_ABI_MAJOR}.{ESP_ABI_MINOR}\nlibrdkafka {librdkafka} ({})",
        env!("CARGO_PKG_VERSION"),
        features()
    )
}

/// librdkafka's `builtin.features`.
fn features() -> String {
    ClientConfig::new()
        .create_native_config()
        .and_then(|native| native.get("builtin.features"))
        .map_or_else(
            |error| format!("features unknown: {error}"),
            |features| features.replace(',', ", "),
        )
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_versions_name_the_abi_and_what_librdkafka_can_do() {
        let text = text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "plugin ABI 1.0");
        assert!(
            lines[0].starts_with("genesys-kafka ") && lines[2].starts_with("librdkafka 2."),
            "{text}"
        );
        // Without these the adapter cannot speak TLS, compress well, or log in at a token endpoint.
        for feature in ["ssl", "sasl_scram", "sasl_oauthbearer", "lz4", "zstd", "oidc"] {
            assert!(lines[2].contains(feature), "{feature} in {text}");
        }
    }
}
