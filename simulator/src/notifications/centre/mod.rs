//! The contact centre: conversations that arrive, are answered, held, muted, passed on and wrapped up.
//!
//! Responsible for what happens and when; `conversation` plays one, `leg` is one of its participants, `staff` what users do
//! besides, `body` shows a conversation as the topics do, `detail` as analytics events do, `record` as the history does.
//! Refuses nothing. Invariants: the n-th update depends on the seed, the options and
//! n only (times too, unless the wall clock is asked for); every topic about an update tells the same state.

mod body;
mod conversation;
mod course;
mod detail;
mod leg;
mod record;
mod staff;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use crate::clock::{OwnClock, due_events, wall_us};
use crate::notifications::org::{Org, id};
use crate::options::Options;

use conversation::{Conversation, Effect};
use course::Medium;
use leg::Duty;
use staff::{Staff, Told};

pub(super) use body::nested as snapshot;
pub(super) use record::{Query, record};
pub(super) use staff::membership;

/// Conversations remembered after their end, for the history.
const MAX_ENDED: usize = 10_000;
/// Most updates at once, so that a long pause does not block the thread.
const MAX_BURST: u64 = 5_000;
/// A user's presence, station or absence changes after each so many updates.
const PRESENCE_EVERY: u64 = 23;

/// Statistics are told at most this often, as the platform does.
const OBSERVED_EVERY_MS: i64 = 1_000;

const CORRELATION_ID: u64 = 16;

/// Whose statistics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Observed {
    Queue,
    User,
}

/// Something to be sent on a topic.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) conversation: Option<Arc<str>>,
    /// One for all topics of an update, as the platform has it.
    pub(super) correlation: Arc<str>,
    /// Null: the frame has none.
    pub(super) body: Arc<Value>,
    /// What `metadata.action` says, with stations.
    pub(super) action: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Centre {
    options: Options,
    rng: ChaCha8Rng,
    clock: OwnClock,
    updates: u64,
    begun: u64,
    under_way: Vec<Option<Conversation>>,
    ended: VecDeque<Conversation>,
    staff: Staff,
    last_ms: i64,
    /// When each queue's observations of a medium were last told.
    observed_ms: HashMap<(Observed, usize, Medium), i64>,
    publications: Vec<Publication>,
}

/// A time in milliseconds since 1970 as the platform writes it.
pub(super) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|stamp| stamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        .unwrap_or_default()
}

