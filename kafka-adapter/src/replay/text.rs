//! A dead letter as it lies in a file or a topic: alone, on a line of `run`, or inside a CloudEvent.
//!
//! Responsible for finding the letter and its id. Refuses to judge the rest of it. Invariant: the letter is the bytes
//! that were read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// A dead letter.
    Letter {
        /// Its id.
        id: String,
        /// The letter alone.
        json: &'a [u8],
    },
    /// A line of another kind of record.
    Other,
    /// No dead letter; why, without what stands in it.
    Unreadable(String),
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    kind: &'a str,
    #[serde(borrow)]
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "deadLetterId")]
    dead_letter_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads a line or the value of a message.
pub(super) fn read(text: &[u8]) -> Text<'_> {
    let text = text.trim_ascii();
    // what `run` prints with delivery.to = "lines", and its files of dead letters
    if text.starts_with(b"{\"kind\":") {
        return match serde_json::from_slice::<Wrapped<'_>>(text) {
            Ok(wrapped) if wrapped.kind == "dead_letter" => letter(wrapped.record.get().as_bytes()),
            Ok(_) => Text::Other,
            Err(error) => Text::Unreadable(reason(&error)),
        };
    }
    letter(text)
}

fn letter(json: &[u8]) -> Text<'_> {
    match serde_json::from_slice::<Members<'_>>(json) {
        Ok(Members {
            dead_letter_id: Some(id),
            ..
        }) => Text::Letter {
            id: id.into_owned(),
            json,
        },
        // kafka.envelope = "structured"
        Ok(Members {
            specversion: Some(_),
            data: Some(data),
            ..
        }) => letter(data.get().as_bytes()),
        Ok(_) => Text::Unreadable("no deadLetterId".to_owned()),
        Err(error) => Text::Unreadable(reason(&error)),
    }
}

/// The words of `serde_json` quote the values that they do not like; place and kind are enough.
fn reason(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "not of the shape of a dead letter",
        _ => "not JSON",
    };
    format!("{kind} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Text<'_> {
        Text::Letter {
            id: "l-1".to_owned(),
            json: json.as_bytes(),
        }
    }

    #[test]
    fn a_letter_is_found_alone_on_a_line_of_a_run_and_in_a_cloud_event() {
        let letter = r#"{"deadLetterId":"l-1","x":1.50}"#;
        let wrapped = format!(r#"{{"kind":"dead_letter","sequence":3,"key":null,"record":{letter}}}"#);
        let event = format!(r#"{{"specversion":"1.0","id":"l-1","data":{letter}}}"#);
        for text in [letter, &wrapped, &event] {
            assert_eq!(read(text.as_bytes()), found(letter), "{text}");
        }
    }

    #[test]
    fn another_record_is_passed_over_and_what_is_none_is_told_without_being_quoted() {
        assert_eq!(
            read(br#"{"kind":"event","sequence":1,"key":"k","record":{}}"#),
            Text::Other
        );
        for (text, reason) in [
            (&b"{\"secret"[..], "not JSON at column 8"),
            (b"{\"a\":1}", "no deadLetterId"),
            (b"7", "not of the shape of a dead letter at column 1"),
            (
                b"{\"deadLetterId\":7}",
                "not of the shape of a dead letter at column 17",
            ),
            (b"\xff", "not JSON at column 1"),
            (br#"{"kind":"dead_letter","record":{}}"#, "no deadLetterId"),
        ] {
            assert_eq!(read(text), Text::Unreadable(reason.to_owned()));
        }
    }
}
