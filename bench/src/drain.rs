//! The source at full speed through its C functions: decode, identify, de-duplicate, normalize, hand out, commit.
//!
//! Responsible for one timed drain of a real source. Refuses a figure from a source that lost, repeated or refused a
//! frame: the laws and the counters are asked for at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::client::Reading;
use crate::cpu;
use crate::feed::Feed;
use crate::plugin::{Plugin, Pull};

/// The plugin's network thread, as `top -H` shows it.
const NETWORK_THREAD: &str = "esp-source";
/// Longest time from opening a source to its first event.
const CONNECT: Duration = Duration::from_secs(20);
/// Events before anything is counted: three segments of a spool, so that the pages of its files come from the first one,
/// which is deleted by then. Pages that the system has to find first cost a multiple, above all on a virtual machine that
/// gives free memory back to its host.
const WARM_UP_EVENTS: u64 = 200_000;
/// Wait of one pull, in milliseconds.
const WAIT_MS: u32 = 100;

/// One drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    /// Events in a second, and CPU of all threads of the source for one.
    pub(crate) reading: Reading,
    /// Mean number of records in a batch.
    pub(crate) batch_records: f64,
}

/// Where the source keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep<'a> {
    /// In memory.
    Memory,
    /// In a spool in this directory, synced within 20 ms.
    Disk(&'a Path),
}

impl Keep<'_> {
    fn section(self) -> serde_json::Value {
        match self {
            Self::Memory => serde_json::json!({"mode": "memory"}),
            Self::Disk(dir) => serde_json::json!({"mode": "disk", "dir": dir}),
        }
    }
}

/// The plugin's configuration for a feed: credentials from a file, and no ping that the feed would have to answer.
pub(crate) fn source_config(
    login: &str,
    events: &str,
    secret_file: &str,
    keep: Keep<'_>,
) -> serde_json::Value {
    serde_json::json!({
        "transport": "events",
        "client_id": {"file": secret_file},
        "client_secret": {"file": secret_file},
        "endpoints": {"login": login, "events": events},
        "spool": keep.section(),
        "keep_alive": {"ping_ms": 3_000_000, "silence_ms": 3_600_000},
    })
}

/// Drains the feed for `warm_up` and 200,000 events, and then, counted, for `window`, committing each batch.
pub(crate) fn drain(
    plugin: Plugin,
    feed: &Feed,
    keep: Keep<'_>,
    warm_up: Duration,
    window: Duration,
) -> anyhow::Result<Drained> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "bench-client")?;
    let config = source_config(
        &feed.login_url(),
        &feed.events_url(),
        &secret.to_string_lossy(),
        keep,
    );
    let mut source = plugin.open(&config.to_string())?;
    let opened = Instant::now();
    let (mut events, mut batches) = (0_u64, 0_u64);
    let mut first = None;
    let mut begin = None;
    loop {
        match source.next_batch(WAIT_MS)? {
            Pull::Batch(batch) => {
                let tally = batch.tally();
                std::hint::black_box(tally.bytes);
                events += tally.events;
                batches += 1;
                source.commit(batch.last_sequence())?;
            }
            Pull::Timeout => ensure!(
                opened.elapsed() < CONNECT || events > 0,
                "no event in {CONNECT:?}: {}",
                source.statistics()?
            ),
            Pull::End => ensure!(false, "the source has ended: {}", source.statistics()?),
        }
        if events == 0 {
            continue;
        }
        let now = Instant::now();
        let since_first = now - *first.get_or_insert(now);
        match begin {
            None if since_first >= warm_up && events >= WARM_UP_EVENTS => {
                begin = Some((now, events, batches, source_cpu()))
            }
            Some((start, events_then, batches_then, cpu_then)) if now - start >= window => {
                let cpu = source_cpu()
                    .zip(cpu_then)
                    .map(|(now, then)| now.saturating_sub(then));
                check(&source.statistics()?)?;
                source.close()?;
                let reading = Reading::new(events - events_then, now - start, cpu);
                let per_batch = crate::spread::float(events - events_then)
                    / crate::spread::float((batches - batches_then).max(1));
                return Ok(Drained {
                    reading,
                    batch_records: per_batch,
                });
            }
            _ => {}
        }
    }
}

fn source_cpu() -> Option<Duration> {
    Some(cpu::threads_named(NETWORK_THREAD)? + cpu::this_thread()?)
}

/// Refuses statistics of a source that lost, repeated or refused a frame.
pub(crate) fn check(statistics: &serde_json::Value) -> anyhow::Result<()> {
    for law in ["/frames/law", "/records/law"] {
        let value = statistics
            .pointer(law)
            .with_context(|| format!("no {law} in {statistics}"))?;
        ensure!(value.as_i64() == Some(0), "{law} is broken: {statistics}");
    }
    for counter in ["duplicates", "dead_letters", "dropped"] {
        let value = statistics
            .pointer(&format!("/frames/{counter}"))
            .and_then(serde_json::Value::as_u64);
        ensure!(value == Some(0), "frames.{counter} is not 0: {statistics}");
    }
    Ok(())
}
