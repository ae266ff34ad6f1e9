//! Which room answers a request, and which plays the socket after an upgrade.
//!
//! Refuses paths that no room has with 404. The invariant: every request gets one answer, unless the script lets it hang.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::events;
use crate::http::{self, Response};
use crate::notifications;
use crate::oauth::{self, Gate};
use crate::server::Shared;

/// The answer to a request; after an upgrade `channel` names the channel, none the events socket.
pub(crate) struct Answered {
    pub(crate) connection: u64,
    pub(crate) gate: Gate,
    pub(crate) channel: Option<String>,
}

/// Plays an upgraded connection to its end.
pub(crate) async fn play(
    stream: TcpStream,
    surplus: Vec<u8>,
    connection: u64,
    channel: Option<String>,
    shared: Arc<Shared>,
) {
    match channel {
        Some(channel) => notifications::play(stream, surplus, connection, channel, shared).await,
        None => events::play(stream, surplus, connection, shared).await,
    }
}

/// Reads the next request and answers it; nothing when the client is gone.
pub(crate) async fn next_answer(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    shared: &Shared,
) -> Option<Answered> {
    let request = http::read_request(stream, bytes).await?;
    let path = request.path.split('?').next().unwrap_or_default();
    let channel = path.strip_prefix(notifications::STREAM_PREFIX).map(str::to_owned);
    let (connection, gate) = match (request.method.as_str(), path) {
        ("POST", "/oauth/token") => (0, oauth::answer(&request, shared).await),
        (_, events::PATH) => events::upgrade(&request, shared).await,
        _ if path.starts_with(notifications::API_PREFIX) => {
            (0, notifications::answer(&request, shared).await)
        }
        _ => match &channel {
            Some(channel) => notifications::upgrade(&request, channel, shared).await,
            None => (
                0,
                Gate::Answer(Response {
                    status: 404,
                    ..Response::default()
                }),
            ),
        },
    };
    Some(Answered {
        connection,
        gate,
        channel,
    })
}
