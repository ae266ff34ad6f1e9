//! Secrets at the start: not there, empty, written where only their place may stand, readable by everyone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use simulator::Options;
use support::{Receiver, Reply, Rig, Stream, rig, write_secret};

use crate::{CREDENTIALS, Case, SECRET, SOON, SOUND, make_pipe, refused};

/// A secret of Standard Webhooks.
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let folder = Path::new("/folder");
    let mut lines: Vec<String> = variables()
        .into_iter()
        .chain(written())
        .flat_map(|case| case.expected)
        .collect();
    lines.extend(files(folder).into_iter().map(|(_, line)| line));
    lines.extend(of_webhook(folder).into_iter().map(|(_, line)| line));
    lines.extend(of_audit(folder).into_iter().map(|(_, line)| line));
    lines.push(warning("client_secret", "/folder/secret"));
    lines
}

const NO_ID: &str = "set OAUTH_CLIENT_ID, or client_id = { file = \"…\" } to a file that holds it";
const NO_SECRET: &str =
    "set OAUTH_CLIENT_SECRET, or client_secret = { file = \"…\" } to a file that holds it";

fn variables() -> Vec<Case> {
    let said = |name: &str, what: &str, mend: &str| {
        let key = name.trim_start_matches("OAUTH_").to_lowercase();
        format!("c.toml:1: source.config.{key}: environment variable {name} is {what}; {mend}")
    };
    let empty = [("OAUTH_CLIENT_ID", " "), ("OAUTH_CLIENT_SECRET", SECRET)];
    vec![
        Case::new(
            SOUND,
            &[],
            &[
                &said("OAUTH_CLIENT_ID", "not set", NO_ID),
                &said("OAUTH_CLIENT_SECRET", "not set", NO_SECRET),
            ],
        ),
        Case::new(SOUND, &empty, &[&said("OAUTH_CLIENT_ID", "empty", NO_ID)]),
    ]
}

#[test]
fn a_missing_or_empty_credential_names_its_variable() {
    for case in variables() {
        case.refused();
    }
}

/// Secret files that cannot be used, in `folder`, and what is said of them.
fn files(folder: &Path) -> Vec<(String, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let said = |what: String| {
        format!(
            "c.toml:4: source.config.client_secret: {what}; put it there, readable by this user, or set client_secret = \
             {{ env = \"OAUTH_CLIENT_SECRET\" }}"
        )
    };
    vec![
        (
            path("absent"),
            said(format!(
                "cannot read {}: No such file or directory (os error 2)",
                path("absent")
            )),
        ),
        (
            "/".to_owned(),
            said("cannot read /: Is a directory (os error 21)".to_owned()),
        ),
        (path("empty"), said(format!("{} is empty", path("empty")))),
        (
            path("pipe"),
            said(format!("{} is a pipe, not a file", path("pipe"))),
        ),
        (
            path("large"),
            said(format!(
                "{} holds more than 64 KiB, which is no secret",
                path("large")
            )),
        ),
        (
            path("binary"),
            said(format!(
                "cannot read {}: stream did not contain valid UTF-8",
                path("binary")
            )),
        ),
    ]
}

/// The files that [`files`] and [`of_webhook`] speak of.
fn write_files(folder: &Path) {
    write_secret(&folder.join("empty"), " \n");
    make_pipe(&folder.join("pipe"));
    write_secret(&folder.join("large"), &"x".repeat((64 << 10) + 1));
    std::fs::write(folder.join("binary"), [0xff, 0xfe]).unwrap();
    write_secret(&folder.join("short"), "whsec_aGk=");
    write_secret(&folder.join("literal"), SECRET);
}

#[test]
fn a_secret_file_that_cannot_be_read_or_holds_no_secret_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    for (path, line) in files(folder.path()) {
        let file = format!("client_secret = {{ file = \"{path}\" }}\n[delivery]");
        Case::new(SOUND.replace("[delivery]", &file), &CREDENTIALS[..1], &[&line]).refused();
    }
}

