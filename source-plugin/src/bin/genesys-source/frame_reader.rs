//! Frames from files, within a bound.
//!
//! Responsible for cutting a stream into frames: a whole file or one line each. Refuses to hold more than the frame
//! limit: what is longer is hashed and skipped, as the transport does. Invariant: every byte is read once.

use std::io::{self, BufRead};

use genesys_source::admission::Frame;
use sha2::{Digest as _, Sha256};

/// Largest frame taken in, in bytes.
///
/// # Source
/// Default of `max_frame_bytes` in the plugin's config.
pub(crate) const MAX_FRAME_BYTES: usize = 4 << 20;

/// Bytes of an oversized frame that are kept.
const HEAD_BYTES: usize = 1024;

/// One frame with its memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OwnedFrame {
    Whole(Vec<u8>),
    Oversized {
        length_bytes: u64,
        sha256: [u8; 32],
        head: Vec<u8>,
    },
}

impl OwnedFrame {
    /// Lends the frame: text if it is UTF-8, else binary.
    pub(crate) fn as_frame(&self) -> Frame<'_> {
        match self {
            Self::Whole(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Frame::Text(text),
                Err(_) => Frame::Binary(bytes),
            },
            Self::Oversized {
                length_bytes,
                sha256,
                head,
            } => Frame::Oversized {
                length_bytes: *length_bytes,
                sha256: *sha256,
                head,
            },
        }
    }
}

/// Reads up to `delimiter` (not kept) or, without one, to the end; `None` at the end of lines.
///
/// # Errors
/// What reading gives; not retryable.
pub(crate) fn read_frame(
    reader: &mut impl BufRead,
    delimiter: Option<u8>,
    max_bytes: usize,
) -> io::Result<Option<OwnedFrame>> {
    let mut kept = Vec::new();
    let mut hash: Option<Sha256> = None;
    let mut length_bytes = 0_u64;
    let mut read_any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            if !read_any && delimiter.is_some() {
                return Ok(None);
            }
            break;
        }
        read_any = true;
        let end = delimiter.and_then(|delimiter| available.iter().position(|byte| *byte == delimiter));
        let part = available
            .get(..end.unwrap_or(available.len()))
            .unwrap_or_default();
        length_bytes += part.len() as u64;
        if hash.is_none() && kept.len() + part.len() > max_bytes {
            hash = Some(Sha256::new_with_prefix(&kept));
        }
        match &mut hash {
            Some(hash) => {
                hash.update(part);
                kept.extend_from_slice(part.get(..HEAD_BYTES.saturating_sub(kept.len())).unwrap_or(part));
                kept.truncate(HEAD_BYTES);
            }
            None => kept.extend_from_slice(part),
        }
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    Ok(Some(match hash {
        Some(hash) => OwnedFrame::Oversized {
            length_bytes,
            sha256: hash.finalize().into(),
            head: kept,
        },
        None => OwnedFrame::Whole(kept),
    }))
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES, OwnedFrame, read_frame};
    use sha2::{Digest as _, Sha256};
    use std::io::BufReader;

    #[test]
    fn lines_and_files_are_cut_as_told() {
        let mut lines = BufReader::with_capacity(3, &b"first\n\nlast"[..]);
        let mut next = || read_frame(&mut lines, Some(b'\n'), 100).unwrap();
        assert_eq!(next(), Some(OwnedFrame::Whole(b"first".to_vec())));
        assert_eq!(next(), Some(OwnedFrame::Whole(Vec::new())));
        assert_eq!(next(), Some(OwnedFrame::Whole(b"last".to_vec())));
        assert_eq!(next(), None);
        let whole = read_frame(&mut &b"a\nb\n"[..], None, 100).unwrap();
        assert_eq!(whole, Some(OwnedFrame::Whole(b"a\nb\n".to_vec())));
        assert_eq!(
            read_frame(&mut &b""[..], None, 100).unwrap(),
            Some(OwnedFrame::Whole(Vec::new()))
        );
    }

    #[test]
    fn a_frame_above_the_limit_is_hashed_and_skipped() {
        for size in [11_usize, 500, HEAD_BYTES, 10_000] {
            let bytes = vec![b'x'; size];
            let mut stream = bytes.clone();
            stream.extend(b"\nnext");
            let mut reader = BufReader::with_capacity(7, &stream[..]);
            let frame = read_frame(&mut reader, Some(b'\n'), 10).unwrap();
            let expected = OwnedFrame::Oversized {
                length_bytes: size as u64,
                sha256: Sha256::digest(&bytes).into(),
                head: bytes[..size.min(HEAD_BYTES)].to_vec(),
            };
            assert_eq!(frame, Some(expected));
            assert_eq!(
                read_frame(&mut reader, Some(b'\n'), 10).unwrap(),
                Some(OwnedFrame::Whole(b"next".to_vec()))
            );
        }
    }
}
