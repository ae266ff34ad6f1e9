//! The configuration itself: the file, keys, types, ranges, and what excludes each other.
//!
//! Over 400 lines: it is one table of whole messages, most of them longer than a line.

use std::process::Command;

use support::Launch;

use crate::{CREDENTIALS, Case, EXIT_CONFIG, SECRET, SOON, SOUND, credentials, fails};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let cases = [
        every_fault_in_one_pass(),
        shared_file(),
        of_variables(),
        syntax(),
        plain("events", "ws"),
        of_notifications(),
        written_for_events(),
    ];
    let cases = cases
        .into_iter()
        .chain(exclusive())
        .chain(out_of_bounds())
        .chain(regions());
    let unread = unreadable().map(|(_, line)| line);
    let mut lines: Vec<String> = cases.flat_map(|case| case.expected).chain(unread).collect();
    lines.push(NO_SERVERS.to_owned());
    lines
}

const NO_REGION: &str = "source.config.region: no region is set, and environment variable GENESYS_ENV is not set; set \
                         GENESYS_ENV or region, such as \"us-east-1\", or domain, or endpoints.login and endpoints.api";
const NO_SERVERS: &str = "kafka.bootstrap_servers: is required, but missing: delivery.to is `kafka`; set it to host:port, \
                          or run with --to lines";

/// Every kind of fault in every layer: the file's come by line, then the environment's and what nobody wrote.
fn every_fault_in_one_pass() -> Case {
    let config = "[source]\nlibary = \"x\"\n[source.config]\nregion = \"us-east-1\"\nmax_frame_bytes = \"large\"\n\
                  reconnect = { min_ms = 0 }\ndedup = { window_mss = 1 }\n[delivery]\nto = \"kafak\"\n\
                  max_in_flight_records = 0\ndrain_ms = true\n[websocket]\n[audit]\nto = \"file\"\n[dead_letter]\npath = \
                  { }\n";
    let environment = [
        CREDENTIALS,
        &[
            ("GENESYS_KAFKA__KAFKA__PARTITIONS", "many"),
            ("GENESYS_KAFKA__DELIVERY____TO", "lines"),
        ],
    ]
    .concat();
    Case::new(
        config,
        &environment,
        &[
            "c.toml:2: source.libary: unknown key; did you mean `library`? known keys here: `config`, `library`, `name`",
            "c.toml:5: source.config.max_frame_bytes: expected integer, found string",
            "c.toml:6: source.config.reconnect.min_ms: must be at least 1, found 0",
            "c.toml:7: source.config.dedup.window_mss: unknown key; did you mean `window_ms`? known keys here: `max_ids`, `window_ms`",
            "c.toml:9: delivery.to: expected one of `kafka`, `webhook`, `lines`, found `kafak`; did you mean `kafka`?",
            "c.toml:10: delivery.max_in_flight_records: must be at least 1, found 0",
            "c.toml:11: delivery.drain_ms: expected integer, found boolean",
            "c.toml:12: websocket: unknown key; known keys here: `audit`, `control`, `dead_letter`, `delivery`, `kafka`, `operations`, `source`, `webhook`",
            "c.toml:13: audit.path: is required, but missing: audit.to is `file`; set it to a file",
            "c.toml:16: dead_letter.path: expected string, found table",
            "environment variable GENESYS_KAFKA__DELIVERY____TO: the name leads to no key; write GENESYS_KAFKA__SECTION__KEY",
            "environment variable GENESYS_KAFKA__KAFKA__PARTITIONS: kafka.partitions: expected integer, found string",
        ],
    )
}

#[test]
fn every_fault_is_reported_in_one_pass_the_files_by_line_and_then_the_environments() {
    every_fault_in_one_pass().refused();
}

