//! One pass over a frame that validates it, checks it and takes it apart.
//!
//! Responsible for the ordinary frame: it accepts JSON that is an object, at most [`MAX_DEPTH`] deep, with paired
//! surrogates and numbers that are plainly within a double. Refuses without a reason whatever it is not sure of: the
//! caller then asks the exact checks and serde_json, which find the reason or accept after all. Invariant: what is
//! accepted here, they accept as well, and the members are the same.

use std::borrow::Cow;

use super::Member;
use super::cursor::string_stop;
use crate::decode::MAX_DEPTH;

/// Longest number accepted, in bytes; with an exponent of two digits it stays below 10²⁹⁹.
const MAX_NUMBER_BYTES: usize = 200;

/// Most digits of an exponent accepted; three could pass the largest double.
const MAX_EXPONENT_DIGITS: usize = 2;

/// What a pass over a frame found besides members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// There are line ends between tokens (within them there are none).
    pub(crate) has_line_ends: bool,
}

/// Appends the members of the object `text` to `members` and those of its last member called `inner.0`, if that is an
/// object, to `inner.1`. Both must be empty; if `None` is returned, what they hold means nothing.
pub(crate) fn scan<'a>(
    text: &'a str,
    members: &mut Vec<Member<'a>>,
    mut inner: Option<(&str, &mut Vec<Member<'a>>)>,
) -> Option<Scanned> {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        has_line_ends: false,
    };
    let at = scanner.space(0);
    let at = scanner.object(at, 1, members, |scanner, at, key| {
        let Some((_, inner)) = inner.as_mut().filter(|inner| inner.0 == key) else {
            return Some(at);
        };
        inner.clear();
        if scanner.bytes.get(at) == Some(&b'{') {
            scanner.object(at, 2, inner, |_, at, _| Some(at))
        } else {
            Some(at)
        }
    })?;
    (scanner.space(at) == text.len()).then_some(Scanned {
        has_line_ends: scanner.has_line_ends,
    })
}

