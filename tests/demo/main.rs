//! `make demo`: simulator, plugin, adapter and Kafka on loopback, and a proof of what they did together.
//!
//! Responsible for the order of things: start, watch, stop, collect, prove. Refuses to call a run good that it could
//! not prove. Invariant: every process that it starts ends with it, also when it is interrupted or killed.

mod evidence;
mod frames;
mod play;
mod proof;
mod record_text;
mod report;
mod scenario;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use simulator::Simulator;
use support::{Mock, Stream};

use evidence::{Audit, Control, DeadLetter, Delivered, Evidence, Summary, Topic, Truth};
use frames::Staged;
use report::say;
use scenario::{AUDIT, CONTROL, DEAD_LETTER, EVENTS};
use watch::Watch;

/// Longest time for reading the topics to their end.
const READ: Duration = Duration::from_secs(30);
/// Lines of the adapter's log that a failure shows.
const LOG_LINES: usize = 15;

/// The exit status of a process that Ctrl-C ended, as shells count it.
const INTERRUPTED: u8 = 130;

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
    match run(&interrupted) {
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
fn run(interrupted: &AtomicBool) -> anyhow::Result<bool> {
    let folder = tempfile::Builder::new()
        .prefix("genesys-kafka-demo-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    let staged = frames::stage(folder.path())?;
    let mock = Mock::start(&scenario::TOPICS);
    let mut simulator = Simulator::start(scenario::options(&staged, &folder.path().join("truth.jsonl"))?)?;
    scenario::introduction(&staged, &simulator, mock.bootstrap_servers())
        .iter()
        .for_each(|line| say(line));

    let mut watch = Watch::start(mock.bootstrap_servers())?;
    let mut adapter = play::start(folder.path(), &simulator, mock.bootstrap_servers())?;
    let played = play::watch_traffic(&simulator, &mut watch, &mut adapter, interrupted);
    let stopped = played.and_then(|()| play::stop(&mut watch, &mut adapter, interrupted));
    let log = adapter.lines(Stream::Stderr);
    std::fs::write(folder.path().join("genesys-kafka.log"), log.join("\n"))?;
    let holds = match stopped {
        Ok(exit_code) => {
            simulator.stop()?;
            let evidence = collect(&simulator, &staged, &mut watch, &log, exit_code)?;
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
    simulator: &Simulator,
    staged: &Staged,
    watch: &mut Watch,
    log: &[String],
    exit_code: Option<i32>,
) -> anyhow::Result<Evidence> {
    let ends = watch.finish(READ)?;
    let end = |topic: &str| ends.get(topic).copied().unwrap_or(0);
    Ok(Evidence {
        truth: Truth::read(&simulator.truth(), &staged.predictions)?,
        events: Topic::read(watch.of(EVENTS), end(EVENTS), "event", Delivered::read)?,
        audits: Topic::read(watch.of(AUDIT), end(AUDIT), "audit", Audit::read)?,
        dead_letters: Topic::read(
            watch.of(DEAD_LETTER),
            end(DEAD_LETTER),
            "dead-letter",
            DeadLetter::read,
        )?,
        controls: Topic::read(watch.of(CONTROL), end(CONTROL), "control", Control::read)?,
        summary: Summary::find(log),
        exit_code,
    })
}

/// Prints proof and samples; says whether everything holds.
fn conclude(evidence: &Evidence, watch: &Watch) -> bool {
    say("\none record of each topic, long values cut");
    for (topic, wanted) in [
        (EVENTS, "\"eventId\""),
        (AUDIT, "\"processed\""),
        (DEAD_LETTER, "malformed"),
        (CONTROL, "gap_closed"),
    ] {
        let records = watch.of(topic);
        let holds = |record: &&support::ReadRecord| record_text::text_of(record).contains(wanted);
        if let Some(record) = records.iter().find(holds).or(records.first()) {
            say(&record_text::shown(topic, record));
        }
    }
    let comparisons = proof::prove(evidence);
    say("proof, from the simulator's ground truth and the topics read back");
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
