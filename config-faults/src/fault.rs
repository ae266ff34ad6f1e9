//! One fault of a configuration, as a line for a person and as JSON across the C boundary.
//!
//! Responsible for the form alone: path, message, nearest word, mend. Refuses nothing; who builds a fault keeps
//! secrets out of it. Invariant: it displays as one line.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::join;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// Where it is, such as `delivery.max_in_flight_records` or `events[3]`; empty for the whole configuration.
    pub path: String,
    /// What is wrong, in lower case and without a full stop; never holds a secret.
    pub message: String,
    /// How to mend it, where the message does not say it already.
    #[serde(default)]
    pub mend: Option<String>,
    /// The known key or word nearest to the one that was written.
    #[serde(default)]
    pub nearest: Option<String>,
}

impl Fault {
    /// Builds a fault that has neither a mend nor a nearest word.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            mend: None,
            nearest: None,
        }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn with_mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Adds the nearest known word, if there is one.
    #[must_use]
    pub fn with_nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }

    /// Moves the fault below a path: `region` becomes `source.config.region`.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.path = join(prefix, &self.path);
        self
    }
}

impl fmt::Display for Fault {
    /// Writes one line: ``path: message; did you mean `x`? mend``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match (&self.nearest, &self.mend) {
            (Some(nearest), Some(mend)) => write!(f, "; did you mean `{nearest}`? {mend}"),
            (Some(nearest), None) => write!(f, "; did you mean `{nearest}`?"),
            (None, Some(mend)) => write!(f, "; {mend}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn a_fault_survives_json_and_may_leave_out_what_it_has_not() {
        let fault = Fault::new("a", "b").with_mend("c").with_nearest(Some("d".into()));
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        let short: Fault = serde_json::from_str(r#"{"path":"a","message":"b"}"#).unwrap();
        assert_eq!(short, Fault::new("a", "b"));
        assert_eq!(short.below("source.config").path, "source.config.a");
    }
}
