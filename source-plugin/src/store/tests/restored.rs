//! Copies of one spool's directory that live on beside each other, and one host whose position goes from one to another.
//!
//! Two lines give the same numbers to different records, so a record is known here by its body.
//!
//! Over 400 lines: one model of the copies of a directory, with the cases that it was found by.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{MAX_BYTES, NOW, Opened, labelled};
use crate::notice::Notice;
use crate::spool::storage::faulty::FaultyStorage;
use crate::spool::{epoch_of, last_of_epoch, sequence};
use crate::store::token::MOST_OPENINGS;

/// Room for every opening of a test.
const ROOMY_BYTES: u64 = 8 * MAX_BYTES;

fn open(storage: &FaultyStorage) -> Opened {
    Opened::bounded(storage, 1000, ROOMY_BYTES)
}

impl Opened {
    /// Appends records with these bodies; their numbers.
    fn hear(&mut self, bodies: &[&str]) -> Vec<u64> {
        let epoch = self.store.epoch();
        let numbers: Vec<u64> = (1..=bodies.len() as u64)
            .map(|more| sequence(epoch, self.counter + more))
            .collect();
        self.counter += bodies.len() as u64;
        let heard = numbers
            .iter()
            .copied()
            .zip(bodies.iter().map(ToString::to_string));
        self.writer.push(labelled(heard));
        self.writer.flush().unwrap();
        assert!(!self.writer.is_blocked());
        numbers
    }

    /// Takes everything there is: number and body of each.
    fn take(&mut self) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        loop {
            self.refill();
            let slices = self.queue.pull(&NOW).unwrap_or_default();
            if slices.is_empty() {
                return all;
            }
            for record in slices.iter().flat_map(|slice| slice.records()) {
                let body = String::from_utf8(record.body().to_vec()).unwrap();
                all.push((record.sequence(), body));
            }
        }
    }

    fn told(&self) -> Vec<&'static str> {
        let notices = self.store.take_notices();
        notices.iter().map(Notice::type_).collect()
    }
}

fn bodies(records: &[(u64, String)]) -> Vec<&str> {
    records.iter().map(|(_, body)| body.as_str()).collect()
}

/// A spool that heard two records, a copy of it, and the host's position in what the original heard later.
fn parted() -> (FaultyStorage, FaultyStorage, String) {
    let storage = FaultyStorage::default();
    let mut opened = open(&storage);
    opened.hear(&["shared 1", "shared 2"]);
    opened.die();
    let copy = storage.copy();
    // the original lives on for two more processes
    open(&storage).die();
    let mut later = open(&storage);
    let last = later.hear(&["original 1", "original 2", "original 3"]);
    assert_eq!(later.take().len(), 5);
    let token = later.store.token(last[2]).unwrap();
    later.die();
    (storage, copy, token)
}

#[test]
fn what_a_restored_copy_heard_before_its_host_came_survives_its_death() {
    for deaths in 1..=4 {
        // each process of the copy has met its host or not
        for met in 0..1_u32 << deaths {
            let (_, copy, token) = parted();
            let heard: Vec<String> = (0..deaths).map(|death| format!("copy {death}")).collect();
            for (death, body) in heard.iter().enumerate() {
                let mut opened = open(&copy);
                opened.hear(&[body]);
                if met & 1 << death != 0 {
                    opened.store.resume(&token).unwrap();
                    opened.refill();
                    opened.keeper.sync().unwrap();
                }
                opened.die();
            }
            let mut again = open(&copy);
            again.store.resume(&token).unwrap();
            assert_eq!(bodies(&again.take()), heard, "{deaths} deaths, met {met:b}");
            assert_eq!(again.told(), ["spool_restored"]);
            assert_eq!(again.law(), 0);
        }
    }
}

#[test]
fn a_copy_whose_host_has_committed_once_goes_on_after_that() {
    for is_marked in [false, true] {
        let (_, copy, token) = parted();
        let mut opened = open(&copy);
        opened.hear(&["before"]);
        opened.store.resume(&token).unwrap();
        opened.hear(&["after", "uncommitted"]);
        let taken = opened.take();
        assert_eq!(bodies(&taken), ["before", "after", "uncommitted"]);
        for (committed, (number, _)) in taken[..2].iter().enumerate() {
            // what is committed may be of an epoch before the one in which the host came
            assert_eq!(epoch_of(*number), [2, 4][committed]);
            let token = opened.store.token(*number).unwrap();
            if is_marked {
                opened.store.commit(*number).unwrap();
                opened.keeper.sync().unwrap();
            }
            // what is left if it dies now
            let left_behind = copy.copy();
            let mut opened = open(&left_behind);
            opened.hear(&["new"]);
            opened.store.resume(&token).unwrap();
            let left = bodies(&taken)[committed + 1..].to_vec();
            assert_eq!(bodies(&opened.take()), [left, vec!["new"]].concat());
            assert_eq!(opened.told(), Vec::<&str>::new());
        }
    }
}

