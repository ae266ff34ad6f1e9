//! `genesys-kafka verify`: audit records held against their hash chains; and the heads that later runs cite.
//!
//! Responsible for reading any number of files or the partitions of a topic side by side, in order of time, and for
//! judging each run's chain and what the runs cite of each other. Refuses to call a run authentic whose records carry no key: whoever can write the whole of
//! it can hash it anew. Invariant: nothing is written, committed or created anywhere.

mod chain;
mod files;
mod head;
mod link;
mod place;
mod report;
mod topic;
mod trail;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use chain::{Chain, Loss};
use link::{Link, Text};
use place::{Place, StreamName};
use trail::Samples;

use crate::audit::AuditKey;

pub use files::{files, last_hash};
pub use head::{Head, head_of_topic};
pub use report::Report;
pub use topic::topic;

/// Longest line or message that is read, in bytes; an audit record has less than 2 KiB, and a wrapped one of another
/// kind no more than the largest frame of the plugin and what surrounds it.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// What is demanded of a trail.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Keys that runs may be hashed with. With one, a run that carries none is not enough.
    pub keys: Vec<AuditKey>,
    /// A run without a key is enough nevertheless.
    pub accept_unkeyed: bool,
    /// A run may begin with any number, and the earliest run of a source may cite one that is not here: what retention
    /// leaves. Of several streams that have lost their beginnings, records may be absent up to where the last of them begins.
    pub partial: bool,
    /// How far before the last record of a run that was killed one may be that never arrived: what one process has in
    /// flight among the partitions of a topic. 0 where records come in one order.
    pub in_flight: u64,
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read. Retryable.
    #[error("{path} cannot be read: {error}; name an audit file that this user may read")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// A line is longer than anything that was ever written. Not retryable.
    #[error("{path}:{line} is longer than {MAX_TEXT_BYTES} bytes; this is no file of audit records")]
    TooLong {
        /// The file.
        path: String,
        /// Its line.
        line: u64,
    },
    /// The topic cannot be read. Retryable.
    #[error(
        "topic {topic} at \"{servers}\" cannot be read: {reason}; check kafka.bootstrap_servers, kafka.topics.audit and \
         the right to read it"
    )]
    Topic {
        /// The topic.
        topic: String,
        /// The addresses of the brokers.
        servers: String,
        /// The client's words.
        reason: String,
    },
}

impl Error {
    /// Says whether the same command may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File { .. } | Self::Topic { .. } => true,
            Self::TooLong { .. } => false,
        }
    }
}

/// Records in the order in which they were written to one place.
trait Stream {
    /// What it is called.
    fn name(&self) -> StreamName;
    /// The next text and where it is, line or offset; none at the end.
    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error>;
    /// Says whether records were deleted before its first one.
    fn has_lost_its_beginning(&self) -> bool {
        false
    }
}

/// A record that waits for its turn among the streams.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    link: Link,
    place: Place,
    text: Vec<u8>,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |turn: &Self| (turn.link.sequence, turn.place.stream, turn.place.at);
        self.link
            .at
            .cmp(&other.link.at)
            .then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads all streams to their ends, the earliest record first, and judges.
///
/// In order of time, so that what waits for a record of another partition stays little.
fn judge(mut streams: Vec<Box<dyn Stream + '_>>, demand: &Demand) -> Result<Report, Error> {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    let mut report = Report::new(streams.iter().map(|stream| stream.name()).collect(), demand);
    let loss = Loss {
        streams: streams.len(),
        in_flight: demand.in_flight,
    };
    let mut samples = Samples::default();
    let mut turns = BinaryHeap::with_capacity(streams.len());
    for (number, stream) in (0..).zip(&mut streams) {
        turns.extend(advance(stream.as_mut(), number, demand, &mut report)?.map(Reverse));
    }
    // of each stream the first record that is left
    let begin = turns.iter().filter(|Reverse(turn)| {
        let stream = streams.get(turn.place.stream as usize);
        demand.partial && stream.is_some_and(|stream| stream.has_lost_its_beginning())
    });
    let edge = begin.map(|Reverse(turn)| turn.link.at.clone()).max();
    while let Some(Reverse(Turn { link, place, text })) = turns.pop() {
        if let Some(stream) = streams.get_mut(place.stream as usize) {
            turns.extend(advance(stream.as_mut(), place.stream, demand, &mut report)?.map(Reverse));
        }
        match chains.get_mut(&link.run_id) {
            Some(chain) => chain.take(link, place),
            None => {
                if link.source.is_none() {
                    samples.keep(&link.run_id, &text);
                }
                chains
                    .entry(link.run_id.clone())
                    .or_insert_with(|| Chain::new(demand.partial, edge.as_deref(), loss))
                    .take(link, place);
            }
        }
    }
    for chain in chains.values_mut() {
        chain.finish();
    }
    samples.name_sources(&mut chains);
    report.conclude(&chains);
    Ok(report)
}

/// The next audit record of a stream; what else it holds goes to the report.
fn advance(
    stream: &mut dyn Stream,
    number: u32,
    demand: &Demand,
    report: &mut Report,
) -> Result<Option<Turn>, Error> {
    while let Some((at, text)) = stream.next()? {
        let place = Place { stream: number, at };
        match link::read(&text, &demand.keys) {
            Text::Audit(link) => return Ok(Some(Turn { link, place, text })),
            Text::Other => report.other += 1,
            Text::Unreadable(reason) => report.unreadable(place, &reason),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
