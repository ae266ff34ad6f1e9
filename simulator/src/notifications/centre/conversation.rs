//! One conversation: who takes part, in what state, and what happens next.
//!
//! Refuses nothing. The invariant: its course is fixed when it begins (from the seed and its number), only times and agents
//! come with each step; what a step changes is told in its [`Effect`].

use std::collections::VecDeque;

use crate::notifications::centre::course::{Beat, Medium, course};
use crate::notifications::org::id;

const CONVERSATION_ID: u64 = 17;
const PARTICIPANT_ID: u64 = 18;
const SESSION_ID: u64 = 19;
/// Participants of one conversation at most; also the distance of their numbers.
const MAX_PARTICIPANTS: usize = 16;

/// One leg.
#[derive(Debug, Clone)]
pub(super) struct Participant {
    pub(super) id: String,
    /// Of its communication; the session of detail events.
    pub(super) session: String,
    pub(super) purpose: &'static str,
    pub(super) user: Option<usize>,
    pub(super) state: &'static str,
    pub(super) initial: &'static str,
    pub(super) began_ms: i64,
    pub(super) connected_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
    pub(super) disconnect: Option<&'static str>,
    pub(super) muted: bool,
    pub(super) confined: bool,
    pub(super) hold_ms: Option<i64>,
    pub(super) held_for_ms: i64,
    pub(super) consults: bool,
    pub(super) acw_start_ms: Option<i64>,
    pub(super) acw_end_ms: Option<i64>,
}

/// Start or end of a leg, or work after it, as detail events tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Start(usize),
    End(usize),
    AfterWork(usize),
}

/// What a step has changed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) snapshot: bool,
    pub(super) marks: Vec<Mark>,
    /// Routing statuses that begin: user and status.
    pub(super) statuses: Vec<(usize, &'static str)>,
    /// The queue's observations have changed.
    pub(super) counts: bool,
    /// Number of the utterance that was spoken.
    pub(super) spoken: Option<u32>,
}

#[derive(Debug)]
pub(in crate::notifications) struct Conversation {
    seed: u64,
    number: u64,
    id: String,
    medium: Medium,
    queue: usize,
    course: VecDeque<Beat>,
    pub(super) participants: Vec<Participant>,
    pub(super) utterances: u32,
    pub(super) texts: Vec<i64>,
    pub(in crate::notifications) began_ms: i64,
    pub(super) ended_ms: Option<i64>,
}

impl Conversation {
    pub(super) fn new(seed: u64, number: u64, queue: usize, choice: u64) -> Self {
        let medium = match choice % 10 {
            0..=4 => Medium::Call,
            5 | 6 => Medium::Message,
            7 => Medium::Chat,
            8 => Medium::Email,
            _ => Medium::Callback,
        };
        Self {
            seed,
            number,
            id: id(seed, CONVERSATION_ID, usize::try_from(number).unwrap_or(0)),
            medium,
            queue,
            course: course(medium, choice >> 8),
            participants: Vec::new(),
            utterances: 0,
            texts: Vec::new(),
            began_ms: 0,
            ended_ms: None,
        }
    }

    pub(in crate::notifications) fn id(&self) -> &str {
        &self.id
    }

    pub(in crate::notifications) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn medium(&self) -> Medium {
        self.medium
    }

    pub(super) fn queue(&self) -> usize {
        self.queue
    }

    pub(super) fn is_over(&self) -> bool {
        self.course.is_empty()
    }

    fn open(&self, purpose: &str) -> Option<usize> {
        let open =
            |participant: &Participant| participant.purpose == purpose && participant.ended_ms.is_none();
        self.participants.iter().position(open)
    }

    fn last(&self, purpose: &str) -> Option<usize> {
        self.participants
            .iter()
            .rposition(|participant| participant.purpose == purpose)
    }

    pub(super) fn is_queued(&self) -> bool {
        self.last("acd").is_some()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.open("acd").is_some()
    }

