//! Frames that are JSON and still must not go on: too deep, half a surrogate pair, numbers no double holds.
//!
//! Responsible for the promise that whatever is emitted can be read by any strict JSON parser. Refuses by a fixed
//! reason. Invariant: one pass over the bytes decides cheaply; the exact scan runs only where that pass is in doubt.

/// Deepest nesting accepted, in levels.
///
/// # Source
/// serde_json reads 128 levels; the normalized event adds at most four around a member of the frame. The deepest
/// captured frame has nine.
pub const MAX_DEPTH: usize = 100;

/// Largest magnitude accepted in a number; just below the largest double, where parsers begin to disagree.
const MAX_NUMBER: f64 = 1e308;

/// A number needs this many digits to pass [`MAX_NUMBER`] with an exponent of at most two digits.
const LONG_NUMBER: usize = 200;

/// Reason for a frame nested too deep.
pub const TOO_DEEP: &str = "nested deeper than 100 levels";
/// Reason for an escape that is half a surrogate pair.
pub const LONE_SURROGATE: &str = "a string holds a lone surrogate escape";
/// Reason for a number beyond a double.
pub const NUMBER_OUT_OF_RANGE: &str = "a number is beyond the range of a double";

/// Checks nesting; safe on text that is not JSON.
///
/// # Errors
/// [`TOO_DEEP`]; not retryable.
pub(crate) fn check_depth(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    // Counted in single bytes, 255 at a time so that none overflows: eight times as many fit into a vector.
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    let opened: usize = bytes.chunks(255).map(|chunk| usize::from(in_chunk(chunk))).sum();
    if opened <= MAX_DEPTH {
        return Ok(());
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = crate::json::skip_string(bytes, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(TOO_DEEP);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Checks the strings and numbers of text that is known to be JSON.
///
/// # Errors
/// [`LONE_SURROGATE`] or [`NUMBER_OUT_OF_RANGE`]; not retryable.
pub(crate) fn check_values(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    if has_lone_surrogate(bytes) {
        return Err(LONE_SURROGATE);
    }
    if may_hold_large_number(bytes) && holds_large_number(text) {
        return Err(NUMBER_OUT_OF_RANGE);
    }
    Ok(())
}

fn has_lone_surrogate(bytes: &[u8]) -> bool {
    let mut at = 0;
    let mut high = false;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        if high && found > 0 {
            return true;
        }
        at += found;
        let unit = match bytes.get(at + 1) {
            Some(b'u') => bytes.get(at + 2..at + 6).and_then(hex),
            _ => None,
        };
        at += if bytes.get(at + 1) == Some(&b'u') { 6 } else { 2 };
        match unit {
            Some(0xd800..=0xdbff) if !high => high = true,
            Some(0xdc00..=0xdfff) if high => high = false,
            Some(0xd800..=0xdfff) => return true,
            _ if high => return true,
            _ => {}
        }
    }
    high
}

fn hex(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok()?;
    u16::from_str_radix(text, 16).ok()
}

/// Says whether any place looks like an exponent of three digits or a number of [`LONG_NUMBER`] digits.
fn may_hold_large_number(bytes: &[u8]) -> bool {
    const BLOCK: usize = 64;
    let length = bytes.len();
    if length < 5 {
        return false;
    }
    // Four views shifted by one byte each: the loop below has no branch, so that it becomes vector code.
    let (marks, first, second, third) = (
        &bytes[..length - 3],
        &bytes[1..length - 2],
        &bytes[2..length - 1],
        &bytes[3..],
    );
    let mut from = 0;
    while from < marks.len() {
        let to = (from + BLOCK).min(marks.len());
        let views = marks[from..to]
            .iter()
            .zip(&first[from..to])
            .zip(&second[from..to])
            .zip(&third[from..to]);
        let hit = views.fold(false, |hit, (((mark, first), second), third)| {
            let digit = |byte: u8| byte.wrapping_sub(b'0') < 10;
            hit | ((mark | 0x20 == b'e')
                & (digit(*first) | (*first == b'+'))
                & digit(*second)
                & digit(*third))
        });
        if hit && (from..to).any(|at| ends_like_a_number(bytes, at)) {
            return true;
        }
        from = to;
    }
    let digit_at = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    (0..length)
        .step_by(LONG_NUMBER / 4)
        .any(|at| (0..3).all(|step| digit_at(at + step * (LONG_NUMBER / 4))))
}

/// Tells `1e400,` from the middle of a UUID.
fn ends_like_a_number(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at));
    if !matches!(bytes.get(at), Some(b'e' | b'E')) || !before.is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let digits = bytes.get(at + 1..).unwrap_or_default();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    count >= 3
        && matches!(
            digits.get(count),
            None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
        )
}

fn holds_large_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = crate::json::skip_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = at + bytes.iter().skip(at).take_while(|byte| part(byte)).count();
                let number = text.get(at..end).and_then(|token| token.parse::<f64>().ok());
                if number.is_none_or(|number| number.abs() >= MAX_NUMBER) {
                    return true;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{LONE_SURROGATE, NUMBER_OUT_OF_RANGE, TOO_DEEP, check_depth, check_values};
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_depth(&nested(100)), Ok(()));
        assert_eq!(check_depth(&nested(101)), Err(TOO_DEEP));
        assert_eq!(check_depth(&nested(10_000)), Err(TOO_DEEP));
        assert_eq!(check_depth(&"[".repeat(1_000_000)), Err(TOO_DEEP));
        assert_eq!(check_depth(&format!("\"{}\\\"[\"", "[".repeat(500))), Ok(()));
        assert_eq!(check_depth(&format!("[{}1]", "[],".repeat(500))), Ok(()));
    }

    #[test]
    fn only_half_pairs_are_refused() {
        for text in [
            r#""\ud83d\ude42""#,
            r#""\\ud83d""#,
            r#""\u00e9\uD83D\uDE42\n""#,
            r#""\\\\ud83d""#,
        ] {
            assert_eq!(check_values(text), Ok(()), "{text}");
        }
        for text in [
            r#""\ud83d""#,
            r#""\ude42""#,
            r#""\ud83d\ud83d\ude42""#,
            r#""\ud83dx\ude42""#,
            r#""\ud83d\n""#,
            r#""\\\ud83d""#,
        ] {
            assert_eq!(check_values(text), Err(LONE_SURROGATE), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_a_double_are_refused_and_text_that_looks_like_them_is_not() {
        let long = "9".repeat(400);
        for text in [
            "[1e400]",
            "[-1E+999999]",
            "{\"a\":12e0308}",
            &format!("[{long}]"),
            &format!("[{long}.5]"),
        ] {
            assert_eq!(check_values(text), Err(NUMBER_OUT_OF_RANGE), "{text}");
        }
        for text in [
            "[1e-400]",
            "[1e0000]",
            "[\"1e400,\"]",
            "[1e307]",
            "[0.5e100, 12e99]",
            &format!("[\"{long}\"]"),
        ] {
            assert_eq!(check_values(text), Ok(()), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn accepted_json_is_strict_json(
            mantissa in "-?(0|[1-9][0-9]{0,3}|[1-9][0-9]{150,320})(\\.[0-9]{1,3})?",
            exponent in "([eE][+-]?[0-9]{1,4})?",
            space in "[ \n]?",
        ) {
            let text = format!("{{\"id\":\"2e490b7a-c320-47a5-9f94-0d5375e74be4\",\"n\":[{mantissa}{exponent}{space}]}}");
            if check_values(&text).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
