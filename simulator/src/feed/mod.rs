//! The feed: which frames are due on which connection, and what became of them.
//!
//! One owner of traffic, script, clock and ground truth behind one lock. Responsible for filling a connection's batch
//! and for recording what was written. Refuses to give an event to two connections: only the newest subscribed one gets
//! events. The invariant: each produced event is committed as sent or as unsent exactly once. The lock is held for a
//! batch at a time and never across a wait.
//! Over 400 lines with its tests, under 340 without.

mod batch;
mod compose;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::clock::{OwnClock, due_at, due_events, wall_us};
use crate::error::Error;
use crate::fault::{Action, Fault, Script};
use crate::options::Options;
use crate::replay::{self, ReplayFrame};
use crate::traffic::{EventKey, Traffic, share_of_u32};
use crate::truth::{Entry, Kind, Note, Truth};

pub(crate) use batch::Batch;
use batch::{Mark, Payload};
use compose::Form;

/// A batch is written once it holds this many bytes: large enough for a few hundred frames a system call.
const BATCH_BYTES: usize = 128 << 10;
/// Events that can be sent again, and forms that can wait for their event.
const HISTORY: usize = 64;

/// Why a notification is unheard that a socket was there for.
pub(crate) const SOCKET_ENDED: &str = "the socket ended before it";

/// What a connection does after it has written its batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Asks again at once.
    More,
    /// Waits until then, or for a signal.
    Idle(Option<Instant>),
    /// Carries out a fault that concerns the connection itself.
    Act(Action),
    /// Sends no event any more: the client has to end the connection.
    Hold,
}

/// The feed.
#[derive(Debug)]
pub(crate) struct Feed {
    options: Options,
    traffic: Traffic,
    script: Script,
    pub(crate) truth: Truth,
    clock: OwnClock,
    // subscribed connections, the newest last
    subscribers: Vec<u64>,
    history: VecDeque<(EventKey, Vec<u8>)>,
    replay: Vec<ReplayFrame>,
    replayed: usize,
    // events put into a batch
    offered: u64,
    // how the next events go out, where not plainly
    forms: VecDeque<Form>,
    duplicates_below: u64,
    malformed_below: u64,
    // apart from the traffic's, so that faults do not change the events
    fault_rng: ChaCha8Rng,
    malformed: u64,
    scratch: Vec<u8>,
}