    pub(super) fn is_interacting(&self) -> bool {
        let interacting =
            |participant: &Participant| participant.purpose == "agent" && participant.state == "connected";
        self.participants.iter().any(interacting)
    }

    /// The users who take part or have taken part, each once.
    pub(super) fn agents(&self) -> Vec<usize> {
        let mut users = Vec::new();
        for user in self
            .participants
            .iter()
            .filter_map(|participant| participant.user)
        {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }

    fn join(
        &mut self,
        purpose: &'static str,
        state: &'static str,
        user: Option<usize>,
        now_ms: i64,
        effect: &mut Effect,
    ) {
        let place = self.participants.len();
        let number = usize::try_from(self.number).unwrap_or(0) * MAX_PARTICIPANTS + place;
        self.participants.push(Participant {
            id: id(self.seed, PARTICIPANT_ID, number),
            session: id(self.seed, SESSION_ID, number),
            purpose,
            user,
            state,
            initial: match (purpose, self.medium) {
                ("agent", _) => "alerting",
                (_, medium) => medium.first_state(),
            },
            began_ms: now_ms,
            connected_ms: (state == "connected").then_some(now_ms),
            ended_ms: None,
            disconnect: None,
            muted: false,
            confined: false,
            hold_ms: None,
            held_for_ms: 0,
            consults: false,
            acw_start_ms: None,
            acw_end_ms: None,
        });
        effect.marks.push(Mark::Start(place));
    }

    fn leave(&mut self, place: Option<usize>, disconnect: &'static str, now_ms: i64, effect: &mut Effect) {
        let end_state = self.medium.end_state();
        if let Some(place) = place
            && let Some(participant) = self.participants.get_mut(place)
        {
            participant.retrieve(now_ms);
            participant.state = end_state;
            participant.ended_ms = Some(now_ms);
            participant.disconnect = Some(disconnect);
            effect.marks.push(Mark::End(place));
        }
    }

    fn each(&mut self, purpose: &str, change: impl Fn(&mut Participant)) {
        let open =
            |participant: &&mut Participant| participant.purpose == purpose && participant.ended_ms.is_none();
        self.participants.iter_mut().filter(open).for_each(change);
    }

    /// Lets the next beat happen; `agent` is whoever is free, for the beats that need one.
    pub(super) fn step(&mut self, now_ms: i64, agent: usize) -> Effect {
        let mut effect = Effect {
            snapshot: true,
            ..Effect::default()
        };
        let Some(beat) = self.course.pop_front() else {
            return Effect::default();
        };
        match beat {
            Beat::Arrive => {
                self.began_ms = now_ms;
                self.join("customer", "connected", None, now_ms, &mut effect);
                if self.medium == Medium::Call {
                    self.join("ivr", "connected", None, now_ms, &mut effect);
                }
            }
            Beat::Queue => {
                self.leave(self.open("ivr"), "transfer", now_ms, &mut effect);
                self.join("acd", "connected", None, now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::Alert => self.join("agent", "alerting", Some(agent), now_ms, &mut effect),
            Beat::NoAnswer => {
                let place = self.last("agent");
                self.leave(place, "transfer.noanswer", now_ms, &mut effect);
                effect
                    .statuses
                    .extend(self.user_of(place).map(|user| (user, "NOT_RESPONDING")));
            }
            Beat::Connect => {
                let place = self.last("agent");
                self.connect(place, now_ms);
                self.leave(self.open("acd"), "transfer", now_ms, &mut effect);
                effect
                    .statuses
                    .extend(self.user_of(place).map(|user| (user, "INTERACTING")));
                effect.counts = true;
            }
            Beat::Mute => self.each("agent", |agent| agent.muted = true),
            Beat::Unmute => self.each("agent", |agent| agent.muted = false),
            Beat::Hold => {
                self.each("agent", |agent| agent.hold_ms = Some(now_ms));
                self.each("customer", |customer| customer.confined = true);
            }
            Beat::Retrieve => {
                self.each("agent", |agent| agent.retrieve(now_ms));
                self.each("customer", |customer| customer.confined = false);
            }
            Beat::Speak => {
                self.utterances += 1;
                effect.spoken = Some(self.utterances);
                effect.snapshot = false;
            }
            Beat::Write => self.texts.push(now_ms),
            Beat::Consult => {
                self.join("agent", "alerting", Some(agent), now_ms, &mut effect);
                self.each("agent", |agent| agent.consults = true);
                self.each("customer", |customer| {
                    (customer.consults, customer.confined) = (true, true)
                });
            }
            Beat::ConsultConnect => {
                let place = self.last("agent");
                self.connect(place, now_ms);
                effect
                    .statuses
                    .extend(self.user_of(place).map(|user| (user, "INTERACTING")));
            }
            Beat::ConsultCancel => {
                let place = self.last("agent");
                self.leave(place, "peer", now_ms, &mut effect);
                effect
                    .statuses
                    .extend(self.user_of(place).map(|user| (user, "IDLE")));
                self.end_consult();
            }
            Beat::Transfer => {
                let place = self.open("agent");
                self.leave(place, "transfer.consult", now_ms, &mut effect);
                effect
                    .statuses
                    .extend(self.user_of(place).map(|user| (user, "IDLE")));
                self.end_consult();
            }
            Beat::CustomerLeaves => self.leave(self.open("customer"), "peer", now_ms, &mut effect),
            Beat::AgentLeaves => {
                let place = self.open("agent");
                self.leave(place, "peer", now_ms, &mut effect);
                if let Some(agent) = place.and_then(|place| self.participants.get_mut(place)) {
                    agent.acw_start_ms = Some(now_ms);
                }
                effect.counts = true;
            }
            Beat::WrapUp => {
                let place = self.last("agent");
                if let Some(agent) = place.and_then(|place| self.participants.get_mut(place)) {
                    agent.acw_end_ms = Some(now_ms);
                }
                effect.marks.extend(place.map(Mark::AfterWork));
                // who did not answer is available again, too
                effect
                    .statuses
                    .extend(self.agents().into_iter().map(|user| (user, "IDLE")));
                self.ended_ms = Some(now_ms);
            }
        }
        effect
    }

    fn user_of(&self, place: Option<usize>) -> Option<usize> {
        self.participants.get(place?)?.user
    }

    fn connect(&mut self, place: Option<usize>, now_ms: i64) {
        if let Some(participant) = place.and_then(|place| self.participants.get_mut(place)) {
            participant.state = "connected";
            participant.connected_ms = Some(now_ms);
        }
    }

    fn end_consult(&mut self) {
        for participant in &mut self.participants {
            participant.consults = false;
            participant.confined = false;
        }
    }
}

impl Participant {
    fn retrieve(&mut self, now_ms: i64) {
        if let Some(since) = self.hold_ms.take() {
            self.held_for_ms += now_ms - since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_course_ends_with_all_legs_ended_and_no_time_runs_backwards(choice in any::<u64>()) {
            let mut conversation = Conversation::new(1, 1, 0, choice);
            let mut now_ms = 1_000;
            let mut agents = 0;
            while !conversation.is_over() {
                now_ms += 1_000;
                agents += 1;
                conversation.step(now_ms, agents);
            }
            prop_assert!(conversation.participants.len() <= MAX_PARTICIPANTS);
            prop_assert_eq!(conversation.ended_ms, Some(now_ms));
            for participant in &conversation.participants {
                let ended = participant.ended_ms.unwrap();
                prop_assert!(participant.began_ms <= ended && participant.connected_ms.is_none_or(|at| at <= ended));
                prop_assert!(participant.held_for_ms >= 0 && participant.hold_ms.is_none());
            }
        }
    }
}
