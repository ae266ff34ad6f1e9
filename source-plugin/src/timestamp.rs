//! Points in time as Genesys writes them, read by one parser.
//!
//! Responsible for ISO 8601 text and epoch numbers in either direction. Refuses to guess: what it cannot read, or what
//! lies outside 1970–9999, is `None`. Invariant: what [`write_rfc3339_ms`] writes, [`parse`] reads back.
//! Over 400 lines with its tables of formats: parser and writer prove each other.
//!
//! An epoch number says its unit by its magnitude (the ranges meet without overlap):
//!
//! | value `n` | unit | spans |
//! |---|---|---|
//! | 0 ≤ n < 10¹¹ | seconds | 1970 to 5138 |
//! | 10¹¹ ≤ n < 10¹⁴ | milliseconds | 1973 to 5138 |
//! | 10¹⁴ ≤ n < 10¹⁷ | microseconds | 1973 to 5138 |
//!
//! # Source
//! Formats: Genesys Cloud notification schemas and captured frames (ISO with and without milliseconds, epoch ms as
//! integer and as float, epoch s inside strings). Calendar arithmetic: Howard Hinnant, "chrono-Compatible Low-Level
//! Date Algorithms".

/// The last microsecond of the year 9999, since 1970-01-01T00:00:00Z.
pub const MAX_US: i64 = 253_402_300_799_999_999;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Reads a JSON token, a string or a number.
///
/// # Units
/// Microseconds since 1970-01-01T00:00:00Z; digits beyond are cut off. Text without an offset is UTC.
#[must_use]
pub fn parse(token: &str) -> Option<i64> {
    let text = match token.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => token,
    };
    let text = text.trim_ascii();
    let us = if text.bytes().take(5).any(|byte| byte == b'-') && !text.starts_with('-') && !has_exponent(text)
    {
        parse_iso(text.as_bytes())?
    } else {
        parse_epoch(text)?
    };
    (0..=MAX_US).contains(&us).then_some(us)
}

/// Reads a JSON token of a member that is known to count milliseconds: a small number is no second then.
///
/// # Units
/// As [`parse`], which reads everything else than an integer of at most eleven digits.
///
/// # Source
/// Detail events and states of agents have epoch milliseconds throughout (fact sheet 5.2).
#[must_use]
pub(crate) fn parse_ms(token: &str) -> Option<i64> {
    let small = (1..=11).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
    if small {
        return token.parse::<i64>().ok().map(|ms| ms * 1_000);
    }
    parse(token)
}

/// Reads a string token exactly as [`rfc3339_ms`] writes it; returns the time and the text, without its quotes.
///
/// # Units
/// As [`parse`].
pub(crate) fn parse_written(token: &str) -> Option<(i64, [u8; 24])> {
    let quoted: &[u8; 26] = token.as_bytes().try_into().ok()?;
    let [b'"', text @ .., b'"'] = quoted else {
        return None;
    };
    let text: &[u8; 24] = text;
    // Branch-free: digits give 0..=9 here, everything else more, and the sum of ORs tells.
    let digit = |at: usize| text[at].wrapping_sub(b'0');
    let marks = [text[4], text[7], text[10], text[13], text[16], text[19], text[23]];
    let places = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 22];
    if marks != *b"--T::.Z" || places.iter().any(|at| digit(*at) > 9) {
        return None;
    }
    let two = |at: usize| i64::from(digit(at)) * 10 + i64::from(digit(at + 1));
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let ms = two(20) * 10 + i64::from(digit(22));
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    let in_day_us = ((hour * 60 + minute) * 60 + second) * SECOND_US + ms * 1000;
    valid.then(|| (days_from_civil(year, month, day) * DAY_US + in_day_us, *text))
}

fn has_exponent(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'e' | b'E'))
}