#[test]
fn the_original_that_comes_back_after_its_copy_keeps_what_it_has_not_delivered() {
    let (original, copy, token) = parted();
    let mut waiting = open(&original);
    waiting.hear(&["original 4"]);
    waiting.die();
    let mut opened = open(&copy);
    opened.hear(&["copy 1"]);
    opened.store.resume(&token).unwrap();
    let (last, _) = *opened.take().last().unwrap();
    let token = opened.store.token(last).unwrap();
    opened.die();
    // its epochs are not below that of the position
    let mut back = open(&original);
    assert_eq!(back.store.epoch(), 5);
    back.store.resume(&token).unwrap();
    let own = ["original 1", "original 2", "original 3", "original 4"];
    assert_eq!(bodies(&back.take()), own);
    assert_eq!(back.told(), ["spool_restored"]);
}

#[test]
fn a_position_whose_line_parted_too_long_ago_skips_nothing_that_is_not_committed() {
    for more in [0, 1] {
        let (original, copy, _) = parted();
        // two openings since they parted, and the one that gives the position
        for _ in 0..MOST_OPENINGS - 4 + more {
            open(&original).die();
        }
        let mut opened = open(&original);
        let taken = opened.take();
        let token = opened.store.token(taken.last().unwrap().0).unwrap();
        let mut restored = open(&copy);
        restored.hear(&["copy 1"]);
        restored.store.resume(&token).unwrap();
        let again: &[&str] = &["shared 1", "shared 2", "copy 1"][2 - 2 * more..];
        assert_eq!(bodies(&restored.take()), again);
        assert_eq!(restored.told(), ["spool_restored"]);
    }
}

/// Puts a directory back to format 1, whose identity ends with the epoch.
fn downgrade(storage: &FaultyStorage) {
    let mut content = storage.content("identity");
    for block in content.chunks_mut(4096).filter(|block| block.starts_with(b"esp")) {
        block[8..12].copy_from_slice(&1_u32.to_le_bytes());
        block[40..].fill(0);
        block[16..20].fill(0);
        let crc = crc32c::crc32c(block);
        block[16..20].copy_from_slice(&crc.to_le_bytes());
    }
    storage.set_content("identity", &content);
}

/// What a program of format 1 says of the same position.
fn of_form_1(token: &str) -> String {
    let fields: Vec<&str> = token.split(':').collect();
    format!("1:{}", fields[1..4].join(":"))
}

#[test]
fn a_position_of_form_1_is_gone_on_after_when_the_program_is_replaced() {
    let storage = FaultyStorage::default();
    let mut opened = open(&storage);
    opened.hear(&["one", "two", "three"]);
    let taken = opened.take();
    let token = of_form_1(&opened.store.token(taken[1].0).unwrap());
    opened.die();
    downgrade(&storage);
    for _ in 0..3 {
        let mut opened = open(&storage);
        opened.hear(&["new"]);
        opened.store.resume(&token).unwrap();
        let expected = ["three", "new", "new", "new"];
        let pulled = opened.take();
        assert_eq!(bodies(&pulled), expected[..pulled.len()]);
        assert!(pulled.len() > 1 && opened.told().is_empty());
        opened.die();
    }
}

#[test]
fn a_position_of_form_1_that_a_copy_of_form_1_gave_skips_nothing() {
    let (_, copy, token) = parted();
    downgrade(&copy);
    let token = of_form_1(&token);
    // also where the epochs of the copy have passed that of the position
    for openings in 1..6 {
        let mut opened = open(&copy);
        opened.hear(&["copy"]);
        opened.store.resume(&token).unwrap();
        let expected = [vec!["shared 1", "shared 2"], vec!["copy"; openings]].concat();
        assert_eq!(bodies(&opened.take()), expected);
        assert_eq!(opened.told(), ["spool_restored"]);
        opened.die();
    }
}

