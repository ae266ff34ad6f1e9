//! Pages: the query string, the part of a list that it asks for, and times as lists show them.
//!
//! Refuses page numbers and sizes out of range with 400. The invariant: the pages of an unchanged list hold each entity
//! once.

use serde_json::{Value, json};

use crate::notifications::rest::{Call, Refusal};

/// Entities of a page, where none are asked for.
const DEFAULT_SIZE: usize = 25;
/// Most entities of a page.
const MAX_SIZE: usize = 500;
/// Most members of a queue on a page.
const MAX_MEMBERS: usize = 100;

/// Names and values of a query string, decoded.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low)
            }
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

// the number and size of the page asked for
fn asked(number: Option<&str>, size: Option<&str>, most: usize) -> Result<(usize, usize), Refusal> {
    let read = |text: Option<&str>, default: usize, most: usize, name: &str| {
        let value = text.map_or(Some(default), |text| text.parse().ok());
        value
            .filter(|value| (1..=most).contains(value))
            .ok_or_else(|| Refusal::new(400, "invalid.value", format!("{name} must be 1 to {most}")))
    };
    Ok((
        read(number, 1, 1_000_000, "pageNumber")?,
        read(size, DEFAULT_SIZE, most, "pageSize")?,
    ))
}

/// The page of a list that a request asks for.
pub(super) fn page(entities: Vec<Value>, call: &Call<'_>) -> Result<Value, Refusal> {
    page_of(entities, call, MAX_SIZE)
}

/// The page of a list that, as the platform's of queue members, tells neither how many entities nor how many pages there
/// are: its end is where `nextUri` is missing.
pub(super) fn page_without_totals(entities: Vec<Value>, call: &Call<'_>) -> Result<Value, Refusal> {
    let mut page = page_of(entities, call, MAX_MEMBERS)?;
    if let Some(fields) = page.as_object_mut() {
        fields.retain(|name, _| !["total", "pageCount", "lastUri"].contains(&name.as_str()));
    }
    Ok(page)
}

fn page_of(entities: Vec<Value>, call: &Call<'_>, most: usize) -> Result<Value, Refusal> {
    let (number, size) = asked(call.parameter("pageNumber"), call.parameter("pageSize"), most)?;
    let (total, uri) = (entities.len(), call.uri);
    let count = total.div_ceil(size);
    let link = |number: usize| format!("{uri}?pageSize={size}&pageNumber={number}");
    let mut page = json!({
        "pageSize": size, "pageNumber": number, "total": total, "pageCount": count,
        "firstUri": link(1), "selfUri": link(number), "lastUri": link(count.max(1)),
        "entities": entities.into_iter().skip((number - 1) * size).take(size).collect::<Vec<_>>(),
    });
    if number < count {
        page["nextUri"] = link(number + 1).into();
    }
    if number > 1 {
        page["previousUri"] = link(number - 1).into();
    }
    Ok(page)
}

/// A time in microseconds since 1970 as the platform writes it, with milliseconds and `Z`.
pub(super) fn iso_us(at_us: u64) -> String {
    crate::notifications::centre::iso(i64::try_from(at_us / 1000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let query = parse_query("name=Team%20A+%C3%A9&x&pageSize=5%");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            query,
            [pair("name", "Team A é"), pair("x", ""), pair("pageSize", "5%")]
        );
    }

    #[test]
    fn pages_out_of_range_are_refused() {
        assert_eq!(asked(None, None, 500), Ok((1, 25)));
        assert_eq!(asked(Some("3"), Some("500"), 500), Ok((3, 500)));
        for (number, size) in [("0", "5"), ("x", "5"), ("1", "0"), ("1", "501")] {
            assert_eq!(asked(Some(number), Some(size), 500).unwrap_err().status, 400);
        }
    }
}
