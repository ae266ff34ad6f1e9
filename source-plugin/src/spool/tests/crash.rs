//! Any sequence of operations, with a disk that fails and a process or a machine that dies at any call.
//!
//! Over 400 lines: one model of a disk and every operation against it.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::super::storage::faulty::{FaultyStorage, Trouble};
use super::super::{
    Batch, Damage, Inspection, Log, NewRecord, Opening, Reader, ReclaimDone, ReclaimTask, Recovered,
    SyncDone, SyncTask, sequence,
};
use super::{LIMITS, body, ids, inspect_twice, open, read_all, record, try_open};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Sync,
    BeginSync,
    EndSync,
    WriteMarks,
    Commit(u64),
    Alive(i64),
    Gaps(u8),
    Reclaim,
    /// The three parts of a deletion that another thread does, with anything between them.
    BeginReclaim,
    RunReclaim,
    EndReclaim,
    /// The position was of so many epochs later.
    AdvanceEpoch(u32),
    Read,
    Trouble(usize, Trouble),
    Reopen,
    Kill,
    PowerCut(u64),
    /// Something fails while the spool is opened, and then the power.
    FaultyOpening(usize, Trouble, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let trouble = || {
        prop_oneof![
            2 => Just(Trouble::NoRoom),
            1 => Just(Trouble::ShortWrite),
            1 => Just(Trouble::WriteFails),
            3 => Just(Trouble::SyncFails),
            1 => Just(Trouble::SyncFailsAndForgets),
            3 => Just(Trouble::PowerCut),
        ]
    };
    prop_oneof![
        10 => vec(0_usize..1200, 1..8).prop_map(Step::Append),
        5 => Just(Step::Sync),
        3 => Just(Step::BeginSync),
        3 => Just(Step::EndSync),
        2 => Just(Step::WriteMarks),
        4 => (0_u64..100).prop_map(Step::Commit),
        2 => any::<i64>().prop_map(Step::Alive),
        2 => any::<u8>().prop_map(Step::Gaps),
        2 => Just(Step::Reclaim),
        3 => Just(Step::BeginReclaim),
        2 => Just(Step::RunReclaim),
        2 => Just(Step::EndReclaim),
        1 => (0_u32..3).prop_map(Step::AdvanceEpoch),
        2 => Just(Step::Read),
        3 => (1_usize..25, trouble()).prop_map(|(calls, trouble)| Step::Trouble(calls, trouble)),
        1 => Just(Step::Reopen),
        2 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::PowerCut),
        2 => (1_usize..40, trouble(), any::<u64>())
            .prop_map(|(calls, trouble, seed)| Step::FaultyOpening(calls, trouble, seed)),
    ]
}

/// What must be true of the spool, kept beside it.
#[derive(Debug, Default)]
struct Model {
    /// Everything ever offered, whether it was taken or not.
    offered: BTreeMap<u64, usize>,
    /// What the log has taken, and not reported lost.
    taken: Vec<u64>,
    durable: u64,
    durable_commit: u64,
    committed: u64,
    epoch: u32,
    /// Every opening that numbers could be given in: epoch and incarnation.
    openings: Vec<Opening>,
    counter: u64,
    /// Whether something was planned to fail since the log was opened.
    is_troubled: bool,
    /// Segments that earlier power cuts left with a hole.
    damaged: Vec<u64>,
}

impl Model {
    fn expect(&self, after: u64, up_to: u64) -> Vec<u64> {
        let wanted = |number: &&u64| **number > after && **number <= up_to;
        self.taken.iter().filter(wanted).copied().collect()
    }

