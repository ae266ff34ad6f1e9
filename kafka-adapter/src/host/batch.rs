//! A batch of records that the host owns until it drops it.
//!
//! Responsible for giving it back exactly once, on any thread, also after the source was closed. Refuses a batch
//! that breaks the contract, and gives that back too. Invariant: no record outlives its batch.

use std::fmt;
use std::ptr::NonNull;

use plugin_abi::EspBatch;
use plugin_abi::functions::BatchReleaseFn;

use super::error::Error;
use super::read::View;
use super::record::Record;

/// Records handed out together; given back to the plugin when dropped.
pub struct Batch {
    raw: NonNull<EspBatch>,
    release: BatchReleaseFn,
    /// Borrows from `raw`, hence private and lent out with the lifetime of `self` only.
    view: View<'static>,
}

// SAFETY: the contract allows the release on any thread, and nothing else is thread-bound.
unsafe impl Send for Batch {}
// SAFETY: a batch is immutable from hand-out to release; shared references only read it.
unsafe impl Sync for Batch {}

impl Batch {
    /// Takes over a batch and checks it once; one that breaks the contract is given back and is an error.
    ///
    /// # Safety
    /// `raw` was handed out by the plugin to which `release` belongs, was not released, and its pointers and counts
    /// describe memory that stays readable and unchanged until the release.
    pub(super) unsafe fn adopt(raw: *mut EspBatch, release: BatchReleaseFn) -> Result<Self, Error> {
        let Some(owned) = NonNull::new(raw) else {
            return Err(Error::broken_contract("OK without a batch"));
        };
        // SAFETY: the caller vouches for the batch until its release, which only this value's drop calls.
        match unsafe { View::adopt(raw) } {
            Ok(view) => Ok(Self {
                raw: owned,
                release,
                view,
            }),
            Err(error) => {
                // SAFETY: handed out, not released, and no view of it exists.
                unsafe { release(raw) };
                Err(error)
            }
        }
    }

    /// Number of records, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view.len()
    }

    /// Says whether there is no record: never, an empty batch is refused at the pull.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sequence of the last record: commit this once the whole batch is resolved.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.view.last_sequence
    }

    /// Bytes of all ids, types, subjects, keys, attributes and bodies, as the plugin counted them.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.view.total_bytes
    }

    /// A record by position; does not allocate.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'_>> {
        self.view.record(index)
    }

    /// Iterates over the records in hand-out order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { batch: self, next: 0 }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: handed out once (`adopt`), given back here and nowhere else; every record borrowed `self`.
        unsafe { (self.release)(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("last_sequence", &self.last_sequence())
            .field("total_bytes", &self.total_bytes())
            .finish()
    }
}

/// Iterator over the records of a batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: &'a Batch,
    next: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = self.batch.record(self.next)?;
        self.next += 1;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Records<'_> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ptr;

    use plugin_abi::{EspBatch, EspRecord, EspStr};

    use super::Batch;

    thread_local! {
        static RELEASED: Cell<u32> = const { Cell::new(0) };
    }

    unsafe extern "C" fn release(_batch: *mut EspBatch) {
        RELEASED.set(RELEASED.get() + 1);
    }

    fn raw(records: &[EspRecord]) -> EspBatch {
        EspBatch {
            struct_size: 56,
            record_stride: 136,
            records: records.as_ptr(),
            record_count: records.len() as u64,
            first_sequence: 4,
            last_sequence: 6,
            total_bytes: 3,
            private_data: ptr::null_mut(),
        }
    }

    fn record(sequence: u64) -> EspRecord {
        let empty = EspStr {
            data: ptr::null(),
            length: 0,
        };
        EspRecord {
            struct_size: 136,
            kind: 77,
            flags: 0,
            reserved: 0,
            sequence,
            event_time_us: 1,
            received_time_us: 2,
            id: empty,
            type_: empty,
            subject: empty,
            key: empty,
            body: empty,
            attributes: ptr::null(),
            attribute_count: 0,
            attribute_stride: 0,
        }
    }

    #[test]
    fn a_batch_is_given_back_once_when_it_is_dropped() {
        let records = [record(4), record(6)];
        let mut raw = raw(&records);
        // SAFETY: `raw` and `records` outlive the batch, and `release` frees nothing.
        let batch = unsafe { Batch::adopt(&mut raw, release) }.unwrap();
        let sequences: Vec<u64> = batch.records().map(|record| record.sequence).collect();
        assert_eq!(sequences, [4, 6]);
        assert_eq!(
            (
                batch.len(),
                batch.records().len(),
                batch.last_sequence(),
                batch.total_bytes()
            ),
            (2, 2, 6, 3)
        );
        assert_eq!(batch.record(1).unwrap().kind.name(), "unknown");
        assert_eq!(RELEASED.get(), 0);
        drop(batch);
        assert_eq!(RELEASED.get(), 1);
    }

    #[test]
    fn a_batch_that_is_refused_is_given_back_too() {
        RELEASED.set(0);
        let mut raw = raw(&[]);
        // SAFETY: as above; the batch is empty, which must be refused.
        assert!(unsafe { Batch::adopt(&mut raw, release) }.is_err());
        assert_eq!(RELEASED.get(), 1);
        // SAFETY: NULL is what is tested.
        assert!(unsafe { Batch::adopt(ptr::null_mut(), release) }.is_err());
        assert_eq!(RELEASED.get(), 1);
    }
}
