//! JSON text taken apart without building a tree: members and elements as borrowed tokens.
//!
//! Responsible for splitting objects into `(key, token)` pairs and for writing strings. [`read_members`] validates
//! (serde_json, iterative, so depth costs no stack); everything else trusts text that has passed it once. Refuses to
//! interpret numbers. Invariant: a token is always a verbatim piece of the input, so number text survives.
//!
//! Over 400 lines with its tests: reader, splitter and writer share one idea of a token and prove each other.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects up to this many members are searched for repeated keys pair by pair, larger ones by sorting.
///
/// # Source
/// Measured: below some twenty keys the comparison of lengths alone is cheaper than a sort.
const PAIRWISE_MEMBERS: usize = 16;

/// A JSON string: as it stood in the input and as it reads.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    /// The token with its quotes, verbatim; empty if the text was not a token of its own.
    pub(crate) token: &'a str,
    /// What it says, escapes resolved.
    pub(crate) text: Cow<'a, str>,
}

impl<'a> Text<'a> {
    /// Reads a token; `None` if it is no string or has a lone surrogate.
    pub(crate) fn read(token: &'a str) -> Option<Self> {
        let inner = token.strip_prefix('"')?.strip_suffix('"')?;
        let text = if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            Cow::Borrowed(inner)
        } else {
            Cow::Owned(serde_json::from_str(token).ok()?)
        };
        Some(Self { token, text })
    }

    /// Makes a text that stands in no token of its own.
    pub(crate) fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            token: "",
            text: text.into(),
        }
    }

    /// Writes the token verbatim, or the text as a string if there is none.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.token.is_empty() {
            write_string(out, &self.text);
        } else {
            out.extend_from_slice(self.token.as_bytes());
        }
    }

    /// Reads a token that must be a string with at least one character.
    pub(crate) fn read_non_empty(token: &'a str) -> Option<Self> {
        Self::read(token).filter(|text| !text.text.is_empty())
    }
}

/// One member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// The key, escapes resolved.
    pub(crate) key: Cow<'a, str>,
    /// The value, verbatim.
    pub(crate) token: &'a str,
    /// Set for a member that a later one of the same key replaces, or that has a field of its own.
    pub(crate) skip: bool,
}

/// Says whether a token is an object.
pub(crate) fn is_object(token: &str) -> bool {
    token.starts_with('{')
}

/// Says whether a token is an array.
pub(crate) fn is_array(token: &str) -> bool {
    token.starts_with('[')
}

/// Says whether a token is a number.
pub(crate) fn is_number(token: &str) -> bool {
    token.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct MembersVisitor<'v, 'a>(&'v mut Vec<Member<'a>>);

impl<'de> Visitor<'de> for MembersVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value: &'de RawValue = map.next_value()?;
            self.0.push(Member {
                key,
                token: value.get(),
                skip: false,
            });
        }
        Ok(())
    }
}

/// Validates `text` as one JSON object and appends its members in order.
///
/// # Errors
/// Whatever serde_json finds wrong with it; not retryable. `into` may hold members already.
pub(crate) fn read_members<'a>(text: &'a str, into: &mut Vec<Member<'a>>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(MembersVisitor(into))?;
    deserializer.end()
}

/// Appends the members of an object in text that was validated before.
pub(crate) fn split_members<'a>(object: &'a str, into: &mut Vec<Member<'a>>) {
    for_each_member(object, |key, token| {
        into.push(Member {
            key,
            token,
            skip: false,
        });
        ControlFlow::Continue(())
    });
}

/// Calls `visit` with each member of a validated object until it breaks.
pub(crate) fn for_each_member<'a>(
    object: &'a str,
    mut visit: impl FnMut(Cow<'a, str>, &'a str) -> ControlFlow<()>,
) {
    let bytes = object.as_bytes();
    if !is_object(object) {
        return;
    }
    let mut at = 1;
    loop {
        at = skip_separators(bytes, at);
        if bytes.get(at) != Some(&b'"') {
            return;
        }
        let key_end = skip_string(bytes, at);
        let value_start = skip_separators(bytes, key_end);
        let value_end = skip_value(bytes, value_start);
        let (Some(key), Some(token)) = (object.get(at..key_end), object.get(value_start..value_end)) else {
            return;
        };
        let Some(key) = Text::read(key) else { return };
        if visit(key.text, token).is_break() {
            return;
        }
        at = value_end;
    }
}

/// Calls `visit` with each element of a validated array until it breaks.
pub(crate) fn for_each_element<'a>(array: &'a str, mut visit: impl FnMut(&'a str) -> ControlFlow<()>) {
    let bytes = array.as_bytes();
    if !is_array(array) {
        return;
    }
    let mut at = 1;
    loop {
        at = skip_separators(bytes, at);
        if matches!(bytes.get(at), None | Some(b']')) {
            return;
        }
        let end = skip_value(bytes, at);
        match array.get(at..end) {
            Some(token) if end > at => {
                if visit(token).is_break() {
                    return;
                }
            }
            _ => return,
        }
        at = end;
    }
}

/// Returns place and token of the member called `name`, unless a later one replaces it.
pub(crate) fn find<'a>(members: &[Member<'a>], name: &str) -> Option<(usize, &'a str)> {
    let found = members
        .iter()
        .enumerate()
        .find(|(_, member)| !member.skip && member.key == name)?;
    Some((found.0, found.1.token))
}

/// Returns the last member called `name` of a validated object.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    for_each_member(object, |key, token| {
        if key == name {
            found = Some(token);
        }
        ControlFlow::Continue(())
    });
    found
}

