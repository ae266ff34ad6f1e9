//! One conversation: who takes part, in what state, and what happens next.
//!
//! Refuses nothing. The invariant: its course is fixed when it begins (from the seed and its number), only times and agents
//! come with each step; what a step changes is told in its [`Effect`].

use std::collections::VecDeque;

use crate::notifications::centre::course::{Beat, Medium, course};
use crate::notifications::centre::leg::{Duty, Participant};
use crate::notifications::org::id;

const CONVERSATION_ID: u64 = 17;
const PARTICIPANT_ID: u64 = 18;
const SESSION_ID: u64 = 19;
/// Participants of one conversation at most; also the distance of their numbers.
const MAX_PARTICIPANTS: usize = 16;

/// Start or end of a leg, or what else detail events tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Start(usize),
    End(usize),
    AfterWork(usize),
    Attributes(usize),
    FlowOutcome(usize),
}

/// What a step has changed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) snapshot: bool,
    pub(super) marks: Vec<Mark>,
    /// Legs of agents who do something else than before.
    pub(super) duties: Vec<usize>,
    /// The queue's observations have changed.
    pub(super) counts: bool,
    /// Number of the utterance that was spoken.
    pub(super) spoken: Option<u32>,
    /// Nothing more will be spoken.
    pub(super) silent: bool,
}

#[derive(Debug)]
pub(in crate::notifications) struct Conversation {
    seed: u64,
    number: u64,
    id: String,
    medium: Medium,
    outbound: bool,
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
        let course = course(medium, choice >> 8);
        Self {
            seed,
            number,
            id: id(seed, CONVERSATION_ID, usize::try_from(number).unwrap_or(0)),
            medium,
            outbound: course.front() == Some(&Beat::Dial),
            queue,
            course,
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

    /// As snapshots spell it.
    pub(super) fn direction(&self) -> &'static str {
        if self.outbound { "outbound" } else { "inbound" }
    }

    /// The queue it is in now.
    pub(super) fn queue(&self) -> usize {
        self.queue
    }

    /// The queues it is in or has been in, each once; none before the first.
    pub(super) fn queues(&self) -> Vec<usize> {
        each_once(self.participants.iter().filter_map(|leg| leg.queue))
    }

    /// The users who take part or have taken part, each once.
    pub(super) fn agents(&self) -> Vec<usize> {
        each_once(self.participants.iter().filter_map(|leg| leg.user))
    }

    /// The users who take part.
    pub(super) fn agents_now(&self) -> Vec<usize> {
        let open = self.participants.iter().filter(|leg| leg.is_open());
        each_once(open.filter_map(|leg| leg.user))
    }

    pub(super) fn is_over(&self) -> bool {
        self.course.is_empty()
    }

    fn open(&self, purpose: &str) -> Option<usize> {
        let mut legs = self.participants.iter();
        legs.position(|leg| leg.purpose == purpose && leg.is_open())
    }

    fn last(&self, purpose: &str) -> Option<usize> {
        self.participants.iter().rposition(|leg| leg.purpose == purpose)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.open("acd").is_some()
    }

