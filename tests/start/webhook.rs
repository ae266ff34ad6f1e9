//! The webhook at the start: its address, its authority, and TLS on one side alone.

use simulator::Options;
use support::tls::Terminator;
use support::{Receiver, Reply, Rig, Stream, free_port, rig};

use crate::{CREDENTIALS, Case, SOON};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let mut lines: Vec<String> = cases("/not.pem")
        .into_iter()
        .flat_map(|case| case.expected)
        .collect();
    lines.extend(
        [absent("h:1"), no_tls("h:1"), perhaps_tls("h:1"), untrusted("h:1")].map(|reason| down(&reason)),
    );
    lines
}

/// Addresses and authorities that cannot be used; `text` is a file that holds no certificate.
fn cases(text: &str) -> Vec<Case> {
    let case = |section: &str, line: usize, said: &str| {
        Case::new(
            format!(
                "[source.config]\nregion = \"us-east-1\"\n[delivery]\nto = \"webhook\"\n[webhook]\n{section}\n"
            ),
            CREDENTIALS,
            &[&format!("c.toml:{line}: {said}")],
        )
    };
    let url = |url: &str, said: &str| case(&format!("url = \"{url}\""), 6, &format!("webhook.url: {said}"));
    let mend = "name a file with the certificate of the authority, PEM, or leave it out";
    vec![
        case(
            "",
            5,
            "webhook.url: is required, but missing: delivery.to is `webhook`; set it to https://host/path",
        ),
        url(
            "hooks.example/path-secret",
            "has no scheme; write https://host/path",
        ),
        url(
            "ftp://hooks.example/path-secret",
            "has the scheme `ftp`; write https://host/path",
        ),
        url(
            "https://me:pw@hooks.example/path-secret",
            "carries a user name or password; leave them out, and sign requests with webhook.secret",
        ),
        url(
            "http://hooks.example/path-secret",
            "is plain http to hooks.example, which is not this machine; write https://",
        ),
        url(
            "https://10.0.0.1/path-secret",
            "leads to 10.0.0.1, an address of this machine or of a private network; set webhook.allow_private = true if it \
             is meant",
        ),
        case(
            "url = \"https://hooks.example/\"\nca_file = \"/nonexistent/ca.pem\"",
            7,
            &format!(
                "webhook.ca_file: cannot read /nonexistent/ca.pem: No such file or directory (os error 2); {mend}"
            ),
        ),
        case(
            &format!("url = \"https://hooks.example/\"\nca_file = \"{text}\""),
            7,
            &format!("webhook.ca_file: {text} holds no PEM certificate; {mend}"),
        ),
    ]
}

#[test]
fn each_fault_of_the_section_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.pem");
    std::fs::write(&text, "hello").unwrap();
    for case in cases(&text.display().to_string()) {
        case.refused();
    }
}

/// The line of a webhook that is down: the run goes on, since a receiver comes back by itself.
fn down(reason: &str) -> String {
    format!("destination down, events are held and one at a time is tried reason=\"{reason}\"")
}

fn absent(host: &str) -> String {
    format!(
        "http://{host} cannot be reached: Connection refused (os error 111) (check webhook.url and that its receiver runs)"
    )
}

fn no_tls(host: &str) -> String {
    format!(
        "https://{host} cannot be reached: received corrupt message of type InvalidContentType (what answers there speaks \
         no TLS: name the port of its TLS in webhook.url)"
    )
}

fn perhaps_tls(host: &str) -> String {
    format!(
        "http://{host} cannot be reached: invalid HTTP version parsed (what answers there speaks no plain HTTP, but perhaps \
         TLS: write https:// in webhook.url)"
    )
}

fn untrusted(host: &str) -> String {
    format!(
        "https://{host} cannot be reached: invalid peer certificate: UnknownIssuer (no trusted authority signed it: set \
         webhook.ca_file to the authority's certificate, PEM)"
    )
}

fn rig_to(url: &str) -> Rig {
    let options = Options {
        events: Some(20),
        rate: 0,
        conversations: 5,
        ..Options::default()
    };
    Rig::new(options)
        .set("delivery.to", "webhook")
        .set("webhook.url", url)
        .set("webhook.allow_private", true)
        .set("control.path", "control.jsonl")
}

#[test]
fn an_address_that_leads_to_nobody_the_other_protocol_or_a_stranger_is_told_with_the_mend() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let folder = tempfile::tempdir().unwrap();
    let terminator = Terminator::start(receiver.address(), folder.path());
    // a web server that answers what it cannot read, as most do
    let web = support::plugin::simulator(|_| {});
    let (plain, encrypted) = (web.address().to_string(), terminator.authority_name());
    let nobody = format!("127.0.0.1:{}", free_port());
    for (url, reason) in [
        (format!("http://{nobody}/hook"), absent(&nobody)),
        (format!("https://{plain}/hook"), no_tls(&plain)),
        (format!("http://{encrypted}/hook"), perhaps_tls(&encrypted)),
        (format!("https://{encrypted}/hook"), untrusted(&encrypted)),
    ] {
        let rig = rig_to(&url);
        let mut adapter = rig.start();
        let line = adapter.wait_for_line(Stream::Stderr, "destination down", SOON);
        let message = line.split_once(": ").unwrap().1;
        assert_eq!(message, down(&reason));
    }
    assert_eq!(receiver.count(), 0);
}

#[test]
fn an_authority_can_be_added() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let folder = tempfile::tempdir().unwrap();
    let terminator = Terminator::start(receiver.address(), folder.path());
    let rig = rig_to(&format!("https://{}/hook", terminator.authority_name())).set(
        "webhook.ca_file",
        terminator.authority_file().display().to_string(),
    );
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), SOON);
    let ended = rig::stop(&mut adapter, SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(receiver.accepted(), 20);
}