fn parse_epoch(text: &str) -> Option<i64> {
    if has_exponent(text) {
        let value: f64 = text.parse().ok()?;
        let factor = factor_us(value)?;
        // In range by `factor_us`: below 10^17 after scaling, and never negative.
        return Some((value * f64::from(factor)) as i64);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let factor = i64::from(factor_us(whole as f64)?);
    // Six digits carry a second to the microsecond; the shorter units cut the rest.
    let mut part = 0_i64;
    let mut scale = factor;
    for byte in fraction.bytes().take(6) {
        scale /= 10;
        part += i64::from(byte - b'0') * scale;
    }
    Some(whole * factor + part)
}

fn factor_us(value: f64) -> Option<i32> {
    match value {
        value if (0.0..1e11).contains(&value) => Some(1_000_000),
        value if (1e11..1e14).contains(&value) => Some(1_000),
        value if (1e14..1e17).contains(&value) => Some(1),
        _ => None,
    }
}

fn parse_iso(text: &[u8]) -> Option<i64> {
    let year = digits(text, 0, 4)?;
    let month = digits(text, 5, 2)?;
    let day = digits(text, 8, 2)?;
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * DAY_US;
    if text.len() == 10 {
        return Some(midnight);
    }
    if !matches!(text.get(10), Some(b'T' | b't' | b' ')) || text.get(13) != Some(&b':') {
        return None;
    }
    let (hour, minute) = (digits(text, 11, 2)?, digits(text, 14, 2)?);
    let mut at = 16;
    let (mut second, mut fraction) = (0, 0);
    if text.get(at) == Some(&b':') {
        second = digits(text, 17, 2)?;
        at = 19;
        if matches!(text.get(at), Some(b'.' | b',')) {
            at += 1;
            let mut scale = SECOND_US;
            let start = at;
            while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
                scale /= 10;
                fraction += i64::from(digit - b'0') * scale;
                at += 1;
            }
            if at == start {
                return None;
            }
        }
    }
    // Second 60 is a leap second; it reads as the second after.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset_minutes = parse_offset(text.get(at..)?)?;
    Some(midnight + (hour * 3600 + (minute - offset_minutes) * 60 + second) * SECOND_US + fraction)
}

/// Reads nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM` in minutes.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let sign = match text.first() {
        None => return Some(0),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let hours = digits(text, 1, 2)?;
    let minutes = match (text.len(), text.get(3)) {
        (3, _) => 0,
        (5, _) => digits(text, 3, 2)?,
        (6, Some(b':')) => digits(text, 4, 2)?,
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn digits(text: &[u8], from: usize, count: usize) -> Option<i64> {
    let mut value = 0;
    for byte in text.get(from..from + count)? {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Appends `YYYY-MM-DDTHH:MM:SS.mmmZ`.
///
/// # Units
/// As [`rfc3339_ms`].
pub fn write_rfc3339_ms(out: &mut Vec<u8>, us: i64) {
    out.extend_from_slice(&rfc3339_ms(us));
}

/// Returns `YYYY-MM-DDTHH:MM:SS.mmmZ`.
///
/// # Units
/// `us`: microseconds since 1970-01-01T00:00:00Z, held to 0..=[`MAX_US`]; cut to milliseconds.
#[must_use]
pub fn rfc3339_ms(us: i64) -> [u8; 24] {
    let us = us.clamp(0, MAX_US);
    let (days, in_day_us) = (us / DAY_US, us % DAY_US);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let ms = in_day_us / 1000;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], ms / 3_600_000);
    put(&mut text[14..16], ms / 60_000 % 60);
    put(&mut text[17..19], ms / 1000 % 60);
    put(&mut text[20..23], ms % 1000);
    text
}

/// The text of the millisecond asked for last: frames that arrive together share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastWritten {
    ms: i64,
    text: [u8; 24],
}

impl Default for LastWritten {
    fn default() -> Self {
        Self {
            ms: 0,
            text: rfc3339_ms(0),
        }
    }
}

impl LastWritten {
    /// As [`rfc3339_ms`].
    pub(crate) fn rfc3339_ms(&mut self, us: i64) -> [u8; 24] {
        let ms = us.div_euclid(1000);
        if ms != self.ms {
            *self = Self {
                ms,
                text: rfc3339_ms(us),
            };
        }
        self.text
    }
}

