//! RFC 6455 frames as bytes: a writer for the server's frames, well-formed or not, and a reader for the client's.
//!
//! Refuses client frames that are unmasked, reserved or larger than its bound. The invariant: whatever the well-formed
//! writers append is one complete frame. Extensions are never negotiated, so no reserved bit is ever legal here.

/// Continuation frame.
pub(crate) const CONTINUATION: u8 = 0x0;
/// Text frame.
pub(crate) const TEXT: u8 = 0x1;
/// Binary frame.
pub(crate) const BINARY: u8 = 0x2;
/// Close frame.
pub(crate) const CLOSE: u8 = 0x8;
/// Ping frame.
pub(crate) const PING: u8 = 0x9;
/// Pong frame.
pub(crate) const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Largest client frame or message in bytes: far over the subscription limit, so that a too long one can be answered.
pub(crate) const MAX_CLIENT_BYTES: usize = 1 << 20;

/// Appends a frame header that announces `bytes` of unmasked payload.
pub(crate) fn push_header(out: &mut Vec<u8>, first: u8, bytes: u64) {
    out.push(first);
    match bytes {
        0..=125 => out.push(bytes.to_be_bytes()[7]),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&bytes.to_be_bytes()[6..]);
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&bytes.to_be_bytes());
        }
    }
}

/// Appends one final frame.
pub(crate) fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_header(out, FIN | opcode, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// Appends a close frame. The reason is cut to the 123 bytes that RFC 6455 5.5 leaves.
pub(crate) fn push_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    push_frame(out, CLOSE, &payload);
}

/// Appends a text message in `parts` frames of about equal size.
pub(crate) fn push_fragmented(out: &mut Vec<u8>, payload: &[u8], parts: usize) {
    let parts = parts.clamp(1, payload.len().max(1));
    let size = payload.len().div_ceil(parts).max(1);
    let last = payload.len().div_ceil(size).saturating_sub(1);
    for (index, piece) in payload.chunks(size).enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        let fin = if index == last { FIN } else { 0 };
        push_header(out, fin | opcode, piece.len() as u64);
        out.extend_from_slice(piece);
    }
}

/// Appends a masked frame, which RFC 6455 5.1 forbids to a server.
pub(crate) fn push_masked(out: &mut Vec<u8>, payload: &[u8]) {
    let key = [0x11, 0x22, 0x33, 0x44];
    let at = out.len() + 1;
    push_header(out, FIN | TEXT, payload.len() as u64);
    out[at] |= MASKED;
    out.extend_from_slice(&key);
    out.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// A frame a client sent, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFrame {
    /// No further fragment follows.
    pub(crate) fin: bool,
    /// RFC 6455 11.8.
    pub(crate) opcode: u8,
    /// The unmasked payload.
    pub(crate) payload: Vec<u8>,
}

/// Why the client's bytes are no frame, as the close code to answer with.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Violation(pub(crate) u16);

/// Takes one client frame off the front of `bytes`, or nothing if it is not complete yet.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<ClientFrame>, Violation> {
    let [first, second, ..] = bytes[..] else {
        return Ok(None);
    };
    let opcode = first & 0x0F;
    let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
    if first & 0x70 != 0 || second & MASKED == 0 || !known {
        return Err(Violation(1002));
    }
    let (announced, header) = match second & 0x7F {
        126 => match bytes.get(2..4) {
            Some(len) => (u64::from(len[0]) << 8 | u64::from(len[1]), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(len) => (
                len.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)),
                10,
            ),
            None => return Ok(None),
        },
        len => (u64::from(len), 2),
    };
    if opcode >= CLOSE && (announced > 125 || first & FIN == 0) {
        return Err(Violation(1002));
    }
    let len = match usize::try_from(announced) {
        Ok(len) if len <= MAX_CLIENT_BYTES => len,
        _ => return Err(Violation(1009)),
    };
    let Some(body) = bytes.get(header..header + 4 + len) else {
        return Ok(None);
    };
    let (key, body) = body.split_at(4);
    let payload = body
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    bytes.drain(..header + 4 + len);
    Ok(Some(ClientFrame {
        fin: first & FIN != 0,
        opcode,
        payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_masked(&mut out, payload);
        out[0] = first;
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_client_frame_is_read_back_from_any_split(payload in prop::collection::vec(any::<u8>(), 0..70_000), cut in any::<prop::sample::Index>()) {
            let whole = masked(FIN | BINARY, &payload);
            let cut = cut.index(whole.len());
            let mut bytes = whole[..cut].to_vec();
            prop_assert_eq!(take_frame(&mut bytes), Ok(None));
            bytes.extend_from_slice(&whole[cut..]);
            bytes.push(0x81);
            let frame = take_frame(&mut bytes).unwrap().unwrap();
            prop_assert_eq!(frame.payload, payload);
            prop_assert_eq!(bytes, vec![0x81]);
        }

        #[test]
        fn fragments_join_to_the_payload(payload in prop::collection::vec(any::<u8>(), 1..2_000), parts in 1_usize..40) {
            let mut out = Vec::new();
            push_fragmented(&mut out, &payload, parts);
            let (mut joined, mut opcodes, mut fins) = (Vec::new(), Vec::new(), Vec::new());
            let mut rest = &out[..];
            while let [first, len, tail @ ..] = rest {
                let (len, tail) = match len {
                    126 => (usize::from(tail[0]) << 8 | usize::from(tail[1]), &tail[2..]),
                    len => (usize::from(*len), tail),
                };
                opcodes.push(first & 0x0F);
                fins.push(first & FIN != 0);
                joined.extend_from_slice(&tail[..len]);
                rest = &tail[len..];
            }
            prop_assert_eq!(joined, payload);
            prop_assert_eq!(opcodes[0], TEXT);
            prop_assert!(opcodes[1..].iter().all(|opcode| *opcode == CONTINUATION));
            prop_assert_eq!(fins.iter().filter(|fin| **fin).count(), 1);
            prop_assert!(fins[fins.len() - 1]);
        }
    }

    #[test]
    fn unmasked_reserved_and_huge_client_frames_are_violations() {
        assert_eq!(take_frame(&mut vec![0x81, 0x01, b'x']), Err(Violation(1002)));
        assert_eq!(
            take_frame(&mut masked(FIN | 0x40 | TEXT, b"x")),
            Err(Violation(1002))
        );
        assert_eq!(take_frame(&mut masked(FIN | 0x3, b"x")), Err(Violation(1002)));
        assert_eq!(take_frame(&mut masked(PING, b"x")), Err(Violation(1002)));
        let mut huge = vec![0x82, 0xFF];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(take_frame(&mut huge), Err(Violation(1009)));
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        push_close(&mut out, 1001, &"é".repeat(100));
        assert_eq!(usize::from(out[1]), 2 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
