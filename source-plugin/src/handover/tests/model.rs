//! A server, two sockets and a session, moved step by step in any order: every seam that the assumptions allow.
//!
//! Over 400 lines: one machine, whose parts read and change the same state.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use crate::handover::{Handover, Key, Next, OldEnd, Side, Tail, Verdict};

/// How a run may end the old socket, and what may go wrong beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Closed when every fence has passed.
    Planned,
    /// Closed at any moment, as when the hold is full.
    AtOnce,
    /// Lost at any moment with what lay unread.
    Dies,
    /// As planned, but one frame of one of the sockets is never delivered.
    Drops(Side, usize),
}

#[derive(Clone, Debug)]
struct Plan {
    topics: usize,
    /// Number of different bodies; 0 for as many as there are events.
    bodies: usize,
    course: Course,
    /// What happens, each step an action and a choice within it.
    steps: Vec<(u8, u8)>,
}

enum Item {
    Event(usize),
    Pong,
    End,
}

#[derive(PartialEq, Eq)]
enum Request {
    Ping,
    Close,
}

/// One socket: what is on its way to the server and to the client.
#[derive(Default)]
struct Wire {
    requests: VecDeque<Request>,
    items: VecDeque<Item>,
    dropped: Option<usize>,
    sent: usize,
}

impl Wire {
    fn send(&mut self, event: usize) {
        if self.dropped != Some(self.sent) {
            self.items.push_back(Item::Event(event));
        }
        self.sent += 1;
    }

    /// Takes the next item: pongs and the end in their place, events in order within their topic only.
    fn next(&mut self, choice: u8, topic_of: impl Fn(usize) -> usize) -> Option<Item> {
        let topic = |item: &Item| match item {
            Item::Event(event) => Some(topic_of(*event)),
            Item::Pong | Item::End => None,
        };
        let run = self.items.iter().take_while(|item| topic(item).is_some()).count();
        if run == 0 {
            return self.items.pop_front();
        }
        let chosen = topic(&self.items[usize::from(choice) % run]);
        let first = self.items.iter().position(|item| topic(item) == chosen)?;
        self.items.remove(first)
    }
}

enum Phase {
    Holding(Handover<usize>),
    Following(Tail),
    Over,
}

