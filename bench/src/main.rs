//! Side-by-side measurements: one run, one table of ratios, one file.
//!
//! Responsible for the order of the parts and for saying what was not run. Everything is on loopback and bounded; each
//! figure is the median of repetitions that take turns with what they are compared with, since a shared machine makes
//! absolute rates worthless. A missed target is printed, not an error; a part that cannot be measured is.

mod adapter;
mod backlog;
mod client;
mod core;
mod cpu;
mod drain;
mod feed;
mod frames;
mod guarantees;
mod latency;
mod plugin;
mod producer;
mod reader;
mod reception;
mod records;
mod recovery;
mod report;
mod running;
mod saturated;
mod spooled;
mod spread;
mod steady;
mod visible;
mod webhook;

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use support::Broker;

use crate::frames::Ring;
use crate::report::Report;

/// Events of the simulator that are sent round and round: about 680 kB, which the caches of a server hold.
const RING_EVENTS: u64 = 1024;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Receive and parse limit of this machine.
    A,
    /// The source through its C functions, against the parse limit.
    B,
    /// The adapter into a real Kafka, saturated, against a plain producer.
    C,
    /// Latency and memory at 5,000 events/s.
    D,
    /// The adapter into a webhook, against clients that await each answer.
    E,
    /// `exactly_once` into a real Kafka, saturated, against `at_least_once`.
    F,
    /// Opening a spool with a backlog, and one with ids alone.
    G,
    /// A backlog out of the spool into a real Kafka, against a feed of 1,000/s.
    H,
    /// Latency of `exactly_once` at 5,000 events/s, from the socket to a reader of committed records.
    I,
}

/// Measures the source and the adapter against plain programs on the same machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only these parts, such as a,b.
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    only: Vec<Part>,
    /// Shorter and fewer repetitions: shows that it works, proves nothing.
    #[arg(long)]
    quick: bool,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick;
    let start = Instant::now();
    let mut report = Report::default();
    report.conditions.push(conditions());

    let frames = client::harvest(RING_EVENTS).context("no frames from the simulator")?;
    let ring = Ring::on_the_wire(&frames)?;
    if arguments.wants(Part::A) || arguments.wants(Part::B) {
        let size = reception::Size {
            repetitions: if quick { 1 } else { 7 },
            window: Duration::from_millis(if quick { 300 } else { 1_000 }),
        };
        reception::run(&frames, &ring, size, arguments.wants(Part::B), &mut report)?;
    }
    if [Part::C, Part::D, Part::F, Part::H, Part::I]
        .into_iter()
        .any(|part| arguments.wants(part))
    {
        match Broker::own() {
            Some(broker) => against_kafka(&arguments, &broker, &ring, &mut report)?,
            None => report.not_run.push(
                "c, d, f, h and i, which need a real Apache Kafka; the line above says what is missing"
                    .to_owned(),
            ),
        }
    }
    if arguments.wants(Part::G) {
        let size = recovery::Size {
            events: if quick { 30_000 } else { 500_000 },
            repetitions: if quick { 1 } else { 5 },
        };
        recovery::run(&ring, size, &mut report)?;
    }
    if arguments.wants(Part::E) {
        let size = webhook::Size {
            events: if quick { 3_000 } else { 40_000 },
            repetitions: if quick { 1 } else { 5 },
            window: Duration::from_millis(if quick { 300 } else { 1_500 }),
            seconds: if quick { 2 } else { 6 },
        };
        webhook::run(&frames, &ring, size, &mut report)?;
    }
    for (part, letter) in [
        (Part::A, "a"),
        (Part::B, "b"),
        (Part::C, "c"),
        (Part::D, "d"),
        (Part::E, "e"),
        (Part::F, "f"),
        (Part::G, "g"),
        (Part::H, "h"),
        (Part::I, "i"),
    ] {
        if !arguments.wants(part) {
            report.not_run.push(format!("{letter}, left out by --only"));
        }
    }
    report.conditions.push(format!(
        "{}{} s in all; load average at the end {}",
        if quick { "QUICK, proves nothing; " } else { "" },
        start.elapsed().as_secs(),
        load_average()
    ));
    let path = report.write(&support::target_dir())?;
    println!("{}", report.table());
    println!("every value: {}", shown(&path));
    Ok(())
}

fn against_kafka(
    arguments: &Arguments,
    broker: &Broker,
    ring: &Ring,
    report: &mut Report,
) -> anyhow::Result<()> {
    let quick = arguments.quick;
    if arguments.wants(Part::C) {
        let size = saturated::Size {
            events: if quick { 50_000 } else { 300_000 },
            with_headers: if quick { 1 } else { 5 },
            without_headers: if quick { 1 } else { 3 },
        };
        saturated::run(broker, ring, size, report)?;
    }
    if arguments.wants(Part::D) {
        let size = steady::Size {
            seconds: if quick { 5 } else { 22 },
            repetitions: if quick { 1 } else { 3 },
            fill_window: !quick,
        };
        steady::run(broker, size, report)?;
    }
    if arguments.wants(Part::F) {
        let size = guarantees::Size {
            events: if quick { 50_000 } else { 300_000 },
            repetitions: if quick { 1 } else { 5 },
        };
        guarantees::run(broker, ring, size, report)?;
    }
    if arguments.wants(Part::H) {
        let size = backlog::Size {
            events: if quick { 30_000 } else { 300_000 },
            repetitions: if quick { 1 } else { 3 },
        };
        backlog::run(broker, ring, size, report)?;
    }
    if arguments.wants(Part::I) {
        let size = visible::Size {
            seconds: if quick { 6 } else { 14 },
            repetitions: if quick { 1 } else { 3 },
        };
        visible::run(broker, size, report)?;
    }
    Ok(())
}

fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores, Linux {}, load average at the start {}",
        kernel.trim(),
        load_average()
    )
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

// below the folder that the bench was started in, if it lies there
fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
