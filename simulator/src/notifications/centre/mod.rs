//! The contact centre: conversations that arrive, are answered, held, muted, passed on and wrapped up.
//!
//! Responsible for what happens and when; `conversation` plays one, `body` shows it as the topics do, `detail` as analytics
//! events do, `record` as the history does. Refuses nothing. Invariants: the n-th update depends on the seed, the options and
//! n only (times too, unless the wall clock is asked for); every topic about an update tells the same state.
//! Over 400 lines with its tests, under 350 without.

mod body;
mod conversation;
mod course;
mod detail;
mod record;
mod staff;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::clock::{OwnClock, due_events, wall_us};
use crate::notifications::org::{Org, id};
use crate::options::Options;

use conversation::{Conversation, Effect};
use course::Medium;

pub(super) use body::nested as snapshot;
pub(super) use record::{Query, record};
pub(super) use staff::membership;

/// Conversations remembered after their end, for the history.
const MAX_ENDED: usize = 10_000;
/// Most updates at once, so that a long pause does not block the thread.
const MAX_BURST: u64 = 5_000;
/// A user's presence changes after each so many updates.
const PRESENCE_EVERY: u64 = 23;

/// Statistics are told at most this often, as the platform does.
const OBSERVED_EVERY_MS: i64 = 1_000;

const CORRELATION_ID: u64 = 16;

