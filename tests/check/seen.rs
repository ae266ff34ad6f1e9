//! What a check leaves: its table with what differs from run to run replaced, its JSON held against the schema.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use simulator::Options;
use support::{Finished, Receiver, Rig, Topics};

use crate::DEADLINE;

/// What stands in configurations of these tests and must never be shown.
const SECRETS: [&str; 3] = ["sim-secret", "path-secret", "query-secret"];

/// A finished check.
pub(crate) struct Checked {
    /// Exit code.
    pub(crate) code: Option<i32>,
    /// Lines of the table, replaced.
    pub(crate) lines: Vec<String>,
}

impl Checked {
    /// The rows of a title, each with its mend, without the columns' blanks.
    pub(crate) fn rows(&self, title: &str) -> Vec<String> {
        let mut rows = Vec::new();
        let mut lines = self.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let mark: String = line.chars().take(2).collect();
            let Some(detail) = line
                .strip_prefix(&mark)
                .and_then(|rest| rest.strip_prefix(title))
                .filter(|detail| detail.starts_with("  "))
            else {
                continue;
            };
            rows.push(format!("{mark}{}", detail.trim_start()));
            if let Some(mend) = lines
                .peek()
                .and_then(|line| line.trim_start().strip_prefix("mend: "))
            {
                rows.push(format!("mend: {mend}"));
            }
        }
        rows
    }

    /// The last line.
    pub(crate) fn verdict(&self) -> &str {
        self.lines.last().unwrap()
    }
}

/// A rig that delivers to a receiver, with nothing on its topics.
pub(crate) fn to_webhook(options: Options, receiver: &Receiver) -> Rig {
    to_url(options, &receiver.url("/hook/path-secret?key=query-secret"))
}

/// A rig that delivers to an address.
pub(crate) fn to_url(options: Options, url: &str) -> Rig {
    Rig::new(options)
        .set("delivery.to", "webhook")
        .set("webhook.url", url)
        .set("webhook.allow_private", true)
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl")
        .set("control.path", "control.jsonl")
}

/// A rig with everything that can go to the network, at these places, and little time for each.
pub(crate) fn everything(login: &str, broker: &str, webhook: &str) -> Rig {
    to_url(Options::default(), webhook)
        .with_kafka(broker, &Topics::unique())
        .set("delivery.to", "webhook")
        .set("audit.to", "kafka")
        .set("source.config.endpoints.login", login)
        .set("source.config.timeouts.login_ms", 500)
        .set("kafka.start_timeout_ms", 500)
        .set("webhook.timeout_ms", 500)
}

/// Gives a rig's webhook a secret in a file that nobody else can read.
pub(crate) fn with_secret(rig: Rig, text: &str) -> Rig {
    let path = rig.folder().join("hook-secret");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    rig.set("webhook.secret.file", "hook-secret")
}

/// A rig with these faults of the simulator, and nothing but lines to deliver to.
pub(crate) fn to_lines(fault: &str) -> Rig {
    Rig::new(Options {
        faults: vec![fault.parse().unwrap()],
        ..Options::default()
    })
    .set("delivery.to", "lines")
}

/// Runs a check; `replaced` are texts and what to show for them.
pub(crate) fn check(rig: &Rig, flags: &[&str], replaced: &[(&str, &str)]) -> Checked {
    let finished = rig.launch_command("check").args(flags).run(DEADLINE);
    shown(rig, &finished, replaced)
}

/// The same with the names of topics replaced by those of their routes.
pub(crate) fn check_topics(rig: &Rig, flags: &[&str], servers: &str, topics: &Topics) -> Checked {
    let replaced = [
        (topics.events.as_str(), "EVENTS"),
        (&topics.audit, "AUDIT"),
        (&topics.dead_letter, "DEAD-LETTER"),
        (&topics.control, "CONTROL"),
        (servers, "SERVERS"),
    ];
    check(rig, flags, &replaced)
}

fn shown(rig: &Rig, finished: &Finished, replaced: &[(&str, &str)]) -> Checked {
    for line in finished.stdout.iter().chain(&finished.stderr) {
        for secret in SECRETS {
            assert!(!line.contains(secret), "a secret is printed: {line}");
        }
    }
    assert_eq!(
        finished.stderr,
        Vec::<String>::new(),
        "all is said on standard output"
    );
    let login = rig.simulator().address().to_string();
    let folder = rig.folder().display().to_string();
    let library = support::binary("genesys-kafka").with_file_name("libgenesys_source.so");
    let library = library.display().to_string();
    let own = [
        (login.as_str(), "LOGIN"),
        (&folder, "FOLDER"),
        (&library, "PLUGIN"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
    ];
    let replace = |line: &String| {
        let line = own
            .iter()
            .chain(replaced)
            .fold(line.clone(), |line, (text, name)| line.replace(text, name));
        match line.strip_prefix("✓ clock ") {
            Some(time) if !time.contains("against") => {
                let time = time.trim_start();
                let now: jiff::Timestamp = time.parse().unwrap();
                assert!(now.as_second() > 1_700_000_000, "{now}");
                line.replace(time, "NOW")
            }
            _ => line,
        }
    };
    Checked {
        code: finished.status.code(),
        lines: finished.stdout.iter().map(replace).collect(),
    }
}

/// Runs a check for JSON, which must be one line that fits the schema, and returns exit code and document.
pub(crate) fn check_json(rig: &Rig, flags: &[&str]) -> (Option<i32>, Value) {
    let finished = rig
        .launch_command("check")
        .args(flags)
        .args(["--json"])
        .run(DEADLINE);
    assert_eq!(finished.stdout.len(), 1, "{:?}", finished.stdout);
    let document: Value = serde_json::from_str(&finished.stdout[0]).unwrap();
    let path = support::workspace_root().join("schemas/check.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if let Err(error) = jsonschema::validator_for(&schema).unwrap().validate(&document) {
        panic!("{error} at {}: {document}", error.instance_path());
    }
    (finished.status.code(), document)
}
