//! The spool behind a queue: what the host gets, over falling behind, restarts and positions.
//!
//! Over 400 lines: one opening of a spool serves every scenario, and splitting them would repeat it.

mod restored;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::{Keeper, ResumeError, Store, Writer};
use crate::queue::{Bounds, Ending, NoRecords, PullLimits, Queue};
use crate::record::{Chunk, ChunkBuilder, Head, Kind};
use crate::spool::storage::faulty::{FaultyStorage, Trouble};
use crate::spool::{Recovered, Settings, sequence};

/// The smallest spool: 32 segments of 8 KiB.
const MAX_BYTES: u64 = 256 << 10;

const NOW: PullLimits = PullLimits {
    max_records: 1000,
    max_bytes: 1 << 20,
    wait: Duration::ZERO,
    linger: Duration::ZERO,
};

/// One opening of a spool, with the spool thread's part called by hand.
struct Opened {
    queue: Arc<Queue>,
    store: Arc<Store>,
    writer: Writer,
    keeper: Keeper,
    found: Recovered,
    counter: u64,
}

impl Opened {
    fn new(storage: &FaultyStorage, max_records: usize) -> Self {
        Self::bounded(storage, max_records, MAX_BYTES)
    }

    fn bounded(storage: &FaultyStorage, max_records: usize, max_bytes: u64) -> Self {
        let bounds = Bounds {
            max_records,
            max_bytes: 1 << 20,
        };
        let queue = Arc::new(Queue::try_new(bounds).unwrap());
        let (store, found, keeper) = Store::open(
            Arc::new(storage.clone()),
            Settings::try_new(max_bytes).unwrap(),
            Duration::from_millis(20),
            crate::dedup::Settings::default(),
            Arc::clone(&queue),
        )
        .unwrap();
        Self {
            writer: Writer::new(Arc::clone(&store)),
            queue,
            store,
            keeper,
            found,
            counter: 0,
        }
    }

    /// Appends `count` records in one chunk; their numbers.
    fn append(&mut self, count: u64) -> Vec<u64> {
        let numbers: Vec<u64> = (1..=count)
            .map(|more| sequence(self.store.epoch(), self.counter + more))
            .collect();
        self.counter += count;
        self.writer.push(chunk(&numbers));
        self.writer.flush().unwrap();
        numbers
    }

    /// Lets the spool thread's part fill the queue as far as it will.
    fn refill(&mut self) {
        while self.keeper.refill() {}
    }

    /// Takes what the queue has: number and flags of each.
    fn pull(&self) -> Vec<(u64, u32)> {
        let pulled = self.queue.pull(&NOW).unwrap_or_default();
        pulled
            .iter()
            .flat_map(|slice| slice.records().map(|record| (record.sequence(), record.flags())))
            .collect()
    }

    /// Takes everything there is.
    fn pull_all(&mut self) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        loop {
            self.refill();
            let pulled = self.pull();
            if pulled.is_empty() {
                return all;
            }
            all.extend(pulled);
        }
    }

    fn law(&self) -> i64 {
        self.queue.counts().0.law()
    }

    /// The process dies: what was written stays, nothing is synced or said.
    fn die(self) {
        self.store.shut();
    }
}

fn chunk(numbers: &[u64]) -> Chunk {
    labelled(numbers.iter().map(|number| (*number, number.to_string())))
}

/// Builds records of these numbers and bodies.
fn labelled(records: impl Iterator<Item = (u64, String)>) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for (number, body) in records {
        let id = format!("id-{number}");
        let head = Head {
            kind: Kind::Event,
            flags: 0,
            sequence: number,
            event_time_us: None,
            received_time_us: 1_000_000,
            id: &id,
            type_: "interaction",
            subject: "c",
            key: "c",
            attributes: &[("source", "s")],
        };
        builder.push(&head, |out| out.extend(body.as_bytes())).unwrap();
        builder.identify(u128::from(number));
    }
    builder.seal()
}

fn numbers(records: &[(u64, u32)]) -> Vec<u64> {
    records.iter().map(|(number, _)| *number).collect()
}

#[test]
fn a_host_that_keeps_up_gets_what_was_appended_without_a_read() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(3);
    assert_eq!(numbers(&opened.pull()), appended);
    opened.store.commit(appended[1]).unwrap();
    let (counts, _) = opened.queue.counts();
    assert_eq!((counts.appended, counts.committed, counts.uncommitted), (3, 2, 1));
    assert!(opened.store.commit(appended[2] + 1).is_err());
}

