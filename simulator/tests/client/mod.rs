//! A client for the tests: login over a raw socket, WebSocket by tokio-tungstenite. No test of its own.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream as RawStream;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use simulator::{Options, Simulator};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest wait for anything that has to happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn start(options: Options) -> Simulator {
    Simulator::start(options).unwrap()
}

pub(crate) fn faults(texts: &[&str]) -> Vec<simulator::Fault> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Sends one login and returns the whole answer; `authorization` and `body` may be wrong on purpose.
pub(crate) fn raw_login(simulator: &Simulator, authorization: &str, body: &str) -> String {
    let mut stream = RawStream::connect(simulator.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(
        stream,
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    read_answer(&mut stream)
}

/// Reads one answer with its content-length.
pub(crate) fn read_answer(stream: &mut RawStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.extend_from_slice(&byte);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

pub(crate) const RIGHT: &str = "Basic c2ltLWNsaWVudDpzaW0tc2VjcmV0";
pub(crate) const FORM: &str = "grant_type=client_credentials";

pub(crate) fn token(simulator: &Simulator) -> String {
    let answer = raw_login(simulator, RIGHT, FORM);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("no token: {answer}"))
        .to_owned()
}

pub(crate) fn subscription(token: &str, session: &str) -> String {
    serde_json::json!({
        "type": "subscribe", "events": ["interaction", "participant"], "filters": {},
        "token": token, "sessionToken": session,
    })
    .to_string()
}

pub(crate) async fn open(simulator: &Simulator) -> Socket {
    tokio_tungstenite::connect_async(simulator.events_url())
        .await
        .unwrap()
        .0
}

/// Opens a socket and subscribes; returns it after the acknowledgement.
pub(crate) async fn subscribe(simulator: &Simulator) -> Socket {
    let mut socket = open(simulator).await;
    let text = subscription(&token(simulator), "session-1");
    socket.send(Message::text(text)).await.unwrap();
    let answer = next(&mut socket).await.unwrap();
    assert_eq!(
        answer.to_text().unwrap(),
        r#"{"sessionToken":"session-1","type":"subscribed"}"#
    );
    socket
}

/// The next message, or how the connection ended; panics after [`SOON`].
pub(crate) async fn next(socket: &mut Socket) -> Result<Message, Error> {
    let message = tokio::time::timeout(SOON, socket.next())
        .await
        .expect("nothing came");
    message.unwrap_or(Err(Error::ConnectionClosed))
}

/// Reads `count` text messages.
pub(crate) async fn read_texts(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        if let Message::Text(text) = next(socket).await.unwrap() {
            texts.push(text.to_string());
        }
    }
    texts
}

/// Reads to the connection's end: the texts, and the end.
pub(crate) async fn read_to_end(socket: &mut Socket) -> (Vec<String>, Result<Message, Error>) {
    let mut texts = Vec::new();
    loop {
        match next(socket).await {
            Ok(Message::Text(text)) => texts.push(text.to_string()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            end => return (texts, end),
        }
    }
}
