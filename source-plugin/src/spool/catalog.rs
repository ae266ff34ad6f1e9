//! The segments that can be read, shared by the one writer and its readers.
//!
//! Responsible for finding a segment by number. Refuses to do input or output under its lock. Invariant: a segment
//! that was removed stays readable for whoever holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::Segment;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    segments: Mutex<BTreeMap<u64, Arc<Segment>>>,
}

impl Catalog {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        // Each change is one insertion or removal, so a panic leaves nothing half done.
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, segment: Arc<Segment>) {
        self.lock().insert(segment.name.number, segment);
    }

    pub(super) fn remove(&self, number: u64) {
        self.lock().remove(&number);
    }

    /// Returns the first segment with this number or a later one.
    pub(super) fn at_or_after(&self, number: u64) -> Option<Arc<Segment>> {
        self.lock()
            .range(number..)
            .next()
            .map(|(_, segment)| Arc::clone(segment))
    }

    /// Returns the first segment that may hold `sequence` or a later record.
    pub(super) fn holding(&self, sequence: u64) -> Option<Arc<Segment>> {
        let segments = self.lock();
        let mut candidates = segments.values();
        candidates
            .find(|segment| segment.last_sequence() >= sequence)
            .or_else(|| segments.values().next_back())
            .map(Arc::clone)
    }
}
