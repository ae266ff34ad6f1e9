//! Bad configuration of the adapter and what it names: `genesys-kafka` as a process, every message whole.

use std::path::Path;
use std::process::Command;

use support::Launch;
use support::c::{Language, compile};

use crate::host::SOON;

const SECRET: &str = "PLANTED-secret-77ab";

const SOUND: &str =
    "[source.config]\nregion = \"us-east-1\"\ntransport = \"events\"\n[delivery]\nto = \"lines\"\n";

const CREDENTIALS: &[(&str, &str)] = &[("OAUTH_CLIENT_ID", "planted-id"), ("OAUTH_CLIENT_SECRET", SECRET)];

/// Runs the adapter in a folder that holds `config` as `c.toml`; returns exit code and standard error.
fn fails(
    folder: &Path,
    config: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (i32, Vec<String>) {
    std::fs::write(folder.join("c.toml"), config).unwrap();
    let mut launch = Launch::binary("genesys-kafka")
        .args(arguments)
        .current_dir(folder);
    for (name, value) in environment {
        launch = launch.env(name, value);
    }
    let finished = launch.run(SOON);
    for line in finished.stdout.iter().chain(&finished.stderr) {
        assert!(!line.contains(SECRET), "a secret is printed: {line}");
    }
    (finished.status.code().unwrap(), finished.stderr)
}

/// Demands the whole of standard error, and exit code 78.
fn refused(config: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<String> = expected
        .iter()
        .map(|line| format!("genesys-kafka: {line}"))
        .collect();
    // `config` first, since it reaches out to nothing: a fault that went unnoticed would let `run` log in somewhere
    for command in ["config", "run"] {
        let (code, lines) = fails(
            folder.path(),
            config,
            &[command, "--config", "c.toml"],
            environment,
        );
        assert_eq!((code, &lines), (78, &expected), "{command}");
    }
}

const NO_ID: &str = "set OAUTH_CLIENT_ID, or client_id = { file = \"…\" } to a file that holds it";
const NO_SECRET: &str =
    "set OAUTH_CLIENT_SECRET, or client_secret = { file = \"…\" } to a file that holds it";

#[test]
fn a_missing_or_empty_credential_names_its_variable() {
    let missing = |name: &str, mend: &str| {
        let key = name.trim_start_matches("OAUTH_").to_lowercase();
        format!("c.toml:1: source.config.{key}: environment variable {name} is not set; {mend}")
    };
    refused(
        SOUND,
        &[],
        &[
            &missing("OAUTH_CLIENT_ID", NO_ID),
            &missing("OAUTH_CLIENT_SECRET", NO_SECRET),
        ],
    );
    let empty =
        format!("c.toml:1: source.config.client_id: environment variable OAUTH_CLIENT_ID is empty; {NO_ID}");
    refused(
        SOUND,
        &[("OAUTH_CLIENT_ID", " "), ("OAUTH_CLIENT_SECRET", SECRET)],
        &[&empty],
    );
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let absent = SOUND.replace(
        "[delivery]",
        "client_secret = { file = \"/nonexistent/secret\" }\n[delivery]",
    );
    refused(
        &absent,
        &CREDENTIALS[..1],
        &[
            "c.toml:4: source.config.client_secret: cannot read /nonexistent/secret: No such file or directory (os error 2); \
             put it there, readable by this user, or set client_secret = { env = \"OAUTH_CLIENT_SECRET\" }",
        ],
    );
    let folder = SOUND.replace("[delivery]", "client_id = { file = \"/\" }\n[delivery]");
    refused(
        &folder,
        &CREDENTIALS[1..],
        &[
            "c.toml:4: source.config.client_id: cannot read /: Is a directory (os error 21); put it there, readable by \
             this user, or set client_id = { env = \"OAUTH_CLIENT_ID\" }",
        ],
    );
}

#[test]
fn unknown_keys_wrong_types_and_ranges_are_reported_in_one_pass() {
    let config = "[source]\nlibary = \"x\"\n[source.config]\nregion = \"us-east-1\"\nmax_frame_bytes = \"large\"\n\
                  reconnect = { min_ms = 0 }\ndedup = { window_mss = 1 }\n[delivery]\nto = \"kafak\"\n\
                  max_in_flight_records = 0\ndrain_ms = true\n[websocket]\n";
    refused(
        config,
        CREDENTIALS,
        &[
            "c.toml:11: delivery.drain_ms: expected integer, found boolean",
            "c.toml:10: delivery.max_in_flight_records: must be at least 1, found 0",
            "c.toml:9: delivery.to: expected one of `kafka`, `webhook`, `lines`, found `kafak`; did you mean `kafka`?",
            "c.toml:7: source.config.dedup.window_mss: unknown key; did you mean `window_ms`? known keys here: `max_ids`, `window_ms`",
            "c.toml:5: source.config.max_frame_bytes: expected integer, found string",
            "c.toml:6: source.config.reconnect.min_ms: must be at least 1, found 0",
            "c.toml:2: source.libary: unknown key; did you mean `library`? known keys here: `config`, `library`, `name`",
            "c.toml:12: websocket: unknown key; known keys here: `audit`, `control`, `dead_letter`, `delivery`, `kafka`, `operations`, `source`, `webhook`",
        ],
    );
}

#[test]
fn a_secret_written_in_the_wrong_place_is_refused_without_being_repeated() {
    let config = SOUND.replace("[delivery]", &format!("client_secret = \"{SECRET}\"\n[delivery]"));
    refused(
        &config,
        CREDENTIALS,
        &["c.toml:4: source.config.client_secret: expected object, found string"],
    );
}

#[test]
fn subscriptions_out_of_bounds_say_by_how_much() {
    let events = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("\"e{number}\"")).collect();
        format!("subscription = {{ events = [{}] }}\n[delivery]", names.join(", "))
    };
    for count in [0, 11] {
        refused(
            &SOUND.replace("[delivery]", &events(count)),
            CREDENTIALS,
            &[&format!(
                "c.toml:4: source.config.subscription.events: subscription names {count} events, allowed are 1 to 10"
            )],
        );
    }
    // the shortest token that passes, since a payload that is too large with it is too large with every token
    let around = serde_json::json!({
        "type": "subscribe",
        "events": ["interaction", "participant"],
        "filters": {"q": ""},
        "token": "x".repeat(20),
        "sessionToken": "x".repeat(36),
    });
    let filter = format!(
        "subscription = {{ filters = {{ q = \"{}\" }} }}\n[delivery]",
        "x".repeat(8192)
    );
    refused(
        &SOUND.replace("[delivery]", &filter),
        CREDENTIALS,
        &[&format!(
            "c.toml:4: source.config.subscription: subscription payload is {} bytes, limit is 8192; \
             shorten subscription.filters or subscription.events",
            8192 + around.to_string().len()
        )],
    );
}

