//! A filter below the WebSocket codec that swallows messages which are too large to hold, and keeps the connection.
//!
//! It reads the frame headers of RFC 6455 in place, in the reader's own buffer. A data message whose announced payload
//! passes the limit never reaches the codec: its bytes are hashed and thrown away, its first 4096 are kept, and a
//! small binary frame with an unguessable payload (the *marker*) takes its place in the stream, so that its report
//! comes in stream order by construction. Everything else passes untouched, also what is malformed: judging that is
//! the codec's task. It refuses to allocate what a header announces, and gives up a connection whose server announces
//! more than 64 times the limit.

mod header;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use header::{FrameHeader, HeadEnd};

/// Bytes that are kept of a swallowed message.
pub const HEAD_BYTES: usize = 4096;

/// A message is swallowed up to this multiple of the limit; one that is larger costs the connection.
const GIVE_UP_FACTOR: u64 = 64;

/// Bytes of the marker's payload: 128 random bits, so that no server can guess it.
const MARKER_BYTES: usize = 16;

/// Smallest buffer that is filtered in place; a smaller one is served from a scratch buffer.
const MIN_IN_PLACE_BYTES: usize = 64;

/// What is known of a message that was swallowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Payload bytes announced.
    pub length_bytes: u64,
    /// Digest of the payload bytes that were read: all of them, unless the connection is given up.
    pub sha256: [u8; 32],
    /// Its first bytes, at most [`HEAD_BYTES`].
    pub head: Vec<u8>,
    /// Whether the connection must be given up, since the rest of the payload is not read.
    pub gives_up: bool,
}

/// A message that is being swallowed.
struct Swallow {
    length_bytes: u64,
    hash: Sha256,
    head: Vec<u8>,
    is_final: bool,
    gives_up: bool,
}

enum Phase {
    /// Inside the answer to the upgrade.
    Handshake(HeadEnd),
    /// The upgrade was refused: everything passes.
    Transparent,
    /// Before a frame header.
    Header,
    /// Inside a payload that passes.
    Pass { left: u64 },
    /// Inside a payload that is thrown away.
    Discard { left: u64 },
    /// Given up: the stream has ended for the codec.
    Ended,
}

/// See the module documentation.
pub struct OversizeFilter<S> {
    inner: S,
    limit_bytes: u64,
    marker: [u8; MARKER_BYTES],
    phase: Phase,
    swallow: Option<Swallow>,
    /// Read from `inner` and not looked at yet: a piece of a header, or what follows a marker without room.
    unread: Vec<u8>,
    /// Whether `unread` is less than a header, so that more must be read first.
    wants_more: bool,
    /// Filtered and not handed on yet.
    ready: Vec<u8>,
    reports: VecDeque<Oversized>,
    /// Messages that have begun.
    messages: u64,
    /// Whether the last of them wants a further fragment.
    is_unfinished: bool,
}

impl<S> std::fmt::Debug for OversizeFilter<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OversizeFilter")
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}

impl<S> OversizeFilter<S> {
    /// Wraps a stream that is about to carry the answer to an upgrade request, then frames.
    pub fn new(inner: S, limit_bytes: usize) -> Self {
        Self {
            inner,
            limit_bytes: limit_bytes as u64,
            marker: uuid::Uuid::new_v4().into_bytes(),
            phase: Phase::Handshake(HeadEnd::default()),
            swallow: None,
            unread: Vec::new(),
            wants_more: false,
            ready: Vec::new(),
            reports: VecDeque::new(),
            messages: 0,
            is_unfinished: false,
        }
    }

    /// Returns the number of the message, from 1, of which fragments have come, but not the last one's header.
    pub fn unfinished(&self) -> Option<u64> {
        self.is_unfinished.then_some(self.messages)
    }

    /// Notes where messages begin and end.
    fn note(&mut self, header: &FrameHeader) {
        // Control frames stand between fragments and belong to no message.
        if header.opcode < 8 {
            self.messages += u64::from(header.opcode != 0);
            self.is_unfinished = !header.is_final;
        }
    }

    /// Returns what was swallowed, if `payload`, just received as a binary message, stands for it.
    pub fn report(&mut self, payload: &[u8]) -> Option<Oversized> {
        if payload == self.marker {
            self.reports.pop_front()
        } else {
            None
        }
    }

    /// Filters `data` in place; returns how much of its start is output. What is left over goes to `unread`.
    fn filter(&mut self, data: &mut [u8]) -> usize {
        let (mut read, mut written) = (0, 0);
        while read < data.len() {
            let available = data.len() - read;
            match &mut self.phase {
                Phase::Handshake(head) => {
                    let length = head.scan(&data[read..]);
                    if head.is_over() {
                        self.phase = if head.is_upgraded() {
                            Phase::Header
                        } else {
                            Phase::Transparent
                        };
                    }
                    keep(data, &mut read, &mut written, length);
                }
                Phase::Transparent => keep(data, &mut read, &mut written, available),
                Phase::Pass { left } => {
                    let length = available.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    if *left == 0 {
                        self.phase = Phase::Header;
                    }
                    keep(data, &mut read, &mut written, length);
                }
                Phase::Header => {
                    let Some(header) = FrameHeader::parse(&data[read..]) else {
                        self.unread = data[read..].to_vec();
                        self.wants_more = true;
                        return written;
                    };
                    self.note(&header);
                    if self.begins_discard(&header) {
                        read += header.length;
                    } else {
                        let length = header.length;
                        self.phase = match header.payload_bytes {
                            0 => Phase::Header,
                            left => Phase::Pass { left },
                        };
                        keep(data, &mut read, &mut written, length);
                    }
                    self.end_of_discard();
                }
                Phase::Discard { left } => {
                    let length = available.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    if let Some(swallow) = &mut self.swallow {
                        swallow.take(&data[read..read + length]);
                    }
                    read += length;
                    self.end_of_discard();
                }
                Phase::Ended => return written,
            }
            if !self.ready.is_empty() {
                // The marker stands before whatever follows, which therefore waits for the next call.
                self.unread = data[read..].to_vec();
                self.wants_more = false;
                return written;
            }
        }
        written
    }

