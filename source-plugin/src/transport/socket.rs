//! One open WebSocket: frames in order, pings, the close, and the last instant at which it was read empty.
//!
//! Refuses to buffer: a frame is handed over as it is decoded. Whatever ends the connection comes out as one [`Loss`]
//! in RFC 6455's words. Reading is exempt from tokio's cooperative budget, because an exhausted budget would look like
//! an empty socket, and gaps are dated from the moment at which the socket was truly empty.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::oversize::{OversizeFilter, Oversized};
use crate::clock::Clock;
use crate::gap::{Detail, LossKind, escape};

/// How long a close frame of ours may take to leave; the peer may have stopped reading.
const CLOSE_DEADLINE: Duration = Duration::from_millis(500);

/// Bytes that may wait to be written: the largest subscription and some pongs.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A byte stream that carries a WebSocket: TCP, TLS over TCP, or a pipe in a test.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The stream below the codec.
pub(super) type Filtered = OversizeFilter<ReadWatch>;

/// Notes when the stream was last found empty.
pub struct ReadWatch {
    inner: Box<dyn ByteStream>,
    clock: Arc<dyn Clock>,
    last_read_us: i64,
    empty_us: i64,
}

impl std::fmt::Debug for ReadWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadWatch")
            .field("empty_us", &self.empty_us)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for ReadWatch {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let started_us = self.clock.now_us();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if outcome.is_pending() {
            // The runtime answers "pending" from what it knew when it last asked the system, which is after the read
            // before this one began; only that instant is certain. Clock steps backwards widen a gap, never narrow it.
            self.empty_us = self.last_read_us;
        }
        self.last_read_us = started_us;
        outcome
    }
}

impl AsyncWrite for ReadWatch {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Wraps a byte stream for the codec.
pub(super) fn filtered(
    stream: Box<dyn ByteStream>,
    max_frame_bytes: usize,
    clock: Arc<dyn Clock>,
) -> Filtered {
    let now_us = clock.now_us();
    let watch = ReadWatch {
        inner: stream,
        clock,
        last_read_us: now_us,
        empty_us: now_us,
    };
    OversizeFilter::new(watch, max_frame_bytes)
}

/// Returns the codec's limits.
pub(super) fn codec(max_frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(max_frame_bytes))
        .max_frame_size(Some(max_frame_bytes))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
}

/// What a connection delivered.
#[derive(Clone, Debug)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A message over the limit, without its body; the connection lives on unless it says otherwise.
    Oversized(Oversized),
    /// A ping, which has been answered.
    Ping,
    /// A pong.
    Pong,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// For the gap record.
    pub detail: Detail,
    /// Bytes of the message, as far as they had arrived, if it was too large and came in fragments.
    pub oversized_bytes: Option<u64>,
}

impl Loss {
    /// Describes an end without a close code.
    #[must_use]
    pub fn new(kind: LossKind, reason: Option<&str>) -> Self {
        Self {
            detail: Detail::new(kind, reason),
            oversized_bytes: None,
        }
    }

    fn closed(frame: Option<&CloseFrame>) -> Self {
        let detail = Detail {
            kind: LossKind::Close,
            close_code: frame.map(|frame| u16::from(frame.code)),
            close_reason: frame
                .filter(|frame| !frame.reason.is_empty())
                .map(|frame| escape(&frame.reason)),
        };
        Self {
            detail,
            oversized_bytes: None,
        }
    }

    fn from_error(error: &Error) -> Self {
        match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::new(LossKind::Eof, None),
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::new(LossKind::Eof, None)
            }
            Error::Io(error) => Self::new(LossKind::Reset, Some(&error.to_string())),
            Error::Capacity(CapacityError::MessageTooLong { size, .. }) => Self {
                oversized_bytes: Some(*size as u64),
                ..Self::new(LossKind::Protocol, Some("message over max_frame_bytes"))
            },
            // Never the error's own text for UTF-8: it might quote the message.
            Error::Utf8(_) => Self::new(LossKind::Protocol, Some("text message is not UTF-8")),
            other => Self::new(LossKind::Protocol, Some(&other.to_string())),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Filtered>,
}