#[test]
fn nothing_is_shown_that_is_not_in_the_log() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(1);
    assert_eq!(numbers(&opened.pull()), appended);
    storage.plan(0, Trouble::WriteFails);
    let refused = opened.append(2);
    assert!(opened.writer.is_blocked());
    assert_eq!(opened.pull(), []);
    assert_eq!(opened.writer.unwritten_since_us(), Some(1_000_000));
    assert!(!storage.has_plan());
    opened.writer.flush().unwrap();
    assert!(!opened.writer.is_blocked());
    assert_eq!(numbers(&opened.pull()), refused);
    assert_eq!(opened.law(), 0);
}

#[test]
fn what_was_not_committed_comes_again_and_says_so() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(5);
    opened.pull();
    opened.store.commit(appended[1]).unwrap();
    opened.keeper.sync().unwrap();
    opened.die();
    let mut opened = Opened::new(&storage, 100);
    let new = opened.append(1);
    let pulled = opened.pull_all();
    assert_eq!(numbers(&pulled), [&appended[2..], &new].concat());
    let redelivered = plugin_abi::types::ESP_FLAG_REDELIVERED;
    assert_eq!(
        pulled.iter().map(|(_, flags)| *flags).collect::<Vec<_>>(),
        [redelivered, redelivered, redelivered, 0]
    );
    let (counts, _) = opened.queue.counts();
    assert_eq!((counts.recovered, counts.appended, counts.law()), (3, 1, 0));
}

#[test]
fn the_end_waits_for_what_is_in_the_spool_only() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 2);
    let mut appended = opened.append(2);
    appended.extend(opened.append(2));
    opened.queue.end(Ending::drained());
    assert_eq!(numbers(&opened.pull()), appended[..2]);
    assert_eq!(opened.queue.pull(&NOW).unwrap_err(), NoRecords::Timeout);
    assert_eq!(numbers(&opened.pull_all()), appended[2..]);
    assert_eq!(
        opened.queue.pull(&NOW).unwrap_err(),
        NoRecords::Ended(Ending::drained())
    );
}

#[test]
fn the_deadline_of_a_drain_leaves_the_rest_to_the_next_process() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(3);
    opened.queue.end(Ending::drained());
    opened.queue.discard_at(std::time::Instant::now());
    assert_eq!(
        opened.queue.pull(&NOW).unwrap_err(),
        NoRecords::Ended(Ending::drained())
    );
    let (counts, _) = opened.queue.counts();
    assert_eq!((counts.uncommitted, counts.evicted, counts.law()), (3, 0, 0));
    opened.die();
    assert_eq!(numbers(&Opened::new(&storage, 100).pull_all()), appended);
}

#[test]
fn a_full_spool_keeps_what_it_does_not_take_and_goes_on_when_something_is_committed() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 10);
    let mut appended = Vec::new();
    while !opened.writer.is_blocked() {
        appended.extend(opened.append(20));
    }
    assert!(opened.store.figures().unwrap().full);
    assert!(!opened.store.is_below(0.9));
    let pulled = opened.pull_all();
    let held = appended.len() - pulled.len();
    assert!(held > 0 && held <= 20, "{held}");
    assert_eq!(numbers(&pulled), appended[..pulled.len()]);
    opened.store.commit(pulled.last().unwrap().0).unwrap();
    // the commit mark must be durable before a segment goes
    opened.keeper.sync().unwrap();
    opened.keeper.sync().unwrap();
    assert!(opened.store.is_below(0.9));
    opened.writer.flush().unwrap();
    assert!(!opened.writer.is_blocked());
    assert_eq!(numbers(&opened.pull_all()), appended[pulled.len()..]);
    assert_eq!(opened.law(), 0);
    let figures = opened.store.figures().unwrap();
    assert!(!figures.full);
    assert_eq!(figures.backlog_records, held as u64);
    assert_eq!(figures.oldest_unresolved_us, Some(1_000_000));
}

#[test]
fn a_position_is_gone_on_after_whether_or_not_the_spool_knows_of_the_commit() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(4);
    opened.pull();
    assert_eq!(opened.store.token(appended[3] + 1), None);
    let token = opened.store.token(appended[2]).unwrap();
    opened.die();
    let mut opened = Opened::new(&storage, 100);
    assert_eq!(opened.found.commit, 0);
    // also where the queue has been filled already
    opened.refill();
    opened.store.resume(&token).unwrap();
    assert_eq!(numbers(&opened.pull_all()), appended[3..]);
    assert!(opened.store.take_notices().is_empty());
    assert_eq!(opened.law(), 0);
    assert!(matches!(
        opened.store.resume(&token),
        Err(ResumeError::AlreadyPulled(_))
    ));
    opened.keeper.sync().unwrap();
    opened.die();
    assert_eq!(Opened::new(&storage, 100).found.commit, appended[2]);
}

