//! The order of a start: which comes first, the source or its destination.
//!
//! Responsible for opening both, for the record that the audit cites, and in transactions for the position that the
//! source goes on from. Refuses to open a source in memory before its destination has answered: what it hears meanwhile
//! would be lost. Invariant: a source that keeps its records on disk listens whatever the brokers do, and is closed again
//! if the start fails.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use serde_json::Value;

use super::destinations::previous_hash;
use super::outlets::{self, Opened, Opening};
use super::{CLOSE_MS, Error};
use crate::audit::{AuditKey, Hash};
use crate::config::{Config, Guarantee};
use crate::host::{LogLevel, Plugin, Source};
use crate::pipeline::Stop;
use crate::position::Position;
use crate::sink::{Answer, Outlets, Sink, StartError};

/// How long a destination may take before a source is opened that perhaps keeps its records on disk, in milliseconds:
/// brokers that are there answer sooner, and a source in memory is opened once.
const DESTINATION_MS: u64 = 2_000;
/// Pause between two looks for the answer of the transactions, in milliseconds; a stop is seen at once.
const LOOK_MS: u64 = 10;

/// What a run begins with.
pub(super) struct Begun {
    pub(super) source: Source,
    pub(super) ready: Ready,
}

/// A destination that answers, and what is known of the run before.
pub(super) struct Ready {
    pub(super) outlets: Outlets,
    /// The shard's position in Kafka, where there are transactions.
    pub(super) position: Option<Vec<u8>>,
    /// Hash of the last audit record of the run before.
    pub(super) previous_hash: Option<Hash>,
}

/// Opens source and destination; none if `stop` received something first.
pub(super) fn begin(
    config: &Config,
    plugin: &Plugin,
    key: Option<&AuditKey>,
    stop: &Stop,
) -> Result<Option<Begun>, Error> {
    match config.delivery.guarantee {
        Guarantee::AtLeastOnce => at_least_once(config, plugin, key, stop),
        Guarantee::ExactlyOnce => {
            let source = open(config, plugin)?;
            let begun = exactly_once(config, &source, key, stop);
            finish(source, begun)
        }
    }
}

fn open(config: &Config, plugin: &Plugin) -> Result<Source, Error> {
    plugin
        .open(&config.source.config.to_string(), LogLevel::current())
        .map_err(Error::Open)
}

/// Puts source and destination together, or closes the source.
fn finish(source: Source, opened: Result<Option<Ready>, Error>) -> Result<Option<Begun>, Error> {
    match opened {
        Ok(Some(ready)) => Ok(Some(Begun { source, ready })),
        other => {
            // a source on disk notes that it stops listening; whatever it has kept is handed out by the next start
            let closed = source.drain(0).and_then(|()| source.close(CLOSE_MS));
            if let Err(error) = closed {
                tracing::warn!(%error, "source did not close in time");
            }
            other.map(|_| None)
        }
    }
}

/// What opens the destination and then looks for the run before, which a destination that answers may show.
fn opener(
    config: &Config,
    key: Option<&AuditKey>,
) -> impl Fn() -> Result<Ready, Error> + Clone + Send + 'static {
    let (config, key) = (config.clone(), key.cloned());
    move || {
        let outlets = outlets::open(&config)?;
        // with transactions only what is there once no older process writes any more
        let looks = config.delivery.guarantee == Guarantee::AtLeastOnce;
        Ok(Ready {
            outlets,
            position: None,
            previous_hash: looks
                .then(|| previous_hash(&config, key.as_ref(), None))
                .flatten(),
        })
    }
}

fn at_least_once(
    config: &Config,
    plugin: &Plugin,
    key: Option<&AuditKey>,
    stop: &Stop,
) -> Result<Option<Begun>, Error> {
    let opener = opener(config, key);
    let opening = Opening::begin(opener.clone())?;
    let may_keep = plugin.describe()["capabilities"]
        .as_array()
        .is_some_and(|words| words.iter().any(|word| word == "resume"));
    let first = may_keep.then(|| Duration::from_millis(DESTINATION_MS));
    let opening = match opening.wait(stop, first) {
        Opened::Stopped => return Ok(None),
        Opened::Ready(ready) => {
            let source = open(config, plugin)?;
            return finish(source, Ok(Some(ready)));
        }
        Opened::Failed(error) => return Err(error),
        Opened::NotYet(opening) => opening,
    };
    let source = open(config, plugin)?;
    if !keeps_on_disk(&source.stats().map_err(Error::Open)?) {
        drop(source);
        return match opening.wait(stop, None) {
            Opened::Ready(ready) => {
                let source = open(config, plugin)?;
                finish(source, Ok(Some(ready)))
            }
            Opened::Failed(error) => Err(error),
            Opened::Stopped | Opened::NotYet(_) => Ok(None),
        };
    }
    let ready = destination(opener, opening, stop);
    finish(source, ready)
}