    /// Takes note of a log that was opened: its epoch and incarnation are new, and none that was used is forgotten.
    fn note_opening(&mut self, log: &Log) {
        let known = log.lineage().openings();
        let opening = known.last().copied().unwrap();
        assert_eq!(opening.epoch, log.epoch());
        assert!(opening.epoch > self.epoch, "an epoch was used again");
        assert!(
            self.openings
                .iter()
                .all(|other| other.incarnation != opening.incarnation),
            "an incarnation was used again"
        );
        assert!(
            self.openings.iter().all(|other| known.contains(other)),
            "an opening was forgotten: {known:?} of {:?}",
            self.openings
        );
        assert!(known.is_sorted_by(|one, next| one.epoch < next.epoch));
        self.openings.push(opening);
        self.epoch = opening.epoch;
    }

    /// Takes note of what the log says is durable.
    fn note(&mut self, log: &mut Log) {
        if let Some(loss) = log.take_loss() {
            self.taken
                .retain(|number| !(loss.first..=loss.last).contains(number));
        }
        self.durable = self.durable.max(log.durable().sequence);
        self.durable_commit = self.durable_commit.max(log.durable().commit);
    }
}

struct Run {
    storage: FaultyStorage,
    model: Model,
    log: Log,
    reader: Reader,
    seen: Vec<u64>,
    /// A sync that the log has not heard of.
    done: Option<SyncDone>,
    /// A deletion that has not run.
    reclaim: Option<ReclaimTask>,
    /// One that the log has not heard of.
    reclaimed: Option<ReclaimDone>,
}

impl Run {
    fn start() -> Self {
        let storage = FaultyStorage::default();
        let (log, _) = open(&storage);
        let reader = log.reader_after(0);
        let mut model = Model::default();
        model.note_opening(&log);
        Self {
            model,
            storage,
            log,
            reader,
            seen: Vec::new(),
            done: None,
            reclaim: None,
            reclaimed: None,
        }
    }

    fn run_reclaim(&mut self) {
        if let Some(task) = self.reclaim.take() {
            self.reclaimed = Some(task.run());
        }
    }

    fn end_reclaim(&mut self) {
        self.run_reclaim();
        if let Some(done) = self.reclaimed.take() {
            self.log.end_reclaim(done).ok();
        }
    }

    /// Numbers are of a later epoch from here on, unless it could not be written down.
    fn advance_epoch(&mut self, later: u32) {
        let advanced = self.log.advance_epoch(self.model.epoch + later);
        if let Ok(epoch) = advanced {
            assert_eq!(epoch, self.log.epoch());
        }
        if self.log.epoch() != self.model.epoch {
            self.model.note_opening(&self.log);
        }
    }

    fn begin_sync(&mut self) {
        self.end_sync();
        self.done = self.log.begin_sync().ok().flatten().map(SyncTask::run);
    }

    fn end_sync(&mut self) {
        if let Some(done) = self.done.take() {
            self.log.end_sync(done).ok();
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(lengths) => self.append(&lengths),
            Step::Sync => {
                self.log.sync().ok();
            }
            Step::BeginSync => self.begin_sync(),
            Step::EndSync => self.end_sync(),
            Step::WriteMarks => {
                self.log.write_marks().ok();
            }
            Step::Commit(percent) => {
                let at = self.model.taken.len() * percent as usize / 100;
                if let Some(number) = self.model.taken.get(at) {
                    self.log.set_commit(*number);
                    self.model.committed = self.model.committed.max(*number);
                }
            }
            Step::Alive(time_us) => self.log.set_alive(time_us),
            Step::Gaps(gap) => self.log.set_open_gaps(&[&[gap]]).unwrap(),
            Step::Reclaim => {
                self.end_reclaim();
                self.log.reclaim().ok();
            }
            Step::BeginReclaim => {
                self.end_reclaim();
                self.reclaim = self.log.begin_reclaim().ok().flatten();
            }
            Step::RunReclaim => self.run_reclaim(),
            Step::EndReclaim => self.end_reclaim(),
            Step::AdvanceEpoch(later) => self.advance_epoch(later),
            Step::Read => self.read(),
            Step::Trouble(calls, trouble) => {
                self.storage.plan(calls, trouble);
                self.model.is_troubled = true;
            }
            Step::Reopen => {
                self.storage.clear_plan();
                if self.log.sync().is_ok() {
                    self.model.note(&mut self.log);
                }
                self.storage.kill();
                self.reopen(true);
            }
            Step::Kill => {
                self.model.note(&mut self.log);
                self.storage.kill();
                self.reopen(true);
            }
            Step::PowerCut(seed) => {
                self.model.note(&mut self.log);
                self.storage.cut_power(&mut ChaCha8Rng::seed_from_u64(seed));
                self.reopen(false);
            }
            Step::FaultyOpening(calls, trouble, seed) => {
                self.model.note(&mut self.log);
                self.storage.kill();
                self.storage.plan(calls, trouble);
                if let Ok((log, found)) = try_open(&self.storage) {
                    assert!(found.commit >= self.model.durable_commit);
                    self.model.note_opening(&log);
                }
                self.storage.cut_power(&mut ChaCha8Rng::seed_from_u64(seed));
                self.model.is_troubled = true;
                self.reopen(false);
            }
        }
        self.model.note(&mut self.log);
    }

