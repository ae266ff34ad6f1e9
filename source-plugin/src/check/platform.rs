//! What the platform says of a plan before there is a channel: names, topics, permissions and the quota of channels.
//!
//! Responsible for the questions and for what their answers mean to a source. Refuses to make a channel and to subscribe.
//! Invariant: every question has come back, or is given up, at the deadline, and each gives at least one row.

use std::time::Duration;

use plugin_abi::status;
use tokio::time::{Instant, timeout_at};

use super::permission::{self, SOME_ID};
use super::row::{Row, Subject};
use super::{ending, late};
use crate::config::Wishes;
use crate::lookup;
use crate::plan::{Directory, Followed, Plan, plan};
use crate::rest::{AvailableTopic, Channel, Permissions, Rest, RestError, Whose};
use crate::session::notifications::MAX_CHANNELS;
use crate::topic::combined::expand;

const PLAN: Subject = Subject {
    id: "plan",
    title: "plan",
};
const TOPICS: Subject = Subject {
    id: "topic",
    title: "topic",
};
const CHANNELS: Subject = Subject {
    id: "channels",
    title: "channels",
};

const HISTORY: Subject = Subject {
    id: "history",
    title: "history",
};

/// What the query of past conversations needs.
const HISTORY_PERMISSION: &str = "analytics:conversationDetail:view";

/// What to do where an error does not say it.
const OTHERWISE: &str = "wait a moment, then check again";

/// Asks the platform, at most until `timeout` is over, counted from `begun`; `is_backfilling` if gaps are to be filled.
pub(super) async fn rows(
    rest: &Rest,
    wishes: &Wishes,
    is_backfilling: bool,
    begun: Instant,
    timeout: Duration,
) -> Vec<Row> {
    let until = begun + timeout;
    let (directory, available, permissions, channels) = tokio::join!(
        timeout_at(until, lookup::directory(rest, wishes)),
        timeout_at(until, rest.available_topics()),
        timeout_at(until, rest.permissions()),
        timeout_at(until, rest.channels(Whose::OauthClient)),
    );
    let answer = |what: &str| late(what, timeout);
    let directory = directory.map_err(|_| answer("queues, users and their members"));
    let planned = match directory {
        Ok(Ok(directory)) => planned(wishes, &directory),
        Ok(Err(error)) => Err(vec![PLAN.fails_as(&ending(&error), OTHERWISE)]),
        Err(late) => Err(vec![PLAN.fails_as(&late, OTHERWISE)]),
    };
    let plan = planned.as_ref().ok().map(|(plan, _)| plan.clone());
    let mut rows = planned.map_or_else(|rows| rows, |(_, row)| vec![row]);
    let available = available.unwrap_or_else(|_| Err(unanswered("the topics on offer")));
    let permissions = permissions.unwrap_or_else(|_| Err(unanswered("the roles of the OAuth client")));
    let history = is_backfilling.then(|| history(permissions.as_ref().ok().and_then(Option::as_ref)));
    rows.extend(topics(wishes, plan.as_ref(), available, permissions));
    rows.extend(history);
    let channels = channels.unwrap_or_else(|_| Err(unanswered("the channels of the OAuth client")));
    rows.push(quota(plan.as_ref(), channels));
    rows
}

/// A question that the deadline has ended.
fn unanswered(what: &str) -> RestError {
    RestError::Unreachable {
        call: what.to_owned(),
        obstacle: crate::oauth::Obstacle::Deadline,
        reason: "no time was left".to_owned(),
    }
}

fn planned(wishes: &Wishes, directory: &Directory) -> Result<(Plan, Row), Vec<Row>> {
    let plan = plan(wishes, directory).map_err(|faults| {
        let rows = faults.iter().map(|fault| PLAN.faulty(status::CONFIG, fault));
        rows.collect::<Vec<_>>()
    })?;
    let all = if plan.every_queue {
        "nothing is named, so every queue that the OAuth client may read: "
    } else {
        ""
    };
    let detail = format!(
        "{all}{}, {}, {} on {}",
        counted(plan.queues, "queue"),
        counted(plan.users, "user"),
        counted(plan.planned().len(), "topic"),
        counted(plan.channels(), "channel"),
    );
    let row = match plan.left_out().len() {
        0 => PLAN.holds(detail),
        over => PLAN.warns(
            format!("{detail}; {over} more are over the quota of {} channels", wishes.max_channels),
            "name fewer queues, users or events, or spread them over several sources, each with an OAuth client of its own",
        ),
    };
    Ok((plan, row))
}

fn topics(
    wishes: &Wishes,
    plan: Option<&Plan>,
    available: Result<Vec<AvailableTopic>, RestError>,
    permissions: Result<Option<Permissions>, RestError>,
) -> Vec<Row> {
    let Some(plan) = plan else {
        return vec![TOPICS.skipped("there is no plan")];
    };
    let available = match available {
        Ok(available) => available,
        // A source does not ask for them: what stays wrong here need not hinder it.
        Err(error) if !error.is_retryable() => {
            return vec![TOPICS.warns_as(&error.to_string(), OTHERWISE)];
        }
        Err(error) => return vec![TOPICS.fails_as(&ending(&error), OTHERWISE)],
    };
    let followed = Followed::new(wishes, plan).topics_of(SOME_ID);
    let names = plan
        .planned()
        .iter()
        .chain(&followed)
        .flat_map(|topic| expand(topic));
    let names: Vec<String> = names.collect();
    // What cannot be had, for whatever reason, is not told.
    let permissions = permissions.ok().flatten();
    permission::rows(names.iter().map(String::as_str), &available, permissions.as_ref())
}

/// A gap that is not filled says so, and the feed goes on: nothing of it is a failure.
fn history(permissions: Option<&Permissions>) -> Row {
    let needed = format!("gaps are filled from it, which needs {HISTORY_PERMISSION}");
    match permissions.map(|permissions| permissions.has(HISTORY_PERMISSION)) {
        Some(true) => HISTORY.holds(format!("{needed}, and the OAuth client has it")),
        Some(false) => HISTORY.warns(
            format!("{needed}, and the OAuth client lacks it"),
            format!("add {HISTORY_PERMISSION} to a role of the OAuth client, or leave backfill out"),
        ),
        None => HISTORY.warns(
            format!("{needed}; the platform does not tell whether the OAuth client has it"),
            "look at the roles of the OAuth client; the closing record of a gap tells a refusal",
        ),
    }
}

fn quota(plan: Option<&Plan>, channels: Result<Vec<Channel>, RestError>) -> Row {
    let present = match channels {
        Ok(channels) => channels.len(),
        Err(error) => return CHANNELS.fails_as(&ending(&error), OTHERWISE),
    };
    let used = format!("{present} of {MAX_CHANNELS} are in use by this OAuth client");
    let Some(plan) = plan else {
        return CHANNELS.holds(used);
    };
    let wanted = plan.channels();
    let detail = format!("{used}, and the plan opens {wanted}");
    if present + wanted > MAX_CHANNELS {
        CHANNELS.warns(
            format!("{detail}: more than there may be end the ones used longest ago, those without a listener first"),
            "stop what else listens with this OAuth client, give this source a client of its own, or lower \
             subscription.max_channels; what an earlier run has left ends by itself within 24 hours, or first",
        )
    } else {
        CHANNELS.holds(detail)
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