/// Variables whose names lead past the keys, or whose secret is not there, beside layers that say it right.
fn of_variables() -> Case {
    let config = "[source.config]\nregion = \"us-east-1\"\n[delivery]\nto = \"webhook\"\n[webhook]\nurl = \
                  \"https://hooks.example/\"\n";
    let environment = [
        CREDENTIALS,
        &[
            ("GENESYS_KAFKA__AUDIT", "lines"),
            ("GENESYS_KAFKA__AUDIT__TO", "fil"),
            ("GENESYS_KAFKA__DEAD_LETTER", "7"),
            ("GENESYS_KAFKA__DELIVRY__TO", "lines"),
            ("GENESYS_KAFKA__WEBHOOK__SECRET__ENV", "HOOK_SECRET"),
        ],
    ]
    .concat();
    Case::new(
        config,
        &environment,
        &[
            "environment variable GENESYS_KAFKA__AUDIT: audit: expected table, found string",
            "environment variable GENESYS_KAFKA__AUDIT__TO: audit.to: expected one of `kafka`, `file`, `lines`, found `fil`; \
             did you mean `file`?",
            "environment variable GENESYS_KAFKA__DEAD_LETTER: dead_letter: expected table, found integer",
            "environment variable GENESYS_KAFKA__DELIVRY__TO: delivry: unknown key; did you mean `delivery`? known keys \
             here: `audit`, `control`, `dead_letter`, `delivery`, `kafka`, `operations`, `source`, `webhook`",
            "environment variable GENESYS_KAFKA__WEBHOOK__SECRET__ENV: webhook.secret: environment variable HOOK_SECRET \
             is not set; put a secret there: whsec_ and base64",
        ],
    )
}

#[test]
fn what_a_variable_set_wrong_names_the_variable() {
    of_variables().refused();
}

/// What cannot be had over notification channels.
fn of_notifications() -> Case {
    let config = "[source.config]\nregion = \"us-east-1\"\ntransport = \"notifications\"\n[source.config.subscription]\n\
                  events = [\"presense\", \"transcription\"]\nmax_events = 3\ntopics = [\"v2.users.{id}.presence\"]\n\
                  [delivery]\nto = \"lines\"\n";
    Case::new(
        config,
        CREDENTIALS,
        &[
            "c.toml:5: source.config.subscription.events: needs conversations to be seen first, and no topic shows any; \
             add \"conversations\" to subscription.events",
            "c.toml:5: source.config.subscription.events[0]: \"presense\" is nothing that the notifications transport has; \
             did you mean `presence`? known are conversations, presence, routing_status, activity, station, out_of_office, \
             conversation_summary, agent_state, agent_statistics, members, statistics, queue_activity, transcription, speech",
            "c.toml:6: source.config.subscription.max_events: belongs to transport = \"events\", and the transport is \
             \"notifications\"; leave it out, or set transport = \"events\"",
            "c.toml:7: source.config.subscription.topics[0]: \"v2.users.{id}.presence\" names no single entity; name each \
             id; there are no wild cards over a channel",
        ],
    )
}

/// A file of the time when the transport was `events` without a word.
fn written_for_events() -> Case {
    let config = "[source.config]\nregion = \"us-east-1\"\n[source.config.subscription]\nevents = [\"interaction\"]\n\
                  min_interval_ms = 2000\n[delivery]\nto = \"lines\"\n";
    Case::new(
        config,
        CREDENTIALS,
        &[
            "c.toml:1: source.config.transport: is not set, so it is \"notifications\", and subscription.events belongs to \
           \"events\"; add the line transport = \"events\", or leave subscription.events, subscription.min_interval_ms out",
        ],
    )
}

#[test]
fn a_file_that_was_written_for_events_is_told_the_line_that_it_lacks() {
    written_for_events().refused();
}

#[test]
fn what_notification_channels_do_not_have_is_refused_at_its_place() {
    of_notifications().refused();
}

#[test]
fn a_section_that_is_set_to_a_word_is_refused_also_where_flags_set_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = credentials();
    environment.push(("GENESYS_KAFKA__DELIVERY", "lines".to_owned()));
    for arguments in [
        &["config", "--config", "c.toml", "--to", "lines"][..],
        &["run", "--config", "c.toml", "--to", "lines"],
    ] {
        assert_eq!(
            fails(folder.path(), SOUND, arguments, &environment),
            (
                EXIT_CONFIG,
                vec![
                    "genesys-kafka: environment variable GENESYS_KAFKA__DELIVERY: delivery: expected table, found string"
                        .to_owned()
                ]
            )
        );
    }
}