    fn append(&mut self, lengths: &[usize]) {
        let bodies: Vec<(u64, Vec<u8>)> = (1..)
            .zip(lengths)
            .map(|(more, length)| (sequence(self.model.epoch, self.model.counter + more), *length))
            .map(|(number, length)| (number, body(number, length)))
            .collect();
        self.model.counter += lengths.len() as u64;
        let records: Vec<NewRecord<'_>> = bodies
            .iter()
            .map(|(number, body)| record(*number, body))
            .collect();
        for (number, body) in &bodies {
            assert_eq!(self.model.offered.insert(*number, body.len()), None);
        }
        let count = match self.log.append(&records) {
            Ok(()) => records.len(),
            Err(refused) => refused.appended,
        };
        self.model
            .taken
            .extend(records[..count].iter().map(|record| record.sequence));
    }

    /// Reads on; what one reader sees is in order, whatever became of the segments.
    fn read(&mut self) {
        let mut batch = Batch::default();
        self.reader.read(LIMITS, &mut batch);
        for stored in batch.records() {
            assert!(self.seen.last() < Some(&stored.sequence));
            let length = self.model.offered[&stored.sequence];
            assert_eq!(stored.payload[4..], body(stored.sequence, length));
            self.seen.push(stored.sequence);
        }
    }

    /// Opens the spool after the process or the machine has died, and holds it against the model.
    fn reopen(&mut self, everything_is_left: bool) {
        let seen = inspect_twice(&self.storage);
        let (log, found) = try_open(&self.storage).unwrap();
        self.model.note_opening(&log);
        assert_eq!(log.uuid(), self.log.uuid());
        assert!(
            found.commit >= self.model.durable_commit,
            "a durable commit mark was forgotten"
        );
        assert!(found.commit <= self.model.committed.max(self.model.durable_commit));
        assert_eq!(
            (seen.commit, &seen.damage, seen.backlog),
            (found.commit, &found.damage, found.backlog)
        );
        let left = read_all(&log, found.commit);
        assert_eq!(left.len() as u64, found.backlog.records);
        for number in &left {
            assert!(
                self.model.offered.contains_key(number),
                "{number} was never offered"
            );
        }
        self.check(&log, &found, &left, everything_is_left);

        // The same again: a second recovery finds the same.
        self.storage.kill();
        let (log, again) = open(&self.storage);
        assert_eq!(read_all(&log, again.commit), left);
        assert_eq!((again.commit, again.open_gaps), (found.commit, found.open_gaps));
        assert_eq!(waiting(&again.damage, &seen), waiting(&found.damage, &seen));

        self.model.taken = left;
        self.model.note_opening(&log);
        self.model.counter = 0;
        self.model.durable = found.last_sequence;
        self.model.durable_commit = found.commit;
        self.model.committed = found.commit;
        self.model.is_troubled = false;
        self.model.damaged = found.damage.iter().map(|damage| damage.segment).collect();
        self.reader = log.reader_after(found.commit);
        self.seen.clear();
        self.done = None;
        self.reclaim = None;
        self.reclaimed = None;
        self.log = log;
    }

