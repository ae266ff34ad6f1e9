//! The webhook: not there, not trusted, of a wrong secret, and what its answers to HEAD and OPTIONS say.

use simulator::Options;
use support::{Receiver, Reply, free_port, tls};

use crate::seen::{check, to_url, to_webhook, with_secret};

#[test]
fn a_closed_port_ends_with_69() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let rig = to_url(
        Options::default(),
        &format!("{url}/hook/path-secret?key=query-secret"),
    );
    let checked = check(&rig, &[], &[(&url, "URL")]);
    assert_eq!(
        checked.rows("webhook"),
        [
            "✗ URL cannot be reached: Connection refused (os error 111)",
            "mend: check that the receiver runs, webhook.url and the network between"
        ]
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 11 failed", Some(69))
    );
}

#[test]
fn a_receiver_that_never_answers_ends_with_69_when_its_time_is_over() {
    let receiver = Receiver::start(|_| Reply::Silence);
    let rig = to_webhook(Options::default(), &receiver).set("webhook.timeout_ms", 300);
    let address = receiver.address().to_string();
    let checked = check(&rig, &[], &[(&address, "HOOK")]);
    assert_eq!(
        checked.rows("webhook"),
        [
            "✗ http://HOOK did not answer within webhook.timeout_ms",
            "mend: check that the receiver runs, webhook.url and the network between"
        ]
    );
    assert_eq!(checked.code, Some(69));
}

/// The row of a webhook that answers HEAD and OPTIONS so, the number of requests, and the exit.
fn answers(head: u16, options: u16) -> (Vec<String>, usize, Option<i32>) {
    let receiver = Receiver::start(move |request| {
        Reply::Status(match request.line.split(' ').next() {
            Some("HEAD") => head,
            Some("OPTIONS") => options,
            other => panic!("{other:?}"),
        })
    });
    let rig = to_webhook(Options::default(), &receiver);
    let address = receiver.address().to_string();
    let checked = check(&rig, &[], &[(&address, "HOOK")]);
    (checked.rows("webhook"), receiver.count(), checked.code)
}

#[test]
fn whatever_answers_is_there_and_a_status_that_would_hold_events_is_a_warning() {
    let holds = |text: &str, asked| (vec![format!("✓ http://HOOK answers {text}")], asked, Some(0));
    assert_eq!(answers(200, 0), holds("200 to HEAD", 1));
    assert_eq!(answers(400, 0), holds("400 to HEAD", 1));
    assert_eq!(answers(405, 204), holds("204 to OPTIONS", 2));
    assert_eq!(answers(405, 405), holds("405 to HEAD", 2));
    let warns = |status: u16, held: &str, mend: &str| {
        let row = format!(
            "! http://HOOK answers {status} to HEAD; a POST may be answered otherwise, if not, {held}"
        );
        (vec![row, format!("mend: {mend}")], 1, Some(0))
    };
    let mend =
        "check the path of webhook.url, and that the receiver takes POST there without further headers";
    for status in [301, 401, 403, 404, 410] {
        assert_eq!(
            answers(status, 0),
            warns(status, "events would be held", mend),
            "a redirect is not followed, nor anything asked again"
        );
    }
    assert_eq!(
        answers(503, 0),
        warns(
            503,
            "events would be tried again until it takes them",
            "look why the receiver does not take requests at present"
        )
    );
}

#[test]
fn the_receivers_clock_is_compared_and_says_what_becomes_of_signatures() {
    let date = || "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    let receiver = Receiver::start(move |_| Reply::WithHeader(200, "date", date()));
    let rig = with_secret(
        to_webhook(Options::default(), &receiver),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    let checked = check(&rig, &[], &[]);
    let rows = checked.rows("clock against others");
    let seconds: String = rows[0].chars().filter(char::is_ascii_digit).collect();
    let seconds = seconds.strip_suffix('5').unwrap();
    assert_eq!(
        rows,
        [
            format!(
                "! ahead of webhook by {seconds} s or more, and receivers refuse signatures that are 5 minutes off, and \
                 brokers refuse records dated an hour ahead"
            ),
            "mend: synchronize this machine's clock, with chrony or systemd-timesyncd".to_owned()
        ]
    );
    assert!(seconds.parse::<u64>().unwrap() > 900_000_000, "{seconds}");
    assert_eq!(checked.code, Some(0));
}

#[test]
fn a_certificate_or_secret_that_cannot_be_used_ends_with_78() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let folder = tempfile::tempdir().unwrap();
    let terminator = tls::Terminator::start(receiver.address(), folder.path());
    let name = terminator.authority_name();
    let rig = to_url(Options::default(), &format!("https://{name}/hook/path-secret"));
    let checked = check(&rig, &[], &[(&name, "HOOK")]);
    let rows = checked.rows("webhook");
    assert!(
        rows[0].starts_with("✗ https://HOOK cannot be reached: invalid peer certificate: "),
        "{rows:?}"
    );
    assert_eq!(
        rows[1],
        "mend: check webhook.url, webhook.ca_file and the receiver's certificate"
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 11 failed", Some(78))
    );
    let checked = check(&with_secret(rig, "whsec_path-secret"), &[], &[]);
    let rows = checked.rows("configuration");
    assert!(
        rows[0].contains(": webhook.secret: the secret of hook-secret "),
        "{rows:?}"
    );
    assert_eq!(rows[1], "mend: write whsec_ and base64");
    assert_eq!(checked.code, Some(78));
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_name_that_leads_into_the_private_network_is_refused_as_it_would_be_for_an_event() {
    // a name of this machine by RFC 6761 is refused by the configuration; this one only when it is looked up
    let host = own_name();
    let rig =
        to_url(Options::default(), &format!("https://{host}:9/hook")).set("webhook.allow_private", false);
    let checked = check(&rig, &[], &[(&host, "HOST")]);
    let rows = checked.rows("webhook");
    if rows[0].contains("cannot be reached: the name leads") {
        assert_eq!(
            rows,
            [
                "✗ https://HOST:9 cannot be reached: the name leads to this machine or a private network alone",
                "mend: set webhook.allow_private = true if it is meant"
            ]
        );
        assert_eq!(checked.code, Some(78));
    } else {
        support::say_not_run("the refusal of a private name: this machine's own name leads nowhere, or away");
    }
}

/// This machine's own name, which its resolver leads to a private address, if to any.
fn own_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned()
}