    /// Says whether the frame's payload is to be thrown away, and notes it if so.
    fn begins_discard(&mut self, header: &FrameHeader) -> bool {
        let is_data = matches!(header.opcode, 1 | 2);
        let continues = header.opcode == 0 && self.swallow.is_some();
        let starts = is_data && self.swallow.is_none() && header.payload_bytes > self.limit_bytes;
        // Masked or with reserved bits it breaks the protocol: the codec must see it to end the connection.
        if header.is_odd || !(continues || starts) {
            return false;
        }
        let swallow = self.swallow.get_or_insert_with(|| Swallow {
            length_bytes: 0,
            hash: Sha256::new(),
            head: Vec::new(),
            is_final: false,
            gives_up: false,
        });
        swallow.length_bytes = swallow.length_bytes.saturating_add(header.payload_bytes);
        swallow.is_final = header.is_final;
        swallow.gives_up = swallow.length_bytes > self.limit_bytes.saturating_mul(GIVE_UP_FACTOR);
        let left = if swallow.gives_up {
            header.payload_bytes.min((HEAD_BYTES - swallow.head.len()) as u64)
        } else {
            header.payload_bytes
        };
        self.phase = Phase::Discard { left };
        true
    }

    /// If a discarded payload has ended, goes on to the next header, and after the last one puts the marker.
    fn end_of_discard(&mut self) {
        if !matches!(self.phase, Phase::Discard { left: 0 }) {
            return;
        }
        self.phase = Phase::Header;
        let Some(swallow) = self
            .swallow
            .take_if(|swallow| swallow.is_final || swallow.gives_up)
        else {
            return;
        };
        if swallow.gives_up {
            self.phase = Phase::Ended;
        }
        self.reports.push_back(Oversized {
            length_bytes: swallow.length_bytes,
            sha256: swallow.hash.finalize().into(),
            head: swallow.head,
            gives_up: swallow.gives_up,
        });
        // FIN and opcode 2, then a length below 126 without a mask.
        self.ready.extend([0x82, MARKER_BYTES as u8]);
        self.ready.extend(self.marker);
    }
}

impl Swallow {
    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Hands `length` bytes on, moving them only if something before them was taken out.
fn keep(data: &mut [u8], read: &mut usize, written: &mut usize, length: usize) {
    if read != written {
        data.copy_within(*read..*read + length, *written);
    }
    *read += length;
    *written += length;
}

impl<S: AsyncRead + Unpin> OversizeFilter<S> {
    /// Reads and filters into a buffer of at least [`MIN_IN_PLACE_BYTES`]; no bytes mean the end of the stream.
    fn poll_filtered(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.ready.is_empty() {
                let length = self.ready.len().min(buf.remaining());
                buf.put_slice(&self.ready[..length]);
                self.ready.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if matches!(self.phase, Phase::Ended) {
                return Poll::Ready(Ok(()));
            }
            let start = buf.filled().len();
            let from_unread = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread[..from_unread]);
            if self.unread.is_empty() || self.wants_more {
                let before = buf.filled().len();
                match Pin::new(&mut self.inner).poll_read(cx, buf) {
                    Poll::Ready(Ok(())) if buf.filled().len() > before => {}
                    Poll::Ready(Ok(())) => {
                        // The end inside a header: the codec sees the end.
                        buf.set_filled(start);
                        return Poll::Ready(Ok(()));
                    }
                    other => {
                        buf.set_filled(start);
                        return other;
                    }
                }
            }
            let rest = self.unread.split_off(from_unread);
            self.unread.clear();
            self.wants_more = false;
            let written = self.filter(&mut buf.filled_mut()[start..]);
            buf.set_filled(start + written);
            if !rest.is_empty() {
                self.unread.extend(rest);
                // Less than a header was left of the first part; together with the rest it may be one.
                self.wants_more = false;
            }
            if written > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OversizeFilter<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if buf.remaining() >= MIN_IN_PLACE_BYTES {
            return this.poll_filtered(cx, buf);
        }
        if this.ready.is_empty() {
            let mut scratch = [0; MIN_IN_PLACE_BYTES];
            let mut scratch = ReadBuf::new(&mut scratch);
            ready!(this.poll_filtered(cx, &mut scratch))?;
            // Poll_filtered hands out what is ready first, so nothing of it stands before the scratch bytes.
            this.ready.splice(..0, scratch.filled().iter().copied());
        }
        let length = this.ready.len().min(buf.remaining());
        buf.put_slice(&this.ready[..length]);
        this.ready.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OversizeFilter<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
