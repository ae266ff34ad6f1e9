//! A row of what a check over the network has found, as the report carries it.
//!
//! Responsible for the form alone. Refuses a failure without a mend. Invariant: ids are stable, since programs read them;
//! all else is for people.

use config_faults::Fault;
use plugin_abi::Status;
use serde::Serialize;

use crate::queue::Ending;

/// How a thing stands; spelled as in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Ok,
    /// It works, or may, and an operator should know.
    Warning,
    /// A source would fail, or lose what was asked for.
    Failed,
    /// Not examined; the detail says why.
    Skipped,
}

/// What is examined: a name for programs and one for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    id: &'static str,
    title: &'static str,
    outcome: Outcome,
    /// The key of the configuration that it is about.
    key: Option<String>,
    detail: String,
    mend: Option<String>,
    /// Of a failure: as a source would end.
    status: Option<Status>,
}

impl Subject {
    pub(crate) fn holds(self, detail: impl Into<String>) -> Row {
        self.row(Outcome::Ok, detail.into(), None)
    }

    pub(crate) fn skipped(self, why: impl Into<String>) -> Row {
        self.row(Outcome::Skipped, why.into(), None)
    }

    pub(crate) fn warns(self, detail: impl Into<String>, mend: impl Into<String>) -> Row {
        self.row(Outcome::Warning, detail.into(), Some(mend.into()))
    }

    pub(crate) fn fails(self, status: Status, detail: impl Into<String>, mend: impl Into<String>) -> Row {
        Row {
            status: Some(status),
            ..self.row(Outcome::Failed, detail.into(), Some(mend.into()))
        }
    }

    /// A failure with the message of an error, which ends with its mend behind the last semicolon; `otherwise` is the mend of
    /// those that have none.
    pub(crate) fn fails_as(self, ending: &Ending, otherwise: &str) -> Row {
        let (detail, mend) = split(&ending.message, otherwise);
        self.fails(ending.status, detail, mend)
    }

    /// The same as a warning.
    pub(crate) fn warns_as(self, message: &str, otherwise: &str) -> Row {
        let (detail, mend) = split(message, otherwise);
        self.warns(detail, mend)
    }

    /// A fault of the configuration.
    pub(crate) fn faulty(self, status: Status, fault: &Fault) -> Row {
        let nearest = fault
            .nearest
            .as_ref()
            .map(|nearest| format!("did you mean `{nearest}`?"));
        let mend: Vec<String> = nearest.into_iter().chain(fault.mend.clone()).collect();
        Row {
            key: Some(fault.path.clone()),
            ..self.fails(status, fault.message.clone(), mend.join(" "))
        }
    }

    fn row(self, outcome: Outcome, detail: String, mend: Option<String>) -> Row {
        Row {
            id: self.id,
            title: self.title,
            outcome,
            key: None,
            detail,
            mend,
            status: None,
        }
    }
}

impl Row {
    /// The failure, if it is one: as a fault, and as the ending of a source.
    pub(crate) fn failure(&self) -> Option<(Fault, Ending)> {
        let status = self.status?;
        let fault = Fault::new(self.key.clone().unwrap_or_default(), self.detail.clone());
        let fault = fault.with_mend(self.mend.clone().unwrap_or_default());
        let message = fault.to_string();
        let ending = Ending {
            status,
            code: 0,
            message,
        };
        Some((fault, ending))
    }
}

fn split<'a>(message: &'a str, otherwise: &'a str) -> (&'a str, &'a str) {
    message.rsplit_once("; ").unwrap_or((message, otherwise))
}

#[cfg(test)]
mod tests {
    use config_faults::Fault;
    use plugin_abi::status;

    use super::Subject;

    const PLAN: Subject = Subject {
        id: "plan",
        title: "plan",
    };

    #[test]
    fn a_row_is_written_with_all_its_members() {
        let json = |row| serde_json::to_string(&row).unwrap();
        assert_eq!(
            json(PLAN.holds("fine")),
            r#"{"id":"plan","title":"plan","outcome":"ok","key":null,"detail":"fine","mend":null,"status":null}"#
        );
        let fault = Fault::new("subscription.queues[0]", "no queue is called \"A\"")
            .with_nearest(Some("B".to_owned()))
            .with_mend("or its id");
        let row = PLAN.faulty(status::CONFIG, &fault);
        let (fault, ending) = row.failure().unwrap();
        let told = "subscription.queues[0]: no queue is called \"A\"; did you mean `B`? or its id";
        assert_eq!(
            (fault.to_string(), ending.message),
            (told.to_owned(), told.to_owned())
        );
        assert_eq!(
            json(row),
            r#"{"id":"plan","title":"plan","outcome":"failed","key":"subscription.queues[0]","detail":"no queue is called \"A\"","mend":"did you mean `B`? or its id","status":-2}"#
        );
        assert_eq!(PLAN.warns("a", "b").failure(), None);
    }
}
