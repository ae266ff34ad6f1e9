//! What the drills share: the broker that they stop, the spool, and what must hold at the end.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use simulator::{Options, TruthLine};
use support::rig::Ended;
use support::topics::{Event, Gap, gaps};
use support::{Broker, Process, Rig, Stream, Topics, read_back, wait_until};

use crate::{DEADLINE, proofs};

/// Largest frame in bytes that the smallest spool has room for; the simulator's have less than 2,000.
const MAX_FRAME_BYTES: u64 = 32 << 10;
const PARTITIONS: i32 = 4;

/// The broker, running, for one test at a time.
pub(crate) fn broker() -> Option<MutexGuard<'static, Broker>> {
    static BROKER: OnceLock<Option<Mutex<Broker>>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| Broker::own().map(Mutex::new)).as_ref()?;
    let broker = broker.lock().unwrap_or_else(PoisonError::into_inner);
    // a test that failed may have left it frozen or dead
    if broker.id().is_some() {
        broker.resume();
    } else {
        broker.restart();
    }
    Some(broker)
}

/// A rig with a spool of so many bytes, and its topics.
pub(crate) fn rig(broker: &Broker, options: Options, spool_bytes: u64) -> (Rig, Topics) {
    let topics = Topics::create(broker, PARTITIONS);
    let options = Options {
        conversations: 500,
        truth_frames: false,
        ..options
    };
    let rig = Rig::new(options).with_kafka(broker.bootstrap_servers(), &topics);
    let spool = rig.folder().join("spool").display().to_string();
    let rig = rig
        .set("source.config.spool.mode", "disk")
        .set("source.config.spool.dir", spool)
        .set("source.config.spool.max_bytes", spool_bytes)
        .set("source.config.max_frame_bytes", MAX_FRAME_BYTES)
        .set("kafka.librdkafka.\"socket.timeout.ms\"", 1_000);
    (rig, topics)
}

/// Waits for a line of the log.
pub(crate) fn wait_for(adapter: &mut Process, text: &str) {
    adapter.wait_for_line(Stream::Stderr, text, DEADLINE);
}

/// What a drill left.
pub(crate) struct Left {
    pub(crate) events: Vec<Event>,
    pub(crate) gaps: Vec<Gap>,
}

/// Reads the topics of an adapter that has ended well, and demands that nothing was invented, nothing lies there twice that
/// no new producer repeated, and each conversation is in order.
pub(crate) fn left(broker: &Broker, topics: &Topics, truth: &[TruthLine], ended: &Ended) -> Left {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(ended);
    let servers = broker.bootstrap_servers();
    let events = topics.read_events(servers);
    let repeated = ended.count("/producerReplacements") > 0;
    let firsts = if repeated {
        proofs::without_repeats(&events)
    } else {
        events
    };
    proofs::assert_none_twice_and_none_invented(truth, &firsts);
    proofs::assert_order_per_key(&firsts);
    let control = topics.read_control(servers);
    proofs::assert_valid("control", &control);
    Left {
        events: firsts,
        gaps: gaps(&control),
    }
}

/// Waits until the last event that was sent lies in the topic.
pub(crate) fn until_last_arrived(
    adapter: &mut Process,
    truth: &[TruthLine],
    broker: &Broker,
    topics: &Topics,
) {
    let sent = truth.iter().rev().filter(|line| line.sent_us.is_some());
    let last = sent.into_iter().find_map(proofs::name).unwrap();
    wait_until(DEADLINE, "the last event lies in the topic", || {
        assert!(
            !adapter.has_ended(),
            "{}",
            adapter.lines(Stream::Stderr).join("\n")
        );
        let records = read_back(broker.bootstrap_servers(), &topics.events);
        records.iter().any(|record| {
            let body = record.json();
            body["conversationId"] == *last.0 && body["payload"]["metadata"]["ordinal"] == last.1
        })
    });
}