#[test]
fn plain_text_to_another_machine_and_unknown_regions_are_refused() {
    let plain = |key: &str, url: &str| {
        SOUND.replace(
            "[delivery]",
            &format!("endpoints = {{ {key} = \"{url}\" }}\n[delivery]"),
        )
    };
    let message = |key: &str, scheme: &str| {
        format!(
            "c.toml:4: source.config.endpoints.{key}: plain {scheme}:// is allowed to loopback only, and example.com \
             is not loopback; use the encrypted scheme, or set allow_insecure = true"
        )
    };
    refused(
        &plain("events", "ws://example.com/x"),
        CREDENTIALS,
        &[&message("events", "ws")],
    );
    refused(
        &plain("login", "http://example.com"),
        CREDENTIALS,
        &[&message("login", "http")],
    );
    let regions = "unknown region \"us-east-9\"; known are us-east-1, us-east-2, us-west-2, ca-central-1, mx-central-1, \
                   sa-east-1, eu-west-1, eu-west-2, eu-central-1, eu-central-2, eusc-de-east-1, me-central-1, ap-south-1, \
                   ap-southeast-1, ap-southeast-2, ap-northeast-1, ap-northeast-2, ap-northeast-3; use a known name, or \
                   set domain";
    refused(
        &SOUND.replace("us-east-1", "us-east-9"),
        CREDENTIALS,
        &[&format!("c.toml:2: source.config.region: {regions}")],
    );
    let environment = [CREDENTIALS, &[("GENESYS_ENV", "us-east-9")]].concat();
    refused(
        "[delivery]\nto = \"lines\"\n",
        &environment,
        &[&format!(
            "source.config.region: environment variable GENESYS_ENV: {regions}"
        )],
    );
}

