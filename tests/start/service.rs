//! The service at the start: its authority, nobody there, and TLS on one side alone, at login and at the WebSocket.

use simulator::Options;
use support::tls::Terminator;
use support::{Rig, free_port};

use crate::{CREDENTIALS, Case, EXIT_UNAVAILABLE, SOON, SOUND, complaint, make_pipe};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let reasons = [
        login("h:1", REFUSED),
        login("h:1", NO_TLS),
        login("h:1", &format!("invalid HTTP version parsed{PERHAPS_TLS}")),
        socket("h:1", NO_TLS),
        no_socket("h:1"),
        api("h:1"),
        streaming("h:1"),
    ];
    let ends = reasons.map(|reason| gave_up(&reason));
    cases("/not.pem", "/pipe")
        .into_iter()
        .flat_map(|case| case.expected)
        .chain(ends)
        .collect()
}

/// Authorities that cannot be used; `text` is a file that holds no certificate, `pipe` is none.
fn cases(text: &str, pipe: &str) -> Vec<Case> {
    let case = |path: &str, said: String| {
        Case::new(
            SOUND.replace("[delivery]", &format!("ca_file = \"{path}\"\n[delivery]")),
            CREDENTIALS,
            &[&format!(
                "c.toml:4: source.config.ca_file: {said}; name a file with the certificate of the authority, PEM, or leave \
                 it out"
            )],
        )
    };
    let absent = "/nonexistent/ca.pem";
    vec![
        case(
            absent,
            format!("cannot read {absent}: No such file or directory (os error 2)"),
        ),
        case(text, format!("{text} holds no PEM certificate")),
        case(pipe, format!("{pipe} is a pipe, not a file")),
    ]
}

#[test]
fn an_authority_that_is_none_is_told_with_all_other_faults() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.pem");
    std::fs::write(&text, "hello").unwrap();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    for case in cases(&text.display().to_string(), &pipe.display().to_string()) {
        case.refused();
    }
}

const REFUSED: &str = "Connection refused (os error 111)";
const NO_TLS: &str = "received corrupt message of type InvalidContentType (what answers there speaks no TLS: name the port \
                      of its TLS, or a plain scheme on loopback)";
const PERHAPS_TLS: &str =
    " (what answers there speaks no plain HTTP, but perhaps TLS: write https:// or wss://)";

/// With an end to the attempts a start that cannot work ends; without one it is tried for ever, and said once.
fn gave_up(reason: &str) -> String {
    format!("source failed: FAILED: gave up after 2 failed attempts: {reason}")
}

fn login(host: &str, reason: &str) -> String {
    format!(
        "cannot reach the login service at {host}: {reason}; check the network, region and endpoints.login"
    )
}

fn socket(host: &str, reason: &str) -> String {
    format!("cannot connect to {host}: {reason}; check the network, region and endpoints.events")
}

fn no_socket(host: &str) -> String {
    format!(
        "{host} does not speak WebSocket: WebSocket protocol error: httparse error: invalid HTTP version{PERHAPS_TLS}; check region and \
         endpoints.events"
    )
}

fn api(host: &str) -> String {
    format!(
        "GET /api/v2/routing/queues at {host}: no answer: {REFUSED}; check the network, region and endpoints.api"
    )
}

fn streaming(host: &str) -> String {
    format!("cannot connect to {host}: {REFUSED}; check the network, region and endpoints.streaming")
}

/// A rig whose source gives up after two attempts.
fn rig() -> Rig {
    Rig::new(Options::default())
        .set("delivery.to", "lines")
        .set("source.config.reconnect.max_attempts", 2)
}

fn fails(rig: &Rig, reason: &str) {
    let finished = rig.launch(&[]).run(SOON);
    assert_eq!(
        (complaint(&finished), finished.status.code()),
        (gave_up(reason), Some(EXIT_UNAVAILABLE))
    );
}

#[test]
fn a_service_that_is_away_or_speaks_the_other_protocol_is_told_with_the_mend() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let away = rig().set("source.config.endpoints.login", format!("http://{nobody}"));
    fails(&away, &login(&nobody, REFUSED));

    let to = rig();
    let plain = to.simulator().address();
    let folder = tempfile::tempdir().unwrap();
    let terminator = Terminator::start(plain, folder.path());
    let (plain, encrypted) = (plain.to_string(), terminator.authority_name());
    let to = to.set("source.config.endpoints.login", format!("https://{plain}"));
    fails(&to, &login(&plain, NO_TLS));
    let to = to.set("source.config.endpoints.login", format!("http://{encrypted}"));
    fails(
        &to,
        &login(&encrypted, &format!("invalid HTTP version parsed{PERHAPS_TLS}")),
    );

    let to = to.set("source.config.endpoints.login", format!("http://{plain}"));
    let to = to.set("source.config.endpoints.events", format!("wss://{plain}/ws"));
    fails(&to, &socket(&plain, NO_TLS));
    let to = to.set("source.config.endpoints.events", format!("ws://{encrypted}/ws"));
    fails(&to, &no_socket(&encrypted));
}

#[test]
fn an_api_or_sockets_of_channels_that_are_away_are_told_with_their_setting() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let to = || rig().over_notifications();
    fails(
        &to().set("source.config.endpoints.api", format!("http://{nobody}")),
        &api(&nobody),
    );
    fails(
        &to().set("source.config.endpoints.streaming", format!("ws://{nobody}")),
        &streaming(&nobody),
    );
}