/// One process of one of the directories, or a copy of one.
#[derive(Clone, Debug)]
enum Step {
    Live {
        directory: usize,
        /// Records that are heard before and after the host comes.
        heard: (usize, usize),
        meets_its_host: bool,
        /// How much of what was taken the host commits, in percent.
        committed: Option<usize>,
        /// Whether the log knows of the commit.
        is_marked: bool,
        /// Whether the directory is copied while the process lives.
        is_copied: bool,
    },
    Idle {
        directory: usize,
        openings: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let live = (
        any::<usize>(),
        (0..4_usize, 0..4_usize),
        prop::bool::weighted(0.7),
        prop::option::weighted(0.6, 0..100_usize),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        8 => live.prop_map(|(directory, heard, meets_its_host, committed, is_marked, is_copied)| Step::Live {
            directory, heard, meets_its_host, committed, is_marked, is_copied,
        }),
        1 => (any::<usize>(), 1..20_usize).prop_map(|(directory, openings)| Step::Idle { directory, openings }),
    ]
}

/// A directory and what must be true of it.
#[derive(Clone, Debug)]
struct Directory {
    storage: FaultyStorage,
    /// Every opening with its epoch, each with a number of its own over all directories.
    line: Vec<(usize, u32)>,
    records: Vec<(u64, String)>,
}

impl Directory {
    fn copy(&self) -> Self {
        Self {
            storage: self.storage.copy(),
            ..self.clone()
        }
    }
}

/// A position of the host.
#[derive(Debug)]
struct Position {
    token: String,
    /// The number that it stands for.
    sequence: u64,
    /// The line that gave it.
    giver: Vec<(usize, u32)>,
}

/// What the host has.
#[derive(Debug, Default)]
struct Host {
    position: Option<Position>,
    delivered: HashSet<String>,
}

impl Host {
    /// Returns up to which number `line` has nothing that is new to the host, and whether it gave the position.
    fn knows(&self, line: &[(usize, u32)]) -> (u64, bool) {
        let Some(Position { sequence, giver, .. }) = &self.position else {
            return (0, true);
        };
        let shared = line
            .iter()
            .zip(giver)
            .take_while(|(one, other)| one == other)
            .count();
        let is_within_reach = shared > 0 && giver.len() - shared < MOST_OPENINGS;
        let shared_to = if is_within_reach {
            last_of_epoch(giver[shared - 1].1)
        } else {
            0
        };
        ((*sequence).min(shared_to), shared == giver.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]
    /// Whichever of the copies lives, and whenever it dies: what its host has not taken is handed out, and what it has
    /// from before the lines parted, up to the position, is not.
    #[test]
    fn what_the_host_has_not_taken_is_handed_out_whichever_copy_lives(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut directories = vec![Directory {
            storage: FaultyStorage::default(),
            line: Vec::new(),
            records: Vec::new(),
        }];
        let mut host = Host::default();
        let made = std::cell::Cell::new(0);
        let fresh = || { made.set(made.get() + 1); made.get() };
        for step in steps {
            let (directory, heard, meets_its_host, committed, is_marked, is_copied) = match step {
                Step::Live { directory, heard, meets_its_host, committed, is_marked, is_copied } => {
                    (directory, heard, meets_its_host, committed, is_marked, is_copied)
                }
                Step::Idle { directory, openings } => {
                    let at = directory % directories.len();
                    for _ in 0..openings {
                        let opened = open(&directories[at].storage);
                        directories[at].line.push((fresh(), opened.store.epoch()));
                        opened.die();
                    }
                    continue;
                }
            };
            let at = directory % directories.len();
            let one = &mut directories[at];
            let mut opened = open(&one.storage);
            one.line.push((fresh(), opened.store.epoch()));
            let hear = |opened: &mut Opened, one: &mut Directory, count: usize| {
                let heard: Vec<String> = (0..count).map(|_| format!("record {}", fresh())).collect();
                let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
                let numbers = opened.hear(&heard);
                one.records.extend(numbers.into_iter().zip(heard.iter().map(ToString::to_string)));
            };
            hear(&mut opened, one, heard.0);
            if meets_its_host {
                let (known_to, is_own) = host.knows(&one.line);
                let before = opened.store.epoch();
                if let Some(Position { token, .. }) = &host.position {
                    opened.store.resume(token).unwrap();
                }
                let expected: &[&str] = if is_own { &[] } else { &["spool_restored"] };
                prop_assert_eq!(opened.told(), expected);
                hear(&mut opened, one, heard.1);
                let skipped_to = known_to.max(opened.found.commit);
                let (skipped, left): (Vec<_>, Vec<_>) =
                    one.records.iter().cloned().partition(|(number, _)| *number <= skipped_to);
                for (number, body) in &skipped {
                    prop_assert!(host.delivered.contains(body), "{number}, {body}, is skipped and was never taken");
                }
                let taken = opened.take();
                prop_assert_eq!(&taken, &left);
                prop_assert_eq!(opened.law(), 0);
                if opened.store.epoch() > before {
                    one.line.push((fresh(), opened.store.epoch()));
                }
                let committed = committed.map(|percent| taken.len() * percent / 100);
                if let Some((number, _)) = committed.and_then(|count| taken.get(count)) {
                    let token = opened.store.token(*number).unwrap();
                    host.position = Some(Position { token, sequence: *number, giver: one.line.clone() });
                    let done = taken.iter().take_while(|(other, _)| other <= number);
                    host.delivered.extend(done.map(|(_, body)| body.clone()));
                    if is_marked {
                        opened.store.commit(*number).unwrap();
                    }
                }
            }
            if is_marked {
                opened.keeper.sync().unwrap();
            }
            let copy = is_copied.then(|| one.copy());
            opened.die();
            directories.extend(copy);
        }
    }
}