#[test]
fn a_position_ahead_of_the_tail_skips_what_is_there_and_nothing_new() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(4);
    opened.pull();
    let ahead = opened
        .store
        .token(appended[3])
        .unwrap()
        .replace(&appended[3].to_string(), &(appended[3] + 7).to_string());
    opened.die();
    let mut opened = Opened::new(&storage, 100);
    let new = opened.append(2);
    opened.store.resume(&ahead).unwrap();
    assert_eq!(numbers(&opened.pull_all()), new);
    assert_eq!(opened.law(), 0);
    assert!(opened.store.take_notices().is_empty());
}

#[test]
fn a_foreign_position_skips_nothing_and_is_told() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let appended = opened.append(2);
    let mut other = Opened::new(&FaultyStorage::default(), 100);
    other.append(2);
    other.pull();
    let token = other.store.token(appended[1]).unwrap();
    opened.die();
    let mut opened = Opened::new(&storage, 100);
    opened.store.resume(&token).unwrap();
    let notices = opened.store.take_notices();
    assert_eq!(
        notices
            .iter()
            .map(crate::notice::Notice::type_)
            .collect::<Vec<_>>(),
        ["position_foreign"]
    );
    assert_eq!(numbers(&opened.pull_all()), appended);
    assert!(matches!(
        opened.store.resume("nonsense"),
        Err(ResumeError::NoToken)
    ));
}

#[test]
fn a_clock_that_is_set_back_does_not_leave_the_sign_of_life_in_the_future() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    for time_us in [7_200_000_000, 3_600_000_000] {
        opened.store.tell_alive(time_us);
        opened.keeper.sync().unwrap();
    }
    opened.die();
    assert_eq!(Opened::new(&storage, 100).found.alive_us, Some(3_600_000_000));
}

#[test]
fn a_position_of_a_later_epoch_is_a_restored_copy_whose_numbers_go_on_above_it() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 100);
    let old = opened.append(2);
    opened.die();
    let copy = storage.copy();
    // the original lives on for two more processes
    let mut later = Opened::new(&storage, 100);
    later.die();
    later = Opened::new(&storage, 100);
    let last = later.append(3);
    later.pull_all();
    let token = later.store.token(last[2]).unwrap();
    // the copy admits something before its host brings the position
    let mut restored = Opened::new(&copy, 100);
    let unshown = restored.append(1);
    let before = restored.store.epoch();
    restored.store.resume(&token).unwrap();
    assert_eq!((before, restored.store.epoch()), (2, 4));
    let notices = restored.store.take_notices();
    assert_eq!(
        notices
            .iter()
            .map(crate::notice::Notice::type_)
            .collect::<Vec<_>>(),
        ["spool_restored"]
    );
    // numbered before the epoch was known, appended after
    restored.counter += 1;
    let late = sequence(before, restored.counter);
    restored.writer.push(chunk(&[late]));
    restored.writer.flush().unwrap();
    let pulled = numbers(&restored.pull_all());
    assert_eq!(pulled, [unshown[0], sequence(4, restored.counter)]);
    assert!(!pulled.contains(&old[0]) && pulled[1] > last[2]);
    assert_eq!(restored.law(), 0);
}

#[test]
fn a_place_that_went_bad_is_told_and_what_stood_there_is_evicted() {
    let storage = FaultyStorage::default();
    let mut opened = Opened::new(&storage, 10);
    let mut appended = Vec::new();
    for _ in 0..20 {
        appended.extend(opened.append(20));
    }
    opened.keeper.sync().unwrap();
    let image = storage.image();
    let mut segments = image.keys().filter(|name| name.ends_with(".segment"));
    let segment = segments.nth(2).unwrap();
    storage.flip(segment, 6000);
    let pulled = numbers(&opened.pull_all());
    let (counts, _) = opened.queue.counts();
    assert!(counts.evicted > 0 && counts.evicted < 40, "{counts:?}");
    assert_eq!(pulled.len() as u64 + counts.evicted, appended.len() as u64);
    assert_eq!(counts.law(), 0);
    assert_eq!(pulled.last(), appended.last());
    let notices = opened.store.take_notices();
    assert_eq!(
        notices
            .iter()
            .map(crate::notice::Notice::type_)
            .collect::<Vec<_>>(),
        ["spool_damaged"]
    );
    assert_eq!(opened.store.figures().unwrap().damaged_places, 1);
}

