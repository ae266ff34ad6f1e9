//! What a verification found, run by run.
//!
//! Responsible for the words: the first record that breaks a chain with its place, what is odd without being broken,
//! and a last line that says how far the answer reaches. Refuses to hide a run that was never closed, and what of it is
//! not there. Invariant: a run is called authenticated only if each of its records was hashed with one key that was given.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display};

use super::Demand;
use super::chain::{Break, Chain, Unlinked};
use super::place::{Place, StreamName};
use super::trail::{Absent, Before, absences};
use crate::audit::{AuditKey, KeyId};
use crate::text::push_hex;

/// The findings; shown as lines.
#[derive(Debug, Default)]
pub struct Report {
    streams: Vec<StreamName>,
    /// The keys that were given.
    given: Vec<KeyId>,
    accept_unkeyed: bool,
    partial: bool,
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
    /// What shows that a run before it, or the end of one, is missing.
    missing: Option<String>,
    /// The first record of a key that was not given.
    unverified: Option<String>,
    is_keyed: bool,
}

impl Report {
    pub(super) fn new(streams: Vec<StreamName>, demand: &Demand) -> Self {
        Self {
            streams,
            given: demand.keys.iter().map(AuditKey::id).collect(),
            accept_unkeyed: demand.accept_unkeyed,
            partial: demand.partial,
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
        let cited: HashSet<_> = chains
            .values()
            .filter_map(|chain| chain.cited_run.map(|(cited, _)| cited))
            .collect();
        let absences = absences(chains);
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
            let is_whole = chain.first_break.is_none() && chain.unverified.is_none();
            match chain.key() {
                Some(key) if is_whole => words += &format!(", authenticated with key {key}"),
                None if is_whole && !self.given.is_empty() => words += ", not authenticated",
                _ => {}
            }
            words += if chain.is_closed() {
                ", closed"
            } else if chain.head().is_some_and(|head| cited.contains(&head)) {
                ", NOT CLOSED: it was killed; a later run cites its last record"
            } else {
                ", NOT CLOSED: it was killed, its end is not here, or it still runs"
            };
            if let Some(unlinked) = &chain.unlinked {
                words += &without_link(unlinked);
            }
            let absent = absences.get(id.as_str());
            let is_beginning = absent.is_some_and(|absent| absent.after.is_none() && self.partial);
            if is_beginning {
                words += "; the trail of its source begins here: the run before it is not here";
            }
            let follows_old = |absent: &Absent| absent.after.as_ref().is_some_and(|before| before.is_old);
            let is_deleted = absent.is_some_and(|absent| self.partial && follows_old(absent));
            if is_deleted {
                words += "; what it cites is not here: retention has deleted that part of another partition";
            }
            if chain.deleted > 0 {
                words += &format!(
                    "; {} records between others are not here: retention has deleted that part of another partition",
                    chain.deleted
                );
            }
            let missing = absent
                .filter(|_| !is_beginning && !is_deleted)
                .map(|absent| format!("{}: {}", self.words(absent.place), describe_absent(absent)));
            let broken = chain.first_break.as_ref().map(|(sequence, place, what)| {
                let more = match chain.breaks {
                    0 | 1 => String::new(),
                    breaks => format!(" (the first of {breaks} breaks)"),
                };
                format!("{}: {}{more}", self.words(*place), describe(*sequence, what))
            });
            let unverified = chain.unverified.map(|(sequence, place, key)| {
                format!("{}: {}", self.words(place), self.without_key(sequence, key))
            });
            self.runs.push(Run {
                id: id.clone(),
                records: chain.records,
                words,
                broken,
                missing,
                unverified,
                is_keyed: chain.key().is_some(),
            });
        }
    }