/// See the module.
struct World {
    plan: Plan,
    /// Topic and body of each event.
    events: Vec<(usize, usize)>,
    is_old_open: bool,
    /// Which topics the standby is subscribed to.
    subscribed: Vec<bool>,
    old: Wire,
    standby: Wire,
    phase: Phase,
    is_closing: bool,
    may_close: bool,
    by_old: Vec<usize>,
    by_standby: Vec<usize>,
    emitted: Vec<usize>,
    subtracted: u64,
    ambiguous: u64,
    unexplained: u64,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut world = Self {
            events: Vec::new(),
            is_old_open: true,
            subscribed: vec![false; plan.topics],
            old: Wire::default(),
            standby: Wire::default(),
            phase: Phase::Holding(Handover::begin(1 << 20)),
            is_closing: false,
            may_close: false,
            by_old: Vec::new(),
            by_standby: Vec::new(),
            emitted: Vec::new(),
            subtracted: 0,
            ambiguous: 0,
            unexplained: 0,
            plan,
        };
        match world.plan.course {
            Course::Drops(Side::Old, at) => world.old.dropped = Some(at),
            Course::Drops(Side::Standby, at) => world.standby.dropped = Some(at),
            _ => {}
        }
        // One ping is on its way when everything begins.
        world.ping(Side::Old);
        world
    }

    fn key(&self, event: usize) -> Key {
        let (topic, body) = self.events[event];
        Key::new(&format!("topic {topic}"), &body.to_le_bytes())
    }

    fn produce(&mut self, choice: u8) {
        let (event, choice) = (self.events.len(), usize::from(choice));
        let topic = choice % self.plan.topics;
        let body = match self.plan.bodies {
            0 => event,
            bodies => choice / self.plan.topics % bodies,
        };
        self.events.push((topic, body));
        if self.is_old_open {
            self.old.send(event);
        }
        if self.subscribed[topic] {
            self.standby.send(event);
        }
    }

    fn subscribe(&mut self, choice: u8) {
        let open: Vec<usize> = (0..self.plan.topics)
            .filter(|topic| !self.subscribed[*topic])
            .collect();
        let Some(topic) = open.get(usize::from(choice) % open.len().max(1)) else {
            return;
        };
        self.subscribed[*topic] = true;
        if open.len() == 1
            && let Phase::Holding(handover) = &mut self.phase
        {
            let next = handover.subscribed();
            self.follow(next);
        }
    }

    fn ping(&mut self, side: Side) {
        if let Phase::Holding(handover) = &mut self.phase {
            handover.pinged(side);
            self.wire(side).requests.push_back(Request::Ping);
        }
    }

    fn follow(&mut self, next: Option<Next>) {
        match next {
            Some(Next::Ping(side)) => self.ping(side),
            Some(Next::Overlap) => self.may_close = true,
            None => {}
        }
    }

    fn wire(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Old => &mut self.old,
            Side::Standby => &mut self.standby,
        }
    }

    /// Lets the server read one request.
    fn serve(&mut self, side: Side) {
        match self.wire(side).requests.pop_front() {
            Some(Request::Ping) => self.wire(side).items.push_back(Item::Pong),
            Some(Request::Close) => {
                self.is_old_open = false;
                self.old.items.push_back(Item::End);
            }
            None => {}
        }
    }

    fn close(&mut self) {
        let may_close = self.may_close || self.plan.course == Course::AtOnce;
        if let Phase::Holding(handover) = &mut self.phase
            && may_close
            && !self.is_closing
        {
            handover.closing();
            self.is_closing = true;
            self.old.requests.push_back(Request::Close);
        }
    }

    fn die(&mut self) {
        if self.plan.course == Course::Dies && matches!(self.phase, Phase::Holding(_)) {
            self.is_old_open = false;
            self.switch(OldEnd::Died);
        }
    }

    fn switch(&mut self, end: OldEnd) {
        let Phase::Holding(handover) = std::mem::replace(&mut self.phase, Phase::Over) else {
            panic!("switched twice")
        };
        let switched = handover.switch(end);
        for (event, verdict) in switched.frames {
            match verdict {
                Verdict::Emit => self.emitted.push(event),
                Verdict::Subtract => self.subtracted += 1,
            }
        }
        assert_eq!(switched.tally.subtracted, self.subtracted);
        self.ambiguous += switched.tally.ambiguous;
        self.unexplained += switched.tally.unexplained_topics;
        self.phase = Phase::Following(switched.tail);
        // The old socket is closed, and answers to pings of before say nothing.
        self.old = Wire::default();
        self.standby.requests.retain(|request| *request != Request::Ping);
        self.standby.items.retain(|item| !matches!(item, Item::Pong));
        self.standby.requests.push_back(Request::Ping);
    }

    fn deliver(&mut self, side: Side, choice: u8) {
        let events = std::mem::take(&mut self.events);
        let item = self.wire(side).next(choice, |event| events[event].0);
        self.events = events;
        match (item, side) {
            (None, _) => {}
            (Some(Item::Event(event)), Side::Old) => {
                let key = self.key(event);
                if let Phase::Holding(handover) = &mut self.phase {
                    handover.delivered(key).unwrap();
                }
                self.by_old.push(event);
                self.emitted.push(event);
            }
            (Some(Item::Event(event)), Side::Standby) => self.by_standby(event),
            (Some(Item::End), _) => self.switch(OldEnd::Read),
            (Some(Item::Pong), side) => match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Holding(mut handover) => {
                    let next = handover.ponged(side);
                    self.phase = Phase::Holding(handover);
                    self.follow(next);
                }
                Phase::Following(tail) => self.ambiguous += tail.end(),
                Phase::Over => {}
            },
        }
    }

    fn by_standby(&mut self, event: usize) {
        let key = self.key(event);
        self.by_standby.push(event);
        match &mut self.phase {
            Phase::Holding(handover) => handover.hold(key, 1, event).unwrap(),
            Phase::Following(tail) => {
                let judged = tail.judge(key);
                self.ambiguous += judged.ambiguous;
                match judged.verdict {
                    Verdict::Emit => self.emitted.push(event),
                    Verdict::Subtract => self.subtracted += 1,
                }
            }
            Phase::Over => self.emitted.push(event),
        }
    }

    fn step(&mut self, action: u8, choice: u8) {
        match action % 20 {
            0..=4 => self.produce(choice),
            5..=6 => self.subscribe(choice),
            7..=8 => self.serve(Side::Old),
            9..=10 => self.serve(Side::Standby),
            11..=13 => self.deliver(Side::Old, choice),
            14..=16 => self.deliver(Side::Standby, choice),
            17 if choice < 16 => self.ping(Side::Old),
            17 if choice < 32 => self.ping(Side::Standby),
            18 if choice < 24 => self.close(),
            19 if choice < 8 => self.die(),
            _ => {}
        }
    }

    /// Plays every step, then lets everything come to its end.
    fn play(mut self) -> Self {
        let steps = std::mem::take(&mut self.plan.steps);
        for (action, choice) in steps {
            self.step(action, choice);
        }
        let mut rounds = 0_u8;
        while !matches!(self.phase, Phase::Over) {
            self.subscribe(rounds);
            self.serve(Side::Standby);
            self.serve(Side::Old);
            self.deliver(Side::Old, rounds);
            self.deliver(Side::Standby, rounds);
            if rounds > 60 {
                self.close();
                self.die();
            }
            rounds = rounds.saturating_add(1);
        }
        // What comes now is new, and there is nobody left who would take it out.
        while !self.standby.items.is_empty() {
            self.deliver(Side::Standby, 0);
        }
        self
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let delivered: BTreeSet<usize> = self.by_old.iter().chain(&self.by_standby).copied().collect();
        let emitted: BTreeSet<usize> = self.emitted.iter().copied().collect();
        prop_assert_eq!(&emitted, &delivered, "lost");
        let twice = (self.emitted.len() - emitted.len()) as u64;
        prop_assert!(
            twice <= self.ambiguous,
            "{} twice, {} counted",
            twice,
            self.ambiguous
        );
        prop_assert_eq!(
            self.emitted.len() as u64 + self.subtracted,
            (self.by_old.len() + self.by_standby.len()) as u64
        );
        for topic in 0..self.plan.topics {
            let of_topic = |events: &[usize]| -> Vec<usize> {
                let of_topic = events.iter().filter(|event| self.events[**event].0 == topic);
                of_topic.copied().collect()
            };
            let (old, all) = (of_topic(&self.by_old), of_topic(&self.emitted));
            let (before, after) = all.split_at(old.len());
            prop_assert_eq!(before, old);
            prop_assert!(after.is_sorted(), "out of order: {:?} {:?}", before, after);
        }
        if !matches!(self.plan.course, Course::Drops(..)) {
            prop_assert_eq!(self.unexplained, 0);
            if self.plan.bodies == 0 {
                prop_assert_eq!(twice, self.ambiguous);
            }
        }
        if self.plan.course == Course::Planned && self.plan.bodies == 0 {
            prop_assert_eq!((twice, self.ambiguous), (0, 0));
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec(any::<(u8, u8)>(), 0..300)
}

fn run(topics: usize, bodies: usize, course: Course, steps: Vec<(u8, u8)>) -> Result<(), TestCaseError> {
    let plan = Plan {
        topics,
        bodies,
        course,
        steps,
    };
    World::new(plan).play().check()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_that_differ_are_delivered_exactly_once(topics in 1..4_usize, steps in steps()) {
        run(topics, 0, Course::Planned, steps)?;
    }

    #[test]
    fn identical_bodies_are_never_lost_and_no_repetition_goes_uncounted(
        topics in 1..4_usize, bodies in 1..4_usize, steps in steps(),
    ) {
        run(topics, bodies, Course::Planned, steps)?;
    }

    #[test]
    fn a_switch_at_any_moment_loses_nothing_and_counts_every_repetition(
        topics in 1..4_usize, bodies in 0..4_usize, dies in any::<bool>(), steps in steps(),
    ) {
        run(topics, bodies, if dies { Course::Dies } else { Course::AtOnce }, steps)?;
    }

    #[test]
    fn a_frame_that_one_socket_leaves_out_costs_nothing_but_counted_repetitions(
        topics in 1..4_usize, old in any::<bool>(), at in 0..12_usize, steps in steps(),
    ) {
        run(topics, 0, Course::Drops(if old { Side::Old } else { Side::Standby }, at), steps)?;
    }
}