fn put(field: &mut [u8], mut value: i64) {
    for byte in field.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::{LastWritten, MAX_US, parse, parse_ms, parse_written, rfc3339_ms, write_rfc3339_ms};
    use proptest::prelude::*;

    fn read(token: &str) -> Option<String> {
        parse(token).map(|us| {
            let mut out = Vec::new();
            write_rfc3339_ms(&mut out, us);
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn every_format_of_the_feed_is_read() {
        // Family by family as in the fact sheet, then the forms in between.
        let table = [
            ("\"2026-08-28T18:40:17.990Z\"", "2026-08-28T18:40:17.990Z"), // conversation snapshots
            ("1649237444949", "2022-04-06T09:30:44.949Z"),                // detail events: epoch ms
            ("1649237444949.0", "2022-04-06T09:30:44.949Z"), // disposition timers: float epoch ms
            ("1.649237444949e12", "2022-04-06T09:30:44.949Z"), // the same by another printer
            ("1765356240994", "2025-12-10T08:44:00.994Z"),   // agent state, transcription *TimeMs
            ("\"2026-02-08T01:22:44.443Z\"", "2026-02-08T01:22:44.443Z"), // transcription eventTime
            ("\"2021-06-25T15:11:52.000Z\"", "2021-06-25T15:11:52.000Z"), // audits
            ("1649237444", "2022-04-06T09:30:44.000Z"),      // operational events: epoch
            ("\"2026-10-06T09:26:23Z\"", "2026-10-06T09:26:23.000Z"), // presence without milliseconds
            ("\"2021-05-14T09:03:17.067Z\"", "2021-05-14T09:03:17.067Z"), // routing status, activity
            ("\"1649237444\"", "2022-04-06T09:30:44.000Z"),  // digits in a string: s
            ("\"1649237444949\"", "2022-04-06T09:30:44.949Z"), // ms
            ("\"1649237444949123\"", "2022-04-06T09:30:44.949Z"), // us
            ("1649237444949123", "2022-04-06T09:30:44.949Z"),
            ("1649237444.949", "2022-04-06T09:30:44.949Z"), // float epoch s
            ("\"2026-08-28T20:40:17.990+02:00\"", "2026-08-28T18:40:17.990Z"),
            ("\"2026-08-28T13:10:17.990-0530\"", "2026-08-28T18:40:17.990Z"),
            ("\"2026-08-28T20:40:17.990+02\"", "2026-08-28T18:40:17.990Z"),
            ("\"2026-08-28T18:40:17.990\"", "2026-08-28T18:40:17.990Z"), // no offset: UTC
            ("\"2026-08-28 18:40:17\"", "2026-08-28T18:40:17.000Z"),
            ("\"2026-08-28t18:40:17.9901239z\"", "2026-08-28T18:40:17.990Z"),
            ("\"2026-08-28T18:40Z\"", "2026-08-28T18:40:00.000Z"),
            ("\"2026-08-28\"", "2026-08-28T00:00:00.000Z"),
            ("\"2024-02-29T23:59:60Z\"", "2024-03-01T00:00:00.000Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            ("10000", "1970-01-01T02:46:40.000Z"),
            ("99999999999", "5138-11-16T09:46:39.000Z"),
            ("100000000000", "1973-03-03T09:46:40.000Z"),
            ("99999999999999", "5138-11-16T09:46:39.999Z"),
            ("100000000000000", "1973-03-03T09:46:40.000Z"),
            ("\"9999-12-31T23:59:59.999Z\"", "9999-12-31T23:59:59.999Z"),
        ];
        for (token, expected) in table {
            assert_eq!(read(token).as_deref(), Some(expected), "{token}");
        }
    }

    #[test]
    fn a_member_in_milliseconds_is_read_as_such_however_small() {
        for (token, us) in [
            ("0", Some(0)),
            ("10000", Some(10_000_000)),
            ("99999999999", Some(99_999_999_999_000)),
            ("100000000000", Some(100_000_000_000_000)),
            ("1649237444949", Some(1_649_237_444_949_000)),
            ("\"2022-04-06T09:30:44.949Z\"", Some(1_649_237_444_949_000)),
            ("", None),
            ("-1", None),
            ("null", None),
        ] {
            assert_eq!(parse_ms(token), us, "{token}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_guessed() {
        for token in [
            "null",
            "true",
            "\"\"",
            "{}",
            "[]",
            "-1",
            "\"yesterday\"",
            "1e400",
            "1e17",
            "100000000000000000",
            "99999999999999999999999",
            "\"2026-13-01T00:00:00Z\"",
            "\"2026-02-29T00:00:00Z\"",
            "\"2026-02-28T24:00:00Z\"",
            "\"2026-02-28T23:59:59.Z\"",
            "\"2026-02-28T23:59:59+25:00\"",
            "\"2026-02-28T23:59:59 +02:00\"",
            "\"1969-12-31T23:59:59Z\"",
            "\"1970-01-01T00:00:00+00:01\"",
            "\"9999-12-31T23:59:59-00:01\"",
            "\"2026-08-28T08:00:00.000Z/2026-08-28T08:30:00.000Z\"",
            "\"2026-08-28T18:40:1é\"",
            "1.",
            "\".5\"",
            "\"1.5.5\"",
        ] {
            let expected = if token == "1." { Some(1_000_000) } else { None };
            assert_eq!(parse(token), expected, "{token}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn writing_then_reading_is_the_identity_to_the_millisecond(us in 0..=MAX_US) {
            let mut out = vec![b'"'];
            write_rfc3339_ms(&mut out, us);
            out.push(b'"');
            let token = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse(&token), Some(us / 1000 * 1000));
        }

        #[test]
        fn exactly_what_is_written_is_read_as_written(
            us in 0..=MAX_US,
            at in 0..26_usize,
            byte in prop::sample::select(b"\"0123456789-:.,TtZz+ /;".to_vec()),
        ) {
            let mut bytes = [&b"\""[..], &rfc3339_ms(us), b"\""].concat();
            let ms_us = us / 1000 * 1000;
            let token = String::from_utf8(bytes.clone()).unwrap();
            prop_assert_eq!(parse_written(&token), Some((ms_us, rfc3339_ms(us))));
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            let expected = parse(&changed)
                .map(|us| (us, rfc3339_ms(us)))
                .filter(|(_, text)| changed.as_bytes() == [&b"\""[..], text, b"\""].concat());
            prop_assert_eq!(parse_written(&changed), expected, "{}", changed);
        }

        #[test]
        fn the_text_kept_is_that_of_the_time_asked_for(times in prop::collection::vec(-3_000..3_000_i64, 1..20)) {
            let mut last = LastWritten::default();
            for us in times {
                prop_assert_eq!(last.rfc3339_ms(us), rfc3339_ms(us));
            }
        }

        #[test]
        fn the_calendar_agrees_with_jiff(us in 0..=MAX_US) {
            let mut out = Vec::new();
            write_rfc3339_ms(&mut out, us);
            let timestamp = jiff::Timestamp::from_microsecond(us / 1000 * 1000);
            if let Ok(timestamp) = timestamp {
                prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{timestamp:.3}"));
            }
        }

        #[test]
        fn epoch_units_are_told_apart_by_magnitude(ms in 100_000_000_000_i64..99_999_999_999_999) {
            prop_assert_eq!(parse(&ms.to_string()), Some(ms * 1000));
            prop_assert_eq!(parse(&format!("\"{}\"", ms * 1000)), Some(ms * 1000));
            prop_assert_eq!(parse(&format!("{}.{:03}", ms / 1000, ms % 1000)), Some(ms * 1000));
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let us = parse(&text);
            prop_assert!(us.is_none_or(|us| (0..=MAX_US).contains(&us)));
        }
    }
}
