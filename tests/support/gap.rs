//! One interval in which the source did not listen, as its two control records tell it.
//!
//! Responsible for the question what lies inside. Refuses to read records, which come in more than one form. Invariant: a
//! gap that is not closed has no end.

/// A gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: String,
    /// The topics concerned.
    pub topics: Vec<String>,
    /// Topics more that its record does not name.
    pub topics_omitted: usize,
    /// How the loss was seen; empty where that was not asked for.
    pub kind: String,
    /// The close code of the socket, where there was one and it was asked for.
    pub close_code: Option<u16>,
    /// Its start, in microseconds since 1970.
    pub from_us: i64,
    /// Its end, once it is closed.
    pub to_us: Option<i64>,
}

impl Gap {
    /// Says whether its end is known.
    pub fn is_closed(&self) -> bool {
        self.to_us.is_some()
    }

    /// Says whether a moment lies inside it; where a topic is given, whether the gap names it, too.
    pub fn covers(&self, topic: Option<&str>, at_us: i64) -> bool {
        topic.is_none_or(|topic| self.topics.iter().any(|concerned| concerned == topic))
            && self.from_us <= at_us
            && self.to_us.is_none_or(|to_us| at_us <= to_us)
    }
}
