//! A plain librdkafka producer with the adapter's settings, sending what the adapter sent.
//!
//! Responsible for the bound that the adapter is measured against: as fast as the broker takes it, and paced, for the
//! latency that the settings alone give. Refuses a run in which a single record was not acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::IntoOpaque;
use support::ReadRecord;

use crate::cpu;
use crate::records::{Pair, Topics};
use crate::spread::float;

/// Longest time for the last acknowledgements.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause while the producer's queue is full, and between two looks at a count.
const PAUSE: Duration = Duration::from_millis(1);

/// The settings of the adapter's producer.
///
/// # Source
/// `kafka-adapter`, `sink/kafka/settings.rs`; with its defaults for what a user may change.
fn settings(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", "bench")
        .set("compression.type", "lz4")
        .set("linger.ms", "10")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "131072")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        .set("message.max.bytes", "1000000")
        .set("partitioner", "murmur2_random")
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", "10000");
    config
}

/// What a saturated run reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Produced {
    /// Event and audit record, both acknowledged, in a second.
    pub(crate) pairs_per_second: f64,
    /// Microseconds of this process' CPU for a pair.
    pub(crate) cpu_us: Option<f64>,
}

#[derive(Default)]
struct Counting {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Counting {
    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Sends all pairs, event and audit record in turn, and waits for every acknowledgement.
pub(crate) fn saturate(
    bootstrap_servers: &str,
    topics: &Topics,
    pairs: &[Pair],
    with_headers: bool,
) -> anyhow::Result<Produced> {
    let producer: ThreadedProducer<Counting> =
        settings(bootstrap_servers).create_with_context(Counting::default())?;
    connect(&producer, topics)?;
    let cpu_before = cpu::process(std::process::id());
    let start = Instant::now();
    for pair in pairs {
        send(&producer, record(&topics.events, &pair.event, with_headers, ()))?;
        send(&producer, record(&topics.audit, &pair.audit, with_headers, ()))?;
    }
    let total = float(pairs.len() as u64);
    let expected = 2 * pairs.len() as u64;
    let context = producer.context();
    wait_for(&context.acknowledged, &context.failed, expected)?;
    let elapsed = start.elapsed();
    let cpu = cpu::process(std::process::id())
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then));
    Ok(Produced {
        pairs_per_second: total / elapsed.as_secs_f64(),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / total),
    })
}

struct Probing {
    counting: Counting,
    start: Instant,
    // nanoseconds since the start
    sent: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    next: SyncSender<usize>,
}

impl ClientContext for Probing {
    fn stats_raw(&self, _: &[u8]) {}
}

/// Opaque of an audit record; an event has its number.
const AUDIT: usize = usize::MAX;

impl ProducerContext for Probing {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.counting.delivery(result, ());
        if let (Ok(_), Some(place)) = (result, self.acknowledged.get(number)) {
            place.store(nanoseconds(self.start.elapsed()), Ordering::Relaxed);
            if self.next.try_send(number).is_err() {
                self.counting.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Sends pairs at a rate, the audit record once the event has been acknowledged; gives the milliseconds from `send` to
/// acknowledgement of every event but those of the first `skip`.
pub(crate) fn probe(
    bootstrap_servers: &str,
    topics: &Topics,
    pairs: &[Pair],
    per_second: u64,
    skip: Duration,
) -> anyhow::Result<Vec<f64>> {
    ensure!(!pairs.is_empty(), "nothing to send");
    // room for every event, so that the callback never blocks
    let (next, acknowledged) = sync_channel(pairs.len());
    let places = || pairs.iter().map(|_| AtomicU64::new(0)).collect();
    let producer: ThreadedProducer<Probing> = settings(bootstrap_servers).create_with_context(Probing {
        counting: Counting::default(),
        start: Instant::now(),
        sent: places(),
        acknowledged: places(),
        next,
    })?;
    connect(&producer, topics)?;
    let context = producer.context();
    let begin = context.start.elapsed();
    let (mut sent, mut audited) = (0, 0);
    while audited < pairs.len() {
        let elapsed = context.start.elapsed() - begin;
        let due = usize::try_from(elapsed.as_nanos() * u128::from(per_second) / 1_000_000_000)?;
        while sent < due.min(pairs.len()) {
            context.sent[sent].store(nanoseconds(context.start.elapsed()), Ordering::Relaxed);
            send(&producer, record(&topics.events, &pairs[sent].event, true, sent))?;
            sent += 1;
        }
        for number in acknowledged.try_iter() {
            send(
                &producer,
                record(&topics.audit, &pairs[number].audit, true, AUDIT),
            )?;
            audited += 1;
        }
        ensure!(
            context.counting.failed.load(Ordering::Relaxed) == 0,
            "a record of the probe failed"
        );
        std::thread::sleep(PAUSE);
    }
    let expected = 2 * pairs.len() as u64;
    wait_for(&context.counting.acknowledged, &context.counting.failed, expected)?;
    let skipped = usize::try_from(skip.as_secs() * per_second)?;
    let latencies = context.sent.iter().zip(&context.acknowledged).skip(skipped);
    Ok(latencies
        .map(|(sent, acknowledged)| {
            let took = acknowledged
                .load(Ordering::Relaxed)
                .saturating_sub(sent.load(Ordering::Relaxed));
            float(took) / 1e6
        })
        .collect())
}

/// Has the producer learn the topics' partitions, as the adapter's start does.
fn connect<C: ProducerContext>(producer: &ThreadedProducer<C>, topics: &Topics) -> anyhow::Result<()> {
    for topic in [&topics.events, &topics.audit] {
        producer
            .client()
            .fetch_metadata(Some(topic), DEADLINE)
            .context("no metadata")?;
    }
    Ok(())
}

fn record<'a, D: IntoOpaque>(
    topic: &'a str,
    record: &'a ReadRecord,
    with_headers: bool,
    opaque: D,
) -> BaseRecord<'a, [u8], [u8], D> {
    let mut built = BaseRecord::with_opaque_to(topic, opaque)
        .payload(record.value.as_deref().unwrap_or_default())
        .timestamp(record.timestamp.unwrap_or_default());
    if let Some(key) = record.key.as_deref() {
        built = built.key(key);
    }
    if with_headers && !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record.headers.iter().fold(headers, |headers, (name, value)| {
            headers.insert(Header {
                key: name,
                value: value.as_deref(),
            })
        });
        built = built.headers(headers);
    }
    built
}

fn send<C: ProducerContext>(
    producer: &ThreadedProducer<C>,
    mut record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
) -> anyhow::Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                record = returned;
                std::thread::sleep(PAUSE);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn wait_for(acknowledged: &AtomicU64, failed: &AtomicU64, expected: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while acknowledged.load(Ordering::Relaxed) < expected {
        let (count, failed) = (
            acknowledged.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        );
        if failed > 0 || Instant::now() > deadline {
            bail!("{count} of {expected} records acknowledged, {failed} failed");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
