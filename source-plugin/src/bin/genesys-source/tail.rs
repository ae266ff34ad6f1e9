//! `tail`: open a source as a host would and print its records, one JSON line each.
//!
//! Responsible for the printing. Refuses to keep records: what has been written to standard output is committed.
//! Invariant: at SIGINT or SIGTERM the source is drained and its backlog printed; a second signal ends at once.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use genesys_source::queue::{NoRecords, PullLimits, Slice};
use genesys_source::record::{Kind, Record};
use genesys_source::source::Source;
use genesys_source::text::escape_control;
use nix::sys::signal::{SigSet, Signal};
use plugin_abi::status;
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;

/// How long the backlog may take to print after a signal.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the source's thread may take to end.
const CLOSE: Duration = Duration::from_secs(5);
/// How long one pull waits, and so how soon a limit on the records is noticed.
const WAIT: Duration = Duration::from_millis(500);

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Source configuration as JSON; without it GENESYS_ENV, OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET are enough
    ///
    /// Where it has no "spool", the records are kept in memory.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Drain after so many records
    #[arg(long, value_name = "N")]
    records: Option<u64>,
}

/// Prints records until the source ends.
///
/// # Errors
/// If the configuration cannot be read or is wrong, the source gives up, or standard output cannot be written.
pub(crate) fn run(arguments: &Arguments, mut out: impl Write) -> anyhow::Result<()> {
    let config = match &arguments.config {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => "{}".to_owned(),
    };
    let config = in_memory(&config);
    let stop = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    stop.thread_block().context("cannot block signals")?;
    let source = Arc::new(Source::open(&config, &log_to_stderr())?);
    drain_at_signal(&source, stop)?;
    let mut left = arguments.records;
    loop {
        match source.pull(&limits(left)) {
            Ok(slices) => {
                let printed = print(&mut out, &slices)?;
                if let Some((count, last)) = printed {
                    source.commit(last)?;
                    left = left.map(|left| left.saturating_sub(count));
                }
                if left == Some(0) {
                    source.drain(DRAIN);
                    left = None;
                }
            }
            Err(NoRecords::Timeout | NoRecords::Interrupted) => {}
            Err(NoRecords::Ended(ending)) if ending.status == status::END => break,
            Err(NoRecords::Ended(ending)) => bail!("{}: {}", status::name(ending.status), ending.message),
            Err(other) => bail!("the source gives no records: {other:?}"),
        }
    }
    if !source.close(CLOSE) {
        bail!("the source did not close within {} s", CLOSE.as_secs());
    }
    Ok(())
}

/// Keeps the records in memory if the configuration does not say where: the spool of a service that runs beside this
/// command is not this command's to take.
pub(crate) fn in_memory(config: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(config) {
        Ok(serde_json::Value::Object(mut members)) if !members.contains_key("spool") => {
            members.insert("spool".to_owned(), serde_json::json!({"mode": "memory"}));
            serde_json::Value::Object(members).to_string()
        }
        // What is wrong with it is told by the source.
        Ok(_) | Err(_) => config.to_owned(),
    }
}

fn limits(left: Option<u64>) -> PullLimits {
    let max_records = left.map_or(1024, |left| usize::try_from(left).unwrap_or(1024).clamp(1, 1024));
    PullLimits {
        max_records,
        max_bytes: 1 << 20,
        wait: WAIT,
        linger: Duration::ZERO,
    }
}

fn drain_at_signal(source: &Arc<Source>, stop: SigSet) -> anyhow::Result<()> {
    let source = Arc::clone(source);
    let wait = move || {
        if stop.wait().is_ok() {
            source.drain(DRAIN);
        }
        if stop.wait().is_ok() {
            std::process::exit(1);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .context("cannot start a thread")?;
    Ok(())
}

fn log_to_stderr() -> Dispatch {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("genesys_source=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .finish()
        .into()
}

/// Prints every record of the slices; returns how many and the sequence of the last.
fn print(out: &mut impl Write, slices: &[Slice]) -> anyhow::Result<Option<(u64, u64)>> {
    let mut printed = None;
    let records = slices
        .iter()
        .flat_map(|slice| (slice.start..slice.end).map(|at| slice.chunk.record(at)));
    for record in records.flatten() {
        print_record(out, &record)?;
        printed = Some((printed.map_or(1, |(count, _)| count + 1), record.sequence()));
    }
    out.flush()?;
    Ok(printed)
}

fn print_record(out: &mut impl Write, record: &Record<'_>) -> anyhow::Result<()> {
    let kind = match record.kind() {
        Kind::Event => "event",
        Kind::DeadLetter => "dead_letter",
        Kind::Control => "control",
    };
    let key = serde_json::to_string(record.key())?;
    let body = std::str::from_utf8(record.body()).context("record is not UTF-8")?;
    // JSON lets U+007F to U+009F stand in a text, a terminal obeys them; none stands outside of a text.
    writeln!(
        out,
        "{{\"kind\":\"{kind}\",\"sequence\":{},\"key\":{},\"record\":{}}}",
        record.sequence(),
        escape_control(&key),
        escape_control(body)
    )?;
    Ok(())
}
