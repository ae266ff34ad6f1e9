//! A spool of a known size, filled by the plugin itself as a host sees it.
//!
//! Responsible for what is in the directory when the source is closed: each event once, and committed or not. Refuses a
//! source that took fewer events than the feed sent.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::drain::{self, Keep, source_config};
use crate::feed::Feed;
use crate::frames::Ring;
use crate::plugin::{Plugin, Pull, Source};

/// Longest time for all events.
const DEADLINE: Duration = Duration::from_secs(120);
/// Pause between two looks at the statistics.
const POLL: Duration = Duration::from_millis(5);
/// Wait of one pull, in milliseconds.
const WAIT_MS: u32 = 100;

/// What becomes of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They stay, as in an outage of whoever should take them.
    Backlog,
    /// They are pulled and committed: their ids stay.
    Committed,
}

/// Opens a source on a feed with its spool in `dir`; `folder` takes its credentials.
pub(crate) fn open(plugin: Plugin, feed: &Feed, folder: &Path, dir: &Path) -> anyhow::Result<Source> {
    let secret = folder.join("secret");
    std::fs::write(&secret, "bench-client")?;
    let config = source_config(
        &feed.login_url(),
        &feed.events_url(),
        &secret.to_string_lossy(),
        Keep::Disk(dir),
    );
    plugin.open(&config.to_string())
}

/// Fills a spool in `dir` with `events` events and closes it; gives the bytes of the records that are not committed.
pub(crate) fn fill(plugin: Plugin, ring: &Ring, events: u64, fate: Fate, dir: &Path) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let feed = Feed::start(ring, events)?;
    let mut source = open(plugin, &feed, folder.path(), dir)?;
    let deadline = Instant::now() + DEADLINE;
    let mut taken = 0;
    while taken < events {
        match fate {
            Fate::Backlog => {
                std::thread::sleep(POLL);
                taken = number(&source.statistics()?, "/frames/events");
            }
            Fate::Committed => {
                if let Pull::Batch(batch) = source.next_batch(WAIT_MS)? {
                    taken += batch.tally().events;
                    source.commit(batch.last_sequence())?;
                }
            }
        }
        ensure!(
            Instant::now() < deadline,
            "{taken} of {events} events after {DEADLINE:?}: {}",
            source.statistics()?
        );
    }
    let statistics = source.statistics()?;
    drain::check(&statistics)?;
    let found = number(&statistics, "/frames/events");
    ensure!(
        found == events,
        "{found} of {events} events are taken: {statistics}"
    );
    source.close()?;
    Ok(number(&statistics, "/spool/backlog_bytes"))
}

/// A number of the statistics, 0 where there is none.
pub(crate) fn number(statistics: &serde_json::Value, pointer: &str) -> u64 {
    statistics
        .pointer(pointer)
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default()
}
