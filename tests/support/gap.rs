//! One interval in which the source did not listen, as its two control records tell it.
//!
//! Responsible for the question what lies inside. Refuses to read records, which come in more than one form. Invariant: a
//! gap that is not closed has no end.

/// A gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: String,
    /// The topics concerned.
    pub topics: Vec<String>,
    /// Its start, in microseconds since 1970.
    pub from_us: i64,
    /// Its end, once it is closed.
    pub to_us: Option<i64>,
}

impl Gap {
    /// Says whether a moment lies inside it; where a topic is given, whether the gap names it, too.
    pub fn covers(&self, topic: Option<&str>, at_us: i64) -> bool {
        topic.is_none_or(|topic| self.topics.iter().any(|concerned| concerned == topic))
            && self.from_us <= at_us
            && self.to_us.is_none_or(|to_us| at_us <= to_us)
    }
}
