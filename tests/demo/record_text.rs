//! A record as a person reads it.
//!
//! Responsible for one sample record. Refuses to print a value longer than a few lines: long texts, lists and what lies deep
//! within are cut, members above are not. Invariant: what is cut says so.

use serde_json::Value;

use crate::destination::Destination;
use crate::raw::{Raw, Route};

/// Longest string of a sample record, in characters.
const STRING: usize = 72;
/// Most members of an array of a sample record.
const MEMBERS: usize = 1;
/// Objects within one another that are shown with their members.
const LEVELS: usize = 4;

/// One record of a kind, shortened, with what it is wrapped in.
pub(crate) fn shown(route: Route, record: &Raw) -> String {
    let mut text = Destination::name_of(route, &record.place);
    if let Some(key) = &record.key {
        text.push_str(&format!("  key {key}"));
    }
    text.push('\n');
    for (name, value) in &record.headers {
        text.push_str(&format!("  {name}: {}\n", shortened_text(value)));
    }
    let value = serde_json::from_slice(&record.bytes).unwrap_or(Value::Null);
    let pretty = serde_json::to_string_pretty(&shortened(value, 0)).unwrap_or_default();
    for line in pretty.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn shortened(value: Value, level: usize) -> Value {
    match value {
        Value::String(text) => Value::String(shortened_text(&text)),
        Value::Array(members) => {
            let more = members.len().saturating_sub(MEMBERS);
            let mut kept: Vec<Value> = members
                .into_iter()
                .take(MEMBERS)
                .map(|member| shortened(member, level))
                .collect();
            if more > 0 {
                kept.push(Value::String(format!("… {more} more")));
            }
            Value::Array(kept)
        }
        Value::Object(members) if level >= LEVELS && !members.is_empty() => {
            Value::String(format!("… {} members", members.len()))
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, shortened(member, level + 1)))
            .collect(),
        other => other,
    }
}

fn shortened_text(text: &str) -> String {
    if text.chars().count() <= STRING {
        return text.to_owned();
    }
    let head: String = text.chars().take(STRING).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_is_shortened_but_keeps_its_members() {
        let deep = json!({"b": {"c": {"d": {"e": 1, "f": 2}, "g": 3}}});
        let value = json!({"text": "é".repeat(100), "list": [1, 2, 3], "n": null, "a": deep});
        let value = shortened(value, 0);
        assert_eq!(value["a"]["b"]["c"], json!({"d": "… 2 members", "g": 3}));
        assert_eq!(value["text"].as_str().unwrap().chars().count(), STRING + 1);
        assert_eq!(value["list"], json!([1, "… 2 more"]));
        assert!(value["n"].is_null());
    }
}