impl Feed {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let mut script = Script::default();
        for fault in options.faults.iter().filter(|fault| !fault.when.is_of_channels()) {
            script.add(fault.clone(), 0);
        }
        let mut fault_rng = ChaCha8Rng::seed_from_u64(options.seed);
        fault_rng.set_stream(1);
        Ok(Self {
            traffic: Traffic::new(options),
            script,
            truth: Truth::new(options)?,
            clock: OwnClock::default(),
            subscribers: Vec::new(),
            history: VecDeque::with_capacity(HISTORY),
            replay: options
                .replay
                .as_ref()
                .map(replay::read_folder)
                .transpose()?
                .unwrap_or_default(),
            replayed: 0,
            offered: 0,
            forms: VecDeque::new(),
            duplicates_below: share_of_u32(options.duplicates_percent),
            malformed_below: share_of_u32(options.malformed_percent),
            fault_rng,
            malformed: 0,
            scratch: Vec::new(),
            options: options.clone(),
        })
    }

    /// Adds a fault to the script.
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.script.add(fault, self.offered);
    }

    /// Counts a login and says what goes wrong with it.
    pub(crate) fn login(&mut self) -> (u64, Option<Action>) {
        self.truth.counters.logins += 1;
        let turn = self.truth.counters.logins;
        (turn, self.script.at_login(turn))
    }

    /// Counts an upgrade request and says what goes wrong with it.
    pub(crate) fn connect(&mut self) -> (u64, Option<Action>) {
        self.truth.counters.connects += 1;
        let turn = self.truth.counters.connects;
        (turn, self.script.at_connect(turn))
    }

    /// Counts a subscription and says what goes wrong with it.
    pub(crate) fn subscription(&mut self) -> Option<Action> {
        self.truth.counters.subscriptions += 1;
        self.script.at_subscribe(self.truth.counters.subscriptions)
    }

    /// Records what happened to a connection.
    pub(crate) fn note(&mut self, kind: Kind, connection: u64, code: Option<u16>, detail: &str) {
        let note = Some(Note {
            code,
            detail: detail.to_owned(),
            ..Note::default()
        });
        let at_us = wall_us();
        self.truth.record(Entry {
            kind,
            connection,
            at_us,
            event: None,
            payload: None,
            bytes: None,
            note,
        });
    }

    /// Records what happened to a channel, or a notification that nobody could hear.
    pub(crate) fn note_channel(&mut self, kind: Kind, connection: u64, note: Note, payload: Option<&[u8]>) {
        let (at_us, bytes) = (wall_us(), payload.map(|payload| payload.len() as u64));
        self.truth.record(Entry {
            kind,
            connection,
            at_us,
            event: None,
            payload,
            bytes,
            note: Some(note),
        });
    }

    /// Makes a connection the one that gets events.
    pub(crate) fn subscribe(&mut self, connection: u64, now: Instant) {
        if !self.options.pause_when_alone {
            self.lose_due(now);
        }
        self.clock.start(now);
        self.subscribers.retain(|subscriber| *subscriber != connection);
        self.subscribers.push(connection);
        self.note(Kind::Subscribed, connection, None, "");
    }

    /// Takes a connection out. `drained` says that the client can have read everything that was sent to it; otherwise
    /// none of it is sent again as a duplicate, since that might be the first time it arrives.
    pub(crate) fn leave(&mut self, connection: u64, drained: bool, code: Option<u16>, detail: &str) {
        self.subscribers.retain(|subscriber| *subscriber != connection);
        if self.subscribers.is_empty() && self.options.pause_when_alone {
            self.clock.pause(Instant::now());
        }
        if !drained {
            self.history.clear();
        }
        self.note(Kind::Closed, connection, code, detail);
    }

    /// Records events that are due while nobody is subscribed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.subscribers.is_empty() && !self.options.pause_when_alone {
            self.lose_due(now);
        }
        self.update_done(now);
    }

    fn lose_due(&mut self, now: Instant) {
        if self.options.rate == 0 {
            return;
        }
        let due = self.due(self.clock.elapsed(now));
        while self.traffic.produced() < due {
            self.scratch.clear();
            let event = self.traffic.next_event(&mut self.scratch);
            self.truth.counters.produced += 1;
            let bytes = Some(self.scratch.len() as u64);
            let payload = Some(&self.scratch[..]);
            let (kind, at_us) = (Kind::Unsent, wall_us());
            self.truth.record(Entry {
                kind,
                connection: 0,
                at_us,
                event: Some(event),
                payload,
                bytes,
                note: None,
            });
        }
    }

    fn due(&self, elapsed: Duration) -> u64 {
        let window = self.options.duration_ms.map(Duration::from_millis);
        let over = window.is_some_and(|window| elapsed >= window);
        let by_time = match self.options.rate {
            0 if over => self.traffic.produced(),
            0 => u64::MAX,
            rate => due_events(window.map_or(elapsed, |window| window.min(elapsed)), rate),
        };
        by_time.min(self.options.events.unwrap_or(u64::MAX))
    }

    fn update_done(&mut self, now: Instant) {
        let window = self.options.duration_ms.map(Duration::from_millis);
        let elapsed = self.clock.elapsed(now);
        let produced = self.traffic.produced();
        let over = self.options.events.is_some_and(|events| produced >= events)
            || window.is_some_and(|window| elapsed >= window && produced >= self.due(elapsed));
        let counters = &mut self.truth.counters;
        counters.done = over && counters.events_sent + counters.binary + counters.unsent == produced;
    }

    /// Fills a connection's batch with what is due.
    pub(crate) fn fill(&mut self, connection: u64, now: Instant, batch: &mut Batch) -> Next {
        if self.subscribers.last() != Some(&connection) {
            return Next::Idle(None);
        }
        let elapsed = self.clock.elapsed(now);
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let due = self.due(elapsed);
        let mut next_count = 0;
        loop {
            if self.offered >= next_count {
                while let Some(action) = self.script.take_due(self.offered, elapsed_ms) {
                    if let Some(next) = self.insert(action, batch) {
                        return next;
                    }
                }
                next_count = self.script.next_count();
            }
            if self.traffic.produced() >= due {
                return Next::Idle(self.next_moment(now));
            }
            if batch.bytes.len() >= BATCH_BYTES {
                return Next::More;
            }
            self.push_event(batch);
        }
    }

    // when something is due next, if time alone makes it due
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        let produced = self.traffic.produced();
        let event = (self.options.rate > 0 && self.due(Duration::MAX) > produced)
            .then(|| due_at(produced + 1, self.options.rate));
        let fault = self.script.next_ms().map(Duration::from_millis);
        let window = self.options.duration_ms.map(Duration::from_millis);
        let window = window.filter(|window| self.clock.elapsed(now) < *window);
        [event, fault, window]
            .into_iter()
            .flatten()
            .min()
            .and_then(|elapsed| self.clock.moment(elapsed))
    }

    /// Records a frame that went round the batch.
    pub(crate) fn sent_oversized(&mut self, connection: u64, bytes: u64, detail: &str) {
        let note = Some(Note {
            detail: detail.to_owned(),
            ..Note::default()
        });
        let (kind, at_us, bytes) = (Kind::Oversized, wall_us(), Some(bytes));
        self.truth.record(Entry {
            kind,
            connection,
            at_us,
            event: None,
            payload: None,
            bytes,
            note,
        });
    }

    /// Records the frames of which the kernel has taken the last byte, `written` bytes into the batch.
    pub(crate) fn commit(&mut self, connection: u64, batch: &mut Batch, written: usize) {
        let at_us = wall_us();
        while batch.marks.front().is_some_and(|mark| mark.end <= written) {
            let Some(mark) = batch.marks.pop_front() else {
                break;
            };
            self.record(connection, &batch.bytes, mark, at_us);
        }
        if batch.marks.is_empty() && written >= batch.bytes.len() {
            batch.bytes.clear();
        }
        self.update_done(Instant::now());
    }

    /// Records the rest of a batch as unsent: its connection is gone.
    pub(crate) fn abandon(&mut self, connection: u64, batch: &mut Batch) {
        let at_us = wall_us();
        while let Some(mut mark) = batch.marks.pop_front() {
            mark.kind = match mark.kind {
                Kind::Notification => {
                    if let Some(note) = &mut mark.note {
                        note.detail = SOCKET_ENDED.to_owned();
                    }
                    Kind::Unheard
                }
                Kind::Duplicate => continue,
                _ if mark.event.is_some() => Kind::Unsent,
                _ => continue,
            };
            self.record(connection, &batch.bytes, mark, at_us);
        }
        batch.bytes.clear();
        self.history.clear();
        self.update_done(Instant::now());
    }

    fn record(&mut self, connection: u64, batch: &[u8], mark: Mark, at_us: u64) {
        let payload = match &mark.payload {
            Payload::Range(start, end) => &batch[*start..*end],
            Payload::Owned(bytes) => bytes,
        };
        self.truth.record(Entry {
            kind: mark.kind,
            connection,
            at_us,
            event: mark.event,
            payload: Some(payload),
            bytes: Some(mark.bytes),
            note: mark.note,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(options: &Options) -> (Feed, Instant) {
        let (mut feed, now) = (Feed::new(options).unwrap(), Instant::now());
        feed.subscribe(1, now);
        (feed, now)
    }

    #[test]
    fn only_the_newest_subscriber_gets_events() {
        let (mut feed, now) = feed(&Options {
            rate: 0,
            events: Some(10),
            ..Options::default()
        });
        feed.subscribe(2, now);
        let mut batch = Batch::default();
        assert_eq!(feed.fill(1, now, &mut batch), Next::Idle(None));
        assert!(batch.bytes.is_empty());
        feed.fill(2, now, &mut batch);
        assert_eq!(batch.marks.len(), 10);
        feed.leave(2, true, None, "");
        assert_eq!(feed.fill(1, now, &mut Batch::default()), Next::Idle(None));
    }

    #[test]
    fn events_that_happen_while_nobody_listens_are_unsent_unless_the_clock_stands_still() {
        for (pause_when_alone, unsent) in [(false, 50), (true, 0)] {
            let options = Options {
                rate: 100,
                events: Some(100),
                pause_when_alone,
                ..Options::default()
            };
            let (mut feed, now) = feed(&options);
            feed.leave(1, true, None, "");
            feed.tick(now + Duration::from_millis(500));
            assert_eq!(feed.truth.counters.unsent, unsent);
        }
    }

    #[test]
    fn the_rate_is_kept_and_the_next_moment_is_named() {
        let (mut feed, now) = feed(&Options {
            rate: 1000,
            ..Options::default()
        });
        let mut batch = Batch::default();
        let next = feed.fill(1, now + Duration::from_millis(25), &mut batch);
        assert_eq!(batch.marks.len(), 25);
        assert_eq!(next, Next::Idle(Some(now + Duration::from_millis(26))));
    }

    #[test]
    fn faults_do_not_change_the_events() {
        let plain = Options {
            rate: 0,
            events: Some(300),
            ..Options::default()
        };
        let faulty = Options {
            duplicates_percent: 20.0,
            malformed_percent: 10.0,
            ..plain.clone()
        };
        let events = |options: &Options| {
            let (mut feed, now) = feed(options);
            let mut batch = Batch::default();
            while feed.fill(1, now, &mut batch) == Next::More {
                let written = batch.bytes.len();
                feed.commit(1, &mut batch, written);
            }
            let written = batch.bytes.len();
            feed.commit(1, &mut batch, written);
            let lines = feed
                .truth
                .lines()
                .into_iter()
                .filter(|line| line.kind == Kind::Event);
            let frames: Vec<_> = lines.map(|line| line.frame).collect();
            (frames, feed.truth.counters)
        };
        let ((plain, _), (faulty, counters)) = (events(&plain), events(&faulty));
        assert_eq!(plain, faulty);
        assert!(
            (40..=80).contains(&counters.duplicates),
            "{} duplicates of 300",
            counters.duplicates
        );
        assert!(
            (15..=45).contains(&counters.malformed),
            "{} malformed of 300",
            counters.malformed
        );
        assert!(counters.done);
    }

    #[test]
    fn a_frame_counts_as_sent_with_its_last_byte_and_not_before() {
        let (mut feed, now) = feed(&Options {
            rate: 0,
            events: Some(2),
            ..Options::default()
        });
        let mut batch = Batch::default();
        feed.fill(1, now, &mut batch);
        let end = batch.marks[0].end;
        feed.commit(1, &mut batch, end - 1);
        assert_eq!(feed.truth.counters.events_sent, 0);
        feed.commit(1, &mut batch, end);
        assert_eq!(feed.truth.counters.events_sent, 1);
        feed.abandon(1, &mut batch);
        assert_eq!(
            (feed.truth.counters.events_sent, feed.truth.counters.unsent),
            (1, 1)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn each_event_is_sent_or_unsent_exactly_once(cuts in prop::collection::vec(0_usize..40_000, 1..8), parts in 2_usize..9) {
            let events = 120;
            let fault = format!("every=7 fragmented {parts}").parse().unwrap();
            let options = Options { rate: 0, events: Some(events), duplicates_percent: 10.0, faults: vec![fault], ..Options::default() };
            let (mut feed, now) = feed(&options);
            let mut batch = Batch::default();
            feed.fill(1, now, &mut batch);
            let mut cuts = cuts;
            cuts.sort_unstable();
            for cut in cuts {
                if !batch.bytes.is_empty() {
                    let written = cut.min(batch.bytes.len());
                    feed.commit(1, &mut batch, written);
                }
            }
            feed.abandon(1, &mut batch);
            let lines = feed.truth.lines();
            let mut ids: Vec<_> = lines
                .iter()
                .filter(|line| matches!(line.kind, Kind::Event | Kind::Unsent))
                .map(|line| line.id.clone().unwrap())
                .collect();
            prop_assert_eq!(ids.len() as u64, events);
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len() as u64, events);
            prop_assert!(feed.truth.counters.done);
        }
    }
}
