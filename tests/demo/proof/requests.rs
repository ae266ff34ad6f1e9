//! What only requests can show: ids, signatures, answers, and that a conversation's events never travel side by side.

use std::collections::HashSet;

use super::Comparison;
use crate::evidence::{Evidence, Request};
use crate::scenario::{AGAIN, MAX_IN_FLIGHT, REFUSAL};

pub(super) const MADE: &str = "requests received";
pub(super) const AGAIN_COUNTED: &str = "requests made again";
pub(super) const NAMED: &str = "requests that carry their event's id";
pub(super) const SIGNED: &str = "requests whose signature is verified";
pub(super) const BESIDE: &str = "requests beside one of their own conversation";
pub(super) const AT_ONCE: &str = "requests beyond those allowed at once";
pub(super) const UNACCEPTED: &str = "`processed` audits without an accepted request";
pub(super) const REFUSED: &str = "refused events kept as dead letters";

/// Stands for a number that is not known.
const UNKNOWN: i64 = -1;

/// Refused events that a dead letter holds whole, with the answer as its reason; one dead letter counts once.
pub(super) fn refused_and_kept(evidence: &Evidence) -> usize {
    let answered = format!(" answered {REFUSAL}");
    let letters = evidence.dead_letters.records.iter();
    let mut kept: HashSet<(&str, String)> = letters
        .filter(|letter| letter.reason.ends_with(&answered))
        .filter_map(|letter| {
            let event = serde_json::from_str(letter.text.as_deref()?).ok()?;
            Some((letter.id.as_str(), crate::evidence::identity_of(&event)))
        })
        .collect();
    let refused = evidence.requests.refused();
    refused
        .filter(|request| kept.remove(&(request.id.as_str(), request.identity.clone())))
        .count()
}

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    let all = &evidence.requests.all;
    let count = |judge: fn(&Request) -> bool| all.iter().filter(|request| judge(request)).count();
    let refused = count(Request::is_refused);
    let counts = evidence.summary.as_ref().map(|summary| &summary.counts);
    let stated = |name: &str| counts.and_then(|counts| i64::try_from(*counts.get(name)?).ok());
    let (delivered, resent) = (stated("events"), stated("resent"));
    let accepted: HashSet<&str> = evidence
        .events
        .records
        .iter()
        .map(|event| event.event_id.as_str())
        .collect();
    let unaccepted = evidence.audits.records.iter().filter(|audit| {
        audit.status == "processed" && audit.event_id.as_deref().is_none_or(|id| !accepted.contains(id))
    });
    let [(unavailable, _), (too_many, retry_after)] = AGAIN;
    vec![
        Comparison::new(
            MADE,
            all.len(),
            delivered
                .zip(resent)
                .map_or(UNKNOWN, |(events, resent)| events + resent),
            "events delivered and records sent again, by the adapter's count",
        ),
        Comparison::new(
            AGAIN_COUNTED,
            // the adapter counts what became a dead letter as sent again, too
            resent
                .zip(stated("refused"))
                .map_or(UNKNOWN, |(resent, refused)| resent - refused),
            count(Request::is_for_later),
            format!("requests answered {unavailable}, or {too_many}{retry_after}"),
        ),
        Comparison::new(
            NAMED,
            count(|request| request.one_id),
            all.len(),
            "requests, by webhook-id, CloudEvents id and eventId",
        ),
        Comparison::new(
            SIGNED,
            count(|request| request.signed),
            all.len(),
            "requests, by HMAC-SHA256 computed a second time",
        ),
        Comparison::new(BESIDE, count(|request| request.beside_its_key), 0_u64, ""),
        Comparison::new(
            AT_ONCE,
            evidence.requests.most_at_once.saturating_sub(MAX_IN_FLIGHT),
            0_u64,
            format!("{} at once were the most", evidence.requests.most_at_once),
        ),
        Comparison::new(UNACCEPTED, unaccepted.count(), 0_u64, ""),
        Comparison::new(
            REFUSED,
            refused_and_kept(evidence),
            refused,
            format!("events answered {REFUSAL}"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken_of;
    use super::super::{audit, dead_letters, events};
    use super::*;
    use crate::sink::Sink;

    fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        broken_of(Sink::Webhook, change)
    }

    #[test]
    fn a_request_unsigned_misnamed_or_beside_its_conversation_is_seen() {
        assert_eq!(
            broken(|evidence| evidence.requests.all[3].signed = false),
            [SIGNED]
        );
        assert_eq!(
            broken(|evidence| evidence.requests.all[3].one_id = false),
            [NAMED]
        );
        assert_eq!(
            broken(|evidence| evidence.requests.all[3].beside_its_key = true),
            [BESIDE]
        );
        assert_eq!(
            broken(|evidence| evidence.requests.most_at_once = MAX_IN_FLIGHT + 1),
            [AT_ONCE]
        );
    }

    #[test]
    fn a_request_that_the_adapter_does_not_count_is_seen() {
        let broken = broken(|evidence| {
            let again = evidence.requests.all[1].clone();
            evidence.requests.all.push(again);
        });
        assert_eq!(broken, [MADE]);
    }

    #[test]
    fn a_failed_request_that_was_never_repeated_is_seen() {
        let broken = broken(|evidence| {
            let counts = &mut evidence.summary.as_mut().unwrap().counts;
            *counts.get_mut("resent").unwrap() -= 1;
        });
        assert_eq!(broken, [MADE, AGAIN_COUNTED]);
    }

    #[test]
    fn a_processed_audit_of_an_event_that_was_refused_is_seen() {
        let broken = broken(|evidence| {
            let refused = evidence.requests.refused().next().unwrap().id.clone();
            evidence.audits.records[1].event_id = Some(refused);
        });
        assert_eq!(broken, [UNACCEPTED, audit::PROCESSED]);
    }

    #[test]
    fn a_refused_event_without_its_dead_letter_is_seen() {
        let lost = broken(|evidence| {
            evidence.dead_letters.records.pop();
            evidence.dead_letters.total -= 1;
        });
        assert!(lost.contains(&REFUSED), "{lost:?}");
        let cut = broken(|evidence| {
            evidence.dead_letters.records.last_mut().unwrap().text = Some("{}".to_owned());
        });
        assert!(
            cut.contains(&REFUSED) && cut.contains(&dead_letters::SURPLUS),
            "{cut:?}"
        );
        let unexplained = broken(|evidence| {
            evidence.dead_letters.records.last_mut().unwrap().reason = "given up".to_owned();
        });
        assert!(unexplained.contains(&REFUSED), "{unexplained:?}");
    }

    #[test]
    fn an_event_whose_only_answer_was_a_refusal_is_missing_if_it_was_none() {
        let broken = broken(|evidence| {
            let refused = evidence
                .requests
                .all
                .iter_mut()
                .find(|request| request.is_refused());
            refused.unwrap().status = Some(200);
        });
        assert!(broken.contains(&events::ONCE), "{broken:?}");
    }
}
