//! Where the answer to an upgrade ends, and what a frame header says.
//!
//! Reads only what the filter needs. Refuses nothing: what is malformed is for the codec to judge.

/// Bytes of the status line up to the status code: `HTTP/1.1 101`.
const STATUS_BYTES: usize = 12;

/// Finds the empty line that ends an HTTP head, over any number of pieces.
#[derive(Default)]
pub(super) struct HeadEnd {
    /// Bytes of `\r\n\r\n` seen in a row.
    matched: usize,
    /// Start of the status line.
    start: Vec<u8>,
}

impl HeadEnd {
    /// Returns how many bytes of `data` belong to the head.
    pub(super) fn scan(&mut self, data: &[u8]) -> usize {
        for (index, &byte) in data.iter().enumerate() {
            if self.start.len() < STATUS_BYTES {
                self.start.push(byte);
            }
            self.matched = match (byte, self.matched) {
                (b'\n', 1 | 3) => self.matched + 1,
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                _ => 0,
            };
            if self.is_over() {
                return index + 1;
            }
        }
        data.len()
    }

    /// Says whether the empty line has been seen.
    pub(super) fn is_over(&self) -> bool {
        self.matched == 4
    }

    /// Says whether the status is 101, so that frames follow.
    pub(super) fn is_upgraded(&self) -> bool {
        self.start.starts_with(b"HTTP/1.") && self.start.ends_with(b" 101")
    }
}

/// The parts of a frame header that matter here.
pub(super) struct FrameHeader {
    pub(super) is_final: bool,
    pub(super) opcode: u8,
    /// Masked or with reserved bits, neither of which a server may send.
    pub(super) is_odd: bool,
    pub(super) length: usize,
    pub(super) payload_bytes: u64,
}

impl FrameHeader {
    /// Reads a header, or nothing if there are too few bytes for it (RFC 6455, 5.2).
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
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