impl Socket {
    pub(super) fn new(stream: WebSocketStream<Filtered>) -> Self {
        Self { stream }
    }

    /// Returns the last instant, in microseconds since 1970 UTC, at which everything sent so far had been read.
    #[must_use]
    pub fn empty_us(&self) -> i64 {
        self.stream.get_ref().watched().empty_us
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection; there is no frame after it. Retryable on a new connection.
    /// # Cancel safety
    /// Safe: a frame that has been taken is returned at once.
    pub async fn next(&mut self) -> Result<Received, Loss> {
        loop {
            let message = tokio::task::unconstrained(self.stream.next()).await;
            if let Some(received) = self.read(message) {
                return received;
            }
        }
    }

    /// Returns the next frame if it is there without waiting.
    pub fn next_ready(&mut self) -> Option<Result<Received, Loss>> {
        self.next().now_or_never()
    }

    fn read(&mut self, message: Option<Result<Message, Error>>) -> Option<Result<Received, Loss>> {
        Some(match message {
            None => Err(Loss::new(LossKind::Eof, None)),
            Some(Err(error)) => Err(Loss::from_error(&error)),
            Some(Ok(Message::Text(text))) => Ok(Received::Text(text)),
            Some(Ok(Message::Binary(bytes))) => match self.stream.get_mut().report(&bytes) {
                Some(oversized) => Ok(Received::Oversized(oversized)),
                None => Ok(Received::Binary(bytes)),
            },
            Some(Ok(Message::Ping(_))) => Ok(Received::Ping),
            Some(Ok(Message::Pong(_))) => Ok(Received::Pong),
            Some(Ok(Message::Close(frame))) => Err(Loss::closed(frame.as_ref())),
            // The codec hands out raw frames only to writers.
            Some(Ok(Message::Frame(_))) => return None,
        })
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection; retryable on a new connection.
    /// # Cancel safety
    /// Not safe: a part may have been sent, so the connection must be dropped.
    pub async fn send(&mut self, text: &SecretString) -> Result<(), Loss> {
        let message = Message::text(text.expose_secret());
        self.stream
            .send(message)
            .await
            .map_err(|error| Loss::from_error(&error))
    }

    /// Sends a ping as far as the socket takes it at once; a socket that takes nothing is found by its silence.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection; retryable on a new connection.
    pub fn ping(&mut self) -> Result<(), Loss> {
        let sent = tokio::task::unconstrained(self.stream.send(Message::Ping(Bytes::new()))).now_or_never();
        sent.unwrap_or(Ok(())).map_err(|error| Loss::from_error(&error))
    }

    /// Sends a close frame, or the answer to the one received, and ends; takes at most half a second.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::from_static(reason),
        };
        // Whatever happens now, the connection is over.
        let _outcome = tokio::time::timeout(CLOSE_DEADLINE, self.stream.close(Some(frame))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Loss};
    use crate::gap::LossKind;

    #[test]
    fn errors_become_kinds_of_loss() {
        use std::io::ErrorKind;
        let kind = |error: Error| Loss::from_error(&error).detail.kind;
        assert_eq!(kind(Error::ConnectionClosed), LossKind::Eof);
        assert_eq!(kind(Error::Io(ErrorKind::UnexpectedEof.into())), LossKind::Eof);
        assert_eq!(
            kind(Error::Io(ErrorKind::ConnectionReset.into())),
            LossKind::Reset
        );
        assert_eq!(kind(Error::AttackAttempt), LossKind::Protocol);
        let loss = Loss::from_error(&Error::Utf8("quoted".to_owned()));
        assert!(!format!("{loss:?}").contains("quoted"));
    }
}
