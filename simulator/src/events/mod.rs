//! The tutorial's `events` protocol: upgrade, first message, acknowledgement, events.
//!
//! Responsible for the upgrade request; `subscribe` judges subscriptions and `session` plays the open WebSocket.
//! Refuses upgrades that RFC 6455 4.2.1 does not allow. The invariant: no event before an acknowledged subscription.

mod session;
mod subscribe;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::fault::Action;
use crate::http::{Request, Response};
use crate::oauth::{Gate, refusal};
use crate::server::Shared;
use crate::truth::Kind;

pub(crate) use session::Session;
pub use subscribe::Subscription;
pub(crate) use subscribe::{Refusal, Subscriptions};

/// Path of the tutorial's socket.
pub(crate) const PATH: &str = "/api/v2/analytics/conversations/events/ws";

/// Answers an upgrade request, as the script wants it; status 101 means that a session follows on the connection of
/// the number that comes with it.
pub(crate) async fn upgrade(request: &Request, shared: &Shared) -> (u64, Gate) {
    let (connection, action) = shared.feed().connect();
    match action {
        Some(Action::Hang) => return (connection, Gate::NeverAnswer),
        Some(Action::Slow { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Action::Refuse { status, retry_after }) => {
            shared
                .feed()
                .note(Kind::Refused, connection, Some(status), "upgrade");
            return (connection, Gate::Answer(refusal(status, retry_after)));
        }
        _ => {}
    }
    let mut response = accept(request);
    if matches!(action, Some(Action::Extension)) {
        let extension = "permessage-deflate; server_no_context_takeover".to_owned();
        response.headers.push(("sec-websocket-extensions", extension));
    }
    if response.status != 101 {
        shared
            .feed()
            .note(Kind::Refused, connection, Some(response.status), "upgrade");
    }
    match action {
        Some(Action::Trickle { ms }) => (connection, Gate::Trickle(response, ms)),
        _ => (connection, Gate::Answer(response)),
    }
}

fn accept(request: &Request) -> Response {
    let key = request.header("sec-websocket-key").filter(|key| key.len() == 24);
    let upgrade = request.has_word("upgrade", "websocket") && request.has_word("connection", "upgrade");
    let version = request.header("sec-websocket-version") == Some("13");
    match key {
        Some(key) if upgrade && version && request.method == "GET" => Response {
            status: 101,
            headers: vec![
                ("upgrade", "websocket".to_owned()),
                ("connection", "Upgrade".to_owned()),
                ("sec-websocket-accept", derive_accept_key(key.as_bytes())),
            ],
            body: Vec::new(),
        },
        _ => refusal(400, None),
    }
}

/// Plays an upgraded connection to its end.
pub(crate) async fn play(stream: TcpStream, surplus: Vec<u8>, connection: u64, shared: Arc<Shared>) {
    shared.feed().note(Kind::Connected, connection, None, "");
    Session::new(stream, surplus, connection, shared).run().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_upgrade_request_is_accepted() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let whole = Request {
            method: "GET".to_owned(),
            headers: vec![
                header("upgrade", "websocket"),
                header("connection", "keep-alive, Upgrade"),
                header("sec-websocket-version", "13"),
                header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            ..Request::default()
        };
        let response = accept(&whole);
        assert_eq!(response.status, 101);
        // RFC 6455 1.3
        assert!(
            response
                .headers
                .contains(&("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()))
        );
        for missing in 0..4 {
            let mut headers = whole.headers.clone();
            headers.remove(missing);
            assert_eq!(
                accept(&Request {
                    headers,
                    method: "GET".to_owned(),
                    ..Request::default()
                })
                .status,
                400
            );
        }
    }
}