    fn check(&self, log: &Log, found: &Recovered, left: &[u64], everything_is_left: bool) {
        let up_to = if everything_is_left && !self.model.is_troubled {
            u64::MAX
        } else {
            self.model.durable
        };
        for number in self.model.expect(found.commit, up_to) {
            assert!(left.contains(&number), "{number} was lost: {found:?}");
        }
        // Nothing that was durable was touched, so a new hole is at most where nothing was.
        let durable = self.model.expect(0, self.model.durable).last().copied();
        let is_new = |damage: &&Damage| !self.model.damaged.contains(&damage.segment);
        for damage in found.damage.iter().filter(is_new) {
            assert!(damage.last_good >= durable, "{damage:?}");
        }
        if !self.model.is_troubled {
            let known = ids(log);
            for number in self.model.expect(0, up_to) {
                assert!(known.contains(&number), "the id of {number} was forgotten");
            }
        }
    }
}

/// Returns the damage of segments that are not committed; the others may be deleted, and their damage with them.
fn waiting(damage: &[Damage], seen: &Inspection) -> Vec<Damage> {
    let waits = |number: u64| {
        seen.segments
            .iter()
            .any(|one| one.number == number && !one.is_committed)
    };
    damage
        .iter()
        .filter(|damage| waits(damage.segment))
        .cloned()
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_durable_is_lost_nothing_is_invented_and_no_number_is_used_twice(
        steps in vec(step(), 1..50),
        seed in any::<u64>(),
    ) {
        let mut run = Run::start();
        for step in steps {
            run.step(step);
        }
        run.step(Step::PowerCut(seed));
        run.step(Step::Append(vec![10, 20]));
    }
}

/// Runs a fixed life of a spool with `trouble` at its `calls`-th call; says whether it came to that.
fn live(calls: usize, trouble: Trouble, is_at_opening: bool) -> bool {
    let mut run = Run::start();
    if !is_at_opening {
        run.step(Step::Trouble(calls, trouble));
    }
    for step in [
        Step::Append(vec![700; 7]),
        Step::Sync,
        Step::Commit(60),
        Step::Alive(1),
        Step::Gaps(1),
        Step::BeginSync,
        Step::Append(vec![900; 5]),
        Step::EndSync,
        Step::BeginReclaim,
        Step::Append(vec![900; 5]),
        Step::RunReclaim,
        Step::AdvanceEpoch(1),
        Step::EndReclaim,
        Step::Commit(90),
        Step::Sync,
        Step::Reclaim,
        Step::Append(vec![100; 3]),
        Step::WriteMarks,
        Step::Sync,
        Step::Append(vec![1100; 3]),
    ] {
        run.step(step);
    }
    let is_met = !run.storage.has_plan();
    if is_at_opening {
        run.model.note(&mut run.log);
        run.storage.kill();
        run.storage.plan(calls, trouble);
        try_open(&run.storage).ok();
        let is_met = !run.storage.has_plan();
        run.step(Step::FaultyOpening(calls, trouble, calls as u64));
        return is_met;
    }
    run.step(Step::PowerCut(calls as u64));
    is_met
}

#[test]
fn any_fault_at_any_call_loses_nothing_that_was_durable() {
    for trouble in [
        Trouble::NoRoom,
        Trouble::ShortWrite,
        Trouble::WriteFails,
        Trouble::SyncFails,
        Trouble::SyncFailsAndForgets,
        Trouble::PowerCut,
    ] {
        for is_at_opening in [false, true] {
            let met = (1..)
                .take_while(|calls| live(*calls, trouble, is_at_opening))
                .count();
            assert!(met > 10, "{trouble:?} was met {met} times");
        }
    }
}
