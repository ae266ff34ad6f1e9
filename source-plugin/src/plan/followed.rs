//! Conversations that are followed with topics of their own, from their first snapshot to some time after their end.
//!
//! Responsible for who is followed and for how long. Refuses more conversations than there is room for: one that has ended
//! gives way, else the new one is left out and counted. Invariant: never more than the bound; time only comes in.
//!
//! By construction the first events of a conversation are missed: its id is known from a snapshot only, and by then its
//! `customer.start` has passed.

use std::collections::{BTreeSet, HashMap};

use super::Plan;
use super::sighting::Standing;
use crate::config::{Kind, Scope, Wishes};
use crate::topic::combined::combine;

/// Kinds of analytics detail events by conversation.
///
/// # Source
/// `notificationMappings.json` of the vendor's SDKs.
const DETAIL_KINDS: [&str; 16] = [
    "acd.end",
    "acd.start",
    "acw",
    "attributes",
    "contact",
    "customer.end",
    "customer.start",
    "flow.end",
    "flow.outcome",
    "flow.start",
    "outbound",
    "user.end",
    "user.start",
    "voicemail.end",
    "voicemail.start",
    "wrapup",
];

/// How long a conversation is followed of which nothing is seen, in milliseconds: its end may have passed unseen.
///
/// # Source
/// Chosen: an e-mail may lie over night.
const IDLE_MS: i64 = 24 * 3_600_000;

/// How far the note of the last sight may lag, in milliseconds, so that a frame seldom moves it.
const SIGHT_LAG_MS: i64 = 60_000;

/// An id that is as long as those of the platform, to count topics with.
const SOME_ID: &str = "00000000-0000-0000-0000-000000000000";

/// What a sight of a conversation has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// No topic.
    Unchanged,
    /// The conversation is followed from now on; one that had ended may have given way.
    Added,
    /// There is no room for it.
    LeftOut,
}

#[derive(Clone, Copy, Debug)]
struct Conversation {
    seen_ms: i64,
    ended_ms: Option<i64>,
}

/// The conversations that are followed.
#[derive(Debug)]
pub struct Followed {
    most: usize,
    kinds: BTreeSet<Kind>,
    details: bool,
    /// How long a conversation is followed after its end, in milliseconds.
    linger_ms: i64,
    conversations: HashMap<String, Conversation>,
    /// By the time of the end, the oldest first.
    ended: BTreeSet<(i64, String)>,
    /// By the time of the last sight, the oldest first; those that have not ended.
    open: BTreeSet<(i64, String)>,
    left_out: u64,
}

impl Followed {
    /// Starts without a conversation; `plan` says how many topics are left for them.
    #[must_use]
    pub fn new(wishes: &Wishes, plan: &Plan) -> Self {
        let mut followed = Self {
            most: 0,
            kinds: wishes.kinds.clone(),
            details: wishes.detail_events,
            linger_ms: i64::try_from(wishes.follow_after_end.as_millis()).unwrap_or(i64::MAX),
            conversations: HashMap::new(),
            ended: BTreeSet::new(),
            open: BTreeSet::new(),
            left_out: 0,
        };
        followed.bound(plan);
        followed
    }

    /// Takes the room that another plan leaves; who is followed stays so, beyond it as well, until the end.
    pub fn bound(&mut self, plan: &Plan) {
        let each = self.topics_of(SOME_ID).len();
        self.most = plan.room().checked_div(each).unwrap_or(0);
    }

    /// Most conversations at a time.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Topics of one conversation.
    #[must_use]
    pub fn topics_of(&self, conversation_id: &str) -> Vec<String> {
        let details = DETAIL_KINDS.iter().filter(|_| self.details);
        let details = details.map(|kind| format!("v2.detail.events.conversation.{conversation_id}.{kind}"));
        let others = self
            .kinds
            .iter()
            .filter(|kind| kind.scope() == Scope::Conversation);
        let others = others.flat_map(|kind| kind.topics());
        let others = others.map(|(prefix, suffix)| format!("{prefix}.{conversation_id}.{suffix}"));
        let names: Vec<String> = details.chain(others).collect();
        combine(names.iter().map(String::as_str))
    }

    /// Takes note of a conversation that was seen at `now_ms`, of a clock that is never set.
    pub fn seen(&mut self, conversation_id: &str, standing: Standing, now_ms: i64) -> Follow {
        if let Some(known) = self.conversations.get_mut(conversation_id) {
            let before = *known;
            known.ended_ms = match standing {
                Standing::Open => None,
                Standing::Ended => before.ended_ms.or(Some(now_ms)),
                Standing::Unsaid => before.ended_ms,
            };
            if now_ms - before.seen_ms >= SIGHT_LAG_MS {
                known.seen_ms = now_ms;
            }
            let after = *known;
            if (before.seen_ms, before.ended_ms) != (after.seen_ms, after.ended_ms) {
                self.unfile(conversation_id, before);
                self.file(conversation_id, after);
            }
            return Follow::Unchanged;
        }
        if standing != Standing::Open {
            return Follow::Unchanged;
        }
        while self.conversations.len() >= self.most {
            // the one that ended first gives way
            let Some((_, id)) = self.ended.pop_first() else {
                self.left_out += 1;
                return Follow::LeftOut;
            };
            self.conversations.remove(&id);
        }
        let conversation = Conversation {
            seen_ms: now_ms,
            ended_ms: None,
        };
        self.conversations
            .insert(conversation_id.to_owned(), conversation);
        self.file(conversation_id, conversation);
        Follow::Added
    }

    /// Lets go of what has ended some time ago and of what was not seen for long; returns how many.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.conversations.len();
        for (by_time, after_ms) in [(&mut self.ended, self.linger_ms), (&mut self.open, IDLE_MS)] {
            while let Some((_, id)) = by_time.first().filter(|(at_ms, _)| now_ms - at_ms >= after_ms) {
                self.conversations.remove(id);
                by_time.pop_first();
            }
        }
        before - self.conversations.len()
    }

    /// Topics of every conversation that is followed, sorted.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<String> {
        let ids = self.conversations.keys();
        ids.flat_map(|id| self.topics_of(id)).collect()
    }

    /// Conversations that are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.conversations.len()
    }

    /// Says whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conversations.is_empty()
    }

    /// Snapshots of conversations, since the start, that found no room.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn file(&mut self, id: &str, conversation: Conversation) {
        match conversation.ended_ms {
            Some(ended_ms) => self.ended.insert((ended_ms, id.to_owned())),
            None => self.open.insert((conversation.seen_ms, id.to_owned())),
        };
    }

    fn unfile(&mut self, id: &str, conversation: Conversation) {
        match conversation.ended_ms {
            Some(ended_ms) => self.ended.remove(&(ended_ms, id.to_owned())),
            None => self.open.remove(&(conversation.seen_ms, id.to_owned())),
        };
    }
}

#[cfg(test)]
mod tests;
