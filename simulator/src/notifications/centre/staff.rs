//! What users do: who takes part in which conversations, their statuses and presences, and the queues they join and leave.
//!
//! Refuses nothing. Invariants: a user interacts exactly as long as a leg of theirs does or has work after it, and no longer
//! than one leg ends is the user idle while another goes on; a change of membership is told on its topic and seen in the
//! lists at once.

use serde_json::{Value, json};

use crate::notifications::centre::conversation::Conversation;
use crate::notifications::centre::course::Medium;
use crate::notifications::centre::iso;
use crate::notifications::centre::leg::Duty;
use crate::notifications::org::{OTHER_ID, Org, id};

const PRESENCES: [&str; 4] = ["AVAILABLE", "BUSY", "MEAL", "MEETING"];
const HALF_HOUR_MS: i64 = 1_800_000;

/// What the topic of a queue's members says of a change.
pub(in crate::notifications) fn membership(
    org: &Org,
    queue: usize,
    user: usize,
    joined: bool,
) -> (String, Value) {
    let (queue, user) = (&org.queues[queue].named.id, &org.users[user].named.id);
    let body = json!({ "id": user, "user": { "id": user }, "queueId": queue, "joined": joined });
    (format!("v2.routing.queues.{queue}.users"), body)
}

/// The half hour of a moment, as statistics write it.
pub(super) fn interval(now_ms: i64) -> String {
    let from = now_ms.div_euclid(HALF_HOUR_MS) * HALF_HOUR_MS;
    format!("{}/{}", iso(from), iso(from + HALF_HOUR_MS))
}

#[derive(Debug, Clone)]
struct Leg {
    session: String,
    medium: Medium,
    duty: Duty,
}

/// What a user has handled of a medium in a half hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handled {
    medium: Medium,
    half_hour: i64,
    count: u64,
    sum_ms: i64,
    max_ms: i64,
}

/// A user at work.
#[derive(Debug, Clone)]
struct Worker {
    legs: Vec<Leg>,
    /// Conversations that they did not answer and that go on.
    unanswered: Vec<u64>,
    status: &'static str,
    status_ms: i64,
    summary: Value,
    presence: usize,
    presence_ms: i64,
    away: bool,
    away_ms: i64,
    stationed: bool,
    queues_ms: i64,
    handled: Option<Handled>,
}

/// Everybody at work, in the order of the users.
#[derive(Debug)]
pub(super) struct Staff {
    seed: u64,
    workers: Vec<Worker>,
}

/// What is told of a user on a topic of theirs: the topic's end, the body, and what `metadata.action` says.
pub(super) type Told = (&'static str, Value, Option<&'static str>);

impl Staff {
    pub(super) fn new(seed: u64, users: u32, epoch_ms: i64) -> Self {
        let worker = Worker {
            legs: Vec::new(),
            unanswered: Vec::new(),
            status: "IDLE",
            status_ms: epoch_ms,
            summary: Value::Null,
            presence: 0,
            presence_ms: epoch_ms,
            away: false,
            away_ms: epoch_ms,
            stationed: false,
            queues_ms: epoch_ms,
            handled: None,
        };
        Self {
            seed,
            workers: vec![worker; users as usize],
        }
    }

    /// Somebody to alert: of the queue's members who have nothing to do the one that `choice` picks, else of all users the
    /// one with the least to do; nobody twice in one conversation, as long as there is another.
    pub(super) fn choose(&self, org: &Org, conversation: &Conversation, choice: usize) -> usize {
        let taking_part = conversation.agents_now();
        let free = |user: &usize| {
            !taking_part.contains(user)
                && self
                    .workers
                    .get(*user)
                    .is_some_and(|worker| worker.legs.is_empty() && worker.unanswered.is_empty())
        };
        let members = org.queues[conversation.queue()].members.iter().copied();
        let members: Vec<usize> = members.filter(free).collect();
        if !members.is_empty() {
            return members[choice % members.len()];
        }
        let users = 0..self.workers.len();
        users
            .min_by_key(|user| {
                let worker = &self.workers[*user];
                (
                    taking_part.contains(user),
                    worker.legs.len() + worker.unanswered.len(),
                )
            })
            .unwrap_or(0)
    }

