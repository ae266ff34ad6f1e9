//! The filter against every chunking of its input, and against servers that mean harm.

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
    let any = prop_oneof![3 => small, 1 => 1000..1050_usize, 1 => 1025..9000_usize, 1 => Just(20_000_usize)];
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

#[test]
fn a_message_is_unfinished_from_its_first_fragment_to_its_last_whatever_stands_between() {
    let frames = [
        (frame(true, 1, b"whole"), None),
        (frame(false, 1, b"first"), Some(2)),
        (frame(true, 9, b"ping"), Some(2)),
        (frame(false, 0, b"more"), Some(2)),
        (frame(true, 0, b"last"), None),
        (frame(true, 10, b"pong"), None),
        (frame(false, 2, b"another"), Some(3)),
        (frame(false, 0, &[7; 2 * LIMIT]), Some(3)),
        (frame(true, 0, b""), None),
        // over the limit, and so swallowed
        (frame(false, 2, &[7; 2 * LIMIT]), Some(4)),
        (frame(true, 0, b"end"), None),
    ];
    let mut input = ANSWER.to_vec();
    for (bytes, unfinished) in frames {
        input.extend(bytes);
        for sizes in [vec![1], vec![4096], vec![3, 70]] {
            let (_, filter) = run(input.clone(), sizes, 4096);
            assert_eq!(filter.unfinished(), unfinished, "after {} bytes", input.len());
        }
    }
}
