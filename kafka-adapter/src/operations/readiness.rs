//! Whether events flow from the source to the destination at present, and if not, why.
//!
//! Responsible for the rules and for the words of the answer. Refuses to guess: a source whose statistics do not say
//! whether it is subscribed is not held to be unready for it. Invariant: ready means that there is no reason.

use serde::Serialize;
use serde_json::Value;

/// Longest reason, in bytes; a destination's words may be longer.
const REASON_BYTES: usize = 512;
/// Longest word of a source's state, in bytes; anything else is not repeated.
const STATE_BYTES: usize = 32;

/// Which part of the way is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The source is not connected and subscribed.
    Source,
    /// The destination takes nothing.
    Sink,
    /// Records have waited for too long.
    Lag,
    /// The run has not begun, is ending, or stands still.
    Run,
}

/// Why a run is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which part.
    pub part: Part,
    /// In words.
    pub reason: String,
}

impl Reason {
    /// Cuts the words where they are too long.
    #[must_use]
    pub fn new(part: Part, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        Self { part, reason }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether there is no reason.
    pub ready: bool,
    /// Every reason.
    pub reasons: Vec<Reason>,
}

impl From<Vec<Reason>> for Readiness {
    fn from(reasons: Vec<Reason>) -> Self {
        Self {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

/// Why the source is not ready, by its statistics as `esp_stats` gives them; `None` if they could not be read.
pub(super) fn of_source(stats: Option<&Value>) -> Option<Reason> {
    let Some(stats) = stats else {
        return Some(Reason::new(Part::Source, "its statistics cannot be read"));
    };
    if stats.pointer("/session/subscribed") != Some(&Value::Bool(false)) {
        return None;
    }
    let is_word = |text: &&str| {
        (1..=STATE_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let state = stats.get("state").and_then(Value::as_str).filter(is_word);
    let reason = state.map_or_else(
        || "not subscribed".to_owned(),
        |state| format!("not subscribed: {state}"),
    );
    Some(Reason::new(Part::Source, reason))
}

/// Why the lag is too long, if it is.
///
/// # Units
/// `lag_ms`: age of the oldest unresolved record, in milliseconds; `max_lag_ms`: its limit, 0 for none.
pub(super) fn of_lag(lag_ms: Option<u64>, max_lag_ms: u64) -> Option<Reason> {
    let lag_ms = lag_ms.filter(|lag_ms| max_lag_ms > 0 && *lag_ms > max_lag_ms)?;
    Some(Reason::new(
        Part::Lag,
        format!("the oldest unresolved record is {lag_ms} ms old, over operations.max_lag_ms = {max_lag_ms}"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(reason: Option<Reason>) -> Option<String> {
        reason.map(|reason| reason.reason)
    }

    #[test]
    fn a_source_is_held_unready_only_if_it_says_so() {
        for stats in [
            json!({}),
            json!({"state": "connecting"}),
            json!({"session": {"subscribed": null}}),
            json!({"session": {"subscribed": true}, "state": "stalled"}),
            json!([]),
        ] {
            assert_eq!(of_source(Some(&stats)), None, "{stats}");
        }
        let subscribed = json!({"subscribed": false});
        for (state, expected) in [
            (json!("connecting"), "not subscribed: connecting"),
            // what is no plain word is not repeated
            (json!("wss://host/path?token=x"), "not subscribed"),
            (json!("a".repeat(33)), "not subscribed"),
            (json!(""), "not subscribed"),
            (json!(3), "not subscribed"),
        ] {
            let stats = json!({"session": subscribed, "state": state});
            assert_eq!(words(of_source(Some(&stats))).as_deref(), Some(expected));
        }
        assert_eq!(
            words(of_source(None)).as_deref(),
            Some("its statistics cannot be read")
        );
    }

    #[test]
    fn a_lag_counts_beyond_its_limit_if_there_is_one() {
        assert_eq!(of_lag(None, 5), None);
        assert_eq!(of_lag(Some(5), 5), None);
        assert_eq!(of_lag(Some(u64::MAX), 0), None);
        assert_eq!(
            words(of_lag(Some(6), 5)).as_deref(),
            Some("the oldest unresolved record is 6 ms old, over operations.max_lag_ms = 5")
        );
    }

    #[test]
    fn the_answer_is_json_with_each_reason() {
        let ready = Readiness::from(Vec::new());
        assert_eq!(
            serde_json::to_value(&ready).unwrap(),
            json!({"ready": true, "reasons": []})
        );
        let reasons = vec![
            Reason::new(Part::Sink, "ä".repeat(REASON_BYTES)),
            Reason::new(Part::Run, "draining"),
        ];
        assert_eq!(
            serde_json::to_value(Readiness::from(reasons)).unwrap(),
            json!({"ready": false, "reasons": [
                {"part": "sink", "reason": "ä".repeat(REASON_BYTES / 2)}, {"part": "run", "reason": "draining"},
            ]})
        );
    }
}