    /// Takes in what a step of a conversation has changed, and hands back what is to be told of each user concerned.
    pub(super) fn follow(
        &mut self,
        org: &Org,
        conversation: &Conversation,
        duties: &[usize],
        now_ms: i64,
    ) -> Vec<(usize, Vec<Told>)> {
        for place in duties {
            self.take_over(conversation, *place, now_ms);
        }
        let users = if conversation.is_over() {
            conversation.agents()
        } else {
            let legs = duties
                .iter()
                .filter_map(|place| conversation.participants.get(*place));
            legs.filter_map(|leg| leg.user).collect()
        };
        let mut told = Vec::new();
        for user in users {
            let over = conversation.is_over();
            let Some(worker) = self.workers.get_mut(user) else {
                continue;
            };
            worker
                .unanswered
                .retain(|number| !over || *number != conversation.number());
            told.push((user, self.tell_of(org, user, now_ms)));
        }
        told
    }

    fn take_over(&mut self, conversation: &Conversation, place: usize, now_ms: i64) {
        let Some((leg, user)) = conversation
            .participants
            .get(place)
            .and_then(|leg| Some((leg, leg.user?)))
        else {
            return;
        };
        let Some(worker) = self.workers.get_mut(user) else {
            return;
        };
        worker.legs.retain(|known| known.session != leg.session);
        match leg.duty() {
            Duty::Gone if leg.connected_ms.is_none() => worker.unanswered.push(conversation.number()),
            Duty::Gone => worker.handle(conversation.medium(), now_ms, now_ms - leg.began_ms),
            duty => worker.legs.push(Leg {
                session: leg.session.clone(),
                medium: conversation.medium(),
                duty,
            }),
        }
    }

    fn tell_of(&mut self, org: &Org, user: usize, now_ms: i64) -> Vec<Told> {
        let id = org.users[user].named.id.as_str();
        let (mut told, worker) = (Vec::new(), &mut self.workers[user]);
        let status = worker.status_now();
        let changed = status != worker.status;
        if changed {
            (worker.status, worker.status_ms) = (status, now_ms);
            let status = json!({ "status": status, "startTime": iso(now_ms) });
            told.push((
                "routingStatus",
                json!({ "id": id, "routingStatus": status }),
                None,
            ));
        }
        let summary = worker.summary_now();
        if summary != worker.summary {
            worker.summary = summary.clone();
            told.push(("conversationsummary", summary, None));
        }
        if changed {
            told.push(("activity", self.activity(org, user), None));
        }
        told
    }

    fn definition(&self, presence: usize) -> Value {
        json!({ "id": id(self.seed, OTHER_ID, 10 + presence), "systemPresence": PRESENCES[presence] })
    }

    fn activity(&self, org: &Org, user: usize) -> Value {
        let worker = &self.workers[user];
        let queues = org.queues.iter().filter(|queue| queue.members.contains(&user));
        json!({
            "id": org.users[user].named.id,
            "routingStatus": { "status": worker.status, "startTime": iso(worker.status_ms) },
            "presence": {
                "presenceDefinition": self.definition(worker.presence), "modifiedDate": iso(worker.presence_ms),
            },
            "outOfOffice": { "active": worker.away, "modifiedDate": iso(worker.away_ms) },
            "activeQueueIds": queues.map(|queue| queue.named.id.as_str()).collect::<Vec<_>>(),
            "dateActiveQueuesChanged": iso(worker.queues_ms),
        })
    }