/// Secrets written where only their place may stand.
fn written() -> Vec<Case> {
    let said = |line: usize, key: &str, variable: &str| {
        format!(
            "c.toml:{line}: {key}: a credential is never written here, only where it is; write {{ env = \"{variable}\" }}, \
             or {{ file = \"…\" }} to a file that holds it"
        )
    };
    let hook = format!("{SOUND}[webhook]\nsecret = \"{SECRET}\"\nprevious_secret = \"{SECRET}\"\n");
    vec![
        Case::new(
            SOUND.replace("[delivery]", &format!("client_secret = \"{SECRET}\"\n[delivery]")),
            CREDENTIALS,
            &[&said(4, "source.config.client_secret", "OAUTH_CLIENT_SECRET")],
        ),
        Case::new(
            hook,
            CREDENTIALS,
            &[
                &said(7, "webhook.secret", "WEBHOOK_SECRET"),
                &said(8, "webhook.previous_secret", "WEBHOOK_PREVIOUS_SECRET"),
            ],
        ),
        Case::new(
            SOUND.replace(
                "[delivery]",
                &format!("client_secret = {{ env = \"{SECRET}\" }}\n[delivery]"),
            ),
            CREDENTIALS,
            &[&format!(
                "c.toml:4: source.config.client_secret: environment variable (its name is not shown: it is no name in \
                 capitals, and may be the secret itself) is not set; {NO_SECRET}"
            )],
        ),
        Case::new(
            SOUND.replace(
                "[delivery]",
                &format!("client_secret = {{ file = \"{SECRET}\" }}\n[delivery]"),
            ),
            CREDENTIALS,
            &[
                "c.toml:4: source.config.client_secret: cannot read the file (its path is not shown: it leads nowhere, and may \
                 be the secret itself): No such file or directory (os error 2); put it there, readable by this user, or set \
                 client_secret = { env = \"OAUTH_CLIENT_SECRET\" }",
            ],
        ),
        Case::new(
            format!("{SOUND}[kafka]\nbootstrap_servers = \"user:{SECRET}@localhost:9092\"\n"),
            CREDENTIALS,
            &[
                "c.toml:7: kafka.bootstrap_servers: carries a user name or password; leave them out, and set \
                 \"sasl.username\" and \"sasl.password\" in [kafka.librdkafka]",
            ],
        ),
    ]
}

#[test]
fn a_secret_written_in_the_wrong_place_is_refused_without_being_repeated() {
    for case in written() {
        case.refused();
    }
}

/// Values of `webhook.secret` that are none, and what is said of them.
fn of_webhook(folder: &Path) -> Vec<(String, String)> {
    let file = |name: &str| format!("{{ file = \"{}\" }}", folder.join(name).display());
    let said = |what: String| format!("c.toml:10: webhook.secret: {what}; write whsec_ and base64");
    let place = |name: &str| folder.join(name).display().to_string();
    vec![
        (
            "{ env = \"HOOK_SECRET\" }".to_owned(),
            "c.toml:10: webhook.secret: environment variable HOOK_SECRET is not set; put a secret there: whsec_ and base64"
                .to_owned(),
        ),
        (
            file("empty"),
            format!(
                "c.toml:10: webhook.secret: {} is empty; put a secret there: whsec_ and base64",
                place("empty")
            ),
        ),
        (
            file("pipe"),
            format!(
                "c.toml:10: webhook.secret: {} is a pipe, not a file; put a secret there: whsec_ and base64",
                place("pipe")
            ),
        ),
        (
            file("short"),
            said(format!(
                "the secret of {} holds 2 bytes, and must hold 24 to 64",
                place("short")
            )),
        ),
        (
            file("literal"),
            said(format!(
                "the secret of {} does not begin with whsec_",
                place("literal")
            )),
        ),
    ]
}

#[test]
fn a_secret_of_the_wrong_form_is_told_with_all_other_faults() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    for (secret, line) in of_webhook(folder.path()) {
        let config = format!(
            "[source.config]\nregion = \"us-east-1\"\nmax_frame_bytes = 1\n[delivery]\nto = \"webhook\"\n[operations]\n\
             metrics_ms = -1\n[webhook]\nurl = \"https://hooks.example/\"\nsecret = {secret}\nca_file = \
             \"/nonexistent/ca.pem\"\n"
        );
        let expected = [
            "c.toml:3: source.config.max_frame_bytes: must be at least 1024, found 1",
            "c.toml:7: operations.metrics_ms: must be at least 0, found -1",
            line.as_str(),
            "c.toml:11: webhook.ca_file: cannot read /nonexistent/ca.pem: No such file or directory (os error 2); name a \
             file with the certificate of the authority, PEM, or leave it out",
        ];
        refused(&config, &crate::credentials(), &expected);
    }
}

