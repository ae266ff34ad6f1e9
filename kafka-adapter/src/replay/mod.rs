//! `genesys-kafka replay`: dead letters through the source's decode once more, and on to where records go.
//!
//! Responsible for collecting the letters, for handing them to the same plugin in place of its feed, and for saying of
//! each that could not be replayed which it was and why. Refuses to look into a frame (the plugin does), and to
//! dead-letter again what still cannot be decoded. Invariant: the letters lie in a file that no other process can open
//! and that is gone with this one, whatever ends it.

mod collection;
mod feed;
mod lines;
mod tally;
mod text;
mod topic;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::{Config, Setting};
use crate::host::{LogLevel, Plugin};
use crate::pipeline::{Batch as _, Feed, PullLimits, Pulled, Stop};
use crate::run;
use crate::sink::KafkaSettings;

pub use collection::Letters;
pub use feed::ReplayFeed;
pub use tally::Tally;

/// The key of the plugin's configuration that names the letters.
const KEY: &str = "replay";

/// How much one pull of a dry run takes, in records and bytes, and how long it waits, in milliseconds.
const DRY_PULL: PullLimits = PullLimits {
    max_records: 1000,
    max_bytes: 8 << 20,
    wait_ms: 100,
    linger_ms: 0,
};
/// How long the source of a dry run may take to close, in milliseconds.
const CLOSE_MS: u32 = 5_000;

/// Why dead letters could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read. Retryable.
    #[error("{path} cannot be read: {error}; name a file of dead letters that this user may read")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// A line is longer than any dead letter. Not retryable.
    #[error(
        "{path}:{line} is longer than {} bytes; this is no file of dead letters",
        lines::MAX_LINE_BYTES
    )]
    TooLong {
        /// The file.
        path: String,
        /// Its line.
        line: u64,
    },
    /// The topic cannot be read. Retryable.
    #[error(
        "topic {topic} at \"{servers}\" cannot be read: {reason}; check kafka.bootstrap_servers, \
         kafka.topics.dead_letter and the right to read it"
    )]
    Topic {
        /// The topic.
        topic: String,
        /// The addresses of the brokers.
        servers: String,
        /// The client's words.
        reason: String,
    },
    /// There is no room for the letters. Retryable.
    #[error("the letters cannot be kept in {}: {error}; make room there, or set TMPDIR to a folder with more", dir.display())]
    Private {
        /// The folder.
        dir: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
}

impl Error {
    /// Says whether the same command may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLong { .. })
    }
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conclusion {
    /// Letters that were found, each id once.
    pub letters: u64,
    /// Letters whose id had been found before.
    pub repeats: u64,
    /// Records that were delivered, or would be.
    pub records: u64,
    /// Frames that the source knew from another letter.
    pub duplicates: u64,
    /// Letters, or what stood in their place, that could not be replayed; each has been told.
    pub failed: u64,
    /// Records that their destination refused; each is a dead letter again, under the same id.
    pub refused: u64,
    /// Letters that a stop came before.
    pub unreached: u64,
}

impl Conclusion {
    /// Says whether nothing is left to replay.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.refused == 0 && self.unreached == 0
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} dead letters ({} repeats): {} records, {} duplicates, {} not replayed, {} refused again, {} not reached",
            self.letters,
            self.repeats,
            self.records,
            self.duplicates,
            self.failed,
            self.refused,
            self.unreached
        )
    }
}

/// What a replay changes in the configuration of a run: the spool and the transactions belong to the run.
#[must_use]
pub fn settings() -> Vec<Setting> {
    [
        ("source.config.spool.mode", "memory"),
        ("delivery.guarantee", "at_least_once"),
    ]
    .into_iter()
    .map(|(key, value)| Setting {
        flag: "replay",
        key,
        value: Value::from(value),
    })
    .collect()
}

/// Takes a text and its place.
type Visit<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), Error>;

/// Where letters come from.
#[derive(Debug)]
pub enum From {
    /// Files; `-` is standard input.
    Files(Vec<PathBuf>),
    /// The dead-letter topic of these settings.
    Kafka(Box<KafkaSettings>),
}

/// Collects the letters; what is none is told to `tally`.
///
/// # Errors
/// [`Error`].
pub fn collect(from: &From, tally: &Tally) -> Result<Letters, Error> {
    let mut letters = Letters::create()?;
    match from {
        From::Files(paths) => lines::read(paths, &mut |place, text| letters.take(place, text, tally))?,
        From::Kafka(settings) => topic::read(settings, &mut |place, text| letters.take(place, text, tally))?,
    }
    letters.finish()?;
    Ok(letters)
}

/// Replays letters to where the configuration sends records, with audit.
///
/// # Errors
/// As [`run::run`].
pub fn replay(
    config: &Config,
    plugin: &Plugin,
    letters: &Letters,
    tally: &Arc<Tally>,
    stop: &Stop,
) -> Result<Conclusion, run::Error> {
    let config = changed(config, letters);
    let summary = run::run_as(&config, plugin, stop, |source| {
        ReplayFeed::new(source, Arc::clone(tally))
    })?;
    let mut conclusion = letters.conclusion(tally);
    let reached = match &summary {
        Some(summary) => {
            conclusion.records = summary.counters.events + summary.counters.control;
            // those of the source are set aside: these are of the adapter's own making, each once
            conclusion.refused = summary.counters.dead_letters + summary.counters.last_resort;
            conclusion.duplicates = summary.figures.total_duplicated;
            summary.figures.total_ingested
        }
        // stopped before it began
        None => 0,
    };
    conclusion.unreached = letters.count().saturating_sub(reached);
    Ok(conclusion)
}

/// Takes letters through the plugin and delivers nothing.
///
/// # Errors
/// [`run::Error::Open`] and [`run::Error::Source`].
pub fn try_out(
    config: &Config,
    plugin: &Plugin,
    letters: &Letters,
    tally: &Arc<Tally>,
    stop: &Stop,
) -> Result<Conclusion, run::Error> {
    let config = changed(config, letters);
    let source = plugin
        .open(&config.source.config.to_string(), LogLevel::current())
        .map_err(run::Error::Open)?;
    let feed = ReplayFeed::new(source, Arc::clone(tally));
    let mut conclusion = Conclusion::default();
    while stop.is_empty() {
        match feed.next_batch(DRY_PULL).map_err(run::Error::Source)? {
            Pulled::Batch(batch) => conclusion.records += batch.len() as u64,
            Pulled::Nothing => {}
            Pulled::End => break,
        }
    }
    let stats = feed.stats().unwrap_or_default();
    if let Err(error) = feed.close(CLOSE_MS) {
        tracing::warn!(%error, "source did not close in time");
    }
    let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Ok(Conclusion {
        records: conclusion.records,
        duplicates: number("/frames/duplicates"),
        unreached: letters.count().saturating_sub(number("/frames/received")),
        ..letters.conclusion(tally)
    })
}

/// The configuration with the letters in place of the feed, and without a listener: its address is the run's.
fn changed(config: &Config, letters: &Letters) -> Config {
    let mut config = config.clone();
    config.operations.listen = None;
    if let Value::Object(of_plugin) = &mut config.source.config {
        of_plugin.insert(KEY.to_owned(), json!(letters.path()));
    }
    config
}
