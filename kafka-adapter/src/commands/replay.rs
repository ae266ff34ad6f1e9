//! `genesys-kafka replay`: dead letters through decode once more.
//!
//! Responsible for the order: configuration and plugin first, then the letters, then signals, then the run. Refuses to open
//! a destination before every letter has been collected: what it writes there is never read again. Invariant: a letter
//! that could not be replayed is never a success.

use std::ffi::OsString;
use std::io::stderr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Error, prepare, run};
use crate::replay::{From, Tally, collect, replay as deliver, settings, try_out};
use crate::shutdown::Shutdown;

/// What stands below the flags.
pub(super) const AFTER_HELP: &str = "Replaying twice gives the same event ids: whoever reads the events drops repeats by them. What still cannot be\n\
    decoded is not dead-lettered again; standard error names each by its deadLetterId, and the exit code is 65.";

/// What to replay, and the flags of a run.
#[derive(Debug, clap::Args)]
#[group(id = "replay")]
pub(super) struct Flags {
    /// Files of dead letters, or of what `run` printed; - is standard input
    #[arg(
        value_name = "DEAD-LETTERS",
        required_unless_present = "from_kafka",
        conflicts_with = "from_kafka"
    )]
    files: Vec<PathBuf>,
    /// Read the dead-letter topic instead [kafka.topics.dead_letter]
    #[arg(long)]
    from_kafka: bool,
    /// Decode, say what could not be replayed, and deliver nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    of_run: super::Flags,
}

/// Replays, and fails if something could not be.
pub(super) fn replay(flags: &Flags, environment: Vec<(OsString, OsString)>) -> Result<(), Error> {
    let mut inputs = flags.of_run.inputs(environment);
    inputs.flags.extend(settings());
    let prepare::Prepared { draft, plugin } = prepare::prepare(&inputs)?;
    // the address of the listener is the run's, which may be under way
    let (config, plugin) = run::ready(draft, plugin, |config| config.operations.listen = None)?;
    let from = if flags.from_kafka {
        From::Kafka(Box::new(prepare::topic_settings(&config, "dead-letter")?))
    } else {
        From::Files(flags.files.clone())
    };
    let tally = Arc::new(Tally::new(Box::new(stderr())));
    let letters = collect(&from, &tally)?;
    let shutdown = Shutdown::on_signals().map_err(Error::Signals)?;
    let stop = shutdown.requested();
    let conclusion = if flags.dry_run {
        try_out(&config, &plugin, &letters, &tally, stop)?
    } else {
        deliver(&config, &plugin, &letters, &tally, stop)?
    };
    if conclusion.is_whole() {
        tracing::info!(
            letters = conclusion.letters,
            records = conclusion.records,
            "replay ended"
        );
        Ok(())
    } else {
        Err(Error::Unreplayed { conclusion })
    }
}