/// Something to be sent on a topic.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) conversation: Option<Arc<str>>,
    /// One for all topics of an update, as the platform has it.
    pub(super) correlation: Arc<str>,
    pub(super) body: Arc<Value>,
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
    busy: BTreeSet<usize>,
    last_ms: i64,
    /// When each queue's observations of a medium were last told.
    observed_ms: HashMap<(usize, Medium), i64>,
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
            busy: BTreeSet::new(),
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
        let agent = self.free_agent(org, conversation.queue());
        let effect = conversation.step(now_ms, agent);
        self.account(&effect);
        self.tell(org, &conversation, &effect, &correlation, now_ms);
        if conversation.is_over() {
            if self.ended.len() >= MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(conversation);
        } else {
            self.under_way[place] = Some(conversation);
        }
        if self.updates.is_multiple_of(PRESENCE_EVERY) {
            self.change_presence(org, &correlation, now_ms);
        }
        let every = self.options.notifications.membership_every;
        if every > 0 && self.updates.is_multiple_of(every) {
            self.change_membership(org, &correlation);
        }
    }

    // a member of the queue who is not busy, else any user who is not, else the first: somebody always answers
    fn free_agent(&mut self, org: &Org, queue: usize) -> usize {
        let free: Vec<usize> = org.queues[queue]
            .members
            .difference(&self.busy)
            .copied()
            .collect();
        if !free.is_empty() {
            return free[self.pick(free.len())];
        }
        (0..org.users.len())
            .find(|user| !self.busy.contains(user))
            .unwrap_or(0)
    }

    fn account(&mut self, effect: &Effect) {
        for (user, status) in &effect.statuses {
            match *status {
                "IDLE" => self.busy.remove(user),
                _ => self.busy.insert(*user),
            };
        }
    }

    // says whether a queue's observations are due again, and remembers that they are told
    fn may_observe(&mut self, conversation: &Conversation, now_ms: i64) -> bool {
        let last = self
            .observed_ms
            .entry((conversation.queue(), conversation.medium()));
        let mut told = false;
        let last = last.or_insert_with(|| {
            told = true;
            now_ms
        });
        if now_ms - *last >= OBSERVED_EVERY_MS {
            told = true;
            *last = now_ms;
        }
        told
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
        let mut push = |topic: String, body: &Arc<Value>, of_conversation: bool| {
            publications.push(Publication {
                topic,
                conversation: of_conversation.then(|| Arc::clone(&conversation_id)),
                correlation: Arc::clone(correlation),
                body: Arc::clone(body),
            });
        };
        if effect.snapshot {
            let (nested, flat) = (
                Arc::new(body::nested(conversation, org)),
                Arc::new(body::flat(conversation, org)),
            );
            let media = conversation.medium().plural();
            let mut subjects = Vec::new();
            // a queue hears of a conversation once it is in the queue
            if conversation.is_queued() {
                subjects.push(format!(
                    "v2.routing.queues.{}",
                    org.queues[conversation.queue()].named.id
                ));
            }
            subjects.extend(
                conversation
                    .agents()
                    .iter()
                    .map(|user| format!("v2.users.{}", org.users[*user].named.id)),
            );
            for subject in subjects {
                push(format!("{subject}.conversations"), &nested, true);
                push(format!("{subject}.conversations.{media}"), &flat, true);
            }
        }
        for (suffix, body) in detail::bodies(conversation, effect, org, now_ms) {
            let topic = format!("v2.detail.events.conversation.{}.{suffix}", conversation.id());
            push(topic, &Arc::new(body), true);
        }
        if let Some(spoken) = effect.spoken {
            let body = body::transcription(conversation, org, spoken, now_ms);
            push(
                format!("v2.conversations.{}.transcription", conversation.id()),
                &Arc::new(body),
                true,
            );
        }
        for (user, status) in &effect.statuses {
            let user_id = &org.users[*user].named.id;
            let status = json!({ "status": status, "startTime": iso(now_ms) });
            let body = Arc::new(json!({ "id": user_id, "routingStatus": status }));
            push(format!("v2.users.{user_id}.routingStatus"), &body, false);
            let body = Arc::new(body::summary(conversation.medium(), effect));
            push(format!("v2.users.{user_id}.conversationsummary"), &body, false);
        }
        if effect.counts && self.may_observe(conversation, now_ms) {
            let queue = conversation.queue();
            let (waiting, interacting) = self
                .under_way
                .iter()
                .flatten()
                .chain([conversation])
                .filter(|other| other.queue() == queue && other.medium() == conversation.medium())
                .fold((0, 0), |(waiting, interacting), other| {
                    (
                        waiting + u64::from(other.is_waiting()),
                        interacting + u64::from(other.is_interacting()),
                    )
                });
            let queue_id = &org.queues[queue].named.id;
            let body = Arc::new(body::observations(
                queue_id,
                conversation.medium(),
                waiting,
                interacting,
                now_ms,
            ));
            let correlation = Arc::clone(correlation);
            self.publications.push(Publication {
                topic: format!("v2.analytics.queues.{queue_id}.observations"),
                conversation: None,
                correlation,
                body,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn play(seed: u64, updates: usize) -> Vec<Publication> {
        let mut options = Options {
            seed,
            ..Options::default()
        };
        options.notifications.wall_clock = false;
        options.notifications.conversations = 5;
        let (mut org, mut centre) = (Org::new(&options), Centre::new(&options));
        (0..updates).for_each(|_| centre.update(&mut org));
        centre.take_publications()
    }

    fn texts(publications: &[Publication]) -> Vec<String> {
        publications
            .iter()
            .map(|one| format!("{} {} {}", one.topic, one.correlation, one.body))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_publications() {
        assert_eq!(texts(&play(7, 300)), texts(&play(7, 300)));
        assert_ne!(texts(&play(7, 300)), texts(&play(8, 300)));
    }

    #[test]
    fn every_family_and_medium_happens_on_a_topic_that_is_known() {
        let published = play(1, 3_000);
        for publication in &published {
            assert!(
                crate::notifications::topic::permission_of(&publication.topic).is_some(),
                "{}",
                publication.topic
            );
        }
        for end in [
            ".conversations",
            ".conversations.calls",
            ".conversations.chats",
            ".conversations.messages",
            ".conversations.emails",
            ".conversations.callbacks",
            ".customer.start",
            ".customer.end",
            ".acd.start",
            ".acd.end",
            ".user.start",
            ".user.end",
            ".flow.start",
            ".flow.end",
            ".acw",
            ".wrapup",
            ".transcription",
            ".presence",
            ".activity",
            ".routingStatus",
            ".conversationsummary",
            ".observations",
        ] {
            assert!(published.iter().any(|one| one.topic.ends_with(end)), "{end}");
        }
    }

    #[test]
    fn mute_unmute_mute_gives_identical_bodies_with_another_between() {
        let mut bodies: HashMap<String, Vec<String>> = HashMap::new();
        for publication in play(1, 3_000) {
            if publication.topic.starts_with("v2.routing.queues.")
                && publication.topic.ends_with(".conversations.calls")
            {
                let key = publication.body["id"].as_str().unwrap().to_owned();
                bodies.entry(key).or_default().push(publication.body.to_string());
            }
        }
        let again = |texts: &Vec<String>| {
            texts
                .windows(3)
                .any(|three| three[0] == three[2] && three[0] != three[1])
        };
        assert!(bodies.values().filter(|texts| again(texts)).count() > 10);
    }

    #[test]
    fn snapshots_and_detail_events_tell_of_the_same_participants_and_times() {
        let published = play(3, 2_000);
        let mut seen = 0;
        for event in published
            .iter()
            .filter(|one| one.topic.ends_with(".customer.end"))
        {
            let id = event.body["conversationId"].as_str().unwrap();
            let snapshot = published
                .iter()
                .filter(|one| {
                    one.topic.starts_with("v2.routing.queues.") && one.topic.ends_with(".conversations")
                })
                .find(|one| one.body["id"] == id && one.correlation == event.correlation);
            let Some(snapshot) = snapshot else { continue };
            let customer = snapshot.body["participants"]
                .as_array()
                .unwrap()
                .iter()
                .find(|participant| participant["purpose"] == "customer")
                .unwrap();
            assert_eq!(customer["id"], event.body["participantId"]);
            assert_eq!(
                customer["endTime"],
                iso(event.body["eventTime"].as_i64().unwrap())
            );
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }

    #[test]
    fn statistics_of_a_queue_and_medium_are_a_second_apart() {
        let mut last: HashMap<String, i64> = HashMap::new();
        let mut options = Options::default();
        options.notifications.wall_clock = false;
        let (mut org, mut centre) = (Org::new(&options), Centre::new(&options));
        let mut seen = 0;
        for _ in 0..3_000 {
            centre.update(&mut org);
            let now_ms = centre.last_ms;
            for one in centre
                .take_publications()
                .iter()
                .filter(|one| one.topic.ends_with(".observations"))
            {
                let key = one.body["group"].to_string();
                assert!(
                    last.insert(key, now_ms)
                        .is_none_or(|before| now_ms - before >= 1_000)
                );
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
