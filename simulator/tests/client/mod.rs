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
use simulator::{Kind, NotificationOptions, Options, Simulator, TruthLine};
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

/// An answer to a REST request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The ids of a listing, in its order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let entities = self.body["entities"].as_array().unwrap();
        let id = |entity: &serde_json::Value| entity["id"].as_str().unwrap().to_owned();
        entities.iter().map(id).collect()
    }
}

/// Sends a REST request with a bearer token; no token: without the header.
pub(crate) fn rest(
    simulator: &Simulator,
    token: &str,
    method: &str,
    path: &str,
    body: &serde_json::Value,
) -> Answer {
    let mut stream = RawStream::connect(simulator.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let authorization = match token {
        "" => String::new(),
        token => format!("authorization: Bearer {token}\r\n"),
    };
    write!(
        stream,
        "{method} /api/v2/{path} HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        simulator.address(),
        body.len()
    )
    .unwrap();
    let answer = read_answer(&mut stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
    }
}

pub(crate) fn get(simulator: &Simulator, token: &str, path: &str) -> Answer {
    rest(simulator, token, "GET", path, &serde_json::Value::Null)
}

/// A channel of a test.
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) uri: String,
}

pub(crate) fn create(simulator: &Simulator, token: &str) -> Channel {
    let answer = rest(
        simulator,
        token,
        "POST",
        "notifications/channels",
        &serde_json::Value::Null,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
    Channel {
        id: text("id"),
        uri: text("connectUri"),
    }
}

/// Sets topics with `ignoreErrors=true` and hands the answer back.
pub(crate) fn put(simulator: &Simulator, token: &str, channel: &Channel, topics: &[&str]) -> Answer {
    let path = format!(
        "notifications/channels/{}/subscriptions?ignoreErrors=true",
        channel.id
    );
    rest(simulator, token, "PUT", &path, &topic_list(topics))
}

pub(crate) fn topic_list(topics: &[&str]) -> serde_json::Value {
    topics
        .iter()
        .map(|topic| serde_json::json!({ "id": topic }))
        .collect()
}

pub(crate) async fn listen(channel: &Channel) -> Socket {
    tokio_tungstenite::connect_async(&channel.uri).await.unwrap().0
}

/// Waits until a channel's socket is the one that gets its notifications.
pub(crate) fn await_sockets(simulator: &Simulator, count: u64) {
    assert!(simulator.wait_until(SOON, |counters| counters.open == count));
}

/// The next text message as JSON.
pub(crate) async fn next_json(socket: &mut Socket) -> serde_json::Value {
    let text = read_texts(socket, 1).await.remove(0);
    serde_json::from_str(&text).unwrap()
}

/// Reads every notification that the sockets are sent until the contact centre has come to its end.
pub(crate) async fn read_all(simulator: &Simulator, sockets: &mut [Socket]) -> Vec<Vec<String>> {
    let mut texts = vec![Vec::new(); sockets.len()];
    let begun = std::time::Instant::now();
    loop {
        for (socket, texts) in sockets.iter_mut().zip(&mut texts) {
            let reading = async {
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(text) = message {
                        texts.push(text.to_string());
                    }
                }
            };
            tokio::time::timeout(Duration::from_millis(5), reading)
                .await
                .expect_err("the socket has ended");
        }
        let counters = simulator.counters();
        let read: usize = texts.iter().map(Vec::len).sum();
        if counters.updates_done && read as u64 == counters.notifications_sent {
            return texts;
        }
        assert!(begun.elapsed() < SOON, "{read} of {counters:?}");
    }
}

/// A simulator whose contact centre does nothing by itself.
pub(crate) fn quiet(change: impl FnOnce(&mut NotificationOptions)) -> Simulator {
    let mut options = Options::default();
    options.notifications.updates_per_s = 0;
    change(&mut options.notifications);
    start(options)
}

/// The lines of ground truth of a kind.
pub(crate) fn lines(simulator: &Simulator, kind: Kind) -> Vec<TruthLine> {
    let lines = simulator.truth();
    lines.into_iter().filter(|line| line.kind == kind).collect()
}

/// The code of a close frame.
pub(crate) fn close_code(end: Result<Message, Error>) -> u16 {
    match end.unwrap() {
        Message::Close(Some(close)) => close.code.into(),
        other => panic!("{other:?}"),
    }
}

/// The topic that these tests publish numbers on.
pub(crate) const A: &str = "v2.users.a.presence";

/// A quiet simulator with faults.
pub(crate) fn with_faults(texts: &[&str]) -> Simulator {
    let mut options = Options {
        faults: faults(texts),
        ..Options::default()
    };
    options.notifications.updates_per_s = 0;
    start(options)
}

/// Publishes bodies that hold these numbers.
pub(crate) fn publish(simulator: &Simulator, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        simulator.publish(A, &serde_json::json!({ "n": n }));
    }
}

/// The numbers in the bodies of frames.
pub(crate) fn numbers(texts: &[String]) -> Vec<u64> {
    let frames = texts
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    frames
        .filter_map(|frame| frame["eventBody"]["n"].as_u64())
        .collect()
}

/// The numbers that nobody heard, in the order of the ground truth.
pub(crate) fn unheard(simulator: &Simulator) -> Vec<u64> {
    let lines = simulator
        .truth()
        .into_iter()
        .filter(|line| line.kind == Kind::Unheard);
    numbers(&lines.map(|line| line.frame.unwrap()).collect::<Vec<_>>())
}
