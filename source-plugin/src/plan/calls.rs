//! Which REST calls a plan takes, for people who want to know before they run it.
//!
//! Responsible for counting. Refuses to make a call. Invariant: what it counts is what a session that follows
//! [`super::reads()`] and [`super::Spread`] does when nothing fails.

use std::time::Duration;

use super::{Directory, List, Plan, members, reads};
use crate::config::Wishes;

/// Entities on a page of a list.
///
/// # Source
/// Chosen: the documented limits of the lists differ, and no list is known to refuse 100.
pub const PAGE_SIZE: usize = 100;

/// Time between two rounds of topics for conversations that are followed, whatever the channels are.
const FOLLOW_WITHIN: Duration = Duration::from_secs(2);

/// Such time for each channel, any of which a round may have to tell: 150 calls a minute at most, half of what a token
/// has, so that a hand-over finds room for its own.
const FOLLOW_EACH: Duration = Duration::from_millis(400);

/// Calls of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Method.
    pub method: &'static str,
    /// Path, with `{id}` for an id.
    pub path: &'static str,
    /// How many of them.
    pub count: usize,
}

/// Calls that a plan takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// At a start, in order.
    pub start: Vec<Call>,
    /// At each refresh, in order; a change of topics takes one more for each channel that it touches.
    pub refresh: Vec<Call>,
}

impl Calls {
    /// Calls in a minute that the refreshes take on average.
    #[must_use]
    pub fn a_minute(&self, refresh: Duration) -> f64 {
        let count: usize = self.refresh.iter().map(|call| call.count).sum();
        let count = u32::try_from(count).map_or(f64::MAX, f64::from);
        count * 60.0 / refresh.as_secs_f64().max(f64::EPSILON)
    }
}

/// How long further conversations are waited for, so that one round of requests takes many.
#[must_use]
pub fn follow_within(channels: usize) -> Duration {
    let channels = u32::try_from(channels).unwrap_or(u32::MAX);
    FOLLOW_WITHIN.max(FOLLOW_EACH.saturating_mul(channels))
}

/// Counts the calls of a plan that was made from `directory`.
#[must_use]
pub fn calls(wishes: &Wishes, directory: &Directory, plan: &Plan) -> Calls {
    // a list that is empty takes a call as well
    let pages = |entities: usize| entities.div_ceil(PAGE_SIZE).max(1);
    let get = |path: &'static str, count: usize| Call {
        method: "GET",
        path,
        count,
    };
    let lists = reads(wishes).lists;
    let mut refresh: Vec<Call> = lists
        .into_iter()
        .map(|list: List| get(list.path(), pages(list.of(directory).len())))
        .collect();
    let whose = members(wishes, directory).unwrap_or_default();
    for (path, ids, members) in [
        (
            "/api/v2/routing/queues/{id}/members",
            whose.queues,
            &directory.queue_members,
        ),
        (
            "/api/v2/groups/{id}/members",
            whose.groups,
            &directory.group_members,
        ),
    ] {
        let count = ids
            .iter()
            .map(|id| pages(members.get(id).map_or(0, |members| members.len())));
        refresh.push(get(path, count.sum()));
    }
    refresh.retain(|call| call.count > 0);
    let mut start = refresh.clone();
    // the channels of the client that are there, against its limit of 20
    start.push(get("/api/v2/notifications/channels", 1));
    for (method, path) in [
        ("POST", "/api/v2/notifications/channels"),
        ("PUT", "/api/v2/notifications/channels/{id}/subscriptions"),
    ] {
        let count = plan.channels();
        start.push(Call { method, path, count });
    }
    Calls { start, refresh }
}

#[cfg(test)]
mod tests {
    use super::{Duration, follow_within};

    #[test]
    fn rounds_of_followed_conversations_take_no_more_than_half_of_the_calls() {
        for channels in 0..=20_u32 {
            let within = follow_within(channels as usize);
            assert!(within >= Duration::from_secs(2), "{channels}");
            let a_minute = f64::from(channels) * 60.0 / within.as_secs_f64();
            assert!(a_minute <= 150.0, "{channels} channels: {a_minute}");
        }
    }
}
