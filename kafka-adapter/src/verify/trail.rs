//! How the runs of a trail follow each other, source by source.
//!
//! Responsible for what the first records of runs cite: where no run here has that record, a run or the end of one is
//! missing. Refuses to demand that it is the last one of its run: a replay beside it cites what was the last one then, and
//! records of a killed process may arrive after the next one has looked. Invariant: of each source at most one run, the
//! earliest, is taken for the beginning of its trail.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::chain::{Chain, half};
use super::head::is_of;
use super::link;
use super::place::Place;
use crate::audit::Hash;

/// A record that a run cites and that is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    /// Its hash.
    pub(super) cited: Hash,
    /// Where the record stands that cites it.
    pub(super) place: Place,
    /// The run of the same source before the one that cites it; none where that is the earliest here.
    pub(super) after: Option<Before>,
}

/// A run, and what is known of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) run_id: String,
    pub(super) is_closed: bool,
    /// Retention may have deleted its end, and what came after it.
    pub(super) is_old: bool,
}

/// One record of each run whose first one was not read before the others: it tells the source once that one is known by name.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<String, Vec<u8>>);

impl Samples {
    /// Takes the record of a run that was read first.
    pub(super) fn keep(&mut self, run_id: &str, text: &[u8]) {
        self.0.insert(run_id.to_owned(), link::bare(text).to_vec());
    }

    /// Tells the source of each run without its first record by the names that other runs have.
    pub(super) fn name_sources(&self, chains: &mut BTreeMap<String, Chain>) {
        let names: BTreeSet<String> = chains.values().filter_map(|chain| chain.source.clone()).collect();
        let mut room = Vec::new();
        for (run_id, text) in &self.0 {
            if let Some(chain) = chains.get_mut(run_id).filter(|chain| chain.source.is_none()) {
                chain.source = names.iter().find(|name| is_of(text, name, &mut room)).cloned();
            }
        }
    }
}

/// What each run cites that no run here has, by the run's id.
pub(super) fn absences(chains: &BTreeMap<String, Chain>) -> BTreeMap<&str, Absent> {
    let mut unseen: HashSet<_> = chains
        .values()
        .filter_map(|chain| chain.cited_run.map(|(cited, _)| half(&cited)))
        .collect();
    for known in chains.values().flat_map(Chain::halves) {
        if unseen.is_empty() {
            break;
        }
        unseen.remove(known);
    }
    let absent = chains.iter().filter_map(|(run_id, chain)| {
        let (cited, place) = chain
            .cited_run
            .filter(|(cited, _)| unseen.contains(&half(cited)))?;
        let absent = Absent {
            cited,
            place,
            after: before(chains, run_id, chain),
        };
        Some((run_id.as_str(), absent))
    });
    absent.collect()
}

/// The last run of the same source that began before this one; none where the source has no name.
fn before(chains: &BTreeMap<String, Chain>, run_id: &str, chain: &Chain) -> Option<Before> {
    fn beginning<'a>(run_id: &'a str, chain: &'a Chain) -> (Option<&'a str>, &'a str) {
        (
            chain.times.as_ref().map(|(earliest, _)| earliest.as_str()),
            run_id,
        )
    }
    let own = beginning(run_id, chain);
    let earlier = chains
        .iter()
        .filter(|(_, other)| chain.source.is_some() && other.source == chain.source)
        .filter(|(id, other)| beginning(id, other) < own);
    let (run_id, last) = earlier.max_by_key(|(id, other)| beginning(id, other))?;
    Some(Before {
        run_id: run_id.clone(),
        is_closed: last.is_closed(),
        is_old: last.is_old(),
    })
}
