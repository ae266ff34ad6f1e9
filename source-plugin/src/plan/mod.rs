//! From what a user wrote to topics and channels.
//!
//! Responsible for names, topics, the quota and which conversations are followed; the session sends what comes out of it.
//! Refuses a name that does not exist. Pure: what the platform told comes in as a [`Directory`], time as a number.
//! Invariant: the same wishes and the same directory give the same plan, byte for byte.
//!
//! # What stands for the interactions of a queue
//! `v2.routing.queues.{id}.conversations`, one topic for each queue, and not `v2.users.{id}.conversations` of its members:
//! - both carry the same fields, so the members' topics would deliver each conversation once more for each agent in it, and
//!   snapshots have no identity by which that could be undone;
//! - a conversation that waits, is abandoned or is answered by a bot has no agent, and shows on the queue's topic alone;
//! - the members' topics would bring what has nothing to do with the queue: private and direct calls, other queues;
//! - a queue is one topic of a channel's 1,000, however many members it has.
//!
//! Users' topics are for users and groups that are named, and for what exists by user alone (presence, routing status, …):
//! for that a queue stands for its members, and joins and leaves change the plan at the next refresh.

mod calls;
mod directory;
mod followed;
mod pinned;
mod reads;
mod sighting;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use config_faults::Fault;

use crate::config::{Kind, Scope, Wishes};
use crate::topic::combined::{MAX_CHARACTERS, combine, expand};
pub use calls::{Call, Calls, PAGE_SIZE, calls, follow_within};
pub use directory::{Directory, Entity};
pub use followed::{Follow, Followed};
pub use pinned::pinned;
pub use reads::{List, Members, Reads, members, members_of_found, reads};
pub use sighting::{Sighting, Standing, sighting};
pub use spread::{Change, Changes, MAX_TOPICS, Spread};

/// Topics that a set of wishes stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every topic that is wanted, combined, each once: the most important first, sorted among equals. What comes behind
    /// [`Plan::capacity`] finds no room at a start.
    pub topics: Vec<String>,
    /// Most topics that the channels take.
    pub capacity: usize,
    /// Queues that the plan covers.
    pub queues: usize,
    /// Users that the plan covers, as named, as members of a group or of a queue.
    pub users: usize,
    /// Whether nothing was named, so that every queue is meant.
    pub every_queue: bool,
}

/// How important a topic is when there are too many: what was written as it stands, conversations, queues, users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Raw,
    Conversations,
    Queues,
    Users,
}

impl Plan {
    /// The topics that a start has room for.
    #[must_use]
    pub fn planned(&self) -> &[String] {
        self.topics.get(..self.capacity).unwrap_or(&self.topics)
    }

    /// The topics that are over the quota, the most important first.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        self.topics.get(self.capacity..).unwrap_or(&[])
    }

    /// Channels that a start opens.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.planned().len().div_ceil(MAX_TOPICS)
    }

    /// Topics that the channels still take, for conversations that are followed.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.topics.len())
    }
}

/// Plans the topics for what a user wrote.
///
/// # Errors
/// Names that are unknown or ambiguous, members that were not read, or nothing to subscribe to; at least one fault, none
/// retryable with the same directory.
pub fn plan(wishes: &Wishes, directory: &Directory) -> Result<Plan, Vec<Fault>> {
    match replan(wishes, directory) {
        (plan, faults) if faults.is_empty() => Ok(plan),
        (_, faults) => Err(faults),
    }
}

/// Plans what can be planned, for a source that runs: a queue that was deleted or renamed must not cost the others their
/// joins and leaves. Faults as [`plan`] has them.
#[must_use]
pub fn replan(wishes: &Wishes, directory: &Directory) -> (Plan, Vec<Fault>) {
    let mut faults = Vec::new();
    let chosen = reads::choose(wishes, directory, &mut faults);
    let users = chosen.users(directory, &mut faults);
    let members = if wishes.has(Scope::User) {
        chosen.members(directory, &mut faults)
    } else {
        BTreeSet::new()
    };

    let mut names: BTreeMap<String, Rank> = BTreeMap::new();
    let mut add = |name: String, rank: Rank| {
        let known = names.entry(name).or_insert(rank);
        *known = rank.min(*known);
    };
    for name in wishes.topics.iter().flat_map(|topic| expand(topic)) {
        add(name, Rank::Raw);
    }
    let conversations = wishes.kinds.contains(&Kind::Conversations);
    for (prefix, ids) in [
        ("v2.routing.queues", chosen.queue_ids()),
        ("v2.users", users.iter().copied().collect()),
    ] {
        for id in ids.into_iter().filter(|_| conversations) {
            if wishes.media.is_empty() {
                add(format!("{prefix}.{id}.conversations"), Rank::Conversations);
            }
            for medium in &wishes.media {
                let suffix = medium.suffix();
                add(
                    format!("{prefix}.{id}.conversations.{suffix}"),
                    Rank::Conversations,
                );
            }
        }
    }
    for kind in wishes.kinds.iter().filter(|kind| **kind != Kind::Conversations) {
        let (ids, rank): (Vec<&str>, Rank) = match kind.scope() {
            Scope::Queue => (chosen.queue_ids(), Rank::Queues),
            Scope::User => (users.union(&members).copied().collect(), Rank::Users),
            Scope::Conversation => continue,
        };
        for id in ids {
            for (prefix, suffix) in kind.topics() {
                add(format!("{prefix}.{id}.{suffix}"), rank);
            }
        }
    }
    for name in names.keys().filter(|name| name.chars().count() > MAX_CHARACTERS) {
        let said =
            format!("topic {name:?} has more than {MAX_CHARACTERS} characters, which no channel takes");
        faults.push(Fault::new("subscription", said).with_mend("leave out what it belongs to"));
    }
    let mut topics: Vec<(Rank, String)> = combine(names.keys().map(String::as_str))
        .into_iter()
        .map(|topic| {
            let ranks = expand(&topic)
                .into_iter()
                .filter_map(|name| names.get(&name).copied());
            (ranks.min().unwrap_or(Rank::Users), topic)
        })
        .collect();
    topics.sort();
    if topics.is_empty() && faults.is_empty() {
        let said = if wishes.every_queue() {
            "no queue is there that the OAuth client may read"
        } else {
            "what is named has no topic: it stands for no queue and no user"
        };
        let mend = "name something else, or grant the client's role the permission to view what is meant";
        faults.push(Fault::new("subscription", said).with_mend(mend));
    }
    let plan = Plan {
        topics: topics.into_iter().map(|(_, topic)| topic).collect(),
        capacity: wishes.max_channels * MAX_TOPICS,
        queues: chosen.queue_ids().len(),
        users: users.union(&members).count(),
        every_queue: wishes.every_queue(),
    };
    (plan, faults)
}

#[cfg(test)]
mod tests;
