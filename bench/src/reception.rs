//! Parts a and b: what a plain client receives and parses, and what the source hands out, on the same feed.
//!
//! Every repetition runs all of them one after the other, so that a ratio compares neighbours in time.

use std::time::Duration;

use crate::client::{self, Reading, Work};
use crate::core::Core;
use crate::drain::{Keep, drain};
use crate::feed::Feed;
use crate::frames::Ring;
use crate::plugin::Plugin;
use crate::report::{Report, Row, Target, Unit};
use crate::running::plugin_path;
use crate::spread::Spread;

/// Size of the parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Repetitions.
    pub(crate) repetitions: usize,
    /// Time of each measurement.
    pub(crate) window: Duration,
}

/// Time before each measurement, for sockets and tables to grow.
const WARM_UP: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Series(Vec<Reading>);

impl Series {
    fn rates(&self) -> Vec<f64> {
        self.0.iter().map(|reading| reading.per_second).collect()
    }

    fn cpu(&self) -> Vec<f64> {
        self.0.iter().filter_map(|reading| reading.cpu_ns).collect()
    }
}

fn ratios(top: &[f64], bottom: &[f64]) -> Vec<f64> {
    top.iter().zip(bottom).map(|(top, bottom)| top / bottom).collect()
}

/// Runs part a, and part b if asked for.
pub(crate) fn run(
    frames: &[String],
    ring: &Ring,
    size: Size,
    with_source: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let plugin = with_source.then(|| Plugin::load(&plugin_path()?)).transpose()?;
    let mut core = Core::new(Ring::in_memory(frames)?);
    let [
        mut receive,
        mut parse,
        mut source,
        mut spooled,
        mut memory_parse,
        mut admission,
    ] = [(); 6].map(|()| Series::default());
    let mut batch_records = Vec::new();
    for repetition in 0..size.repetitions {
        eprintln!(
            "a{}: repetition {} of {}",
            if with_source { ", b" } else { "" },
            repetition + 1,
            size.repetitions
        );
        let feed = Feed::start(ring, u64::MAX)?;
        receive.0.push(client::read(
            &feed.events_url(),
            Work::Receive,
            WARM_UP,
            size.window,
        )?);
        let parsed = |parse: &mut Series| -> anyhow::Result<()> {
            let url = feed.events_url();
            parse
                .0
                .push(client::read(&url, Work::Parse, WARM_UP, size.window)?);
            Ok(())
        };
        parsed(&mut parse)?;
        if let Some(plugin) = plugin {
            let feed = Feed::start(ring, u64::MAX)?;
            let drained = drain(plugin, &feed, Keep::Memory, WARM_UP, size.window)?;
            source.0.push(drained.reading);
            batch_records.push(drained.batch_records);
            let feed = Feed::start(ring, u64::MAX)?;
            let folder = tempfile::tempdir()?;
            let keep = Keep::Disk(folder.path());
            spooled
                .0
                .push(drain(plugin, &feed, keep, WARM_UP, size.window)?.reading);
            let in_memory = core.measure(size.window / 2)?;
            memory_parse.0.push(in_memory.parse);
            admission.0.push(in_memory.admission);
        }
    }
    let row = |part, what: &str, values| Row::new(part, what, Unit::PerSecond, values);
    report.notes.push(format!(
        "a, b: frames of {} bytes in the mean, every id new; the feed shares the machine with its reader",
        ring.mean_payload_bytes()
    ));
    report.rows.extend([
        row(
            "a",
            "receive only (tokio-tungstenite, one thread)",
            receive.rates(),
        ),
        row("a", "+ borrowed typed parse", parse.rates())
            .against("receive only", ratios(&parse.rates(), &receive.rates())),
        Row::new("a", "  CPU of its thread for a frame", Unit::CpuNs, parse.cpu()),
    ]);
    if !with_source {
        return Ok(());
    }
    report.rows.extend([
        row("b", "esp_next_batch, each batch committed", source.rates())
            .against("parse", ratios(&source.rates(), &parse.rates()))
            .target(Target::RatioAtLeast(0.5)),
        Row::new(
            "b",
            "  CPU of both its threads for an event",
            Unit::CpuNs,
            source.cpu(),
        )
        .against("parse", ratios(&source.cpu(), &parse.cpu())),
        row("b", "the same with a spool on disk", spooled.rates())
            .against("in memory", ratios(&spooled.rates(), &source.rates()))
            .target(Target::RatioAtLeast(0.85)),
        Row::new(
            "b",
            "  CPU of its network thread and the host's for an event",
            Unit::CpuNs,
            spooled.cpu(),
        )
        .against("in memory", ratios(&spooled.cpu(), &source.cpu())),
        row("b", "typed parse in memory, one core", memory_parse.rates()),
        row("b", "admission in memory, one core", admission.rates()).against(
            "parse in memory",
            ratios(&admission.rates(), &memory_parse.rates()),
        ),
    ]);
    if let Some(spread) = Spread::of(&batch_records) {
        report.notes.push(format!(
            "b: a batch held {:.0} ({:.0}–{:.0}) records in the mean",
            spread.median, spread.min, spread.max
        ));
    }
    Ok(())
}