impl Centre {
    pub(super) fn new(options: &Options) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        // apart from the events transport's
        rng.set_stream(2);
        Self {
            rng,
            clock: OwnClock::default(),
            updates: 0,
            begun: 0,
            under_way: (0..options.notifications.conversations).map(|_| None).collect(),
            ended: VecDeque::new(),
            staff: Staff::new(options.seed, options.notifications.users, options.epoch_ms),
            last_ms: options.epoch_ms,
            observed_ms: HashMap::new(),
            publications: Vec::new(),
            options: options.clone(),
        }
    }

    /// Says how many updates are due. The clock starts once somebody listens, and stands still meanwhile if `pause`.
    pub(super) fn due(&mut self, heard: bool, pause: bool, now: Instant) -> u64 {
        let rate = self.options.notifications.updates_per_s;
        if rate == 0 {
            return 0;
        }
        match (heard, pause) {
            (true, _) => self.clock.start(now),
            (false, true) => self.clock.pause(now),
            (false, false) => {}
        }
        let due = due_events(self.clock.elapsed(now), rate);
        let most = self.options.notifications.updates.unwrap_or(u64::MAX);
        due.min(most).saturating_sub(self.updates).min(MAX_BURST)
    }

    /// Says whether every update that shall happen has happened.
    pub(super) fn is_done(&self) -> bool {
        self.options
            .notifications
            .updates
            .is_some_and(|most| self.updates >= most)
    }

    pub(super) fn take_publications(&mut self) -> Vec<Publication> {
        std::mem::take(&mut self.publications)
    }

    /// Conversations that the history knows, the oldest first.
    pub(super) fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.ended.iter().chain(self.under_way.iter().flatten())
    }

    fn now_ms(&mut self) -> i64 {
        let settings = &self.options.notifications;
        let ms = match settings.wall_clock {
            true => i64::try_from(wall_us() / 1000).unwrap_or(i64::MAX),
            false => {
                let since = self.updates.saturating_mul(1000) / settings.updates_per_s.max(1);
                self.options.epoch_ms.saturating_add_unsigned(since)
            }
        };
        // a wall clock may be set back, a conversation never runs backwards
        self.last_ms = self.last_ms.max(ms);
        self.last_ms
    }

    fn pick(&mut self, len: usize) -> usize {
        let len = u64::try_from(len.max(1)).unwrap_or(1);
        usize::try_from(((self.rng.next_u64() >> 32) * len) >> 32).unwrap_or(0)
    }

    /// Lets the next thing happen.
    pub(super) fn update(&mut self, org: &mut Org) {
        self.updates += 1;
        let now_ms = self.now_ms();
        let correlation: Arc<str> = Arc::from(id(
            self.options.seed,
            CORRELATION_ID,
            usize::try_from(self.updates).unwrap_or(0),
        ));
        let place = self.pick(self.under_way.len());
        let mut conversation = match self.under_way[place].take() {
            Some(conversation) => conversation,
            None => {
                self.begun += 1;
                let queue = self.pick(org.queues.len());
                let choice = self.rng.next_u64();
                Conversation::new(self.options.seed, self.begun, queue, choice)
            }
        };
        let choice = self.pick(1 << 16);
        let agent = self.staff.choose(org, &conversation, choice);
        let other = self.pick(org.queues.len());
        let effect = conversation.step(now_ms, agent, other);
        self.tell(org, &conversation, &effect, &correlation, now_ms);
        self.tell_of_staff(org, &conversation, &effect, &correlation, now_ms);
        if conversation.is_over() {
            if self.ended.len() >= MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(conversation);
        } else {
            self.under_way[place] = Some(conversation);
        }
        if self.updates.is_multiple_of(PRESENCE_EVERY) {
            let (user, choice) = (self.pick(org.users.len()), self.pick(1 << 16));
            let told = self.staff.change(org, user, choice, now_ms);
            self.push_of_user(org, user, told, &correlation);
        }
        let every = self.options.notifications.membership_every;
        if every > 0 && self.updates.is_multiple_of(every) {
            self.change_membership(org, &correlation, now_ms);
        }
    }

    // lets a user join or leave a queue
    fn change_membership(&mut self, org: &mut Org, correlation: &Arc<str>, now_ms: i64) {
        let (queue, user) = (self.pick(org.queues.len()), self.pick(org.users.len()));
        let joined = !org.queues[queue].members.contains(&user);
        org.set_member(queue, user, joined);
        let (topic, body) = membership(org, queue, user, joined);
        self.push(topic, body, correlation);
        let told = self.staff.change_queues(org, user, now_ms);
        self.push_of_user(org, user, told, correlation);
    }

    // says whether statistics are due again, and remembers that they are told
    fn may_observe(&mut self, of: Observed, whose: usize, medium: Medium, now_ms: i64) -> bool {
        let last = self.observed_ms.get(&(of, whose, medium));
        let due = last.is_none_or(|last| now_ms - last >= OBSERVED_EVERY_MS);
        if due {
            self.observed_ms.insert((of, whose, medium), now_ms);
        }
        due
    }

    fn push(&mut self, topic: String, body: Value, correlation: &Arc<str>) {
        self.publications.push(Publication {
            topic,
            conversation: None,
            correlation: Arc::clone(correlation),
            body: Arc::new(body),
            action: None,
        });
    }

    fn push_of_user(&mut self, org: &Org, user: usize, told: Vec<Told>, correlation: &Arc<str>) {
        for (name, body, action) in told {
            let topic = format!("v2.users.{}.{name}", org.users[user].named.id);
            self.push(topic, body, correlation);
            if let Some(last) = self.publications.last_mut() {
                last.action = action;
            }
        }
    }

    // what a step makes of the agents: their states, statuses, counters and statistics
    fn tell_of_staff(
        &mut self,
        org: &Org,
        conversation: &Conversation,
        effect: &Effect,
        correlation: &Arc<str>,
        now_ms: i64,
    ) {
        let legs = effect
            .duties
            .iter()
            .filter_map(|place| conversation.participants.get(*place));
        let mut handled = Vec::new();
        for leg in legs {
            let Some(user) = leg.user else { continue };
            let id = &org.users[user].named.id;
            let body = detail::agent_state(conversation, leg, org, now_ms);
            self.push(format!("v2.detail.events.agent.{id}.state"), body, correlation);
            if leg.duty() == Duty::Gone && leg.connected_ms.is_some() {
                handled.push(user);
            }
        }
        for (user, told) in self.staff.follow(org, conversation, &effect.duties, now_ms) {
            self.push_of_user(org, user, told, correlation);
        }
        for user in handled {
            if self.may_observe(Observed::User, user, conversation.medium(), now_ms)
                && let Some(body) = self.staff.aggregates(org, user, now_ms)
            {
                let id = &org.users[user].named.id;
                self.push(format!("v2.analytics.users.{id}.aggregates"), body, correlation);
            }
        }
    }

    fn tell(
        &mut self,
        org: &Org,
        conversation: &Conversation,
        effect: &Effect,
        correlation: &Arc<str>,
        now_ms: i64,
    ) {
        let conversation_id: Arc<str> = Arc::from(conversation.id());
        let publications = &mut self.publications;
        let mut push = |topic: String, body: &Arc<Value>| {
            publications.push(Publication {
                topic,
                conversation: Some(Arc::clone(&conversation_id)),
                correlation: Arc::clone(correlation),
                body: Arc::clone(body),
                action: None,
            });
        };
        if effect.snapshot {
            let (nested, flat) = (
                Arc::new(body::nested(conversation, org)),
                Arc::new(body::flat(conversation, org)),
            );
            let media = conversation.medium().plural();
            // a queue hears of a conversation once it is in the queue, and from then on
            let queues = conversation.queues().into_iter();
            let queues = queues.map(|queue| format!("v2.routing.queues.{}", org.queues[queue].named.id));
            let users = conversation.agents().into_iter();
            let users = users.map(|user| format!("v2.users.{}", org.users[user].named.id));
            for subject in queues.chain(users) {
                push(format!("{subject}.conversations"), &nested);
                push(format!("{subject}.conversations.{media}"), &flat);
            }
        }
        for (suffix, body) in detail::bodies(conversation, effect, org, now_ms) {
            let topic = format!("v2.detail.events.conversation.{}.{suffix}", conversation.id());
            push(topic, &Arc::new(body));
        }
        if effect.spoken.is_some() || effect.silent {
            let body = body::transcription(conversation, org, effect.spoken, now_ms);
            push(
                format!("v2.conversations.{}.transcription", conversation.id()),
                &Arc::new(body),
            );
        }
        let (queue, medium) = (conversation.queue(), conversation.medium());
        if effect.counts && self.may_observe(Observed::Queue, queue, medium, now_ms) {
            let (waiting, interacting) = self
                .under_way
                .iter()
                .flatten()
                .chain([conversation])
                .filter(|other| other.queue() == queue && other.medium() == medium)
                .fold((0, 0), |(waiting, interacting), other| {
                    (
                        waiting + u64::from(other.is_waiting()),
                        interacting + u64::from(other.is_interacting()),
                    )
                });
            let id = &org.queues[queue].named.id;
            let body = body::observations(id, medium, waiting, interacting, now_ms);
            self.push(
                format!("v2.analytics.queues.{id}.observations"),
                body,
                correlation,
            );
            let body = body::activity(medium, waiting, interacting);
            self.push(format!("v2.analytics.queues.{id}.activity"), body, correlation);
        }
    }
}

#[cfg(test)]
mod tests;
