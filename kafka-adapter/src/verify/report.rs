//! What a verification found, run by run.
//!
//! Responsible for the words: the first record that breaks a chain with its place, what is odd without being broken,
//! and a last line that says how far the answer reaches. Refuses to hide a run that was never closed. Invariant: a
//! report without a break says "consistent, not authenticated", never more.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display};

use super::chain::{Break, Chain};
use super::place::{Place, StreamName};

/// The findings; shown as lines.
#[derive(Debug, Default)]
pub struct Report {
    streams: Vec<StreamName>,
    runs: Vec<Run>,
    /// Wrapped records of other kinds.
    pub(super) other: u64,
    /// Number of texts that are no audit record, and the first of them.
    unreadable: u64,
    first_unreadable: Option<String>,
}

/// One run.
#[derive(Debug)]
struct Run {
    id: String,
    records: u64,
    words: String,
    broken: Option<String>,
}

impl Report {
    pub(super) fn new(streams: Vec<StreamName>) -> Self {
        Self {
            streams,
            ..Self::default()
        }
    }

    /// Notes a text that is no audit record.
    pub(super) fn unreadable(&mut self, place: Place, reason: &str) {
        self.unreadable += 1;
        if self.first_unreadable.is_none() {
            self.first_unreadable = Some(format!("{} is no audit record: {reason}", self.words(place)));
        }
    }

    /// Takes the chains, of which every record was read.
    pub(super) fn conclude(&mut self, chains: &BTreeMap<String, Chain>) {
        let heads: HashSet<_> = chains.values().filter_map(Chain::head).collect();
        for (id, chain) in chains {
            let mut words = format!("{} records", chain.records);
            if let Some((earliest, latest)) = &chain.times {
                words += &format!(", {earliest} to {latest}");
            }
            if chain.repeats > 0 {
                words += &format!(", {} repeated byte for byte", chain.repeats);
            }
            if let Some(first) = chain.begins_at().filter(|first| *first > 1) {
                words += &format!(", begins with number {first}: what came before is not here");
            }
            words += if chain.is_closed() {
                ", closed"
            } else {
                ", NOT CLOSED: it was killed, its end is not here, or it still runs"
            };
            if chain.cited_run.is_some_and(|cited| !heads.contains(&cited)) {
                words += ", cites a run that is not here";
            }
            let broken = chain.first_break.as_ref().map(|(sequence, place, what)| {
                let more = match chain.breaks {
                    0 | 1 => String::new(),
                    breaks => format!(" (the first of {breaks} breaks)"),
                };
                format!("{}: {}{more}", self.words(*place), describe(*sequence, what))
            });
            self.runs.push(Run {
                id: id.clone(),
                records: chain.records,
                words,
                broken,
            });
        }
    }

    /// Says whether every record is where and what it must be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unreadable == 0 && self.broken() == 0
    }

    fn broken(&self) -> usize {
        self.runs.iter().filter(|run| run.broken.is_some()).count()
    }

    fn words(&self, place: Place) -> String {
        self.streams
            .get(place.stream as usize)
            .map_or_else(String::new, |name| name.words(place.at))
    }

    /// The last line.
    #[must_use]
    pub fn verdict(&self) -> String {
        let records: u64 = self.runs.iter().map(|run| run.records).sum();
        let runs = self.runs.len();
        if records == 0 && self.unreadable == 0 {
            return "there is no audit record".to_owned();
        }
        if self.is_whole() {
            return format!(
                "{records} records of {runs} runs: consistent, not authenticated (the hashes carry no key)"
            );
        }
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!(", {count} texts are no audit record"),
        };
        format!(
            "{records} records of {runs} runs: BROKEN, {} runs do not fit their chain{unreadable}",
            self.broken()
        )
    }
}

fn describe(sequence: u64, what: &Break) -> String {
    match what {
        Break::Altered => format!("record {sequence} was altered: its bytes do not give its hash"),
        Break::Missing { from, to } if from == to => {
            format!("record {from} is missing: this is the next one that is there")
        }
        Break::Missing { from, to } => {
            format!("records {from} to {to} are missing: this is the next one that is there")
        }
        Break::Twice if sequence == 0 => "a record of number 0, which no record has".to_owned(),
        Break::Unlinked => format!(
            "record {sequence} cites another than record {}: one of the two was altered or replaced",
            sequence - 1
        ),
        Break::Twice => {
            format!("another record of number {sequence} stands elsewhere: one of the two was added")
        }
        Break::Reordered { behind } => {
            format!("record {sequence} stands behind record {behind}: their order was changed")
        }
        Break::AfterEnd => format!("record {sequence} comes after the end of its run"),
        Break::Count { stated } => format!("the run states {stated} records, and this is number {sequence}"),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in &self.runs {
            writeln!(f, "run {}: {}", run.id, run.words)?;
            if let Some(broken) = &run.broken {
                writeln!(f, "  BROKEN at {broken}")?;
            }
        }
        if let Some(first) = &self.first_unreadable {
            writeln!(f, "{first}")?;
        }
        if self.other > 0 {
            writeln!(f, "{} records of other kinds passed over", self.other)?;
        }
        write!(f, "{}", self.verdict())
    }
}
