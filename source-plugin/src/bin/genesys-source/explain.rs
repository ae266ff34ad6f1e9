//! `explain`: what becomes of each frame.
//!
//! Responsible for running frames from files through the real decode and admission and for one JSON line each. Refuses
//! a file that cannot be read, by name, and goes on with the next. Invariant: as many lines as frames, in order, each
//! with exactly one outcome.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use genesys_source::admission::{Admission, OnFull, Outcome, Room, Settings};
use genesys_source::decode::{ControlFrame, Transport};
use genesys_source::{dedup, text::escape_control};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::frame_reader::{MAX_FRAME_BYTES, read_frame};

/// Name that stands for standard input.
const STANDARD_INPUT: &str = "-";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Protocol of the frames
    #[arg(long, value_enum, default_value = "notifications")]
    transport: TransportName,
    /// Take each line for a frame, not each file
    #[arg(long)]
    lines: bool,
    /// Files with frames; `-` is standard input
    #[arg(value_name = "FILE", default_value = STANDARD_INPUT)]
    files: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TransportName {
    Events,
    Notifications,
}

/// One line of output.
#[derive(Serialize)]
struct Line<'a> {
    frame: &'a str,
    outcome: &'static str,
    reason: Option<&'a str>,
    record: Option<&'a RawValue>,
}

/// Why a file was not explained to its end.
enum Fault {
    /// It cannot be opened or read; the next one may be sound.
    Input(anyhow::Error),
    /// Nobody takes the lines any more.
    Output(anyhow::Error),
}

/// Explains every frame of every file to `out`, tells each file that cannot be read on standard error, and returns the
/// number of those.
///
/// # Errors
/// Output that cannot be written; what was explained before stays written.
pub(crate) fn run(arguments: &Arguments, out: impl Write) -> anyhow::Result<usize> {
    let mut out = BufWriter::new(out);
    let mut admission = Admission::new(Settings {
        transport: match arguments.transport {
            TransportName::Events => Transport::Events,
            TransportName::Notifications => Transport::Notifications,
        },
        source_name: "explain".to_owned(),
        dedup: dedup::Settings::default(),
        on_full: OnFull::Stop,
        max_queue_bytes: 0,
        epoch: 0,
    });
    let (mut frames, mut unread_files) = (0_u64, 0);
    for name in &arguments.files {
        let shown = escape_control(name);
        let explained = if name == STANDARD_INPUT {
            explain(
                &mut admission,
                std::io::stdin().lock(),
                &shown,
                arguments.lines,
                &mut frames,
                &mut out,
            )
        } else {
            let file = File::open(name)
                .with_context(|| format!("cannot open {shown}"))
                .map_err(Fault::Input);
            file.and_then(|file| {
                explain(
                    &mut admission,
                    BufReader::new(file),
                    &shown,
                    arguments.lines,
                    &mut frames,
                    &mut out,
                )
            })
        };
        match explained {
            Ok(()) => {}
            Err(Fault::Input(error)) => {
                // the lines of the files before it come first, where both streams lead to one place
                out.flush().context("cannot write")?;
                eprintln!("genesys-source: {error:#}");
                unread_files += 1;
            }
            Err(Fault::Output(error)) => return Err(error),
        }
    }
    out.flush().context("cannot write")?;
    Ok(unread_files)
}

fn explain(
    admission: &mut Admission,
    mut reader: impl BufRead,
    file: &str,
    lines: bool,
    frames: &mut u64,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let delimiter = lines.then_some(b'\n');
    while let Some(frame) = read_frame(&mut reader, delimiter, MAX_FRAME_BYTES)
        .with_context(|| format!("cannot read {file}"))
        .map_err(Fault::Input)?
    {
        *frames += 1;
        let number = frames.to_string();
        let outcome = admission.admit(frame.as_frame(), now_us(), Room::UNBOUNDED);
        let chunk = admission.take_chunk();
        let body = chunk
            .as_ref()
            .and_then(|chunk| chunk.record(0))
            .map(|record| record.body());
        let frame = if lines { number.as_str() } else { file };
        write_line(frame, &outcome, body, out).map_err(Fault::Output)?;
        if !lines {
            break;
        }
    }
    Ok(())
}

fn write_line(
    frame: &str,
    outcome: &Outcome,
    body: Option<&[u8]>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (outcome, reason) = described(outcome);
    let record = body
        .map(serde_json::from_slice::<&RawValue>)
        .transpose()
        .context("record is not JSON")?;
    let line = serde_json::to_string(&Line {
        frame,
        outcome,
        reason: reason.as_deref(),
        record,
    })
    .context("cannot write")?;
    // JSON lets U+007F to U+009F stand in a text, a terminal obeys them; none stands outside of a text.
    out.write_all(escape_control(&line).as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .context("cannot write")
}

fn described(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Event => ("event", None),
        Outcome::Duplicate { age_ms } => ("duplicate", Some(format!("seen {age_ms} ms before"))),
        Outcome::DeadLetter { stage, reason } => ("dead_letter", Some(format!("{}: {reason}", stage.name()))),
        Outcome::Control(control) => ("control", Some(described_control(control))),
        Outcome::Ignored { reason } => ("ignored", Some((*reason).to_owned())),
        Outcome::Filtered => ("filtered", None),
        // The room is unbounded, so no frame is turned away; were one, the line would say so.
        Outcome::Dropped | Outcome::Full => ("dropped", Some("no room".to_owned())),
    }
}

fn described_control(control: &ControlFrame) -> String {
    let name = control.name();
    match control {
        ControlFrame::SubscriptionRefused { status, message, .. } => format!("{name}: {status} {message}"),
        ControlFrame::SubscribeReply {
            result,
            message: Some(message),
            ..
        } => {
            format!("{name}: {result} {message}")
        }
        ControlFrame::SubscribeReply { result, .. } => format!("{name}: {result}"),
        ControlFrame::System { topic } => format!("{name}: {topic}"),
        _ => name.to_owned(),
    }
}

fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