/// The destination, however long it takes to come.
fn destination(
    opener: impl Fn() -> Result<Ready, Error> + Clone + Send + 'static,
    mut opening: Opening<Ready>,
    stop: &Stop,
) -> Result<Option<Ready>, Error> {
    let mut told = false;
    loop {
        match opening.wait(stop, None) {
            Opened::Ready(ready) => return Ok(Some(ready)),
            Opened::Failed(error @ Error::Start(StartError::Kafka(_))) if error.is_retryable() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "destination unreachable, the source keeps what it hears until it is there");
                }
                opening = Opening::begin(opener.clone())?;
            }
            Opened::Failed(error) => return Err(error),
            Opened::Stopped | Opened::NotYet(_) => return Ok(None),
        }
    }
}

fn exactly_once(
    config: &Config,
    source: &Source,
    key: Option<&AuditKey>,
    stop: &Stop,
) -> Result<Option<Ready>, Error> {
    let stats = source.stats().map_err(Error::Open)?;
    if !keeps_on_disk(&stats) || stats["capabilities"]["token"] != true {
        return Err(Error::NothingKept);
    }
    let opener = opener(config, key);
    let opening = Opening::begin(opener.clone())?;
    let Some(mut ready) = destination(opener, opening, stop)? else {
        return Ok(None);
    };
    let Some(found) = position(&mut ready.outlets, stop)? else {
        return Ok(None);
    };
    let mut position = None;
    if let Some(found) = &found {
        let shard = &config.source.name;
        let read = Position::read(shard, found)?;
        tracing::info!(
            shard,
            sequence = read.sequence,
            run_id = read.run_id,
            transaction = read.transaction,
            "position read"
        );
        if let Some(token) = &read.token {
            source.resume(token).map_err(Error::Resume)?;
        }
        position = Some(read);
    }
    let (looked_at, key) = (config.clone(), key.cloned());
    let looking = Opening::begin(move || Ok(previous_hash(&looked_at, key.as_ref(), position.as_ref())))?;
    ready.previous_hash = match looking.wait(stop, None) {
        Opened::Ready(hash) => hash,
        Opened::Failed(error) => return Err(error),
        Opened::Stopped | Opened::NotYet(_) => return Ok(None),
    };
    ready.position = found;
    Ok(Some(ready))
}

/// The shard's position, once no older process can write any more; none if `stop` received something first.
fn position(outlets: &mut Outlets, stop: &Stop) -> Result<Option<Option<Vec<u8>>>, Error> {
    let transactions = |reason: &str| {
        Error::Start(StartError::Kafka(crate::sink::KafkaStartError::Transactions(
            reason.to_owned(),
        )))
    };
    outlets
        .ledger()
        .ok_or_else(|| transactions("no route goes to kafka"))?
        .open(None);
    loop {
        match outlets.ledger().and_then(|ledger| ledger.answer()) {
            Some(Answer::Opened(found)) => return Ok(Some(found)),
            Some(Answer::Impossible(reason)) => return Err(transactions(&reason)),
            Some(other) => {
                return Err(transactions(&format!(
                    "an answer that was not asked for: {other:?}"
                )));
            }
            None => {}
        }
        match stop.recv_timeout(Duration::from_millis(LOOK_MS)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Whether the records of a source outlive the process.
fn keeps_on_disk(stats: &Value) -> bool {
    stats["capabilities"]["resume"] == true && stats["capabilities"]["spool"] == "disk"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::keeps_on_disk;

    #[test]
    fn a_source_keeps_on_disk_only_if_it_says_so_itself() {
        assert!(keeps_on_disk(
            &json!({"capabilities": {"resume": true, "spool": "disk"}})
        ));
        for capabilities in [
            json!({"resume": true, "spool": "memory"}),
            json!({"resume": false, "spool": "disk"}),
            json!({"spool": "disk"}),
            json!([]),
        ] {
            assert!(
                !keeps_on_disk(&json!({"capabilities": capabilities})),
                "{capabilities}"
            );
        }
        assert!(!keeps_on_disk(&json!(null)));
    }
}