#[test]
fn the_thread_syncs_fills_up_and_frees_the_directory() {
    let storage = FaultyStorage::default();
    let opened = Opened::new(&storage, 4);
    let Opened {
        queue,
        store,
        mut writer,
        keeper,
        ..
    } = opened;
    let thread = std::thread::spawn(move || keeper.run());
    let numbers: Vec<u64> = (1..=50).map(|counter| sequence(store.epoch(), counter)).collect();
    for part in numbers.chunks(3) {
        writer.push(chunk(part));
        writer.flush().unwrap();
    }
    let (mut pulled, wait) = (Vec::new(), Duration::from_secs(60));
    while pulled.len() < numbers.len() {
        let slices = queue.pull(&PullLimits { wait, ..NOW }).unwrap();
        pulled.extend(slices.iter().flat_map(|slice| {
            slice
                .records()
                .map(|record| record.sequence())
                .collect::<Vec<_>>()
        }));
    }
    assert_eq!(pulled, numbers);
    store.commit(numbers[49]).unwrap();
    store.tell_over();
    thread.join().unwrap();
    assert!(store.figures().is_none());
    let again = Opened::new(&storage, 4);
    assert_eq!(
        (again.found.commit, again.found.backlog.records),
        (numbers[49], 0)
    );
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Refill,
    Pull,
    /// Commits what was pulled, but for so many.
    Commit(usize),
    Sync,
    /// The process dies; the host brings a position or not.
    Die {
        with_token: bool,
    },
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever happens, the host gets every record from the first uncommitted one on, in order, and none twice within
    /// one process.
    #[test]
    fn the_host_gets_every_record_once_and_in_order(
        max_records in 1..40_usize,
        steps in prop::collection::vec(prop_oneof![
            4 => (1..30_u64).prop_map(Step::Append),
            2 => Just(Step::Refill),
            4 => Just(Step::Pull),
            2 => (0..20_usize).prop_map(Step::Commit),
            2 => Just(Step::Sync),
            1 => any::<bool>().prop_map(|with_token| Step::Die { with_token }),
        ], 1..60),
    ) {
        let storage = FaultyStorage::default();
        // never full, but of many segments
        let max_bytes = 4 * MAX_BYTES;
        let mut opened = Opened::bounded(&storage, max_records, max_bytes);
        // everything ever appended, in order
        let mut all: Vec<u64> = Vec::new();
        // the index in `all` of what the host must get next, and what it got in this process
        let (mut next, mut got) = (0, Vec::new());
        let mut committed = 0;
        let mut resolved: Option<u64> = None;
        for step in steps {
            match step {
                Step::Append(count) => all.extend(opened.append(count)),
                Step::Refill => opened.refill(),
                Step::Pull => for (number, _) in opened.pull() {
                    prop_assert_eq!(number, all[next]);
                    next += 1;
                    got.push(number);
                },
                Step::Commit(but) => if let Some(number) = got.len().checked_sub(but + 1).map(|at| got[at]) {
                    opened.store.commit(number).unwrap();
                    resolved = Some(number.max(resolved.unwrap_or(0)));
                },
                Step::Sync => {
                    opened.keeper.sync().unwrap();
                    committed = opened.store.commit.load(Ordering::Relaxed);
                }
                Step::Die { with_token } => {
                    let token = resolved.and_then(|number| opened.store.token(number));
                    opened.die();
                    opened = Opened::bounded(&storage, max_records, max_bytes);
                    prop_assert_eq!(opened.found.commit, committed);
                    if let Some(token) = token.filter(|_| with_token) {
                        opened.store.resume(&token).unwrap();
                        let skipped_to = resolved.unwrap();
                        // half a sync in between must not take away what has not been counted
                        opened.keeper.sync().unwrap();
                        opened.refill();
                        opened.keeper.sync().unwrap();
                        committed = committed.max(opened.store.commit.load(Ordering::Relaxed));
                        next = all.iter().position(|number| *number > skipped_to).unwrap_or(all.len());
                        got.clear();
                        resolved = None;
                        continue;
                    }
                    got.clear();
                    resolved = None;
                    next = all.iter().position(|number| *number > committed).unwrap_or(all.len());
                }
            }
            prop_assert_eq!(opened.law(), 0);
        }
        let rest = opened.pull_all();
        prop_assert_eq!(numbers(&rest), all[next..].to_vec());
        prop_assert_eq!(opened.law(), 0);
        prop_assert!(opened.queue.counts().0.evicted == 0);
    }
}
