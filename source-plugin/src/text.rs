//! Text that leaves the body: keys, ids, subjects, attributes, file names, log lines.
//!
//! Responsible for making control characters visible. Refuses nothing. Invariant: what [`escape_control`] returns has
//! no character of C0, DEL or C1, so that no terminal, header or log line can be steered by what the wire said.

use std::borrow::Cow;

/// Returns the JSON-style escape `\u00XX` of a byte below 0x100.
pub(crate) fn escaped_byte(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [
        b'\\',
        b'u',
        b'0',
        b'0',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]
}

/// Replaces each control character (U+0000–U+001F, U+007F–U+009F) by the text `\u00XX`; borrows if there is none.
#[must_use]
pub fn escape_control(text: &str) -> Cow<'_, str> {
    // A C1 character is 0xC2 followed by 0x80..=0x9F in UTF-8; 0xC2 alone is only a hint.
    if !text
        .bytes()
        .any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2)
    {
        return Cow::Borrowed(text);
    }
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) if character.is_control() => {
                escaped.extend(escaped_byte(byte).iter().map(|byte| char::from(*byte)));
            }
            _ => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// Escapes as [`escape_control`] and cuts after `max_chars` characters; for messages that the wire chose.
#[must_use]
pub fn escape_and_cut(text: &str, max_chars: usize) -> String {
    let cut = text
        .char_indices()
        .nth(max_chars)
        .and_then(|(at, _)| text.get(..at))
        .unwrap_or(text);
    escape_control(cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{escape_and_cut, escape_control};
    use proptest::prelude::*;
    use std::borrow::Cow;

    #[test]
    fn control_characters_become_visible_text() {
        assert_eq!(
            escape_control("a\n\u{0}\u{7f}\u{9b}é"),
            r"a\u000a\u0000\u007f\u009bé"
        );
        assert!(matches!(escape_control("né\u{a0}"), Cow::Borrowed(_)));
        assert_eq!(escape_and_cut("äö\nü", 3), r"äö\u000a");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_control_character_is_left(text in any::<String>()) {
            prop_assert!(!escape_control(&text).chars().any(char::is_control));
        }
    }
}
