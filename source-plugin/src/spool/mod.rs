//! A durable log of records: segments of checked entries in one directory, with one writer.
//!
//! Responsible for keeping what was appended until it is committed, over the death of the process and, for what was
//! synced, of the machine. Refuses a directory that another process holds and a format it does not know; knows nothing
//! of what a record means. Invariant: what is read is what was appended, byte for byte, in the order of its numbers,
//! and no number is ever given twice.
//!
//! ```text
//! Log (the one writer) ──append──▶ Segment ◀──read── Reader
//!   │  marks, roll, reclaim          │ sync: SyncTask, on any thread
//!   │                                reclaim: ReclaimTask, likewise
//!   └─ open: lock ─▶ recovery ─▶ epoch ─▶ new segment
//! ```
//!
//! The directory holds `identity` (uuid, epoch, and the openings before it), `lock`, `reserve` (room for marks when the disk is full),
//! `<number>-<epoch>.segment`, and `<number>-<epoch>.index`, which outlives its segment.

mod catalog;
mod entry;
mod error;
mod format;
mod header;
mod identity_file;
mod index;
mod inspect;
mod lineage;
mod log;
mod name;
mod open_gaps;
mod reader;
mod recovery;
mod scan;
mod segment;
mod settings;
pub mod storage;
#[cfg(test)]
mod tests;

pub use entry::NewRecord;
pub use error::{AppendError, Limit, SpoolError};
pub use inspect::{Inspection, SegmentReport, inspect};
pub use lineage::{Lineage, Opening};
pub use log::{Durable, Log, Loss, ReclaimDone, ReclaimTask, Reclaimed, SyncDone, SyncTask, Usage};
pub use reader::{Batch, ReadLimits, Reader, StoredRecord};
pub use recovery::{Backlog, Damage, Fault, Recovered, Torn};
pub use settings::{COUNTER_BITS, MAX_EPOCH, Settings, epoch_of, last_of_epoch, sequence};
