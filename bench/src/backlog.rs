//! Part h: what an outage left in the spool, delivered into a real Kafka, against a feed of 1,000 events a second.
//!
//! The plugin fills a spool that nobody reads; then the adapter is started over it, and its feed is silent. The time is
//! that from the start of the process to the last audit record that a reader of committed records sees. Refuses a run
//! after which such a reader does not find each event and its audit record.

use std::time::{Duration, Instant};

use anyhow::ensure;
use support::Broker;

use crate::adapter::{Adapter, Envelope, Guarantee, Setup};
use crate::drain::Keep;
use crate::feed::Feed;
use crate::frames::Ring;
use crate::plugin::Plugin;
use crate::records;
use crate::report::{Report, Row, Target, Unit};
use crate::running::plugin_path;
use crate::spooled::{Fate, fill};
use crate::spread::float;

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(180);
/// The feed that the rate is a multiple of, in events a second.
const FEED_PER_SECOND: f64 = 1_000.0;

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Events of the backlog.
    pub(crate) events: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
}

/// Runs the part.
pub(crate) fn run(broker: &Broker, ring: &Ring, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let plugin = Plugin::load(&plugin_path()?)?;
    let guarantees = [
        (Guarantee::AtLeastOnce, "at_least_once"),
        (Guarantee::ExactlyOnce, "exactly_once"),
    ];
    let mut rates = [(); 2].map(|()| Vec::new());
    for repetition in 0..size.repetitions {
        eprintln!("h: repetition {} of {}", repetition + 1, size.repetitions);
        for (rates, (guarantee, _)) in rates.iter_mut().zip(guarantees) {
            rates.push(deliver(
                broker.bootstrap_servers(),
                plugin,
                ring,
                size.events,
                guarantee,
            )?);
        }
    }
    for (rates, (_, name)) in rates.into_iter().zip(guarantees) {
        let multiples = rates.iter().map(|rate| rate / FEED_PER_SECOND).collect();
        report.rows.push(
            Row::new(
                "h",
                format!(
                    "backlog of {}k from the spool into Kafka, {name}",
                    size.events / 1000
                ),
                Unit::PerSecond,
                rates,
            )
            .against("a feed of 1,000/s", multiples)
            .target(Target::RatioAtLeast(20.0)),
        );
    }
    report.notes.push(
        "h: the adapter's start is part of the time; its feed is silent, and the broker warm".to_owned(),
    );
    Ok(())
}

fn deliver(
    servers: &str,
    plugin: Plugin,
    ring: &Ring,
    events: u64,
    guarantee: Guarantee,
) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    fill(plugin, ring, events, Fate::Backlog, folder.path())?;
    let silent = Feed::start(ring, 0)?;
    let setup = Setup {
        envelope: Envelope::Binary,
        guarantee,
        keep: Keep::Disk(folder.path()),
    };
    let start = Instant::now();
    let mut adapter = Adapter::start(servers, &silent.login_url(), &silent.events_url(), setup)?;
    let visible = adapter.wait_until_visible(events, DEADLINE)?;
    let topics = adapter.topics().clone();
    adapter.stop()?;
    let found = records::committed(servers, &topics)?;
    ensure!(
        found == (events, events),
        "{events} events were in the spool, {found:?} events and audit records are committed ({guarantee:?})"
    );
    Ok(float(events) / (visible.last - start).as_secs_f64())
}
