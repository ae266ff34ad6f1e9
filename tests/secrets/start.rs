//! Starts that fail: secrets in the wrong place, in the wrong form, refused; in every command.

use simulator::{Credentials, Options, Simulator};
use support::{Launch, free_port};

use crate::DEADLINE;
use crate::planted::{self, AUDIT_KEY, CLIENT_ID, CLIENT_SECRET, WEBHOOK_PATH};
use crate::told::Told;

/// What is wrong: a name, the configuration, further variables.
type Case = (&'static str, String, Vec<(&'static str, String)>);

fn cases() -> Vec<Case> {
    let hook = |url: &str, rest: &str| {
        format!("[delivery]\nto = \"webhook\"\n[webhook]\nurl = \"{url}\"\nallow_private = true\n{rest}\n")
    };
    let lines = |rest: &str| format!("[delivery]\nto = \"lines\"\n{rest}\n");
    let nobody = format!("http://127.0.0.1:{}{WEBHOOK_PATH}", free_port());
    vec![
        (
            "the secret itself in the file",
            lines(&format!("[source.config]\nclient_secret = \"{CLIENT_SECRET}\"")),
            vec![],
        ),
        (
            "the secret in a table of the wrong key",
            lines(&format!("[source.config.client_secret]\nvalue = \"{CLIENT_SECRET}\"")),
            vec![],
        ),
        (
            "the secret where its variable's name belongs",
            lines(&format!(
                "[source.config]\nclient_secret = {{ env = \"{CLIENT_SECRET}\" }}"
            )),
            vec![],
        ),
        (
            "the secret where its file's path belongs",
            lines(&format!(
                "[source.config]\nclient_secret = {{ file = \"{CLIENT_SECRET}\" }}"
            )),
            vec![],
        ),
        (
            "a signing secret where its file's path belongs",
            hook(
                &nobody,
                &format!("secret = {{ file = \"{}\" }}", planted::webhook_secret()),
            ),
            vec![],
        ),
        (
            "the audit's key in the file",
            lines(&format!("[audit]\nkey = \"{AUDIT_KEY}\"")),
            vec![],
        ),
        (
            "the audit's key where its variable's name belongs",
            lines(&format!("[audit]\nkey = {{ env = \"{AUDIT_KEY}\" }}")),
            vec![],
        ),
        (
            "the audit's key where its file's path belongs",
            lines(&format!("[audit]\nkey = {{ file = \"{AUDIT_KEY}\" }}")),
            vec![],
        ),
        (
            "a key of the audit that is too short",
            lines("[audit]\nkey = { env = \"AUDIT_KEY\" }"),
            vec![("AUDIT_KEY", "PLANTED-short".to_owned())],
        ),
        (
            "a password in the brokers' addresses",
            "[kafka]\nbootstrap_servers = \"http://user:PLANTED-password@127.0.0.1:1\"\nstart_timeout_ms = 500\n".to_owned(),
            vec![],
        ),
        (
            "a password in a broker's address without a scheme",
            "[kafka]\nbootstrap_servers = \"127.0.0.1:1,user:PLANTED-password@127.0.0.1:1\"\nstart_timeout_ms = 500\n"
                .to_owned(),
            vec![],
        ),
        (
            "a signing secret where its variable's name belongs",
            hook(
                &nobody,
                &format!("secret = {{ env = \"{}\" }}", planted::webhook_secret()),
            ),
            vec![],
        ),
        (
            "a line that is no TOML",
            lines(&format!("[source.config]\nclient_secret = {CLIENT_SECRET}")),
            vec![],
        ),
        (
            "a line that is no TOML after one that is",
            lines(&format!(
                "[source.config]\nclient_secret = {{ env = \"{CLIENT_SECRET}\" \nregion = 1"
            )),
            vec![],
        ),
        (
            "the secret in the environment's key",
            lines(""),
            vec![(
                "GENESYS_KAFKA__SOURCE__CONFIG__CLIENT_SECRET",
                CLIENT_SECRET.to_owned(),
            )],
        ),
        (
            "credentials in an endpoint",
            lines(&format!(
                "[source.config.endpoints]\nlogin = \"https://{CLIENT_ID}:PLANTED-password@[::1/oauth?PLANTED-query\""
            )),
            vec![],
        ),
        (
            "a signing secret in the file",
            hook(&nobody, &format!("secret = \"{}\"", planted::webhook_secret())),
            vec![],
        ),
        (
            "a signing secret of the wrong form",
            hook(&nobody, "secret = { env = \"HOOK_SECRET\" }"),
            vec![("HOOK_SECRET", "whsec_PLANTED*not*base64".to_owned())],
        ),
        (
            "a webhook's address with credentials",
            hook(
                &format!("https://user:PLANTED-password@example.com{WEBHOOK_PATH}"),
                "",
            ),
            vec![],
        ),
        (
            "a webhook's address without a scheme",
            hook(&format!("example.com{WEBHOOK_PATH}"), ""),
            vec![],
        ),
        (
            "a webhook's address that is none",
            hook(&format!("https://exa mple:port{WEBHOOK_PATH}"), ""),
            vec![],
        ),
        (
            "a password for Kafka in an unknown property",
            "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\nstart_timeout_ms = 500\n[kafka.librdkafka]\n\"sasl.pasword\" = \
             \"PLANTED-sasl\"\n\"sasl.password\" = \"PLANTED-sasl\"\n\"ssl.key.password\" = 7\n"
                .to_owned(),
            vec![],
        ),
        (
            "a password for Kafka beside no broker",
            "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\nstart_timeout_ms = 500\n[kafka.librdkafka]\n\"sasl.password\" = \
             \"PLANTED-sasl\"\n\"sasl.username\" = \"user\"\n"
                .to_owned(),
            vec![],
        ),
        ("a webhook that nobody serves", hook(&nobody, ""), vec![]),
    ]
}