    /// Says whether every record is where and what it must be, and as authentic as was demanded.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_consistent() && !self.lacks_keys()
    }

    fn is_consistent(&self) -> bool {
        let is_faulty = |run: &Run| run.broken.is_some() || run.unverified.is_some() || run.missing.is_some();
        self.unreadable == 0 && self.count(is_faulty) == 0
    }

    /// Whoever gives a key wants to know that nobody without it wrote the records; without this, a trail that was hashed
    /// anew without a key would pass.
    fn lacks_keys(&self) -> bool {
        !self.given.is_empty() && !self.accept_unkeyed && self.count(|run| !run.is_keyed) > 0
    }

    fn count(&self, is_counted: impl Fn(&Run) -> bool) -> usize {
        self.runs.iter().filter(|run| is_counted(run)).count()
    }

    fn without_key(&self, sequence: u64, key: KeyId) -> String {
        let given = match &self.given[..] {
            [] => String::new(),
            given => {
                let given: Vec<String> = given.iter().map(ToString::to_string).collect();
                format!(" (given: {})", given.join(", "))
            }
        };
        format!(
            "record {sequence} is hashed with key {key}, which was not given{given}; pass it with --key-env or --key-file"
        )
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
        let what = format!("{records} records of {runs} runs");
        if self.is_consistent() {
            return format!("{what}: {}", self.authenticity());
        }
        let unverified = match self.count(|run| run.unverified.is_some()) {
            0 => String::new(),
            count => format!(", {count} runs are hashed with a key that was not given"),
        };
        let missing = match self.count(|run| run.missing.is_some()) {
            0 => String::new(),
            count => format!(", {count} runs cite a record that is not here"),
        };
        let broken = self.count(|run| run.broken.is_some());
        if broken == 0 && self.unreadable == 0 {
            return match unverified.as_str() {
                "" => format!("{what}: INCOMPLETE{missing}"),
                unverified => format!("{what}: NOT VERIFIED{unverified}{missing}"),
            };
        }
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!(", {count} texts are no audit record"),
        };
        format!("{what}: BROKEN, {broken} runs do not fit their chain{unreadable}{unverified}{missing}")
    }

    /// How far a consistent trail can be trusted.
    fn authenticity(&self) -> String {
        let unkeyed = self.count(|run| !run.is_keyed);
        if unkeyed == 0 {
            "consistent, authenticated".to_owned()
        } else if self.lacks_keys() {
            format!(
                "consistent, NOT AUTHENTICATED: the hashes of {unkeyed} runs carry no key, so that whoever can write there \
                 can make them; --accept-unkeyed if they are from before audit.key was set"
            )
        } else if unkeyed == self.runs.len() {
            "consistent, not authenticated (the hashes carry no key)".to_owned()
        } else {
            format!("consistent, not authenticated (the hashes of {unkeyed} runs carry no key)")
        }
    }
}

fn without_link(unlinked: &Unlinked) -> String {
    let Unlinked {
        after,
        missing,
        records,
    } = unlinked;
    format!(
        "; {missing} after number {after} are not here, and {records} later ones are not linked to what came before: a kill leaves that \
         of what was in flight, and so does whoever takes records out so near the end, which cannot be told apart"
    )
}

fn describe_absent(absent: &Absent) -> String {
    let mut hash = Vec::new();
    push_hex(&mut hash, &absent.cited);
    let cites = format!(
        "record 1 cites {}, which no run in this trail has",
        String::from_utf8_lossy(&hash)
    );
    match &absent.after {
        None => format!(
            "{cites}: the run before it is missing or its end was cut off; --partial accepts that of the earliest run of a \
             source, where retention deleted what came before"
        ),
        Some(Before {
            run_id,
            is_closed: true,
            ..
        }) => format!("{cites}: a run after run {run_id} is missing, or the end of such a one was cut off"),
        Some(Before {
            run_id,
            is_closed: false,
            ..
        }) => format!("{cites}: the end of run {run_id} was cut off, or a run after it is missing"),
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
        Break::Rekeyed => format!(
            "record {sequence} names another key than the one before it, or one of them names none: one of the two was added"
        ),
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
            if let Some(missing) = &run.missing {
                writeln!(f, "  INCOMPLETE at {missing}")?;
            }
            if let Some(unverified) = &run.unverified {
                writeln!(f, "  NOT VERIFIED at {unverified}")?;
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
