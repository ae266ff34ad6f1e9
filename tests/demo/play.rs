//! The run itself: start the adapter, watch while the traffic lasts, and stop it.
//!
//! Responsible for every wait of the demo. Refuses to wait without a deadline. Invariant: each wait ends at once when
//! the demo is interrupted or the adapter ends by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sys::signal::Signal;
use simulator::Simulator;
use support::{Launch, Process, Stream};

use crate::destination::Destination;
use crate::evidence::{Handovers, Truth};
use crate::frames::Prediction;
use crate::raw::Route;
use crate::report::{self, Progress, Status, say};
use crate::scenario::{self, TRAFFIC_S};
use crate::transport::Transport;
use crate::watch::Watch;

/// Time between two looks at everything.
const TICK: Duration = Duration::from_secs(1);
/// Longest time for the traffic: its length, the start, and what a busy machine adds.
const TRAFFIC: Duration = Duration::from_secs(TRAFFIC_S + 60);
/// Silence of the destination after which nothing more is expected, where a reset has discarded something.
const QUIET: Duration = Duration::from_secs(5);
/// Longest time for everything sent to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Longest time for the adapter to drain and end; its own deadline is 25 s.
const DRAIN: Duration = Duration::from_secs(40);

/// Starts the adapter on a configuration of its own.
///
/// # Errors
/// A configuration that cannot be written; retryable.
pub(crate) fn start(
    folder: &Path,
    transport: Transport,
    simulator: &Simulator,
    destination: &Destination,
) -> anyhow::Result<Process> {
    let config = folder.join("genesys-kafka.toml");
    scenario::write_config(&config, transport, simulator, destination)?;
    let mut launch = Launch::binary("genesys-kafka")
        .args(["run".as_ref(), "--config".as_ref(), config.as_os_str()])
        .current_dir(folder)
        .env("NO_COLOR", "1");
    for (name, value) in scenario::credentials()
        .into_iter()
        .chain(destination.environment())
    {
        launch = launch.env(name, value);
    }
    Ok(launch.start())
}

/// Watches until the traffic is over and everything that was sent has arrived, as far as it will.
///
/// # Errors
/// Interrupted, an adapter that ended by itself, or traffic that does not end.
pub(crate) fn watch_traffic(
    transport: Transport,
    predictions: &BTreeMap<String, Prediction>,
    simulator: &Simulator,
    watch: &mut Watch,
    adapter: &mut Process,
    interrupted: &AtomicBool,
) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let start = Instant::now();
    let (mut done_at, mut read) = (None, 0);
    loop {
        watch.look(Instant::now() + TICK);
        let counters = simulator.counters();
        let log = adapter.lines(Stream::Stderr);
        let news: Vec<String> = log
            .iter()
            .skip(read)
            .filter_map(|line| report::told(line))
            .collect();
        read = log.len();
        if !news.is_empty() {
            progress.end();
            news.iter().for_each(|line| say(line));
        }
        progress.show(&Status {
            sent: counters.events_sent + counters.notifications_sent,
            delivered: watch.count(Route::Event),
            audit: watch.count(Route::Audit),
            dead_letters: watch.count(Route::DeadLetter),
            removed: match transport {
                Transport::Notifications => ("hand-overs", Handovers::find(&log).count),
                Transport::Events => (
                    "duplicates removed",
                    report::metric(&log, "totalDuplicated").unwrap_or(0),
                ),
            },
            gaps: gaps_opened(watch),
            queue_depth: report::metric(&log, "queueDepth").unwrap_or(0),
        });
        let trouble = if interrupted.load(Ordering::Relaxed) {
            Some("interrupted")
        } else if adapter.has_ended() {
            Some("genesys-kafka ended by itself")
        } else if done_at.is_none() && start.elapsed() > TRAFFIC {
            Some("the traffic did not end in time")
        } else {
            None
        };
        if let Some(trouble) = trouble {
            progress.end();
            bail!("{trouble}");
        }
        let is_done = match transport {
            Transport::Notifications => counters.updates_done,
            Transport::Events => counters.done,
        };
        if is_done {
            let since = done_at.get_or_insert_with(Instant::now).elapsed();
            // each record has one audit record beside that of the run's start
            let records = Truth::read(&simulator.truth(), predictions)?.records();
            let arrived = watch.count(Route::Event) + watch.count(Route::DeadLetter) >= records
                && watch.count(Route::Audit) > records;
            if arrived || watch.quiet() >= QUIET || since >= ARRIVAL {
                progress.end();
                return Ok(());
            }
        }
    }
}

fn gaps_opened(watch: &Watch) -> u64 {
    let opened = watch
        .of(Route::Control)
        .iter()
        .filter(|record| record.text().contains("\"gap_opened\""));
    opened.count() as u64
}

/// Asks the adapter to drain and waits for its end; returns its exit code.
///
/// # Errors
/// Interrupted, or an adapter that does not end.
pub(crate) fn stop(
    watch: &mut Watch,
    adapter: &mut Process,
    interrupted: &AtomicBool,
) -> anyhow::Result<Option<i32>> {
    say("the traffic is over: SIGTERM to genesys-kafka, which drains");
    adapter.signal(Signal::SIGTERM);
    let deadline = Instant::now() + DRAIN;
    while !adapter.has_ended() {
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if Instant::now() >= deadline {
            bail!("genesys-kafka did not end within {} s", DRAIN.as_secs());
        }
        watch.look(Instant::now() + Duration::from_millis(100));
    }
    Ok(adapter.wait(DRAIN).code())
}
