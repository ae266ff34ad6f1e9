//! Text written by hand on the hot path: JSON strings, numbers and RFC 3339 times, into a buffer that is reused.
//!
//! Responsible for bytes that `serde_json` and `jiff` would write too (the tests hold them together) without an
//! allocation per record. Invariant: whatever goes in, what comes out is valid JSON text or a valid date.

/// Appends `text` as a JSON string with its quotes.
pub fn push_json_string(into: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    into.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        into.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            _ => {
                into.extend_from_slice(b"\\u00");
                into.push(HEX[usize::from(byte >> 4)]);
                into.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    into.extend_from_slice(&bytes[copied..]);
    into.push(b'"');
}

/// Appends a number in decimal.
pub fn push_number(into: &mut Vec<u8>, number: impl itoa::Integer) {
    into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes as lower-case hexadecimal digits.
pub fn push_hex(into: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        into.push(HEX[usize::from(byte >> 4)]);
        into.push(HEX[usize::from(byte & 15)]);
    }
}

/// Appends a time as RFC 3339 in UTC with milliseconds, such as `2026-11-23T21:00:00.000Z`.
///
/// # Units
/// `time_us`: microseconds since 1970 UTC; times outside the years 0000 to 9999 are clamped to them.
/// # Source
/// RFC 3339 section 5.6; the calendar arithmetic is Howard Hinnant's `civil_from_days`.
pub fn push_time(into: &mut Vec<u8>, time_us: i64) {
    // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z
    let time_us = time_us.clamp(-62_167_219_200_000_000, 253_402_300_799_999_999);
    let millis = time_us.div_euclid(1000);
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);

    push_digits(into, year, 4);
    into.push(b'-');
    push_digits(into, month, 2);
    into.push(b'-');
    push_digits(into, day, 2);
    into.push(b'T');
    push_digits(into, of_day / 3_600_000, 2);
    into.push(b':');
    push_digits(into, of_day / 60_000 % 60, 2);
    into.push(b':');
    push_digits(into, of_day / 1000 % 60, 2);
    into.push(b'.');
    push_digits(into, of_day % 1000, 3);
    into.push(b'Z');
}

fn push_digits(into: &mut Vec<u8>, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = u8::try_from(number / 10_i64.pow(place) % 10).unwrap_or(0);
        into.push(b'0' + digit);
    }
}

/// Appends JSON text on one line: raw line breaks, which are mere white space in JSON, become blanks.
pub fn push_on_one_line(into: &mut Vec<u8>, json: &[u8]) {
    if !json.contains(&b'\n') && !json.contains(&b'\r') {
        into.extend_from_slice(json);
        return;
    }
    into.extend(json.iter().map(|&byte| {
        if byte == b'\n' || byte == b'\r' {
            b' '
        } else {
            byte
        }
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_comes_back_from_its_json_string(text in any::<String>()) {
            let mut json = Vec::new();
            push_json_string(&mut json, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
            prop_assert!(json.iter().all(|&byte| byte >= 0x20));
        }

        #[test]
        fn times_are_written_as_jiff_writes_them(time_us in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
            let mut text = Vec::new();
            push_time(&mut text, time_us);
            let millis = time_us.div_euclid(1000);
            let expected = format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap());
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_clamped() {
        let mut text = Vec::new();
        push_time(&mut text, i64::MAX);
        text.push(b' ');
        push_time(&mut text, i64::MIN);
        assert_eq!(text, b"9999-12-31T23:59:59.999Z 0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn pretty_json_becomes_one_line() {
        let mut line = Vec::new();
        push_on_one_line(&mut line, b"{\n  \"a\": \"x\\ny\"\r\n}");
        assert_eq!(line, b"{   \"a\": \"x\\ny\"  }");
    }
}