#[test]
fn flags_come_after_the_environment_and_what_nobody_wrote_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = credentials();
    environment.push(("GENESYS_KAFKA__OPERATIONS__METRICS_MS", "often".to_owned()));
    let arguments = ["config", "--config", "c.toml", "--name", "a b", "--to", "kafka"];
    let (code, lines) = fails(
        folder.path(),
        "\ndelivery.drain_ms = -1\n",
        &arguments,
        &environment,
    );
    let expected = [
        "c.toml:2: delivery.drain_ms: must be at least 0, found -1",
        "environment variable GENESYS_KAFKA__OPERATIONS__METRICS_MS: operations.metrics_ms: expected integer, found string",
        "--name: source.name: must match the pattern `^[A-Za-z0-9._-]{1,64}$`",
        NO_SERVERS,
        NO_REGION,
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|line| format!("genesys-kafka: {line}"))
        .collect();
    assert_eq!((code, lines), (EXIT_CONFIG, expected));
}

/// Two keys that exclude each other.
fn exclusive() -> Vec<Case> {
    let of_webhook = "[source.config]\nregion = \"us-east-1\"\n[delivery]\nto = \"webhook\"\n[webhook]\nurl = \
                      \"https://hooks.example/\"\nenvelope = \"plain\"\n[webhook.secret]\n";
    let signing = [
        CREDENTIALS,
        &[("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    ]
    .concat();
    vec![
        Case::new(
            SOUND.replace("[delivery]", "domain = \"usw2.pure.cloud\"\n[delivery]"),
            CREDENTIALS,
            &["c.toml:4: source.config.domain: both region and domain are set; keep one of the two"],
        ),
        Case::new(
            SOUND.replace(
                "[delivery]",
                "client_secret = { env = \"OAUTH_CLIENT_SECRET\", file = \"/secret\" }\n[delivery]",
            ),
            CREDENTIALS,
            &["c.toml:4: source.config.client_secret: both env and file are set; keep one of the two"],
        ),
        Case::new(
            format!("{of_webhook}env = \"HOOK_SECRET\"\n"),
            &signing,
            &[
                "c.toml:7: webhook.envelope: `plain` and webhook.secret exclude each other: a signature covers the body \
                 alone, and a plain body has no CloudEvents context; leave one of the two out",
            ],
        ),
    ]
}

#[test]
fn keys_that_exclude_each_other_are_named() {
    for case in exclusive() {
        case.refused();
    }
}

/// The audit's file under another name, in the midst of other faults.
fn shared_file() -> Case {
    let config = format!(
        "{SOUND}drain_ms = true\n[audit]\nto = \"file\"\npath = \"./same.jsonl\"\n[dead_letter]\npath = \"same.jsonl\"\n\
         [operations]\nmetrics_ms = -1\n"
    );
    Case::new(
        config,
        CREDENTIALS,
        &[
            "c.toml:6: delivery.drain_ms: expected integer, found boolean",
            "c.toml:9: audit.path: names the same file as dead_letter.path, but an audit file is rotated and holds audit \
             records alone; give each its own",
            "c.toml:13: operations.metrics_ms: must be at least 0, found -1",
        ],
    )
}

#[test]
fn an_audit_file_that_is_another_file_too_is_told_with_all_other_faults() {
    shared_file().refused();
}

fn out_of_bounds() -> Vec<Case> {
    let events = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("\"e{number}\"")).collect();
        format!("subscription = {{ events = [{}] }}\n[delivery]", names.join(", "))
    };
    let mut cases: Vec<Case> = [0, 11]
        .map(|count| {
            Case::new(
                SOUND.replace("[delivery]", &events(count)),
                CREDENTIALS,
                &[&format!(
                    "c.toml:4: source.config.subscription.events: subscription names {count} events, allowed are 1 to 10"
                )],
            )
        })
        .into();
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
    cases.push(Case::new(
        SOUND.replace("[delivery]", &filter),
        CREDENTIALS,
        &[&format!(
            "c.toml:4: source.config.subscription: subscription payload is {} bytes, limit is 8192; \
             shorten subscription.filters or subscription.events",
            8192 + around.to_string().len()
        )],
    ));
    cases
}

#[test]
fn subscriptions_out_of_bounds_say_by_how_much() {
    for case in out_of_bounds() {
        case.refused();
    }
}

/// An address in plain text to another machine.
fn plain(key: &str, scheme: &str) -> Case {
    let endpoint = format!("endpoints = {{ {key} = \"{scheme}://example.com\" }}\n[delivery]");
    let message = format!(
        "c.toml:4: source.config.endpoints.{key}: plain {scheme}:// is allowed to loopback only, and example.com is not \
         loopback; use the encrypted scheme, or set allow_insecure = true"
    );
    Case::new(SOUND.replace("[delivery]", &endpoint), CREDENTIALS, &[&message])
}

#[test]
fn plain_text_to_another_machine_and_unknown_regions_are_refused() {
    plain("events", "ws").refused();
    plain("login", "http").refused();
    for case in regions() {
        case.refused();
    }
}

/// Regions that nobody knows, and none at all.
fn regions() -> [Case; 4] {
    let unknown = "unknown region \"us-east-9\"; known are us-east-1, us-east-2, us-west-2, ca-central-1, mx-central-1, \
                   sa-east-1, eu-west-1, eu-west-2, eu-central-1, eu-central-2, eusc-de-east-1, me-central-1, ap-south-1, \
                   ap-southeast-1, ap-southeast-2, ap-northeast-1, ap-northeast-2, ap-northeast-3; use a known name, or \
                   set domain";
    let without = "[delivery]\nto = \"lines\"\n";
    let environment = [CREDENTIALS, &[("GENESYS_ENV", "us-east-9")]].concat();
    [
        Case::new(
            SOUND.replace("us-east-1", "us-east-9"),
            CREDENTIALS,
            &[&format!("c.toml:2: source.config.region: {unknown}")],
        ),
        Case::new(
            without,
            &environment,
            &[&format!(
                "source.config.region: environment variable GENESYS_ENV: {unknown}"
            )],
        ),
        Case::new(without, CREDENTIALS, &[NO_REGION]),
        Case::new(
            without,
            &[CREDENTIALS, &[("GENESYS_ENV", " ")]].concat(),
            &[&NO_REGION.replace("is not set", "is empty")],
        ),
    ]
}

fn syntax() -> Case {
    Case::new(
        "[delivery]\nto = lines\n[kafka\n",
        CREDENTIALS,
        &[
            "c.toml:2: not TOML: string values must be quoted, expected literal string",
            "c.toml:3: not TOML: unclosed table, expected `]`",
        ],
    )
}

/// Files that cannot be read as a configuration, and what is said of them.
fn unreadable() -> [(&'static str, String); 4] {
    [
        (
            "absent.toml",
            "configuration file `absent.toml` does not exist; name an existing file with --config".to_owned(),
        ),
        (
            ".",
            "configuration file `.` cannot be read: Is a directory (os error 21); check its permissions and that it is text"
                .to_owned(),
        ),
        (
            "binary.toml",
            "configuration file `binary.toml` cannot be read: stream did not contain valid UTF-8; check its permissions \
             and that it is text"
                .to_owned(),
        ),
        (
            "large.toml",
            "configuration file `large.toml` has 4194305 bytes; a configuration has at most 4 MiB".to_owned(),
        ),
    ]
}

#[test]
fn files_that_are_no_configuration_are_told_apart() {
    syntax().refused();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("binary.toml"), [b'a', 0xff, b'\n']).unwrap();
    std::fs::write(folder.path().join("large.toml"), vec![b'\n'; (4 << 20) + 1]).unwrap();
    for (name, line) in unreadable() {
        assert_eq!(
            fails(folder.path(), SOUND, &["run", "--config", name], &credentials()),
            (EXIT_CONFIG, vec![format!("genesys-kafka: {line}")])
        );
    }
}

#[test]
fn a_wrong_command_line_is_64() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["run", "--tu", "lines"][..], &["publish"], &[], &["verify"]] {
        let (code, lines) = fails(folder.path(), SOUND, arguments, &credentials());
        assert_eq!(code, 64, "{arguments:?}");
        assert!(lines[0].starts_with("error: "), "{lines:?}");
    }
    let (code, lines) = fails(folder.path(), SOUND, &["run", "--tu", "lines"], &credentials());
    assert_eq!(
        (code, lines[0].as_str()),
        (64, "error: unexpected argument '--tu' found")
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
