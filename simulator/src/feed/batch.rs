//! A batch: the bytes of many frames for one write, and what each frame is.
//!
//! Refuses nothing. The invariant: marks are in the order of the bytes, and each ends where its frame ends.

use std::collections::VecDeque;

use crate::fault::Offence;
use crate::frame::{self, CLOSE, CONTINUATION, PING, TEXT};
use crate::traffic::EventKey;
use crate::truth::{Kind, Note};

/// Frames of one connection between fill and commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(super) marks: VecDeque<Mark>,
}

#[derive(Debug)]
pub(super) struct Mark {
    // first byte after the frame
    pub(super) end: usize,
    pub(super) kind: Kind,
    pub(super) event: Option<EventKey>,
    pub(super) payload: Payload,
    pub(super) bytes: u64,
    pub(super) note: Option<Note>,
}

#[derive(Debug)]
pub(super) enum Payload {
    Range(usize, usize),
    // where it does not lie in one piece in the batch
    Owned(Vec<u8>),
}

impl Batch {
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        opcode: u8,
        payload: &[u8],
        event: Option<EventKey>,
        note: Option<Note>,
    ) {
        frame::push_frame(&mut self.bytes, opcode, payload);
        let end = self.bytes.len();
        let bytes = payload.len() as u64;
        let payload = Payload::Range(end - payload.len(), end);
        self.marks.push_back(Mark {
            end,
            kind,
            event,
            payload,
            bytes,
            note,
        });
    }

    /// Appends a frame that breaks RFC 6455.
    pub(crate) fn push_offence(&mut self, offence: Offence) {
        const FIN: u8 = 0x80;
        const RSV1: u8 = 0x40;
        let text = br#"{"type":"offence"}"#;
        let raw = |batch: &mut Self, first: u8, payload: &[u8]| {
            frame::push_header(&mut batch.bytes, first, payload.len() as u64);
            batch.bytes.extend_from_slice(payload);
        };
        match offence {
            Offence::Masked => frame::push_masked(&mut self.bytes, text),
            Offence::FragmentedControl => raw(self, PING, b"half"),
            Offence::LongControl => raw(self, FIN | PING, &[b'p'; 126]),
            Offence::InvalidUtf8 => raw(self, FIN | TEXT, b"{\"type\":\"\xff\xfe\"}"),
            Offence::ReservedBits => raw(self, FIN | RSV1 | TEXT, text),
            Offence::ReservedOpcode => raw(self, FIN | 0x3, text),
            Offence::LoneContinuation => raw(self, FIN | CONTINUATION, text),
            Offence::ForbiddenCloseCode => raw(self, FIN | CLOSE, &1005_u16.to_be_bytes()),
            Offence::CloseCodeOutOfRange => raw(self, FIN | CLOSE, &999_u16.to_be_bytes()),
            Offence::HalfCloseCode => raw(self, FIN | CLOSE, &1000_u16.to_be_bytes()[..1]),
            Offence::CloseReasonNotUtf8 => raw(self, FIN | CLOSE, b"\x03\xe8\xff\xfe"),
            Offence::ReservedControlOpcode => raw(self, FIN | 0xB, b"half"),
            Offence::InterleavedMessage => {
                raw(self, TEXT, text);
                raw(self, FIN | TEXT, text);
            }
        }
        let name = serde_json::to_value(offence)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned));
        let end = self.bytes.len();
        self.marks.push_back(Mark {
            end,
            kind: Kind::Offence,
            event: None,
            // not the text of a message: never shown as one
            payload: Payload::Owned(vec![0xFF]),
            bytes: text.len() as u64,
            note: Some(Note {
                code: None,
                detail: name.unwrap_or_default(),
                ..Note::default()
            }),
        });
    }
}
