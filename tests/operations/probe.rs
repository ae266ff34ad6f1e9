//! A probe, as an orchestrator sends it: one request a connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use simulator::Options;
use support::{Process, Rig, Stream, wait_until};

use crate::DEADLINE;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request and reads to the end of the connection.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let text = send(
        address,
        &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    );
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// Sends any text and reads to the end of the connection.
pub(crate) fn send(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // what the listener does not want to read, it need not
    stream.write_all(text.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).unwrap()
}

/// Status and body of `/readyz`.
pub(crate) fn readiness(address: SocketAddr) -> (u16, Value) {
    let answer = ask(address, "GET", "/readyz");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["ready"] == Value::Bool(true), answer.status == 200, "{body}");
    assert_eq!(
        body["ready"] == Value::Bool(true),
        body["reasons"].as_array().unwrap().is_empty(),
        "{body}"
    );
    (answer.status, body)
}

/// The one reason of a part, if that is the only one.
pub(crate) fn only_reason(body: &Value, part: &str) -> Option<String> {
    match body["reasons"].as_array().unwrap().as_slice() {
        [reason] if reason["part"] == part => Some(reason["reason"].as_str().unwrap().to_owned()),
        _ => None,
    }
}

/// Waits until the run is ready.
pub(crate) fn wait_until_ready(address: SocketAddr) {
    wait_until(DEADLINE, "the run is ready", || readiness(address).0 == 200);
}

/// Waits until a part is the one that is not ready, and returns its reason.
pub(crate) fn wait_for_reason(address: SocketAddr, part: &str) -> String {
    let mut found = None;
    wait_until(DEADLINE, &format!("{part} is the reason"), || {
        found = only_reason(&readiness(address).1, part);
        found.is_some()
    });
    found.unwrap()
}

/// A rig whose adapter opens a listener on a port that the system chooses.
pub(crate) fn rig(options: Options) -> Rig {
    Rig::new(options).set("operations.listen", "0")
}

/// The address in a line of the log that says where the listener is.
pub(crate) fn address_in(line: &str) -> SocketAddr {
    let (_, address) = line.split_once("address=").unwrap();
    address.split_whitespace().next().unwrap().parse().unwrap()
}

/// Where the adapter's listener is.
pub(crate) fn address(adapter: &mut Process) -> SocketAddr {
    address_in(&adapter.wait_for_line(Stream::Stderr, "operations listener open", DEADLINE))
}