/// Every method takes the position to read at and returns the one behind what it read.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    has_line_ends: bool,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn space(&mut self, at: usize) -> usize {
        match self.bytes.get(at) {
            Some(byte) if *byte > b' ' => at,
            _ => self.spaces(at),
        }
    }

    #[cold]
    fn spaces(&mut self, mut at: usize) -> usize {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.bytes.get(at) {
            self.has_line_ends |= matches!(byte, b'\n' | b'\r');
            at += 1;
        }
        at
    }

    /// Reads a colon and the space around it.
    #[inline]
    fn colon(&mut self, at: usize) -> Option<usize> {
        let at = self.space(at);
        (*self.bytes.get(at)? == b':').then(|| self.space(at + 1))
    }

    /// Reads an object at `depth` and collects its members; `take` may read a member's value itself, or returns the
    /// position it was given.
    #[inline]
    fn object(
        &mut self,
        at: usize,
        depth: usize,
        members: &mut Vec<Member<'a>>,
        mut take: impl FnMut(&mut Self, usize, &str) -> Option<usize>,
    ) -> Option<usize> {
        if *self.bytes.get(at)? != b'{' {
            return None;
        }
        let mut at = self.space(at + 1);
        if *self.bytes.get(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            let (end, escaped) = string(self.bytes, at)?;
            let key = if escaped {
                Cow::Owned(serde_json::from_str(self.text.get(at..end)?).ok()?)
            } else {
                Cow::Borrowed(self.text.get(at + 1..end - 1)?)
            };
            let start = self.colon(end)?;
            let mut end = take(self, start, &key)?;
            if end == start {
                end = self.value(start, depth)?;
            }
            members.push(Member {
                key,
                token: self.text.get(start..end)?,
                skip: false,
            });
            at = self.space(end);
            match *self.bytes.get(at)? {
                b',' => at = self.space(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Reads one value that `outer` levels enclose, without recursion.
    fn value(&mut self, mut at: usize, outer: usize) -> Option<usize> {
        let bytes = self.bytes;
        // One bit for each open level of the value, the innermost lowest: 1 is an object. 128 exceed `MAX_DEPTH`.
        let mut kinds = 0_u128;
        let mut depth = outer;
        let mut key_due = false;
        loop {
            if key_due {
                at = self.colon(string(bytes, at)?.0)?;
            }
            match *bytes.get(at)? {
                b'"' => at = string(bytes, at)?.0,
                opening @ (b'{' | b'[') => {
                    if depth >= MAX_DEPTH {
                        return None;
                    }
                    at = self.space(at + 1);
                    // The closing bracket is two behind the opening one in ASCII, `{|}` and `[\]`.
                    if *bytes.get(at)? == opening + 2 {
                        at += 1;
                    } else {
                        depth += 1;
                        key_due = opening == b'{';
                        kinds = kinds << 1 | u128::from(key_due);
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => at = number(bytes, at)?,
                b't' => at = literal(bytes, at, b"true")?,
                b'f' => at = literal(bytes, at, b"false")?,
                b'n' => at = literal(bytes, at, b"null")?,
                _ => return None,
            }
            loop {
                if depth == outer {
                    return Some(at);
                }
                at = self.space(at);
                let in_object = kinds & 1 == 1;
                match *bytes.get(at)? {
                    b',' => {
                        at = self.space(at + 1);
                        key_due = in_object;
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                at += 1;
                depth -= 1;
                kinds >>= 1;
            }
        }
    }
}

/// Reads a string; says whether it holds escapes.
#[inline]
fn string(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let at = string_stop(bytes, at + 1);
    if *bytes.get(at)? == b'"' {
        return Some((at + 1, false));
    }
    Some((escaped_string(bytes, at)?, true))
}

/// Reads the rest of a string from its first byte that is not plain.
#[cold]
fn escaped_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = string_stop(bytes, escape(bytes, at)?),
            // What is left is a control character.
            _ => return None,
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match code_unit(bytes, at)? {
            0xd800..=0xdbff => matches!(code_unit(bytes, at + 6)?, 0xdc00..=0xdfff).then_some(at + 12),
            0xdc00..=0xdfff => None,
            _ => Some(at + 6),
        },
        _ => None,
    }
}

/// Returns the value of a `\uXXXX`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn number(bytes: &[u8], start: usize) -> Option<usize> {
    let is = |at: usize, wanted: [u8; 2]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let whole = start + usize::from(is(start, *b"--"));
    let mut at = whole + digits(bytes, whole);
    if at == whole || (is(whole, *b"00") && at > whole + 1) {
        return None;
    }
    if is(at, *b"..") {
        let fraction = digits(bytes, at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if is(at, *b"eE") {
        at += 1 + usize::from(is(at + 1, *b"+-"));
        let exponent = digits(bytes, at);
        if !(1..=MAX_EXPONENT_DIGITS).contains(&exponent) {
            return None;
        }
        at += exponent;
    }
    (at - start < MAX_NUMBER_BYTES).then_some(at)
}

/// Counts the digits from `at` on.
fn digits(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let found = bytes.get(at..)?.starts_with(word);
    found.then(|| at + word.len())
}

#[cfg(test)]
mod tests {
    use super::{Scanned, scan};
    use crate::decode::MAX_DEPTH;
    use crate::json::{Member, member, read_members, split_members};
    use proptest::prelude::*;

    fn pairs(members: &[Member<'_>]) -> Vec<(String, String)> {
        let pair = |member: &Member<'_>| (member.key.to_string(), member.token.to_owned());
        members.iter().map(pair).collect()
    }

    /// Scans and holds the result against the reader that validates with serde_json.
    fn scanned(text: &str) -> Option<Scanned> {
        let (mut members, mut inner) = (Vec::new(), Vec::new());
        let scanned = scan(text, &mut members, Some(("in", &mut inner)))?;
        let (mut read, mut split) = (Vec::new(), Vec::new());
        read_members(text, &mut read).unwrap();
        assert_eq!(pairs(&members), pairs(&read), "{text}");
        split_members(member(text.trim(), "in").unwrap_or(""), &mut split);
        assert_eq!(pairs(&inner), pairs(&split), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        Some(scanned)
    }

    #[test]
    fn ordinary_frames_are_accepted_with_the_members_of_both_levels() {
        for text in [
            "{}",
            " { \"a\" : [ ] , \"in\" : { } } ",
            r#"{"in":{"a":1},"b":2,"in":{"c":[{"d":{}},-0.5e-10,1E+9,0]},"e":"}]"}"#,
            r#"{"in":{"a":1},"in":[2]}"#,
            r#"{"\u0069n":{"x":true},"s":"\ud83d\ude42\\\"\/\b\f\n\r\t","é":null,"":false}"#,
        ] {
            assert_eq!(scanned(text), Some(Scanned { has_line_ends: false }), "{text}");
        }
        assert!(scanned("{\r\n\"a\":[1,\n2]}").is_some_and(|scanned| scanned.has_line_ends));
    }

    #[test]
    fn whatever_is_doubtful_is_left_to_the_exact_checks() {
        let long = "9".repeat(200);
        for text in [
            "",
            " ",
            "[]",
            "{",
            "{}}",
            "{}x",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":1e400}"#,
            r#"{"a":tru}"#,
            r#"{"a":truefalse}"#,
            r#"{"a":[1}}"#,
            r#"{"a":{"b":1]}"#,
            r#"{"a":{,}}"#,
            r#"{"a" 1}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ude42\ud83d"}"#,
            r#"{"a":"\ud83dx"}"#,
            r#"{"a":"\u"#,
            r#"{"a":"b"#,
            r#"{"\ud83d":1}"#,
            &format!(r#"{{"a":{long}}}"#),
            "\u{feff}{}",
        ] {
            assert_eq!(scanned(text), None, "{text}");
        }
    }

    #[test]
    fn the_deepest_accepted_value_is_as_deep_as_the_exact_check_allows() {
        for (levels, accepted) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
            let list = format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
            assert_eq!(scanned(&list).is_some(), accepted, "{levels}");
            let objects = format!(
                r#"{{"in":{}1{}}}"#,
                r#"{"in":"#.repeat(levels),
                "}".repeat(levels)
            );
            assert_eq!(scanned(&objects).is_some(), accepted, "{levels}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_accepted_serde_json_accepts_too(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"a\":", "\"in\":{", "\"b\"", "1", "-0", "1.5e9", "true", "null", " ", "\n",
                    "\\", "\"", "\\u00e9", "\\ud83d", "\\ude42", "e", "é", "{}", "[]", "\"long text with \\\" in it\"",
                ]),
                0..24,
            ),
        ) {
            scanned(&format!("{{{}}}", pieces.concat()));
            scanned(&format!("{{\"a\":[{}],\"in\":{{\"b\":[{0}]}}}}", pieces.concat()));
            scanned(&format!("{{\"a\":\"{}\"}}", pieces.concat()));
        }

        #[test]
        fn one_changed_byte_is_never_accepted_against_serde_json(at in 0..400_usize, byte in 0..128_u8, cut in any::<bool>()) {
            let text = r#"{"topicName":"v2.users.x.conversations","in":{"id":"2e490b7a-c320-47a5-9f94-0d5375e74be4","n":[-12.50e+3,0,{}],
                "t":[true,false,null,[]],"s":"\ud83d\ude42 \\ \"é\"","o":{"a":{"b":[{"c":"d"}]}}},"metadata":{"x":{}}}"#;
            let mut bytes = text.as_bytes().to_vec();
            let at = at % bytes.len();
            if cut {
                bytes.remove(at);
            } else {
                bytes[at] = byte;
            }
            if let Ok(text) = String::from_utf8(bytes) {
                scanned(&text);
            }
        }
    }
}
