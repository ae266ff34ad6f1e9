//! The frames that every measurement plays: real traffic of the simulator, encoded once, sent round and round with
//! fresh ids.
//!
//! Responsible for making an endless feed that costs almost nothing to produce, so that the reader is what is measured.
//! Refuses frames without an id in the expected place. Invariant: no id is repeated in one [`Ring`], so nothing is a
//! duplicate.

use std::ops::Range;

use anyhow::{Context, ensure};

/// Hexadecimal digits at the end of an id that are overwritten: enough for 2^48 rounds.
const COUNTER_DIGITS: usize = 12;
/// Length of a UUID as text.
const ID_LENGTH: usize = 36;
/// How the simulator's frames begin.
const HEAD: &str = "{\"id\":\"";
/// A final text frame (RFC 6455 5.2).
const FINAL_TEXT: u8 = 0x81;

/// Pre-encoded frames with a place in each for a counter.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    // of each frame's payload within the bytes
    payloads: Vec<Range<usize>>,
}

impl Ring {
    /// The payloads as WebSocket frames, back to back, as they go over the wire.
    pub(crate) fn on_the_wire(payloads: &[String]) -> anyhow::Result<Self> {
        Self::build(payloads, |bytes, length| {
            bytes.extend_from_slice(&[FINAL_TEXT, 126]);
            bytes.extend_from_slice(&length.to_be_bytes());
        })
    }

    /// The payloads alone, back to back.
    pub(crate) fn in_memory(payloads: &[String]) -> anyhow::Result<Self> {
        Self::build(payloads, |_, _| {})
    }

    fn build(payloads: &[String], mut header: impl FnMut(&mut Vec<u8>, u16)) -> anyhow::Result<Self> {
        ensure!(!payloads.is_empty(), "no frames to play");
        let mut ring = Self {
            bytes: Vec::new(),
            payloads: Vec::new(),
        };
        for payload in payloads {
            ensure!(
                payload.starts_with(HEAD) && (126..65_536).contains(&payload.len()),
                "a frame of the simulator has another shape than expected: {payload}"
            );
            let length = u16::try_from(payload.len()).context("a frame has two bytes of length")?;
            header(&mut ring.bytes, length);
            let start = ring.bytes.len();
            ring.bytes.extend_from_slice(payload.as_bytes());
            ring.payloads.push(start..ring.bytes.len());
        }
        Ok(ring)
    }

    /// Writes the number of the round into every id.
    pub(crate) fn stamp(&mut self, round: u64) {
        let mut digits = [b'0'; COUNTER_DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = u8::try_from((round >> (4 * place)) & 0xF).unwrap_or(0);
            *digit = b"0123456789abcdef"[usize::from(nibble)];
        }
        for payload in &self.payloads {
            let end = payload.start + HEAD.len() + ID_LENGTH;
            self.bytes[end - COUNTER_DIGITS..end].copy_from_slice(&digits);
        }
    }

    /// Number of frames in a round.
    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Bytes of the first `count` frames.
    pub(crate) fn first(&self, count: usize) -> &[u8] {
        let end = match count.checked_sub(1) {
            Some(last) => self
                .payloads
                .get(last)
                .map_or(self.bytes.len(), |payload| payload.end),
            None => 0,
        };
        &self.bytes[..end]
    }

    /// Mean length of a payload in bytes.
    pub(crate) fn mean_payload_bytes(&self) -> usize {
        self.payloads.iter().map(ExactSizeIterator::len).sum::<usize>() / self.payloads.len()
    }

    /// Lends the bytes as text together with the places of the payloads; only for a ring made by [`Ring::in_memory`].
    pub(crate) fn with_text<T>(
        &mut self,
        with: impl FnOnce(&str, &[Range<usize>]) -> T,
    ) -> anyhow::Result<T> {
        let text = String::from_utf8(std::mem::take(&mut self.bytes))?;
        let result = with(&text, &self.payloads);
        self.bytes = text.into_bytes();
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    fn payloads() -> Vec<String> {
        let pad = "x".repeat(100);
        (0..3)
            .map(|n| format!("{{\"id\":\"0000000{n}-0000-4000-8000-000000000000\",\"pad\":\"{pad}\"}}"))
            .collect()
    }

    #[test]
    fn each_round_has_ids_of_its_own_and_the_rest_stays() {
        let mut ring = Ring::in_memory(&payloads()).unwrap();
        ring.stamp(0xABC);
        let first = ring
            .with_text(|text, places| text.get(places[1].clone()).unwrap().to_owned())
            .unwrap();
        assert_eq!(
            first,
            payloads()[1].replace("8000-000000000000", "8000-000000000abc")
        );
        assert_eq!(ring.first(0).len(), 0);
        assert_eq!(ring.first(3).len(), 3 * payloads()[0].len());
    }

    #[test]
    fn a_frame_on_the_wire_carries_its_length_in_two_bytes() {
        let ring = Ring::on_the_wire(&payloads()).unwrap();
        let length = payloads()[0].len();
        assert_eq!(ring.first(1)[..2], [0x81, 126]);
        assert_eq!(ring.first(1)[2..4], u16::try_from(length).unwrap().to_be_bytes());
        assert_eq!(ring.first(2).len(), 2 * (length + 4));
        assert_eq!(ring.mean_payload_bytes(), length);
    }

    #[test]
    fn a_frame_without_an_id_is_refused() {
        assert!(Ring::in_memory(&[format!("{{\"type\":\"{}\"}}", "x".repeat(200))]).is_err());
    }
}
