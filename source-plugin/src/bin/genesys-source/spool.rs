//! `spool`: what is in a spool's directory.
//!
//! Responsible for the printing and for saying damage by the exit code. Refuses to change anything: it takes no lock
//! and writes no file, so it can be run beside the owner. Invariant: 0 if everything can be read, 1 if something
//! cannot, 78 if there is no spool that this program can read.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use genesys_source::spool::storage::DiskStorage;
use genesys_source::spool::{
    COUNTER_BITS, Damage, Inspection, Opening, SegmentReport, SpoolError, epoch_of, inspect,
};
use serde_json::{Value, json};

/// Exit code where there is no spool, or one of another format.
///
/// # Source
/// `EX_CONFIG` of sysexits.h; design, section 7.
const NOT_A_SPOOL: u8 = 78;

/// Arguments of `spool`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the spool
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints what is in the spool; says by the exit code whether all of it can be read.
///
/// # Errors
/// If a file cannot be read, or standard output cannot be written.
pub(crate) fn run(arguments: &Arguments, mut out: impl Write) -> anyhow::Result<ExitCode> {
    let directory = arguments.directory.display();
    let storage = match DiskStorage::open_read_only(&arguments.directory) {
        Ok(storage) => storage,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            eprintln!("genesys-source: {directory}: {error}");
            return Ok(ExitCode::from(NOT_A_SPOOL));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot open {directory}")),
    };
    let found = match inspect(&storage) {
        Ok(found) => found,
        Err(error @ (SpoolError::NoSpool | SpoolError::Version { .. })) => {
            eprintln!("genesys-source: {directory}: {error}");
            return Ok(ExitCode::from(NOT_A_SPOOL));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot look at {directory}")),
    };
    if arguments.json {
        writeln!(out, "{}", as_json(&found))?;
    } else {
        print(&mut out, &found)?;
    }
    out.flush()?;
    Ok(if found.damage.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(out: &mut impl Write, found: &Inspection) -> std::io::Result<()> {
    let uuid = found
        .uuid
        .map_or_else(|| "unknown".to_owned(), |uuid| uuid.to_string());
    let format = found
        .format
        .map_or_else(|| "unknown".to_owned(), |format| format.to_string());
    let holder = found
        .holder
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), ToString::to_string);
    writeln!(out, "uuid         {uuid}")?;
    writeln!(out, "format       {format}")?;
    writeln!(out, "epoch        {}", found.epoch)?;
    writeln!(out, "incarnation  {}", incarnation(found))?;
    writeln!(out, "held by      {holder}")?;
    writeln!(
        out,
        "committed    {}",
        numbered((found.commit > 0).then_some(found.commit))
    )?;
    writeln!(
        out,
        "last alive   {}",
        alive(found).unwrap_or_else(|| "-".to_owned())
    )?;
    writeln!(out, "open gaps    {}", found.open_gaps)?;
    writeln!(
        out,
        "backlog      {} records, {} bytes",
        found.backlog.records, found.backlog.bytes
    )?;
    writeln!(out, "old indexes  {}", found.retired_indexes)?;
    writeln!(
        out,
        "\n{:>10} {:>12} {:>9} {:>18} {:>18}  state",
        "segment", "bytes", "records", "first", "last"
    )?;
    for segment in &found.segments {
        writeln!(
            out,
            "{:>10} {:>12} {:>9} {:>18} {:>18}  {}",
            segment.number,
            segment.file_bytes,
            segment.records,
            numbered(segment.first_sequence),
            numbered(segment.last_sequence),
            state(segment)
        )?;
    }
    if let Some(torn) = found.torn {
        writeln!(
            out,
            "\nhalf written: segment {}, bytes {} to {}",
            torn.segment, torn.from_offset, torn.to_offset
        )?;
    }
    for damage in &found.damage {
        writeln!(
            out,
            "\ndamaged: segment {}, bytes {} to {}: {}, last good {}, next good {}",
            damage.segment,
            damage.from_offset,
            damage.to_offset,
            damage.fault.name(),
            numbered(damage.last_good),
            numbered(damage.next_good)
        )?;
    }
    Ok(())
}

fn state(segment: &SegmentReport) -> &'static str {
    if segment.is_committed {
        "committed"
    } else {
        "waiting"
    }
}

/// Returns a number as `epoch:counter`.
fn numbered(sequence: Option<u64>) -> String {
    sequence.map_or_else(
        || "-".to_owned(),
        |sequence| format!("{}:{}", epoch_of(sequence), sequence & ((1 << COUNTER_BITS) - 1)),
    )
}

/// Returns what tells the last opening from those of a copy of the directory.
fn incarnation(found: &Inspection) -> String {
    let last = found.lineage.openings().last();
    last.map_or_else(|| "-".to_owned(), hex)
}

fn hex(opening: &Opening) -> String {
    format!("{:08x}", opening.incarnation)
}

fn alive(found: &Inspection) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(found.alive_us?).ok()?;
    Some(time.to_string())
}

fn as_json(found: &Inspection) -> Value {
    let segment = |segment: &SegmentReport| {
        json!({
            "number": segment.number,
            "epoch": segment.epoch,
            "bytes": segment.file_bytes,
            "records": segment.records,
            "first_sequence": segment.first_sequence,
            "last_sequence": segment.last_sequence,
            "committed": segment.is_committed,
        })
    };
    let damage = |damage: &Damage| {
        json!({
            "segment": damage.segment,
            "from_offset": damage.from_offset,
            "to_offset": damage.to_offset,
            "fault": damage.fault.name(),
            "last_good": damage.last_good,
            "next_good": damage.next_good,
        })
    };
    let opening = |opening: &Opening| json!({ "epoch": opening.epoch, "incarnation": hex(opening) });
    json!({
        "uuid": found.uuid.map(|uuid| uuid.to_string()),
        "format": found.format,
        "epoch": found.epoch,
        "openings": found.lineage.openings().iter().map(opening).collect::<Vec<_>>(),
        "held_by": found.holder,
        "commit": found.commit,
        "alive": alive(found),
        "open_gaps": found.open_gaps,
        "backlog": { "records": found.backlog.records, "bytes": found.backlog.bytes },
        "retired_indexes": found.retired_indexes,
        "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
        "torn": found.torn.map(|torn| json!({
            "segment": torn.segment,
            "from_offset": torn.from_offset,
            "to_offset": torn.to_offset,
        })),
        "damage": found.damage.iter().map(damage).collect::<Vec<_>>(),
    })
}
