//! `make demo`: simulator, plugin, adapter and Kafka or a webhook's receiver on loopback, and a proof of what they did
//! together.
//!
//! Responsible for the order of things: start, watch, stop, collect, prove. Refuses to call a run good that it could
//! not prove. Invariant: every process that it starts ends with it, also when it is interrupted or killed.

mod destination;
mod evidence;
mod frames;
mod play;
mod proof;
mod raw;
mod record_text;
mod report;
mod scenario;
mod sink;
mod transport;
mod watch;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use simulator::Simulator;
use support::Stream;

use destination::Destination;
use evidence::{Audit, Control, DeadLetter, Delivered, Evidence, Handovers, Kept, Summary, Truth};
use raw::Route;
use report::say;
use sink::Sink;
use transport::Transport;
use watch::Watch;

/// Longest time for reading everything back to its end.
const READ: Duration = Duration::from_secs(30);
/// Lines of the adapter's log that a failure shows.
const LOG_LINES: usize = 15;

/// The exit status of a process that Ctrl-C ended, as shells count it.
const INTERRUPTED: u8 = 130;
/// The exit status of wrong usage, as `genesys-kafka` has it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // the second signal ends the process at once; the kernel then ends its children
        let at_once = signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(INTERRUPTED),
            Arc::clone(&interrupted),
        );
        let registered = at_once.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        if let Err(error) = registered {
            eprintln!("demo: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    let (sink, transport) = match Sink::chosen().and_then(|sink| Ok((sink, Transport::chosen()?))) {
        Ok(chosen) => chosen,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match run(sink, transport, &interrupted) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(_) if interrupted.load(Ordering::Relaxed) => {
            eprintln!("\ndemo: interrupted, everything is stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo; says whether the proof holds.
fn run(sink: Sink, transport: Transport, interrupted: &AtomicBool) -> anyhow::Result<bool> {
    let folder = tempfile::Builder::new()
        .prefix("genesys-kafka-demo-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    let staged = match transport {
        Transport::Notifications => None,
        Transport::Events => Some(frames::stage(folder.path())?),
    };
    let predictions = staged
        .as_ref()
        .map_or_else(BTreeMap::new, |staged| staged.predictions.clone());
    let destination = Destination::start(sink, folder.path());
    let options = scenario::options(staged.as_ref(), &folder.path().join("truth.jsonl"))?;
    let mut simulator = Simulator::start(options)?;
    scenario::introduction(staged.as_ref(), &simulator, &destination)
        .iter()
        .for_each(|line| say(line));

    let mut watch = destination.watch()?;
    let mut adapter = play::start(folder.path(), transport, &simulator, &destination)?;
    let played = play::watch_traffic(
        transport,
        &predictions,
        &simulator,
        &mut watch,
        &mut adapter,
        interrupted,
    );
    let stopped = played.and_then(|()| play::stop(&mut watch, &mut adapter, interrupted));
    let log = adapter.lines(Stream::Stderr);
    std::fs::write(folder.path().join("genesys-kafka.log"), log.join("\n"))?;
    let holds = match stopped {
        Ok(exit_code) => {
            simulator.stop()?;
            let truth = Truth::read(&simulator.truth(), &predictions)?;
            let evidence = collect((transport, truth), &destination, &mut watch, &log, exit_code)?;
            conclude(&evidence, &watch)
        }
        Err(error) => {
            say_log(&log);
            return Err(error);
        }
    };
    if !holds {
        say_log(&log);
        say(&format!(
            "ground truth and log are kept in {}",
            folder.keep().display()
        ));
    }
    Ok(holds)
}

fn collect(
    (transport, truth): (Transport, Truth),
    destination: &Destination,
    watch: &mut Watch,
    log: &[String],
    exit_code: Option<i32>,
) -> anyhow::Result<Evidence> {
    let ends = watch.finish(READ)?;
    let end = |route: Route| ends.get(&route).copied().unwrap_or(0);
    let of = |route: Route| (watch.of(route), end(route), route.schema());
    Ok(Evidence {
        sink: destination.sink(),
        transport,
        truth,
        events: Kept::read(of(Route::Event), Delivered::read)?,
        requests: destination.requests(),
        audits: Kept::read(of(Route::Audit), Audit::read)?,
        dead_letters: Kept::read(of(Route::DeadLetter), DeadLetter::read)?,
        controls: Kept::read(of(Route::Control), Control::read)?,
        handovers: Handovers::find(log),
        summary: Summary::find(log),
        exit_code,
    })
}

/// Prints proof and samples; says whether everything holds.
fn conclude(evidence: &Evidence, watch: &Watch) -> bool {
    say("\none record of each kind, long values cut");
    for (route, wanted) in [
        (Route::Event, "\"eventId\""),
        (Route::Audit, "\"processed\""),
        (Route::DeadLetter, "malformed"),
        (Route::Control, "gap_closed"),
    ] {
        let records = watch.of(route);
        let mut fitting = records.iter().filter(|record| record.text().contains(wanted));
        if let Some(record) = fitting.next().or(records.first()) {
            say(&record_text::shown(route, record));
        }
    }
    let comparisons = proof::prove(evidence);
    say(match evidence.sink {
        Sink::Kafka => "proof, from the simulator's ground truth and the topics read back",
        Sink::Webhook => {
            "proof, from the simulator's ground truth, the requests received and the files read back"
        }
    });
    for comparison in &comparisons {
        say(&report::line(comparison));
    }
    let broken: Vec<String> = comparisons
        .iter()
        .filter(|comparison| !comparison.holds())
        .map(report::line)
        .collect();
    if broken.is_empty() {
        say(&format!("the proof holds: {} comparisons", comparisons.len()));
    } else {
        say(&format!(
            "the proof does NOT hold: {} of {} comparisons",
            broken.len(),
            comparisons.len()
        ));
        broken.iter().for_each(|line| say(line));
    }
    broken.is_empty()
}

fn say_log(log: &[String]) {
    say("last lines of genesys-kafka:");
    for line in &log[log.len().saturating_sub(LOG_LINES)..] {
        say(&format!("  {line}"));
    }
}