fn skip_separators(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
        at += 1;
    }
    at
}

/// Returns the position behind the string that starts at `at`.
pub(crate) fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

fn skip_value(bytes: &[u8], mut at: usize) -> usize {
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

/// Marks every member that a later one of the same key replaces: the last wins, as in JavaScript.
pub(crate) fn mark_replaced(members: &mut [Member<'_>], order: &mut Vec<u32>) {
    if members.len() <= PAIRWISE_MEMBERS {
        for later in 1..members.len() {
            let (earlier, rest) = members.split_at_mut(later);
            let Some(member) = rest.first() else { return };
            for candidate in earlier {
                if candidate.key == member.key {
                    candidate.skip = true;
                }
            }
        }
        return;
    }
    order.clear();
    order.extend(0..u32::try_from(members.len()).unwrap_or(u32::MAX));
    order.sort_unstable_by(|left, right| {
        members[*left as usize]
            .key
            .cmp(&members[*right as usize].key)
            .then(left.cmp(right))
    });
    for pair in order.windows(2) {
        let (earlier, later) = (pair[0] as usize, pair[1] as usize);
        if members[earlier].key == members[later].key {
            members[earlier].skip = true;
        }
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut clean_from = 0;
    let bytes = text.as_bytes();
    // Nearly all text is clean; a loop without exits becomes vector code.
    let dirty = bytes.iter().fold(false, |dirty, byte| {
        dirty | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\')
    });
    if !dirty {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[clean_from..at]);
        clean_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(&crate::text::escaped_byte(*control)),
        }
    }
    out.extend_from_slice(&bytes[clean_from..]);
    out.push(b'"');
}

/// Writes the members that are not skipped as one object.
pub(crate) fn write_members(out: &mut Vec<u8>, members: &[Member<'_>]) {
    out.push(b'{');
    let mut first = true;
    for member in members.iter().filter(|member| !member.skip) {
        if !first {
            out.push(b',');
        }
        first = false;
        write_string(out, &member.key);
        out.push(b':');
        out.extend_from_slice(member.token.as_bytes());
    }
    out.push(b'}');
}

/// Takes the white space between tokens out of the JSON that starts at `start`, if it spans several lines.
///
/// Records are printed one a line, so that a pretty-printed frame must not bring line ends of its own.
pub(crate) fn join_lines(out: &mut Vec<u8>, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return;
    }
    let text = text.to_vec();
    out.truncate(start);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let end = if *byte == b'"' {
            skip_string(&text, at)
        } else {
            at + 1
        };
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.extend_from_slice(text.get(at..end).unwrap_or_default());
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Member, Text, for_each_element, join_lines, mark_replaced, member, read_members, split_members,
        write_string,
    };
    use proptest::prelude::*;
    use serde_json::Value;
    use std::ops::ControlFlow;

    #[test]
    fn splitting_agrees_with_the_validating_reader() {
        let text =
            r#" { "a" : [1, {"b":"]}\""}] ,"\u0061b":-1.0e3 , "c":"x\\" ,"d":{} , "e" : null,"f":[ ]} "#;
        let (mut read, mut split) = (Vec::new(), Vec::new());
        read_members(text, &mut read).unwrap();
        split_members(text.trim(), &mut split);
        let pairs = |members: &[Member<'_>]| {
            members
                .iter()
                .map(|m| (m.key.to_string(), m.token.to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs(&read), pairs(&split));
        assert_eq!(read[1].key, "ab");
        assert_eq!(read.len(), 6);
        assert_eq!(member(text.trim(), "f"), Some("[ ]"));
    }

    #[test]
    fn lines_are_joined_outside_strings_and_only_if_there_are_several() {
        for (text, expected) in [
            ("{ \"a b\" : 1 }", "{ \"a b\" : 1 }"),
            ("{\r\n\t\"a \\\" b\" : [ 1,\n2 ]\n}", "{\"a \\\" b\":[1,2]}"),
        ] {
            let mut out = [b"\n before ", text.as_bytes()].concat();
            join_lines(&mut out, 9);
            assert_eq!(
                std::str::from_utf8(&out),
                Ok(format!("\n before {expected}").as_str())
            );
        }
    }

    #[test]
    fn elements_come_in_order_and_stop_on_request() {
        let mut seen = Vec::new();
        for_each_element(r#"[1 , "a,]" ,[2,[3]],{"x":[]} ]"#, |token| {
            seen.push(token);
            if seen.len() == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(seen, ["1", "\"a,]\"", "[2,[3]]"]);
    }

    #[test]
    fn the_last_of_a_repeated_key_wins_in_narrow_and_wide_objects() {
        for width in [3_usize, 100, 20_000] {
            let mut text = String::from("{");
            for index in 0..width {
                text.push_str(&format!("\"k{}\":{index},", index % (width / 2 + 1)));
            }
            text.push_str("\"last\":0}");
            let mut members = Vec::new();
            read_members(&text, &mut members).unwrap();
            mark_replaced(&mut members, &mut Vec::new());
            let kept: serde_json::Map<String, Value> = members
                .iter()
                .filter(|m| !m.skip)
                .map(|m| (m.key.to_string(), serde_json::from_str(m.token).unwrap()))
                .collect();
            let expected: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(Value::Object(kept.clone()), expected);
            assert_eq!(members.iter().filter(|m| !m.skip).count(), kept.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_written_string_reads_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            let token = String::from_utf8(out).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&token).unwrap(), text.clone());
            prop_assert_eq!(Text::read(&token).unwrap().text, text);
        }
    }
}