    pub(super) fn is_interacting(&self) -> bool {
        let mut legs = self.participants.iter();
        legs.any(|leg| leg.is_agent() && leg.state == "connected")
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
            // who calls in has none before the first one
            queue: (self.outbound || matches!(purpose, "acd" | "agent")).then_some(self.queue),
            state,
            initial: match (purpose, state, self.medium) {
                ("agent", ..) | (_, "contacting", _) => state,
                (.., medium) => medium.first_state(),
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
            tier: None,
            acw_start_ms: None,
            acw_end_ms: None,
        });
        effect.marks.push(Mark::Start(place));
    }

    fn leave(&mut self, place: Option<usize>, disconnect: &'static str, now_ms: i64, effect: &mut Effect) {
        let end_state = self.medium.end_state();
        if let Some(place) = place
            && let Some(leg) = self.participants.get_mut(place)
        {
            leg.end(end_state, disconnect, now_ms);
            effect.marks.push(Mark::End(place));
        }
    }

    fn each(&mut self, purpose: &str, change: impl Fn(&mut Participant)) {
        let legs = self.participants.iter_mut();
        legs.filter(|leg| leg.purpose == purpose && leg.is_open())
            .for_each(change);
    }

    fn connect(&mut self, place: Option<usize>, now_ms: i64) {
        if let Some(leg) = place.and_then(|place| self.participants.get_mut(place)) {
            leg.connect(now_ms);
        }
    }

    fn end_consult(&mut self) {
        for leg in &mut self.participants {
            (leg.consults, leg.confined) = (false, false);
        }
    }

    /// Lets the next beat happen. `agent` is whoever is free and `queue` any other one, for the beats that need them.
    pub(super) fn step(&mut self, now_ms: i64, agent: usize, queue: usize) -> Effect {
        let Some(beat) = self.course.pop_front() else {
            return Effect::default();
        };
        let duties = |legs: &[Participant]| -> Vec<Duty> { legs.iter().map(Participant::duty).collect() };
        let before = duties(&self.participants);
        let mut effect = self.play(beat, now_ms, agent, queue);
        for (place, duty) in duties(&self.participants).into_iter().enumerate() {
            let other = before.get(place).copied().unwrap_or(Duty::Gone) != duty;
            if other && self.participants.get(place).is_some_and(Participant::is_agent) {
                effect.duties.push(place);
            }
        }
        if self.is_over() {
            self.ended_ms = Some(now_ms);
        }
        effect
    }

    fn play(&mut self, beat: Beat, now_ms: i64, agent: usize, queue: usize) -> Effect {
        let mut effect = Effect {
            snapshot: true,
            ..Effect::default()
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
                let tier = if self.number.is_multiple_of(3) {
                    "gold"
                } else {
                    "standard"
                };
                let queue = self.queue;
                self.each("customer", |customer| {
                    (customer.tier, customer.queue) = (Some(tier), Some(queue))
                });
                effect.marks.extend(self.open("customer").map(Mark::Attributes));
                effect.marks.extend(self.open("ivr").map(Mark::FlowOutcome));
                self.leave(self.open("ivr"), "transfer", now_ms, &mut effect);
                self.join("acd", "connected", None, now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::Abandon => {
                self.leave(self.open("customer"), "endpoint", now_ms, &mut effect);
                self.leave(self.open("acd"), "peer", now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::Alert => self.join("agent", "alerting", Some(agent), now_ms, &mut effect),
            Beat::NoAnswer => self.leave(self.last("agent"), "transfer.noanswer", now_ms, &mut effect),
            Beat::Connect => {
                self.connect(self.last("agent"), now_ms);
                self.leave(self.open("acd"), "transfer", now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::Dial => {
                self.began_ms = now_ms;
                self.join("agent", "contacting", Some(agent), now_ms, &mut effect);
                self.join("customer", "contacting", None, now_ms, &mut effect);
            }
            Beat::Answer => {
                self.connect(self.open("agent"), now_ms);
                self.connect(self.open("customer"), now_ms);
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
            Beat::ConsultConnect => self.connect(self.last("agent"), now_ms),
            Beat::ConsultCancel => {
                self.leave(self.last("agent"), "peer", now_ms, &mut effect);
                self.end_consult();
            }
            Beat::Transfer => {
                self.leave(self.open("agent"), "transfer.consult", now_ms, &mut effect);
                self.end_consult();
            }
            Beat::TransferToQueue => {
                self.leave(self.open("agent"), "transfer", now_ms, &mut effect);
                self.queue = queue;
                self.join("acd", "connected", None, now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::CustomerLeaves => {
                self.leave(self.open("customer"), "endpoint", now_ms, &mut effect);
                effect.silent = self.utterances > 0;
            }
            Beat::AgentLeaves => {
                self.leave(self.open("agent"), "peer", now_ms, &mut effect);
                effect.counts = true;
            }
            Beat::WrapUp => {
                let place = self.participants.iter().position(Participant::is_wrapping_up);
                if let Some(leg) = place.and_then(|place| self.participants.get_mut(place)) {
                    leg.acw_end_ms = Some(now_ms);
                }
                effect.marks.extend(place.map(Mark::AfterWork));
            }
        }
        effect
    }
}

fn each_once(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut once = Vec::new();
    for number in numbers {
        if !once.contains(&number) {
            once.push(number);
        }
    }
    once
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
                conversation.step(now_ms, agents, 1);
            }
            prop_assert!(conversation.participants.len() <= MAX_PARTICIPANTS);
            prop_assert_eq!(conversation.ended_ms, Some(now_ms));
            for participant in &conversation.participants {
                let ended = participant.ended_ms.unwrap();
                prop_assert!(participant.began_ms <= ended && participant.connected_ms.is_none_or(|at| at <= ended));
                prop_assert!(participant.held_for_ms >= 0 && participant.hold_ms.is_none());
                prop_assert!(!participant.is_wrapping_up() && participant.duty() == Duty::Gone);
            }
        }
    }
}
