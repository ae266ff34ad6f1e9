//! The topics of a channel that are refused, and what of them is news.
//!
//! Responsible for one name for what is refused alike: the topics of followed conversations come and go with these, so they
//! stand under their kind, with `{id}` for the conversation. Refuses to warn of the same twice. Invariant: what is bounded
//! here is the warnings; what is refused is known whole.

use std::collections::BTreeSet;

use super::platform::Rejected;
use crate::topic::Topic;
use crate::topic::combined::expand;

/// Most refusals of conversations' topics that are remembered as told; those beyond are told to developers alone.
///
/// # Source
/// Chosen: three reasons for each of the 21 kinds of topics that a conversation may have.
const MAX_TOLD: usize = 64;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    present: BTreeSet<Rejected>,
    /// Of kinds, which are refused again with the next conversation.
    told: BTreeSet<Rejected>,
}

impl Refusals {
    /// Takes what is refused now, and warns of what is new; `None` where it is what was refused before.
    pub(super) fn replace(&mut self, rejected: Vec<Rejected>) -> Option<&BTreeSet<Rejected>> {
        let present: BTreeSet<Rejected> = rejected.into_iter().flat_map(alike).collect();
        if present == self.present {
            return None;
        }
        for one in present.difference(&self.present) {
            if self.is_news(one) {
                tracing::warn!(topic = one.topic, reason = one.reason, "topic rejected");
            } else {
                tracing::debug!(topic = one.topic, reason = one.reason, "topic rejected");
            }
        }
        for one in present.iter().filter(|one| is_kind(one)) {
            if self.told.len() < MAX_TOLD {
                self.told.insert(one.clone());
            }
        }
        self.present = present;
        Some(&self.present)
    }

    fn is_news(&self, one: &Rejected) -> bool {
        !is_kind(one) || (self.told.len() < MAX_TOLD && !self.told.contains(one))
    }
}

fn is_kind(rejected: &Rejected) -> bool {
    rejected.topic.contains("{id}")
}

/// Puts `{id}` in place of a conversation's id, in each topic that a combined one stands for.
fn alike(rejected: Rejected) -> Vec<Rejected> {
    if Topic::parse(&rejected.topic).conversation_id.is_none() {
        return vec![rejected];
    }
    let kinds = expand(&rejected.topic).into_iter().map(|topic| {
        let mut kind = String::new();
        Topic::parse(&topic).write_event_type(&mut kind);
        kind
    });
    let reason = &rejected.reason;
    kinds
        .map(|topic| Rejected {
            topic,
            reason: reason.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOLD, Refusals};
    use crate::session::notifications::platform::Rejected;

    fn rejected(topic: &str, reason: &str) -> Rejected {
        Rejected {
            topic: topic.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn detail(conversation: &str, kind: &str) -> Rejected {
        rejected(
            &format!("v2.detail.events.conversation.{conversation}.{kind}"),
            "missing permission a:b:view",
        )
    }

    fn topics(refusals: &mut Refusals, rejected: Vec<Rejected>) -> Option<Vec<String>> {
        let present = refusals.replace(rejected)?;
        Some(present.iter().map(|one| one.topic.clone()).collect())
    }

    #[test]
    fn topics_of_one_kind_are_one_whatever_the_conversation_and_all_others_are_each_their_own() {
        let mut refusals = Refusals::default();
        let acw = "v2.detail.events.conversation.{id}.acw".to_owned();
        let first = vec![detail("c1", "acw"), detail("c2", "acw")];
        assert_eq!(topics(&mut refusals, first), Some(vec![acw.clone()]));
        assert_eq!(topics(&mut refusals, vec![detail("c3", "acw")]), None);
        let combined = rejected(
            "v2.detail.events.conversation.c4?acw",
            "missing permission a:b:view",
        );
        assert_eq!(topics(&mut refusals, vec![combined]), None);
        let users = ["v2.users.u1.presence", "v2.users.u2.presence"];
        let more = vec![
            detail("c3", "acw"),
            rejected(users[1], "no"),
            rejected(users[0], "no"),
        ];
        assert_eq!(
            topics(&mut refusals, more),
            Some(vec![acw, users[0].to_owned(), users[1].to_owned()])
        );
        assert_eq!(topics(&mut refusals, Vec::new()), Some(Vec::new()));
        assert_eq!(topics(&mut refusals, Vec::new()), None);
    }

    #[test]
    fn a_kind_is_news_once_and_a_topic_each_time_that_it_is_refused_anew() {
        let mut refusals = Refusals::default();
        let (kind, user) = (
            rejected("v2.a.{id}.b", "no"),
            rejected("v2.users.u1.presence", "no"),
        );
        assert!(refusals.is_news(&kind) && refusals.is_news(&user));
        for _ in 0..2 {
            refusals.replace(vec![kind.clone(), user.clone()]);
            refusals.replace(Vec::new());
            assert!(!refusals.is_news(&kind) && refusals.is_news(&user));
        }
        assert!(refusals.is_news(&rejected("v2.a.{id}.b", "another reason")));
        for number in 0..2 * MAX_TOLD {
            refusals.replace(vec![rejected("v2.a.{id}.b", &number.to_string())]);
        }
        assert_eq!(refusals.told.len(), MAX_TOLD);
        assert!(!refusals.is_news(&rejected("v2.a.{id}.b", "one more")));
    }
}
