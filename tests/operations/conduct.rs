//! How the listener deals with what strangers send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use simulator::Options;
use support::{rig, wait_until};

use crate::DEADLINE;
use support::probe::{self, ask, send, wait_until_ready};

/// More connections than the listener serves at once.
const STALLED: usize = 80;

#[test]
fn only_what_was_asked_properly_is_answered_and_nobody_can_hold_it_up() {
    let rig = probe::rig(Options::default()).set("delivery.to", "lines");
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    wait_until_ready(address);

    let answer = ask(address, "GET", "/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"alive\":true}\n"));
    for header in [
        "connection: close",
        "cache-control: no-store",
        "content-type: application/json",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    for path in ["/healthz", "/readyz?verbose"] {
        let answer = ask(address, "HEAD", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
    for path in ["/", "/metrics", "/healthz/../readyz"] {
        let answer = ask(address, "GET", path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "no such path; there are /healthz and /readyz\n")
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = ask(address, method, "/readyz");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (405, "only GET and HEAD are answered\n"),
            "{method}"
        );
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let long = "x".repeat(9_000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), "HTTP/1.1 4"),
        (
            format!("GET /healthz HTTP/1.1\r\nx-long: {long}\r\n\r\n"),
            "HTTP/1.1 431",
        ),
        (
            format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100)),
            "HTTP/1.1 431",
        ),
        ("\x16\x03\x01 no HTTP\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ] {
        let answer = send(address, &request);
        assert!(answer.starts_with(status), "{answer:?}");
    }

    let stalled: Vec<TcpStream> = (0..STALLED)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: l").unwrap();
            stream
        })
        .collect();
    // those that do not end their request are cut off, and then the others have their turn
    wait_until(DEADLINE, "a probe is answered all the same", || {
        ask(address, "GET", "/healthz").status == 200
    });
    for mut stream in stalled {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(
        ended.lines_with("operations"),
        1,
        "strangers fill no log: {}",
        ended.stderr.join("\n")
    );
}
