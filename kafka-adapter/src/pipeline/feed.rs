//! Where records come from, as the pipeline sees it.
//!
//! Responsible for the seam between the plugin host and the pipeline, so that the pipeline is tested without a
//! plugin. Refuses nothing; it only names what a source can do. Invariant: one thread pulls, any thread may commit,
//! interrupt or ask for statistics.

use serde_json::Value;

use crate::record::{Attributes, Record};

/// How much one pull may give and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullLimits {
    /// At most this many records.
    pub max_records: u32,
    /// At most this many bytes of records, but always at least one record.
    pub max_bytes: u64,
    /// Wait this long for the first record, in milliseconds.
    pub wait_ms: u32,
    /// After the first record wait this long for more, in milliseconds.
    pub linger_ms: u32,
}

/// What a pull gave.
#[derive(Debug)]
pub enum Pulled<B> {
    /// At least one record.
    Batch(B),
    /// Nothing came within the wait, or the wait was interrupted.
    Nothing,
    /// The source has handed out its last record.
    End,
}

/// Why a call to the source failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FeedError {
    /// What it means for the run.
    pub fault: FeedFault,
    /// The source's own words; never holds a secret.
    pub message: String,
}

/// What a failed call means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedFault {
    /// The service refused the credentials or the role.
    Credentials,
    /// What the configuration names cannot be had, such as a queue that nobody has.
    Configuration,
    /// The source gave up for good.
    GaveUp,
    /// The same call may succeed later.
    Passing,
    /// The source is unusable or was used wrongly.
    Broken,
}

impl FeedError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.fault == FeedFault::Passing
    }
}

/// Records handed out together; released when dropped.
pub trait Batch: Send + Sync + 'static {
    /// Number of records, at least 1.
    fn len(&self) -> usize;

    /// Says whether there is no record, which a source never hands out.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record at `index`, below [`Batch::len`].
    fn record(&self, index: usize) -> Record<'_>;

    /// Calls `visit` with each attribute of the record at `index`.
    fn each_attribute(&self, index: usize, visit: &mut dyn FnMut(&str, &str));
}

/// The attributes of one record of a batch.
#[derive(Debug)]
pub struct AttributesOf<'a, B> {
    /// The batch.
    pub batch: &'a B,
    /// Place of the record in it.
    pub index: usize,
}

impl<B: Batch> Attributes for AttributesOf<'_, B> {
    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.batch.each_attribute(self.index, visit);
    }
}

/// A source of records.
pub trait Feed: Send + Sync + 'static {
    /// What it hands out.
    type Batch: Batch;

    /// Pulls the next records; blocks at most `wait_ms` + `linger_ms`.
    ///
    /// # Errors
    /// [`FeedError`], which says whether pulling again makes sense.
    fn next_batch(&self, limits: PullLimits) -> Result<Pulled<Self::Batch>, FeedError>;

    /// Tells the source that everything up to `sequence`, inclusive, is resolved.
    ///
    /// # Errors
    /// [`FeedError`]; a later, higher commit makes up for a failed one.
    fn commit(&self, sequence: u64) -> Result<(), FeedError>;

    /// The position after the record `sequence`, which lets a later process go on from there. Refused by a source that
    /// keeps nothing, as one does that does not say otherwise.
    ///
    /// # Errors
    /// [`FeedError`] if the source keeps nothing, is closed or broken.
    fn token(&self, sequence: u64) -> Result<String, FeedError> {
        Err(FeedError {
            fault: FeedFault::Broken,
            message: format!("the source gives no position after record {sequence}"),
        })
    }

    /// The source's statistics.
    ///
    /// # Errors
    /// [`FeedError`] if the source is closed or broken.
    fn stats(&self) -> Result<Value, FeedError>;

    /// Ends a pull that is waiting.
    fn interrupt(&self);

    /// Asks the source to stop reading, hand out the rest and end.
    ///
    /// # Errors
    /// [`FeedError`] if the source is closed or broken.
    fn drain(&self, deadline_ms: u32) -> Result<(), FeedError>;

    /// Closes the source; every batch must have been released before.
    ///
    /// # Errors
    /// [`FeedError`] if the source did not close within the time.
    fn close(&self, timeout_ms: u32) -> Result<(), FeedError>;
}
