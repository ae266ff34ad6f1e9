//! What is wrong with a webhook is said at the start, in one line that says how to mend it.

use support::{Receiver, Reply, rig, tls};

use crate::{DEADLINE, seen, words};

/// Runs into the fault and returns the lines that complain.
fn complaints(settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Vec<String> {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = settings
        .iter()
        .fold(seen::rig(seen::burst(1, 1), &receiver), |rig, (key, value)| {
            rig.set(key, *value)
        });
    std::fs::write(rig.folder().join("not-a-certificate.pem"), "hello").unwrap();
    let launch = environment
        .iter()
        .fold(rig.launch(&[]), |launch, (name, value)| launch.env(name, value));
    let finished = launch.run(DEADLINE);
    assert_eq!(finished.status.code(), Some(78), "{}", finished.stderr.join("\n"));
    assert_eq!(receiver.count(), 0);
    let config = format!("{}:", rig.folder().join("genesys-kafka.toml").display());
    finished
        .stderr
        .iter()
        .filter_map(|line| line.strip_prefix("genesys-kafka: "))
        .map(|line| line.replace(&config, "c.toml:"))
        .collect()
}

#[test]
fn each_fault_is_one_line() {
    let short = ("HOOK_SECRET", "whsec_aGk=");
    for (settings, environment, expected) in [
        (
            &[("webhook.url", "ftp://hooks.example/path-secret")][..],
            &[][..],
            ": webhook.url: has the scheme `ftp`; write https://host/path",
        ),
        (
            &[("webhook.url", "http://hooks.example/path-secret")],
            &[],
            ": webhook.url: is plain http to hooks.example, which is not this machine; write https://",
        ),
        (
            &[("webhook.secret.env", "HOOK_SECRET")],
            &[],
            ": webhook.secret: environment variable HOOK_SECRET is not set; put a secret there: whsec_ and base64",
        ),
        (
            &[("webhook.secret.env", "HOOK_SECRET")],
            &[short],
            "[webhook] cannot be used: the secret of environment variable HOOK_SECRET holds 2 bytes, and must hold 24 \
             to 64; write whsec_ and base64",
        ),
        (
            &[
                ("webhook.url", "https://hooks.example/"),
                ("webhook.ca_file", "not-a-certificate.pem"),
            ],
            &[],
            "[webhook] cannot be used: webhook.ca_file not-a-certificate.pem: holds no PEM certificate",
        ),
    ] {
        let lines = complaints(settings, environment);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = lines[0]
            .trim_start_matches("c.toml:")
            .trim_start_matches(|c: char| c.is_ascii_digit());
        assert_eq!(line, expected);
    }
}

#[test]
fn a_certificate_is_verified_and_an_authority_can_be_added() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let folder = tempfile::tempdir().unwrap();
    let terminator = tls::Terminator::start(receiver.address(), folder.path());
    let url = format!("https://{}/hook", terminator.authority_name());
    let rig = seen::rig(seen::burst(20, 5), &receiver).set("webhook.url", url);
    let mut adapter = rig.start();
    let line = adapter.wait_for_line(support::Stream::Stderr, words::DOWN, DEADLINE);
    assert!(line.contains("set webhook.ca_file"), "{line}");
    drop(adapter);
    assert_eq!(receiver.count(), 0);

    let rig = seen::rig(seen::burst(20, 5), &receiver)
        .set(
            "webhook.url",
            format!("https://{}/hook", terminator.authority_name()),
        )
        .set(
            "webhook.ca_file",
            terminator.authority_file().display().to_string(),
        );
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(receiver.accepted(), 20);
}
