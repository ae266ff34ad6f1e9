//! The rows about a webhook: its signing secrets, and whether it answers.
//!
//! Responsible for what an answer to a request that is no event says of one that would be. Refuses to send an event.
//! Invariant: whatever was answered, the webhook is there; a status alone is never a failure.

use super::OFFLINE;
use super::aside::Aside;
use super::clock;
use super::item::{Item, Subject};
use crate::config::Webhook;
use crate::exit::Exit;
use crate::sink::{Meaning, Probe, ProbeAnswer, ProbeError, WebhookError};

const SECRET: Subject = Subject::new("webhook.secret", "webhook secret");
/// The address of the webhook.
pub(super) const ENDPOINT: Subject = Subject::new("webhook.endpoint", "webhook");

const MEND: &str = "check that the receiver runs, webhook.url and the network between";
const MEND_SETTINGS: &str = "check [webhook]";

/// A webhook that is being asked.
#[derive(Debug)]
pub(super) struct Receiver {
    secret: Item,
    shown: String,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Not(Item),
    Begun(Aside<Result<ProbeAnswer, ProbeError>>),
}

impl Receiver {
    /// Reads the secrets and begins to ask.
    pub(super) fn begin(webhook: &Webhook, offline: bool) -> Self {
        Self {
            secret: secret(webhook),
            shown: webhook.target.to_string(),
            asked: match Probe::try_new(webhook) {
                Err(error) => Asked::Not(unusable(ENDPOINT, &error)),
                Ok(_) if offline => Asked::Not(ENDPOINT.skipped(OFFLINE)),
                Ok(probe) => Asked::Begun(Aside::begin("check-webhook", probe.within(), move |answer| {
                    // nobody waits any more if it took too long
                    answer.send(probe.ask()).ok();
                })),
            },
        }
    }

    /// The rows, and how far the receiver's clock is ahead, in milliseconds.
    pub(super) fn items(self) -> (Vec<Item>, Option<i64>) {
        let (endpoint, skew_ms) = match self.asked {
            Asked::Not(item) => (item, None),
            Asked::Begun(aside) => match aside.wait() {
                Ok(Ok(answer)) => {
                    let skew = |date_s| clock::skew_ms(date_s, answer.sent_ms, answer.answered_ms);
                    (answered(&self.shown, &answer), answer.date_s.map(skew))
                }
                Ok(Err(error)) => (unanswered(&error), None),
                Err(missed) => {
                    let detail = format!("{}: {missed}", self.shown);
                    (ENDPOINT.fails(Exit::Unavailable, detail, MEND), None)
                }
            },
        };
        (vec![self.secret, endpoint], skew_ms)
    }
}

fn secret(webhook: &Webhook) -> Item {
    match Probe::secrets(webhook) {
        Ok(0) => SECRET.holds("none, requests are not signed"),
        Ok(1) => SECRET.holds("well formed, requests are signed"),
        Ok(number) => SECRET.holds(format!("{number} well formed, requests are signed with each")),
        Err(error) => unusable(SECRET, &error),
    }
}

fn unusable(subject: Subject, error: &WebhookError) -> Item {
    subject.fails_as(Exit::Config, &error.to_string(), MEND_SETTINGS)
}

/// What an answer to HEAD or OPTIONS says; a receiver is free to answer a POST otherwise.
fn answered(shown: &str, answer: &ProbeAnswer) -> Item {
    let said = format!("{shown} answers {} to {}", answer.status, answer.method);
    let (held, mend) = match answer.meaning {
        // a receiver that takes POST alone, or wants the body that this request has not
        _ if matches!(answer.status, 405 | 501) => return ENDPOINT.holds(said),
        None | Some(Meaning::RefusedAlone) => return ENDPOINT.holds(said),
        Some(Meaning::Later { .. }) => (
            "events would be tried again until it takes them",
            "look why the receiver does not take requests at present",
        ),
        Some(_) => (
            "events would be held",
            "check the path of webhook.url, and that the receiver takes POST there without further headers",
        ),
    };
    ENDPOINT.warns(
        format!("{said}; a POST may be answered otherwise, if not, {held}"),
        mend,
    )
}

fn unanswered(error: &ProbeError) -> Item {
    let exit = if error.is_retryable() {
        Exit::Unavailable
    } else {
        Exit::Config
    };
    let otherwise = if error.is_retryable() {
        MEND
    } else {
        "check webhook.url, webhook.ca_file and the receiver's certificate"
    };
    ENDPOINT.fails_as(exit, &error.to_string(), otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: u16, meaning: Option<Meaning>) -> Item {
        answered(
            "https://hooks.example",
            &ProbeAnswer {
                method: "HEAD",
                status,
                meaning,
                date_s: None,
                sent_ms: 0,
                answered_ms: 0,
            },
        )
    }

    #[test]
    fn a_status_is_never_a_failure() {
        let later = Some(Meaning::Later { pause_ms: 0 });
        for (status, meaning, word) in [
            (204, None, "ok"),
            (405, Some(Meaning::Shut), "ok"),
            (501, later, "ok"),
            (400, Some(Meaning::RefusedAlone), "ok"),
            (404, Some(Meaning::Shut), "warning"),
            (301, Some(Meaning::Shut), "warning"),
            (503, later, "warning"),
        ] {
            let item = row(status, meaning);
            assert_eq!(item.outcome.word(), word, "{status}");
            assert!(
                item.detail
                    .starts_with(&format!("https://hooks.example answers {status} to HEAD"))
            );
        }
    }
}
