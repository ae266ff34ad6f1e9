//! One pass over a frame that validates it, checks it and takes it apart.
//!
//! Responsible for the ordinary frame: it accepts JSON that is an object, at most [`MAX_DEPTH`] deep, with paired
//! surrogates and numbers that are plainly within a double. Refuses without a reason whatever it is not sure of: the
//! caller then asks the exact checks and serde_json, which find the reason or accept after all. Invariant: what is
//! accepted here, they accept as well, and the members are the same.

use std::borrow::Cow;

use super::{Member, string_stop};
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
        at: 0,
        has_line_ends: false,
    };
    scanner.space();
    scanner.object(1, members, |scanner, key, starts_object| {
        let Some((_, inner)) = inner.as_mut().filter(|inner| inner.0 == key) else {
            return Some(false);
        };
        inner.clear();
        if starts_object {
            scanner.object(2, inner, |_, _, _| Some(false))?;
        }
        Some(starts_object)
    })?;
    scanner.space();
    (scanner.at == text.len()).then_some(Scanned {
        has_line_ends: scanner.has_line_ends,
    })
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    has_line_ends: bool,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.has_line_ends |= byte == b'\n' || byte == b'\r';
            self.at += 1;
        }
    }

    /// Reads an object at `depth` and collects its members; `take` may read a member's value itself and says whether
    /// it did.
    #[inline]
    fn object(
        &mut self,
        depth: usize,
        members: &mut Vec<Member<'a>>,
        mut take: impl FnMut(&mut Self, &str, bool) -> Option<bool>,
    ) -> Option<()> {
        self.expect(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key_start = self.at;
            let escaped = self.string()?;
            let key = self.text.get(key_start..self.at)?;
            let key = if escaped {
                Cow::Owned(serde_json::from_str(key).ok()?)
            } else {
                Cow::Borrowed(key.get(1..key.len() - 1)?)
            };
            self.colon()?;
            let start = self.at;
            let starts_object = self.peek()? == b'{';
            if !take(self, &key, starts_object)? {
                self.value(depth)?;
            }
            let token = self.text.get(start..self.at)?;
            members.push(Member {
                key,
                token,
                skip: false,
            });
            self.space();
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    self.space();
                }
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    #[inline]
    fn colon(&mut self) -> Option<()> {
        self.space();
        self.expect(b':')?;
        self.space();
        Some(())
    }

    /// Reads one value that `outer` levels enclose, without recursion.
    fn value(&mut self, outer: usize) -> Option<()> {
        // One bit for each open level of the value, the innermost lowest: 1 is an object. 128 exceed `MAX_DEPTH`.
        let mut kinds = 0_u128;
        let mut depth = outer;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                opening @ (b'{' | b'[') => {
                    if depth >= MAX_DEPTH {
                        return None;
                    }
                    self.at += 1;
                    self.space();
                    // The closing bracket is two behind the opening one in ASCII, `{|}` and `[\]`.
                    if self.peek()? == opening + 2 {
                        self.at += 1;
                    } else {
                        depth += 1;
                        kinds = kinds << 1 | u128::from(opening == b'{');
                        if opening == b'{' {
                            self.string()?;
                            self.colon()?;
                        }
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return None,
            }
            loop {
                if depth == outer {
                    return Some(());
                }
                self.space();
                let in_object = kinds & 1 == 1;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        self.space();
                        if in_object {
                            self.string()?;
                            self.colon()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.at += 1;
                depth -= 1;
                kinds >>= 1;
            }
        }
    }

    /// Reads a string; says whether it holds escapes.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        self.at = string_stop(self.bytes, self.at);
        if self.peek()? == b'"' {
            self.at += 1;
            return Some(false);
        }
        self.escaped_string()?;
        Some(true)
    }

    /// Reads the rest of a string from its first byte that is not plain.
    #[cold]
    fn escaped_string(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                // What is left is a control character.
                _ => return None,
            }
            self.at = string_stop(self.bytes, self.at);
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 2;
                Some(())
            }
            b'u' => match self.code_unit()? {
                0xd800..=0xdbff => matches!(self.code_unit()?, 0xdc00..=0xdfff).then_some(()),
                0xdc00..=0xdfff => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    /// Reads `\uXXXX`.
    fn code_unit(&mut self) -> Option<u16> {
        self.expect(b'\\')?;
        self.expect(b'u')?;
        let mut unit = 0;
        for digit in self.bytes.get(self.at..self.at + 4)? {
            let digit = char::from(*digit).to_digit(16)?;
            unit = unit << 4 | u16::try_from(digit).ok()?;
        }
        self.at += 4;
        Some(unit)
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let leading_zero = self.peek()? == b'0';
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !(1..=MAX_EXPONENT_DIGITS).contains(&self.digits()) {
                return None;
            }
        }
        (self.at - start < MAX_NUMBER_BYTES).then_some(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(word);
        found.then(|| self.at += word.len())
    }
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
        let lines = "{\r\n\"a\":[1,\n2]}";
        assert_eq!(scanned(lines), Some(Scanned { has_line_ends: true }));
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