/// Runs a command and keeps what it tells.
fn tell(told: &mut Told, place: &str, launch: Launch, environment: &[(&str, String)]) {
    let launch = environment
        .iter()
        .fold(planted::with_credentials(launch), |launch, (name, value)| {
            launch.env(name, value)
        });
    let finished = launch.run(DEADLINE);
    told.add_lines(&format!("{place}: standard output"), &finished.stdout);
    told.add_lines(&format!("{place}: standard error"), &finished.stderr);
    assert!(
        !(finished.stdout.is_empty() && finished.stderr.is_empty()),
        "{place}: nothing was told"
    );
}

#[test]
fn no_command_repeats_a_secret_of_a_configuration_that_is_wrong_or_refused() {
    // refuses every login: what a command sends is told nowhere either
    let simulator = Simulator::start(Options {
        credentials: Credentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: "another".to_owned(),
        },
        ..Options::default()
    })
    .unwrap();
    let mut told = Told::default();
    for (what, text, environment) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesys-kafka.toml");
        std::fs::write(&path, text).unwrap();
        for arguments in [
            &["run"][..],
            &["config"],
            &["schema"],
            &["check", "--offline"],
            &["check"],
            &["check", "--json"],
        ] {
            // a login elsewhere than at the simulator would leave the machine
            let launch = Launch::binary("genesys-kafka")
                .args(arguments)
                .args(["--config".as_ref(), path.as_os_str()])
                .current_dir(folder.path())
                .env("GENESYS_ENV", "us-east-1")
                .env("GENESYS_KAFKA__SOURCE__CONFIG__TRANSPORT", "events")
                .env(
                    "GENESYS_KAFKA__SOURCE__CONFIG__ENDPOINTS__EVENTS",
                    simulator.events_url(),
                );
            let launch = if what == "credentials in an endpoint" {
                launch
            } else {
                launch.env(
                    "GENESYS_KAFKA__SOURCE__CONFIG__ENDPOINTS__LOGIN",
                    simulator.login_url(),
                )
            };
            tell(
                &mut told,
                &format!("{arguments:?} with {what}"),
                launch,
                &environment,
            );
        }
    }
    told.assert_told("invalid client credentials or expired secret");
    told.assert_told("not ready: ");
    told.assert_clean(None);
}
