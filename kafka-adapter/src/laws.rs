//! The three laws of conservation, read at one moment.
//!
//! Responsible for reading the two of the source, and for whether all hold. Refuses to take a law that a source does not
//! export for one that holds: it is unknown, and printed as that. Invariant: a law that is known and not 0 is broken.

use std::fmt;

use serde_json::Value;

use crate::pipeline::{Counters, Measure};

/// The laws; each must be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laws {
    /// Frames received minus those with an outcome; `None` if the source exports no such number.
    pub frames: Option<i64>,
    /// Records of the source minus those that it can account for; `None` if the source exports no such number.
    pub records: Option<i64>,
    /// Records pulled minus those resolved and those in flight.
    pub adapter: i64,
}

impl Laws {
    /// Reads the laws from one reading of the source and of the pipeline.
    #[must_use]
    pub fn read(stats: &Value, counters: &Counters, measure: &Measure) -> Self {
        let of_source = |path| stats.pointer(path).and_then(Value::as_i64);
        Self {
            frames: of_source("/frames/law"),
            records: of_source("/records/law"),
            adapter: counters.law(measure),
        }
    }

    /// Says whether no law is broken.
    #[must_use]
    pub fn hold(&self) -> bool {
        [self.frames, self.records, Some(self.adapter)]
            .into_iter()
            .flatten()
            .all(|law| law == 0)
    }
}

/// The laws by name, with an unknown one called that.
impl fmt::Display for Laws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, law) in [("frames", self.frames), ("records", self.records)] {
            match law {
                Some(law) => write!(f, "{name} {law}, ")?,
                None => write!(f, "{name} unknown, ")?,
            }
        }
        write!(f, "adapter {}", self.adapter)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_law_alone_is_broken_by_any_number_but_0() {
        let whole = Laws {
            frames: Some(0),
            records: Some(0),
            adapter: 0,
        };
        assert!(whole.hold());
        for law in [-1, 1, i64::MIN, i64::MAX] {
            let (frames, records) = (Some(law), Some(law));
            assert!(!Laws { frames, ..whole }.hold());
            assert!(!Laws { records, ..whole }.hold());
            assert!(
                !Laws {
                    adapter: law,
                    ..whole
                }
                .hold()
            );
        }
    }

    #[test]
    fn a_law_that_no_source_exports_is_unknown_and_hides_no_other() {
        let counters = Counters {
            pulled: 3,
            ..Counters::default()
        };
        let measure = Measure {
            in_flight: 2,
            ..Measure::default()
        };
        for stats in [
            json!(null),
            json!({"frames": {"law": "0"}, "records": {"law": 0.5}}),
        ] {
            let laws = Laws::read(&stats, &counters, &measure);
            assert_eq!(laws.to_string(), "frames unknown, records unknown, adapter 1");
            assert!(!laws.hold());
        }
        let exported = json!({"frames": {"law": 0}, "records": {"law": -4}});
        let laws = Laws::read(&exported, &Counters::default(), &Measure::default());
        assert_eq!(laws.to_string(), "frames 0, records -4, adapter 0");
        assert!(Laws::read(&json!({}), &Counters::default(), &Measure::default()).hold());
    }
}