#[test]
fn files_that_are_no_configuration_are_told_apart() {
    refused(
        "[delivery]\nto = lines\n[kafka\n",
        CREDENTIALS,
        &[
            "c.toml:2: not TOML: string values must be quoted, expected literal string",
            "c.toml:3: not TOML: unclosed table, expected `]`",
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        fails(folder.path(), SOUND, &["run", "--config", "absent.toml"], CREDENTIALS),
        (
            78,
            vec![
                "genesys-kafka: configuration file `absent.toml` does not exist; name an existing file with --config"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn a_wrong_command_line_is_64() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["run", "--tu", "lines"][..], &["publish"], &[], &["verify"]] {
        let (code, lines) = fails(folder.path(), SOUND, arguments, CREDENTIALS);
        assert_eq!(code, 64, "{arguments:?}");
        assert!(lines[0].starts_with("error: "), "{lines:?}");
    }
    let (code, lines) = fails(folder.path(), SOUND, &["run", "--tu", "lines"], CREDENTIALS);
    assert_eq!(
        (code, lines[0].as_str()),
        (64, "error: unexpected argument '--tu' found")
    );
}

/// Builds a shared library of one C text.
fn library(folder: &Path, name: &str, text: &str) {
    let source = folder.join(name).with_extension("c");
    std::fs::write(&source, text).unwrap();
    compile(Language::C11, &source, &folder.join(name), &["-shared", "-fPIC"]);
}

#[test]
fn a_library_that_is_no_plugin_of_ours_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.so"), "just text\n").unwrap();
    library(folder.path(), "none.so", "int nothing_of_ours = 1;\n");
    library(
        folder.path(),
        "some.so",
        "#include <stdint.h>\nuint32_t esp_abi_version(void);\nuint32_t esp_abi_version(void) { return 1u << 16; }\n",
    );
    library(
        folder.path(),
        "other.so",
        "#include <stdint.h>\nuint32_t esp_abi_version(void);\nuint32_t esp_abi_version(void) { return 2u << 16 | 3; }\n",
    );
    let symbols = plugin_abi::SYMBOLS;
    let all = symbols.join(", ");
    let most = symbols[1..].join(", ");
    assert_eq!(symbols[0], "esp_abi_version");
    let table = [
        (
            "./absent.so",
            "plugin `./absent.so` not found; looked for ./absent.so; set source.library to its path".to_owned(),
        ),
        (
            "./text.so",
            format!(
                "plugin `./text.so` cannot be loaded: ./text.so: file too short; it must be a shared library built for {}",
                std::env::consts::ARCH
            ),
        ),
        (
            "./none.so",
            format!("`./none.so` is no event source plugin: it lacks {all}; set source.library to one"),
        ),
        (
            "./some.so",
            format!("`./some.so` is no event source plugin: it lacks {most}; set source.library to one"),
        ),
        (
            "./other.so",
            "plugin `./other.so` speaks version 2.3 of the plugin ABI, this program speaks 1.0; use a plugin and an \
             adapter of the same major version"
                .to_owned(),
        ),
    ];
    for (name, expected) in table {
        let arguments = ["run", "--config", "c.toml", "--library", name];
        assert_eq!(
            fails(folder.path(), SOUND, &arguments, CREDENTIALS),
            (
                78,
                vec![format!("genesys-kafka: --library: source.library: {expected}")]
            )
        );
    }
    let (code, lines) = fails(
        folder.path(),
        SOUND,
        &["run", "--config", "c.toml", "--library", "libabsent.so"],
        CREDENTIALS,
    );
    let beside = support::binary("genesys-kafka").with_file_name("libabsent.so");
    let start = format!(
        "genesys-kafka: --library: source.library: plugin `libabsent.so` not found; looked for {}, ",
        beside.display()
    );
    assert_eq!((code, lines.len()), (78, 1));
    assert!(
        lines[0].starts_with(&start) && lines[0].ends_with("; set source.library to its path"),
        "{lines:?}"
    );
}

#[test]
fn effective_configuration_masks_what_is_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = SOUND.replace(
        "[delivery]",
        "client_id = { env = \"OAUTH_CLIENT_ID\" }\n[delivery]",
    );
    let config = format!("{config}[kafka.librdkafka]\n\"sasl.password\" = \"{SECRET}\"\n");
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    let mut command = Command::new(support::binary("genesys-kafka"));
    let output = command
        .args(["config", "--config", "c.toml"])
        .current_dir(folder.path())
        .envs(CREDENTIALS.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("sasl.password") && !text.contains(SECRET), "{text}");
}

#[test]
fn the_committed_example_is_sound_for_adapter_and_plugin() {
    let example = support::workspace_root().join("genesys-kafka.example.toml");
    let folder = tempfile::tempdir().unwrap();
    let finished = Launch::binary("genesys-kafka")
        .args(["config", "--config", &example.display().to_string()])
        .current_dir(folder.path())
        .env("GENESYS_KAFKA__KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")
        .env("GENESYS_ENV", "us-east-1")
        .env("OAUTH_CLIENT_ID", "planted-id")
        .env("OAUTH_CLIENT_SECRET", SECRET)
        .run(SOON);
    assert!(finished.status.success(), "{}", finished.stderr.join("\n"));
}
