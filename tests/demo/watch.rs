//! Reading the records back while they are written.
//!
//! Responsible for keeping what a reader brings, by kind. Refuses to lose what it has read. Invariant: a record is
//! kept once.

mod lines;
mod requests;
mod topics;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::raw::{Raw, Route};

pub(crate) use requests::RequestReader;
pub(crate) use topics::TopicReader;

/// Longest time that one look blocks.
const LOOK: Duration = Duration::from_millis(50);

/// Where records are read from.
pub(crate) trait Reader {
    /// Gives what has arrived since the last call; waits for it no longer than `wait`.
    fn read(&mut self, wait: Duration) -> Vec<(Route, Raw)>;

    /// Number of records that are there now, by kind.
    ///
    /// # Errors
    /// Numbers that cannot be had; retryable.
    fn ends(&mut self) -> anyhow::Result<BTreeMap<Route, u64>>;

    /// Puts what was read into the order in which it lies.
    ///
    /// # Errors
    /// A place that was given twice; not retryable.
    fn arrange(&self, records: &mut [Raw]) -> anyhow::Result<()>;
}

/// What was read so far.
pub(crate) struct Watch {
    reader: Box<dyn Reader>,
    records: BTreeMap<Route, Vec<Raw>>,
    /// When the last record came.
    last: Instant,
}

impl Watch {
    /// Begins to read.
    pub(crate) fn new(reader: impl Reader + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            records: Route::ALL.map(|route| (route, Vec::new())).into(),
            last: Instant::now(),
        }
    }

    /// Takes in what has arrived until `until`.
    pub(crate) fn look(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            for (route, record) in self.reader.read(left.min(LOOK)) {
                self.records.entry(route).or_default().push(record);
                self.last = Instant::now();
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Reads to the end that there is now; returns the number of records of each kind by that end.
    ///
    /// # Errors
    /// An end that cannot be had, or a place that was read twice.
    pub(crate) fn finish(&mut self, within: Duration) -> anyhow::Result<BTreeMap<Route, u64>> {
        let ends = self.reader.ends()?;
        let deadline = Instant::now() + within;
        while ends.iter().any(|(route, end)| self.count(*route) < *end) && Instant::now() < deadline {
            self.look(Instant::now() + LOOK);
        }
        for records in self.records.values_mut() {
            self.reader.arrange(records)?;
        }
        Ok(ends)
    }

    /// Records read of a kind.
    pub(crate) fn of(&self, route: Route) -> &[Raw] {
        self.records.get(&route).map_or(&[], Vec::as_slice)
    }

    /// Number of records read of a kind.
    pub(crate) fn count(&self, route: Route) -> u64 {
        self.of(route).len() as u64
    }

    /// How long no record has come.
    pub(crate) fn quiet(&self) -> Duration {
        self.last.elapsed()
    }
}
