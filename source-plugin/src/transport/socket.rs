//! One open WebSocket: frames in order, pings, the close, and until when everything sent is known to have arrived.
//!
//! Refuses to buffer: a frame is handed over as it is decoded. Whatever ends the connection comes out as one [`Loss`]
//! in RFC 6455's words. That a socket was read empty says nothing of what the server's kernel still held back, and a
//! reset destroys that. Only a pong does: it stands in the stream behind everything that was sent before its ping
//! arrived, so each ping carries its own time.

use std::io;
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::oversize::{OversizeFilter, Oversized};
use crate::gap::{Detail, LossKind, escape};

/// RFC 6455 close codes, 7.4.1: the purpose is fulfilled; an endpoint broke the protocol; text that is not UTF-8.
const CLOSE_NORMAL: u16 = 1000;
const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_NOT_UTF8: u16 = 1007;

/// How long a close frame of ours may take to leave; the peer may have stopped reading.
const CLOSE_DEADLINE: Duration = Duration::from_millis(500);

/// Bytes that may wait to be written: the largest subscription and some pongs.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that one read may bring. The codec clears its whole free buffer before each read, so its default of 128 KiB
/// would cost more than a single frame's decoding; 32 KiB still holds some 50 frames.
const READ_BUFFER_BYTES: usize = 32 * 1024;

/// A byte stream that carries a WebSocket: TCP, TLS over TCP, or a pipe in a test.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The stream below the codec.
pub(super) type Filtered = OversizeFilter<Box<dyn ByteStream>>;

/// Wraps a byte stream for the codec.
pub(super) fn filtered(stream: Box<dyn ByteStream>, max_frame_bytes: usize) -> Filtered {
    OversizeFilter::new(stream, max_frame_bytes)
}

/// Returns the codec's limits.
pub(super) fn codec(max_frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(max_frame_bytes))
        .max_frame_size(Some(max_frame_bytes))
        .read_buffer_size(READ_BUFFER_BYTES)
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

impl Received {
    /// Returns how many bytes of it are kept.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Oversized(oversized) => oversized.head.len(),
            Self::Ping | Self::Pong => 0,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// For the gap record.
    pub detail: Detail,
    /// Bytes of the message, as far as they had arrived, if it was too large and came in fragments.
    pub oversized_bytes: Option<u64>,
    /// The close code that a server is owed which is still there (RFC 6455, 7.1.7).
    pub close_with: u16,
}

