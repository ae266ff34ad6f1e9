//! What is set aside, what is told, and what is committed with it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::Value;

use super::{ReplayFeed, Tally};
use crate::pipeline::{Batch, Feed, FeedError, PullLimits, Pulled};
use crate::record::{Kind, Record};

const LIMITS: PullLimits = PullLimits {
    max_records: 8,
    max_bytes: 1024,
    wait_ms: 0,
    linger_ms: 0,
};

/// Sequences, and whether each is a dead letter.
#[derive(Debug)]
struct Listed(Vec<(u64, bool)>);

impl Batch for Listed {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let (sequence, is_dead) = self.0[index];
        Record {
            kind: if is_dead { Kind::DeadLetter } else { Kind::Event },
            flags: 0,
            sequence,
            event_time_us: None,
            received_time_us: 0,
            id: "l-1",
            type_: "",
            subject: "",
            key: "",
            body: b"{}",
        }
    }

    fn each_attribute(&self, index: usize, visit: &mut dyn FnMut(&str, &str)) {
        if self.0[index].1 {
            visit("stage", "DECODE");
            visit("reason", "not\nJSON");
        }
    }
}

/// Hands out batches and notes the commits.
#[derive(Debug, Default)]
struct Scripted {
    batches: Mutex<Vec<Listed>>,
    commits: Mutex<Vec<u64>>,
}

impl Feed for Scripted {
    type Batch = Listed;

    fn next_batch(&self, _: PullLimits) -> Result<Pulled<Listed>, FeedError> {
        let next = self.batches.lock().unwrap().pop();
        Ok(next.map_or(Pulled::End, Pulled::Batch))
    }
    fn commit(&self, sequence: u64) -> Result<(), FeedError> {
        self.commits.lock().unwrap().push(sequence);
        Ok(())
    }
    fn stats(&self) -> Result<Value, FeedError> {
        Ok(Value::Null)
    }
    fn interrupt(&self) {}
    fn drain(&self, _: u32) -> Result<(), FeedError> {
        Ok(())
    }
    fn close(&self, _: u32) -> Result<(), FeedError> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn feed(mut batches: Vec<Vec<(u64, bool)>>, told: &Told) -> ReplayFeed<Scripted> {
    batches.reverse();
    let source = Scripted {
        batches: Mutex::new(batches.into_iter().map(Listed).collect()),
        commits: Mutex::default(),
    };
    ReplayFeed::new(source, Arc::new(Tally::new(Box::new(told.clone()))))
}

#[test]
fn a_dead_letter_is_told_on_one_line_and_seen_by_nobody() {
    let told = Told::default();
    let feed = feed(
        vec![vec![(1, true), (2, false), (3, true)], vec![(4, true)]],
        &told,
    );
    let Pulled::Batch(batch) = feed.next_batch(LIMITS).unwrap() else {
        panic!("no batch")
    };
    assert_eq!((batch.len(), batch.record(0).sequence), (1, 2));
    assert!(matches!(feed.next_batch(LIMITS).unwrap(), Pulled::Nothing));
    feed.commit(2).unwrap();
    assert_eq!(*feed.source.commits.lock().unwrap(), [4]);
    assert_eq!(
        String::from_utf8(told.0.lock().unwrap().clone()).unwrap(),
        "not replayed: l-1: DECODE: not\\nJSON\n".repeat(3)
    );
    assert_eq!(feed.tally.count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_commit_passes_a_record_that_is_not_resolved_and_the_last_reaches_the_end(
        kinds in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..4), 1..12), eager in any::<bool>(),
    ) {
        let mut sequence = 0;
        let batches: Vec<Vec<(u64, bool)>> = kinds
            .into_iter()
            .map(|kinds| kinds.into_iter().map(|is_dead| { sequence += 1; (sequence, is_dead) }).collect())
            .collect();
        let events: Vec<u64> = batches.iter().flatten().filter(|(_, is_dead)| !is_dead).map(|(at, _)| *at).collect();
        let feed = feed(batches, &Told::default());
        let mut seen = Vec::new();
        let mut resolved = 0;
        while let pulled @ (Pulled::Batch(_) | Pulled::Nothing) = feed.next_batch(LIMITS).unwrap() {
            if let Pulled::Batch(batch) = pulled {
                seen.extend((0..batch.len()).map(|index| batch.record(index).sequence));
            }
            if eager && seen.len() > resolved {
                feed.commit(seen[resolved]).unwrap();
                resolved += 1;
            }
            let open = events.get(resolved).copied().unwrap_or(u64::MAX);
            let commits = feed.source.commits.lock().unwrap();
            prop_assert!(commits.iter().all(|committed| *committed < open), "{:?} {}", commits, open);
        }
        prop_assert_eq!(&seen, &events);
        for at in &seen[resolved..] {
            feed.commit(*at).unwrap();
        }
        prop_assert_eq!(feed.source.commits.lock().unwrap().last().copied(), Some(sequence));
    }
}