/// Values of `audit.key` that are none, and what is said of them.
fn of_audit(folder: &Path) -> Vec<(String, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let file = |name: &str| format!("{{ file = \"{}\" }}", path(name));
    let said = |what: String| format!("c.toml:6: audit.key: {what}");
    let none = "put a key there, such as `openssl rand -hex 32` writes";
    vec![
        (
            "{ env = \"AUDIT_KEY\" }".to_owned(),
            said(format!("environment variable AUDIT_KEY is not set; {none}")),
        ),
        (
            file("absent"),
            said(format!(
                "cannot read {}: No such file or directory (os error 2); {none}",
                path("absent")
            )),
        ),
        (
            file("empty"),
            said(format!("{} is empty; {none}", path("empty"))),
        ),
        (
            file("pipe"),
            said(format!("{} is a pipe, not a file; {none}", path("pipe"))),
        ),
        (
            file("short"),
            said(format!(
                "the key of {} has 10 bytes, and must have 32 or more; take what `openssl rand -hex 32` writes",
                path("short")
            )),
        ),
        (
            format!("\"{SECRET}\""),
            said(
                "a credential is never written here, only where it is; write { env = \"AUDIT_KEY\" }, or { file = \"…\" } \
                 to a file that holds it"
                    .to_owned(),
            ),
        ),
    ]
}

#[test]
fn a_key_of_the_audit_that_is_none_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    for (key, line) in of_audit(folder.path()) {
        let config = format!(
            "[source.config]\nregion = \"us-east-1\"\n[delivery]\nto = \"lines\"\n[audit]\nkey = {key}\n"
        );
        refused(&config, &crate::credentials(), &[line]);
    }
}

/// The line of a secret file that everyone can read, without its time stamp.
fn warning(key: &str, path: &str) -> String {
    format!(
        "every user of this machine can read a secret; run chmod 600 on its file, or chmod 640 if its group reads it \
         key={key} path={path} mode=0644"
    )
}

#[test]
fn a_secret_file_that_everyone_can_read_is_warned_of_once_and_works() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let options = Options {
        events: Some(20),
        rate: 0,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url("/hook"))
        .set("webhook.allow_private", true)
        .set("control.path", "control.jsonl");
    let path = |name: &str| rig.folder().join(name).display().to_string();
    let names = ["id", "secret", "hook", "audit"];
    let [id, secret, hook, audit] = names.map(path);
    let rig = rig
        .set("source.config.client_id.file", id.as_str())
        .set("source.config.client_secret.file", secret.as_str())
        .set("webhook.secret.file", hook.as_str())
        .set("audit.key.file", audit.as_str());
    for (path, text, mode) in [
        (&id, "sim-client", 0o640),
        (&secret, "sim-secret", 0o644),
        (&hook, SIGNING, 0o644),
        (&audit, SIGNING, 0o644),
    ] {
        write_secret(Path::new(path), text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), SOON);
    let ended = rig::stop(&mut adapter, SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(receiver.accepted(), 20, "a warning is no refusal");
    let warned: Vec<String> = adapter
        .lines(Stream::Stderr)
        .iter()
        .filter(|line| line.contains("every user of this machine"))
        .map(|line| line.split_once(" WARN ").unwrap().1.trim_start().to_owned())
        .collect();
    let of_adapter = |key: &str, path: &str| {
        format!(
            "kafka_adapter::config::exposed: {}",
            warning(&format!("\"{key}\""), path).replace("mode=0644", "mode=\"0644\"")
        )
    };
    let of_plugin = format!(
        "source: {} module=genesys_source::secret",
        warning("client_secret", &secret)
    );
    let (hook, audit) = (
        of_adapter("webhook.secret", &hook),
        of_adapter("audit.key", &audit),
    );
    assert_eq!(warned, [hook, audit, of_plugin]);
}
