//! A filter below the WebSocket codec that swallows messages which are too large to hold, and keeps the connection.
//!
//! It reads the frame headers of RFC 6455 in place, in the reader's own buffer. A data message whose announced payload
//! passes the limit never reaches the codec: its bytes are hashed and thrown away, its first 4096 are kept, and a
//! small binary frame with an unguessable payload (the *marker*) takes its place in the stream, so that its report
//! comes in stream order by construction. Everything else passes untouched, also what is malformed: judging that is
//! the codec's task. It refuses to allocate what a header announces, and gives up a connection whose server announces
//! more than 64 times the limit.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    /// Inside the answer to the upgrade: bytes of its end that have been seen, and the start of the status line.
    Handshake { matched: usize, start: Vec<u8> },
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
            phase: Phase::Handshake {
                matched: 0,
                start: Vec::new(),
            },
            swallow: None,
            unread: Vec::new(),
            wants_more: false,
            ready: Vec::new(),
            reports: VecDeque::new(),
        }
    }

    /// Returns the stream below.
    pub fn watched(&self) -> &S {
        &self.inner
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
                Phase::Handshake { matched, start } => {
                    let length = end_of_handshake(matched, start, &data[read..]);
                    let is_over = *matched == HEAD_END.len();
                    let is_upgraded = is_switching_protocols(start);
                    if is_over {
                        self.phase = if is_upgraded {
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

/// The empty line that ends an HTTP head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Bytes of the status line up to the status code: `HTTP/1.1 101`.
const STATUS_BYTES: usize = 12;

/// Returns how many bytes of `data` belong to the answer's head.
fn end_of_handshake(matched: &mut usize, start: &mut Vec<u8>, data: &[u8]) -> usize {
    for (index, &byte) in data.iter().enumerate() {
        if start.len() < STATUS_BYTES {
            start.push(byte);
        }
        *matched = match (byte, *matched) {
            (b'\n', 1 | 3) => *matched + 1,
            (b'\r', 2) => 3,
            (b'\r', _) => 1,
            _ => 0,
        };
        if *matched == HEAD_END.len() {
            return index + 1;
        }
    }
    data.len()
}

fn is_switching_protocols(start: &[u8]) -> bool {
    start.starts_with(b"HTTP/1.") && start.ends_with(b" 101")
}

/// The parts of a frame header that matter here.
struct FrameHeader {
    is_final: bool,
    opcode: u8,
    /// Masked or with reserved bits, neither of which a server may send.
    is_odd: bool,
    length: usize,
    payload_bytes: u64,
}

impl FrameHeader {
    /// Reads a header, or nothing if there are too few bytes for it (RFC 6455, 5.2).
    fn parse(data: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = data.split_first_chunk()?;
        let (length, payload_bytes) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
            short => (2, u64::from(short)),
        };
        let is_masked = second & 0x80 != 0;
        // The mask passes with the payload: a masked frame is never discarded.
        let payload_bytes = payload_bytes.saturating_add(if is_masked { 4 } else { 0 });
        Some(Self {
            is_final: first & 0x80 != 0,
            opcode: first & 0x0f,
            is_odd: is_masked || first & 0x70 != 0,
            length,
            payload_bytes,
        })
    }
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
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};
    use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

    use super::{HEAD_BYTES, MARKER_BYTES, OversizeFilter, Oversized};

    const LIMIT: usize = 1024;
    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    /// Gives bytes in pieces of the sizes it was told, over and over.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        sizes: Vec<usize>,
        turn: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let size = self.sizes[self.turn % self.sizes.len()];
            self.turn += 1;
            let end = (self.at + size.min(buf.remaining())).min(self.bytes.len());
            buf.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    fn frame(is_final: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![opcode | if is_final { 0x80 } else { 0 }];
        bytes.extend(length_field(payload.len() as u64));
        bytes.extend(payload);
        bytes
    }

    fn length_field(length: u64) -> Vec<u8> {
        match length {
            0..126 => vec![length as u8],
            126..65_536 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[127][..], &length.to_be_bytes()].concat(),
        }
    }

    fn run(input: Vec<u8>, sizes: Vec<usize>, read_bytes: usize) -> (Vec<u8>, OversizeFilter<Pieces>) {
        let mut filter = OversizeFilter::new(
            Pieces {
                bytes: input,
                at: 0,
                sizes,
                turn: 0,
            },
            LIMIT,
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let output = runtime.block_on(async {
            let mut output = Vec::new();
            let mut buffer = vec![0; read_bytes];
            loop {
                match filter.read_exact(&mut buffer[..1]).await {
                    Ok(_) => output.push(buffer[0]),
                    Err(_) => return output,
                }
                if read_bytes > 1 {
                    let mut rest = ReadBuf::new(&mut buffer);
                    std::future::poll_fn(|cx| Pin::new(&mut filter).poll_read(cx, &mut rest))
                        .await
                        .unwrap();
                    output.extend(rest.filled());
                }
            }
        });
        (output, filter)
    }

    fn report(payload: &[u8]) -> Oversized {
        Oversized {
            length_bytes: payload.len() as u64,
            sha256: Sha256::digest(payload).into(),
            head: payload[..payload.len().min(HEAD_BYTES)].to_vec(),
            gives_up: false,
        }
    }

    /// A stream of messages: (opcode, payload sizes of its fragments).
    fn messages() -> impl Strategy<Value = Vec<(u8, Vec<usize>)>> {
        let small = 0..300_usize;
        let any =
            prop_oneof![3 => small, 1 => 1000..1050_usize, 1 => 1025..9000_usize, 1 => Just(20_000_usize)];
        let data = (1..=2_u8, proptest::collection::vec(any, 1..4));
        let control = (9..=10_u8, proptest::collection::vec(0..126_usize, 1..2));
        proptest::collection::vec(prop_oneof![3 => data, 1 => control], 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_chunking_gives_the_same_output_and_reports(
            messages in messages(),
            sizes in proptest::collection::vec(1..5000_usize, 1..6),
            tiny in any::<bool>(),
            read_bytes in prop_oneof![Just(1_usize), 2..64_usize, 64..300_usize, Just(131_072_usize)],
        ) {
            let sizes = if tiny { sizes.into_iter().map(|size| size % 7 + 1).collect() } else { sizes };
            let mut input = ANSWER.to_vec();
            let mut expected = ANSWER.to_vec();
            let mut reports = Vec::new();
            let mut seed = 0_u8;
            let marker = [0; MARKER_BYTES];
            let mut markers_at = Vec::new();
            for (opcode, fragments) in messages {
                let payloads: Vec<Vec<u8>> = fragments.iter().map(|size| {
                    seed = seed.wrapping_add(17);
                    (0..*size).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect()
                }).collect();
                let frames: Vec<Vec<u8>> = payloads.iter().enumerate().map(|(index, payload)| {
                    frame(index + 1 == payloads.len(), if index == 0 { opcode } else { 0 }, payload)
                }).collect();
                // A ping between the fragments of a message must pass in any case.
                let ping = frame(true, 9, b"between");
                let is_swallowed = opcode < 8 && payloads[0].len() > LIMIT;
                for (index, frame) in frames.iter().enumerate() {
                    input.extend(frame);
                    if !is_swallowed {
                        expected.extend(frame);
                    }
                    if index + 1 < frames.len() {
                        input.extend(&ping);
                        expected.extend(&ping);
                    }
                }
                if is_swallowed {
                    markers_at.push(expected.len() + 2);
                    expected.extend(frame(true, 2, &marker));
                    reports.push(report(&payloads.concat()));
                }
            }
            let (mut output, mut filter) = run(input, sizes, read_bytes);
            prop_assert_eq!(output.len(), expected.len());
            for (at, wanted) in markers_at.into_iter().zip(&reports) {
                let payload = output[at..at + MARKER_BYTES].to_vec();
                let found = filter.report(&payload);
                prop_assert!(found.as_ref() == Some(wanted));
                output[at..at + MARKER_BYTES].fill(0);
            }
            prop_assert!(output == expected);
            prop_assert!(filter.reports.is_empty());
        }

        #[test]
        fn no_bytes_panic_or_grow_the_filter(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            sizes in proptest::collection::vec(1..40_usize, 1..4),
        ) {
            let length = bytes.len();
            let (output, filter) = run([ANSWER, &bytes].concat(), sizes, 256);
            prop_assert!(output.len() <= ANSWER.len() + length + MARKER_BYTES);
            prop_assert!(filter.unread.capacity() <= 4096 && filter.ready.capacity() <= 4096);
        }
    }

    #[test]
    fn a_length_beyond_reason_gives_up_with_length_and_head() {
        for announced in [LIMIT as u64 * 64 + 1, u64::MAX >> 1, u64::MAX] {
            let mut input = [ANSWER, &[0x81], &length_field(announced)].concat();
            input.extend([b'x'; 10_000]);
            let (output, mut filter) = run(input, vec![700], 4096);
            let marker = output[ANSWER.len() + 2..].to_vec();
            assert_eq!(output.len(), ANSWER.len() + 2 + MARKER_BYTES);
            let report = filter.report(&marker).unwrap();
            let digest: [u8; 32] = Sha256::digest([b'x'; HEAD_BYTES]).into();
            assert_eq!(
                (report.length_bytes, report.sha256, report.gives_up),
                (announced, digest, true)
            );
            assert_eq!(report.head, vec![b'x'; HEAD_BYTES]);
        }
    }

    #[test]
    fn a_refused_upgrade_passes_whole() {
        let body = [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0].repeat(30);
        let input = [b"HTTP/1.1 429 Too Many Requests\r\n\r\n", &body[..]].concat();
        let (output, _) = run(input.clone(), vec![11], 128);
        assert_eq!(output, input);
    }

    #[test]
    fn a_payload_that_is_no_marker_has_no_report() {
        let input = [ANSWER, &frame(true, 1, &[b'x'; LIMIT + 1])].concat();
        let (_, mut filter) = run(input, vec![64], 256);
        assert_eq!(filter.report(&[0; MARKER_BYTES]), None);
        let marker = filter.marker;
        assert!(filter.report(&marker).is_some());
        assert_eq!(filter.report(&marker), None);
    }
}
