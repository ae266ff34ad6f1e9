//! Tests of the queue as producer and consumer see it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};

use super::{Bounds, Ending, NoRecords, PullLimits, Queue, Slice};
use crate::record::{Chunk, ChunkBuilder, Head, Kind};

fn chunk(sequences: impl IntoIterator<Item = u64>) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for sequence in sequences {
        let id = sequence.to_string();
        let head = Head {
            kind: Kind::Event,
            flags: 0,
            sequence,
            event_time_us: None,
            received_time_us: 0,
            id: &id,
            type_: "t",
            subject: "",
            key: "",
            attributes: &[],
        };
        builder.push(&head, |body| body.extend(b"{}")).unwrap();
    }
    builder.seal()
}

fn queue() -> Queue {
    Queue::try_new(Bounds {
        max_records: 10,
        max_bytes: 1000,
    })
    .unwrap()
}

const NOW: PullLimits = PullLimits {
    max_records: 100,
    max_bytes: 1 << 20,
    wait: Duration::ZERO,
    linger: Duration::ZERO,
};
const LONG: PullLimits = PullLimits {
    wait: Duration::from_secs(60),
    ..NOW
};

fn sequences(slices: &[Slice]) -> Vec<u64> {
    slices
        .iter()
        .flat_map(|slice| (slice.start..slice.end).map(|at| slice.chunk.record(at).unwrap().sequence()))
        .collect()
}

async fn is_ready<F: Future<Output = ()>>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

fn is_readable(queue: &Queue) -> bool {
    let mut fds = [PollFd::new(&queue.readiness.descriptor, PollFlags::IN)];
    poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
}

#[test]
fn hands_out_in_order_across_chunks_and_within_limits() {
    let queue = queue();
    queue.publish(chunk(1..=3));
    queue.publish(chunk(4..=5));
    let two = PullLimits {
        max_records: 2,
        ..NOW
    };
    assert_eq!(sequences(&queue.pull(&two).unwrap()), [1, 2]);
    assert_eq!(sequences(&queue.pull(&two).unwrap()), [3, 4]);
    let tiny = PullLimits { max_bytes: 1, ..NOW };
    assert_eq!(
        sequences(&queue.pull(&tiny).unwrap()),
        [5],
        "one record is given whatever its size"
    );
    assert_eq!(queue.pull(&NOW).unwrap_err(), NoRecords::Timeout);
    assert_eq!(queue.counts().1.bytes, 0);
}

#[test]
fn descriptor_is_readable_exactly_while_a_pull_would_not_wait() {
    let queue = queue();
    assert!(!is_readable(&queue));
    queue.publish(chunk(1..=2));
    assert!(is_readable(&queue));
    queue
        .pull(&PullLimits {
            max_records: 1,
            ..NOW
        })
        .unwrap();
    assert!(is_readable(&queue), "level, not edge");
    queue.pull(&NOW).unwrap();
    assert!(!is_readable(&queue));
    queue.interrupt();
    assert!(is_readable(&queue), "a pull would not wait");
    assert_eq!(queue.pull(&LONG).unwrap_err(), NoRecords::Interrupted);
    assert!(!is_readable(&queue));
    queue.end(Ending::drained());
    assert!(is_readable(&queue));
}

#[test]
fn end_never_precedes_the_backlog() {
    let queue = queue();
    queue.publish(chunk(1..=1));
    queue.end(Ending::drained());
    assert_eq!(sequences(&queue.pull(&NOW).unwrap()), [1]);
    assert_eq!(queue.pull(&NOW).unwrap_err(), NoRecords::Ended(Ending::drained()));
    queue.commit(1).unwrap();
}

#[test]
fn a_drain_deadline_evicts_what_is_left_and_counts_it() {
    let queue = queue();
    queue.publish(chunk(1..=4));
    queue
        .pull(&PullLimits {
            max_records: 1,
            ..NOW
        })
        .unwrap();
    queue.discard_at(Instant::now());
    assert_eq!(
        queue.pull(&LONG).unwrap_err(),
        NoRecords::Ended(Ending::drained())
    );
    let (counts, fill) = queue.counts();
    assert_eq!((counts.evicted, counts.uncommitted, counts.law()), (3, 1, 0));
    assert_eq!((fill.records, fill.bytes), (0, 0));
}

