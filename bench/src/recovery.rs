//! Part g: how long a source takes to open over what an earlier process left, through `esp_open`.
//!
//! Three spools take turns: an empty one, one whose records wait for a commit, and one whose records are committed and
//! whose ids are still in the window. Refuses a source that does not hand the backlog out again, and a window that was
//! not rebuilt: the feed repeats one frame of the spool, which must be counted as a duplicate.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::feed::Feed;
use crate::frames::Ring;
use crate::plugin::{Plugin, Pull};
use crate::report::{Report, Row, Unit};
use crate::running::plugin_path;
use crate::spooled::{self, Fate, fill};
use crate::spread::float;

/// Longest time from `esp_open` to the repeated frame.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at the statistics.
const POLL: Duration = Duration::from_millis(1);
/// Wait of one pull, in milliseconds.
const WAIT_MS: u32 = 1_000;

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Events of a spool.
    pub(crate) events: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
}

/// Times of one opening, in milliseconds from the call of `esp_open`.
#[derive(Clone, Copy, Debug)]
struct Opening {
    /// The call returned.
    returned: f64,
    /// The first record of the backlog was pulled, and the first one there is where there is no backlog.
    first_record: f64,
    /// The repeated frame was recognized: window rebuilt, logged in, subscribed.
    listening: f64,
}

/// Runs the part.
pub(crate) fn run(ring: &Ring, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let plugin = Plugin::load(&plugin_path()?)?;
    let folder = tempfile::tempdir()?;
    let backlog = folder.path().join("backlog");
    let ids = folder.path().join("ids");
    let empty = folder.path().join("empty");
    eprintln!("g: filling two spools with {} events each", size.events);
    let backlog_bytes = fill(plugin, ring, size.events, Fate::Backlog, &backlog)?;
    fill(plugin, ring, size.events, Fate::Committed, &ids)?;
    // A source that has seen one frame: what is left is the way to the first connection.
    fill(plugin, ring, 1, Fate::Committed, &empty)?;
    let (mut of_empty, mut of_backlog, mut of_ids) = (Vec::new(), Vec::new(), Vec::new());
    for repetition in 0..size.repetitions {
        eprintln!("g: repetition {} of {}", repetition + 1, size.repetitions);
        of_empty.push(opening(plugin, ring, 1, &empty)?);
        of_backlog.push(opening(plugin, ring, size.events, &backlog)?);
        of_ids.push(opening(plugin, ring, size.events, &ids)?);
    }
    let gib = float(backlog_bytes) / float(1 << 30);
    let millions = float(size.events) / 1e6;
    let each = |openings: &[Opening], of: fn(&Opening) -> f64| openings.iter().map(of).collect::<Vec<_>>();
    let excess = |top: &[Opening], of: fn(&Opening) -> f64, share: f64| {
        top.iter()
            .zip(&of_empty)
            .map(|(top, empty)| (of(top) - of(empty)) / share)
            .collect::<Vec<_>>()
    };
    let label = format!("{:.0} MiB, {}k records", gib * 1024.0, size.events / 1000);
    let row = |what: &str, unit, values| Row::new("g", what, unit, values);
    report.rows.extend([
        row(
            "an empty spool: it listens",
            Unit::Ms,
            each(&of_empty, |opening| opening.listening),
        ),
        row(
            &format!("esp_open returns, spool of {label}"),
            Unit::Ms,
            each(&of_backlog, |opening| opening.returned),
        ),
        row(
            "  its first record is pulled",
            Unit::Ms,
            each(&of_backlog, |opening| opening.first_record),
        ),
        row(
            "  it listens, ids in the window",
            Unit::Ms,
            each(&of_backlog, |opening| opening.listening),
        ),
        row(
            "  until esp_open returns, for a backlog",
            Unit::MsPerGib,
            excess(&of_backlog, |opening| opening.returned, gib),
        ),
        row(
            "  until it listens, for committed ids, above an empty spool",
            Unit::MsPerMillionIds,
            excess(&of_ids, |opening| opening.listening, millions),
        ),
    ]);
    report.notes.push(
        "g: files in the page cache, no commit between two openings; the figures for a GiB and a million ids are what \
         is above an empty spool's; they have no target, and a crash gap grows by what lies before it listens"
            .to_owned(),
    );
    Ok(())
}

/// Opens the spool in `dir`, which holds `known` ids of the ring, and waits for everything of [`Opening`].
fn opening(plugin: Plugin, ring: &Ring, known: u64, dir: &Path) -> anyhow::Result<Opening> {
    let folder = tempfile::tempdir()?;
    // the ring's first round again: its first frame is the first one of the spool
    let feed = Feed::start(ring, 1)?;
    let start = Instant::now();
    let since = || start.elapsed().as_secs_f64() * 1e3;
    let mut source = spooled::open(plugin, &feed, folder.path(), dir)?;
    let returned = since();
    let first_record = loop {
        match source.next_batch(WAIT_MS)? {
            Pull::Batch(_) => break since(),
            Pull::Timeout => ensure!(start.elapsed() < DEADLINE, "no record: {}", source.statistics()?),
            Pull::End => ensure!(false, "the source has ended: {}", source.statistics()?),
        }
    };
    loop {
        let statistics = source.statistics()?;
        let judged = ["/frames/duplicates", "/frames/events"].map(|of| spooled::number(&statistics, of));
        if judged.iter().sum::<u64>() > 0 {
            break;
        }
        ensure!(
            start.elapsed() < DEADLINE,
            "the repeated frame has not arrived: {statistics}"
        );
        std::thread::sleep(POLL);
    }
    let listening = since();
    let statistics = source.statistics()?;
    ensure!(
        spooled::number(&statistics, "/frames/duplicates") == 1
            && spooled::number(&statistics, "/dedup/ids") >= known,
        "the window was not rebuilt: {statistics}"
    );
    source.close().context("after an opening")?;
    Ok(Opening {
        returned,
        first_record,
        listening,
    })
}
