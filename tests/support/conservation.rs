//! The laws of conservation in the summary of a run, demanded of every adapter that ends under a test.
//!
//! Responsible for reading them out of standard error. Refuses to excuse a law that is unknown: the plugin of the tests
//! exports all of them. Invariant: a process without a summary (killed, another command, a start that failed) owes nothing.

use serde_json::{Value, json};

/// What a summary must say.
fn whole() -> Value {
    json!({"frames": 0, "records": 0, "adapter": 0})
}

/// The laws that the last summary among the lines shows; `None` without a summary.
fn laws<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<Value> {
    let summary = lines.rev().find_map(|line| line.strip_prefix("summary "))?;
    let mut summary: Value = serde_json::from_str(summary).ok()?;
    Some(summary["laws"].take())
}

/// Demands of these lines of standard error that each law of the run is 0.
///
/// # Panics
/// If one is not, or is unknown.
pub fn demand<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) {
    if let Some(laws) = laws(lines) {
        assert_eq!(laws, whole(), "a law of conservation is broken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_summary_owes_nothing() {
        demand(["INFO run opened", "genesys-kafka: no broker", "summary of it"].into_iter());
    }

    #[test]
    fn the_last_summary_with_every_law_at_0_is_whole() {
        let broken = r#"summary {"laws":{"frames":1,"records":0,"adapter":0}}"#;
        let whole = r#"summary {"laws":{"frames":0,"records":0,"adapter":0},"pulled":3}"#;
        demand([broken, whole, "WARN source did not close in time"].into_iter());
    }

    #[test]
    fn each_law_that_is_not_0_or_unknown_is_found() {
        for laws in [
            r#"{"frames":1,"records":0,"adapter":0}"#,
            r#"{"frames":0,"records":-1,"adapter":0}"#,
            r#"{"frames":0,"records":0,"adapter":2}"#,
            r#"{"frames":null,"records":0,"adapter":0}"#,
            r#"{"frames":0,"records":0}"#,
            "null",
        ] {
            let line = format!("summary {{\"laws\":{laws}}}");
            let found = std::panic::catch_unwind(|| demand([line.as_str()].into_iter()));
            assert!(found.is_err(), "{laws} passed");
        }
    }
}