    /// Lets a user's presence, station or absence change.
    pub(super) fn change(&mut self, org: &Org, user: usize, choice: usize, now_ms: i64) -> Vec<Told> {
        let id = org.users[user].named.id.as_str();
        let worker = &mut self.workers[user];
        let mut told = Vec::new();
        match choice % 4 {
            0 => {
                worker.stationed = !worker.stationed;
                let station = json!({ "associatedStation": { "id": "webrtc-station" } });
                told.push(match worker.stationed {
                    true => ("station", station, Some("Associated")),
                    // it has no body, as seen in captured frames
                    false => ("station", Value::Null, Some("Disassociated")),
                });
                return told;
            }
            1 => {
                (worker.away, worker.away_ms) = (!worker.away, now_ms);
                let body =
                    json!({ "user": { "id": id }, "active": worker.away, "modifiedDate": iso(now_ms) });
                told.push(("outofoffice", body, None));
            }
            _ => {
                worker.presence = (worker.presence + 1 + choice % 3) % PRESENCES.len();
                worker.presence_ms = now_ms;
                let presence = worker.presence;
                let body = json!({
                    "source": "PURECLOUD", "presenceDefinition": self.definition(presence), "primary": true,
                    "message": "", "modifiedDate": iso(now_ms),
                });
                told.push(("presence", body, None));
            }
        }
        told.push(("activity", self.activity(org, user), None));
        told
    }

    /// Remembers that a user's queues have changed, and hands back what is told of it.
    pub(super) fn change_queues(&mut self, org: &Org, user: usize, now_ms: i64) -> Vec<Told> {
        self.workers[user].queues_ms = now_ms;
        vec![("activity", self.activity(org, user), None)]
    }

    /// A user's statistics of the half hour, after a conversation of theirs has been handled.
    pub(super) fn aggregates(&self, org: &Org, user: usize, now_ms: i64) -> Option<Value> {
        let handled = self.workers.get(user)?.handled?;
        let stats = json!({ "count": handled.count, "sum": handled.sum_ms, "max": handled.max_ms });
        Some(json!({
            "group": { "userId": org.users[user].named.id, "mediaType": handled.medium.analytics() },
            "data": [{ "interval": interval(now_ms), "metrics": [{ "metric": "tHandle", "qualifier": "", "stats": stats }] }],
        }))
    }
}

impl Worker {
    fn status_now(&self) -> &'static str {
        let interacts = |leg: &Leg| {
            matches!(
                leg.duty,
                Duty::Contact | Duty::Interact | Duty::Hold | Duty::WrapUp
            )
        };
        match () {
            () if self.legs.iter().any(interacts) => "INTERACTING",
            () if !self.unanswered.is_empty() => "NOT_RESPONDING",
            () => "IDLE",
        }
    }

    // counters of each medium; those that the centre does not play stay 0
    fn summary_now(&self) -> Value {
        let count = |medium: Option<Medium>| {
            let of = |wanted: fn(Duty) -> bool| {
                let legs = self.legs.iter().filter(|leg| Some(leg.medium) == medium);
                legs.filter(|leg| wanted(leg.duty)).count()
            };
            let active = of(|duty| matches!(duty, Duty::Contact | Duty::Interact | Duty::Hold));
            let acw = of(|duty| duty == Duty::WrapUp);
            json!({ "contactCenter": { "active": active, "acw": acw }, "enterprise": { "active": 0, "acw": 0 } })
        };
        json!({
            "call": count(Some(Medium::Call)), "callback": count(Some(Medium::Callback)),
            "email": count(Some(Medium::Email)), "message": count(Some(Medium::Message)),
            "chat": count(Some(Medium::Chat)), "socialExpression": count(None), "video": count(None),
        })
    }

    fn handle(&mut self, medium: Medium, now_ms: i64, for_ms: i64) {
        let half_hour = now_ms.div_euclid(HALF_HOUR_MS);
        let before = self
            .handled
            .filter(|handled| handled.medium == medium && handled.half_hour == half_hour);
        let (count, sum_ms, max_ms) = before.map_or((0, 0, 0), |it| (it.count, it.sum_ms, it.max_ms));
        self.handled = Some(Handled {
            medium,
            half_hour,
            count: count + 1,
            sum_ms: sum_ms + for_ms,
            max_ms: max_ms.max(for_ms),
        });
    }
}