impl Loss {
    /// Describes an end without a close code.
    #[must_use]
    pub fn new(kind: LossKind, reason: Option<&str>) -> Self {
        Self {
            detail: Detail::new(kind, reason),
            oversized_bytes: None,
            close_with: if kind == LossKind::Protocol {
                CLOSE_PROTOCOL
            } else {
                CLOSE_NORMAL
            },
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
            close_with: CLOSE_NORMAL,
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
            Error::Utf8(_) => Self {
                close_with: CLOSE_NOT_UTF8,
                ..Self::new(LossKind::Protocol, Some("text message is not UTF-8"))
            },
            other => Self::new(LossKind::Protocol, Some(&other.to_string())),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Filtered>,
    /// When the latest ping was sent.
    pinged_us: i64,
    complete_us: i64,
}

impl Socket {
    pub(super) fn new(stream: WebSocketStream<Filtered>, now_us: i64) -> Self {
        Self {
            stream,
            pinged_us: now_us,
            complete_us: now_us,
        }
    }

    /// Returns an instant, in microseconds since 1970 UTC, before which everything that was sent has been read: when
    /// the latest ping was sent that has been answered, else when the connection was opened.
    #[must_use]
    pub fn complete_us(&self) -> i64 {
        self.complete_us
    }

    /// Returns the number of the message of which fragments have come, but not the last.
    #[must_use]
    pub fn unfinished(&self) -> Option<u64> {
        self.stream.get_ref().unfinished()
    }

    /// Notes that what was sent before `now_us` and is missing lies inside a gap that ended then.
    pub fn covered_until(&mut self, now_us: i64) {
        self.complete_us = now_us;
        self.pinged_us = now_us;
    }

    /// Takes a pong for the answer to the ping whose time it carries; any other pong proves nothing.
    fn answered(&mut self, payload: &[u8]) {
        let sent_us = payload.try_into().map(i64::from_be_bytes);
        if let Ok(sent_us) = sent_us
            && (self.complete_us..=self.pinged_us).contains(&sent_us)
        {
            self.complete_us = sent_us;
        }
    }

    /// Notes that a message has been read that the server sent after it had one of ours, sent at `sent_us`.
    pub fn proven(&mut self, sent_us: i64) {
        self.complete_us = self.complete_us.max(sent_us);
    }

    /// Sends a short text message as far as the socket takes it at once; a socket that takes nothing is found by its
    /// silence.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection; retryable on a new connection.
    pub fn send_ready(&mut self, text: &'static str) -> Result<(), Loss> {
        let message = Message::Text(Utf8Bytes::from_static(text));
        let sent = tokio::task::unconstrained(self.stream.send(message)).now_or_never();
        sent.unwrap_or(Ok(())).map_err(|error| Loss::from_error(&error))
    }

    /// Sends a close frame as far as the socket takes it at once. Reading goes on: the server's answer comes after
    /// everything that it had sent before.
    pub fn begin_close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::default(),
        };
        // One that fails is found by the next read, one that does not leave by the deadline of whoever waits.
        let _sent = tokio::task::unconstrained(self.stream.close(Some(frame))).now_or_never();
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
            Some(Ok(Message::Pong(payload))) => {
                self.answered(&payload);
                Ok(Received::Pong)
            }
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
    /// # Units
    /// `now_us`: microseconds since 1970 UTC; the ping carries it.
    ///
    /// # Errors
    /// The [`Loss`] that ended the connection; retryable on a new connection.
    pub fn ping(&mut self, now_us: i64) -> Result<(), Loss> {
        self.pinged_us = now_us;
        // a clock that steps back widens a gap, never narrows it
        self.complete_us = self.complete_us.min(now_us);
        let ping = Message::Ping(Bytes::copy_from_slice(&now_us.to_be_bytes()));
        let sent = tokio::task::unconstrained(self.stream.send(ping)).now_or_never();
        sent.unwrap_or(Ok(())).map_err(|error| Loss::from_error(&error))
    }

    /// Sends a close frame, or the answer to the one received, and ends; takes at most half a second.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::from_static(reason),
        };
        let ending = async {
            // Refused where the server has closed already; the answer to that waits in the codec for a flush.
            let _refused = self.stream.close(Some(frame)).await;
            self.stream.flush().await
        };
        // Whatever happens now, the connection is over.
        let _outcome = tokio::time::timeout(CLOSE_DEADLINE, ending).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::{Error, Loss, Socket, filtered};
    use crate::gap::LossKind;

    #[tokio::test]
    async fn only_the_answer_to_a_ping_of_ours_proves_that_everything_arrived() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let stream = filtered(Box::new(ours), 1024);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let mut socket = Socket::new(stream, 100);
        socket.ping(200).unwrap();
        socket.ping(300).unwrap();
        let mut proves = |payload: &[u8]| {
            socket.answered(payload);
            socket.complete_us()
        };
        assert_eq!(proves(b""), 100);
        assert_eq!(proves(&400_i64.to_be_bytes()), 100, "from the future");
        assert_eq!(proves(&200_i64.to_be_bytes()), 200);
        assert_eq!(proves(&150_i64.to_be_bytes()), 200, "of the past");
        assert_eq!(proves(&300_i64.to_be_bytes()), 300);
        socket.covered_until(350);
        assert_eq!(socket.complete_us(), 350);
        socket.ping(320).unwrap();
        assert_eq!(socket.complete_us(), 320, "the clock went back");
    }

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
        assert_eq!(loss.close_with, 1007);
        assert_eq!(Loss::from_error(&Error::AttackAttempt).close_with, 1002);
        assert_eq!(Loss::new(LossKind::Silence, None).close_with, 1000);
    }
}