#[test]
fn a_chunk_that_gets_lost_breaks_the_law() {
    let queue = queue();
    queue.publish(chunk(1..4));
    queue.publish(chunk(4..6));
    assert_eq!(queue.counts().0.law(), 0);
    queue.lock().chunks.pop_back();
    let (counts, fill) = queue.counts();
    assert_eq!((counts.law(), fill.records), (2, 3));
}

#[test]
fn interrupt_ends_one_wait_and_close_ends_all() {
    let queue = queue();
    queue.interrupt();
    assert_eq!(queue.pull(&LONG).unwrap_err(), NoRecords::Interrupted);
    assert_eq!(queue.pull(&NOW).unwrap_err(), NoRecords::Timeout);
    queue.close();
    assert_eq!(queue.pull(&LONG).unwrap_err(), NoRecords::Closed);
}

/// Starts a long pull on a thread of its own and returns once it waits.
fn pull_elsewhere(queue: &Arc<Queue>) -> JoinHandle<Result<Vec<Slice>, NoRecords>> {
    let waiting = {
        let queue = Arc::clone(queue);
        std::thread::spawn(move || queue.pull(&LONG))
    };
    while !queue.lock().pulling {
        std::thread::yield_now();
    }
    waiting
}

#[test]
fn a_second_pull_is_refused_while_the_first_waits() {
    let queue = Arc::new(queue());
    let waiting = pull_elsewhere(&queue);
    assert_eq!(queue.pull(&NOW).unwrap_err(), NoRecords::Busy);
    queue.interrupt();
    assert_eq!(waiting.join().unwrap().unwrap_err(), NoRecords::Interrupted);
}

#[test]
fn a_pull_that_waits_is_woken_by_an_interrupt_by_a_close_and_by_the_end() {
    let wakers: [fn(&Queue); 4] = [
        Queue::interrupt,
        Queue::close,
        |queue| queue.end(Ending::drained()),
        |queue| queue.discard_at(Instant::now()),
    ];
    let answers = [
        NoRecords::Interrupted,
        NoRecords::Closed,
        NoRecords::Ended(Ending::drained()),
        NoRecords::Ended(Ending::drained()),
    ];
    for (wake, answer) in wakers.into_iter().zip(answers) {
        let queue = Arc::new(queue());
        let waiting = pull_elsewhere(&queue);
        let asked = Instant::now();
        wake(&queue);
        assert_eq!(waiting.join().unwrap().unwrap_err(), answer);
        // the same answer comes in the end without a wake-up, when the wait has run out
        assert!(asked.elapsed() < LONG.wait / 2, "{answer:?} came too late");
    }
}

#[tokio::test(start_paused = true)]
async fn the_producer_waits_for_room_and_is_woken_by_a_pull() {
    let queue = Arc::new(queue());
    queue.publish(chunk(1..=10));
    assert_eq!(queue.room().records, 0);
    let mut waiting = Box::pin(queue.wait_below(0.9));
    assert!(!is_ready(&mut waiting).await);
    queue
        .pull(&PullLimits {
            max_records: 1,
            ..NOW
        })
        .unwrap();
    assert!(!is_ready(&mut waiting).await, "9 of 10 is not below 90 %");
    queue
        .pull(&PullLimits {
            max_records: 1,
            ..NOW
        })
        .unwrap();
    assert!(is_ready(&mut waiting).await);
}

proptest! {
    #[test]
    fn every_published_record_is_handed_out_once_in_order(
        sizes in prop::collection::vec(0_u64..6, 1..20),
        pulls in prop::collection::vec((1_usize..5, 1_usize..40), 1..60),
    ) {
        let queue = queue();
        let mut next = 1;
        for size in sizes {
            queue.publish(chunk(next..next + size));
            next += size;
        }
        let mut seen = Vec::new();
        for (max_records, max_bytes) in pulls {
            if let Ok(slices) = queue.pull(&PullLimits { max_records, max_bytes, ..NOW }) {
                let given = sequences(&slices);
                prop_assert!(!given.is_empty() && given.len() <= max_records);
                seen.extend(given);
            }
            prop_assert_eq!(queue.counts().0.law(), 0);
        }
        if let Ok(slices) = queue.pull(&NOW) {
            seen.extend(sequences(&slices));
        }
        prop_assert_eq!(seen, (1..next).collect::<Vec<_>>());
        prop_assert_eq!(queue.counts().1.bytes, 0);
    }
}
