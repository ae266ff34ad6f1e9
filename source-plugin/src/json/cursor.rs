//! Stepping over JSON text that was validated before.
//!
//! Responsible for finding where strings and values end, and for reading nested values without going over any part
//! twice. Refuses nothing: on text that is no JSON the positions mean nothing, but every step moves on, so that none
//! repeats for ever. Invariant: a token is always a verbatim piece of the input.

use std::borrow::Cow;

use super::Text;

/// Reads nested values of validated text in one pass, each part once.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `token`.
    pub(crate) fn new(token: &'a str) -> Self {
        Self { text: token, at: 0 }
    }

    /// Says whether an array is next.
    pub(crate) fn is_at_array(&self) -> bool {
        self.peek() == Some(b'[')
    }

    /// Steps into the object or array that `bracket` opens, if it is next.
    pub(crate) fn enter(&mut self, bracket: u8) -> bool {
        let enters = self.peek() == Some(bracket);
        self.at += usize::from(enters);
        enters
    }

    /// Steps to the next element of an array, or out of it.
    pub(crate) fn next_element(&mut self) -> bool {
        self.at = skip_separators(self.text.as_bytes(), self.at);
        match self.peek() {
            None => false,
            Some(b']') => {
                self.at += 1;
                false
            }
            Some(_) => true,
        }
    }

    /// Steps to the next member's value of an object, or out of it; returns the key, escapes resolved.
    pub(crate) fn next_key(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let start = skip_separators(bytes, self.at);
        if bytes.get(start) != Some(&b'"') {
            self.at = start + 1;
            return None;
        }
        let (end, escaped) = string_end(bytes, start);
        self.at = skip_separators(bytes, end);
        key(self.text.get(start..end)?, escaped)
    }

    /// Steps over the value that is next and returns it.
    pub(crate) fn value(&mut self) -> &'a str {
        let start = self.at;
        // At least one byte, so that no text, valid or not, is read for ever.
        self.at = skip_value(self.text.as_bytes(), start).max(start + 1);
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Reads the token of a key.
#[inline]
pub(super) fn key(token: &str, escaped: bool) -> Option<Cow<'_, str>> {
    if escaped {
        Text::read(token).map(|key| key.text)
    } else {
        token.get(1..token.len() - 1).map(Cow::Borrowed)
    }
}

pub(super) fn skip_separators(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
        at += 1;
    }
    at
}

/// Returns the position of the first byte from `at` on that ends or interrupts a string: a quote, a backslash or a
/// control character; the length if there is none.
#[inline]
pub(super) fn string_stop(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Eight bytes at a time. A subtraction may borrow into a byte above a hit, never below it, and the lowest counts.
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*block);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        // The three bytes looked for are ASCII, so that one mask clears the bytes that are not.
        let below = quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES) | word.wrapping_sub(ONES * 0x20);
        let hits = below & !word & HIGH;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    at + bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(plain)
        .count()
}

/// Returns the position behind the string that starts at `at`.
#[inline]
pub(crate) fn skip_string(bytes: &[u8], at: usize) -> usize {
    string_end(bytes, at).0
}

/// Returns the position behind the string that starts at `at`, and whether it holds an escape.
#[inline]
pub(super) fn string_end(bytes: &[u8], at: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (at + 1, false);
    loop {
        at = string_stop(bytes, at);
        match bytes.get(at) {
            None => return (bytes.len(), escaped),
            Some(b'"') => return (at + 1, escaped),
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
        }
    }
}

pub(super) fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => {
                        at = skip_string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            at
        }
        _ => {
            while let Some(byte) = bytes.get(at) {
                if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
                    break;
                }
                at += 1;
            }
            at
        }
    }
}
