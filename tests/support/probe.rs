//! A probe of the operations listener, as an orchestrator sends it: one request a connection.
//!
//! Responsible for asking and for waiting on an answer. It refuses to judge it beyond its shape.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use simulator::Options;

use crate::{Process, Rig, Stream, wait_until};

/// Longest wait for an answer that is expected, and for a state: a generous bound for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a request and reads to the end of the connection.
pub fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let text = send(
        address,
        &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    );
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {head:?}"));
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// Sends any text and reads to the end of the connection.
pub fn send(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a listener that answers");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket of ours");
    // what the listener does not want to read, it need not
    stream.write_all(text.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).expect("an answer of text")
}

/// Status and body of `/readyz`.
pub fn readiness(address: SocketAddr) -> (u16, Value) {
    let answer = ask(address, "GET", "/readyz");
    let body: Value = serde_json::from_str(&answer.body).expect("a body of JSON");
    assert_eq!(body["ready"] == Value::Bool(true), answer.status == 200, "{body}");
    assert_eq!(
        body["ready"] == Value::Bool(true),
        body["reasons"].as_array().is_some_and(Vec::is_empty),
        "{body}"
    );
    (answer.status, body)
}

/// The one reason of a part, if that is the only one.
pub fn only_reason(body: &Value, part: &str) -> Option<String> {
    match body["reasons"].as_array()?.as_slice() {
        [reason] if reason["part"] == part => reason["reason"].as_str().map(str::to_owned),
        _ => None,
    }
}

/// Waits until the run is ready.
pub fn wait_until_ready(address: SocketAddr) {
    wait_until(DEADLINE, "the run is ready", || readiness(address).0 == 200);
}

/// Waits until a part is the one that is not ready, and returns its reason.
pub fn wait_for_reason(address: SocketAddr, part: &str) -> String {
    let mut found = None;
    wait_until(DEADLINE, &format!("{part} is the reason"), || {
        found = only_reason(&readiness(address).1, part);
        found.is_some()
    });
    found.expect("found, or the wait has panicked")
}

/// A rig whose adapter opens a listener on a port that the system chooses.
pub fn rig(options: Options) -> Rig {
    Rig::new(options).set("operations.listen", "0")
}

/// The address in a line of the log that says where the listener is.
pub fn address_in(line: &str) -> SocketAddr {
    let address = line.split_once("address=").map(|(_, rest)| rest);
    let address = address.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// Where the adapter's listener is.
pub fn address(adapter: &mut Process) -> SocketAddr {
    address_in(&adapter.wait_for_line(Stream::Stderr, "operations listener open", DEADLINE))
}
