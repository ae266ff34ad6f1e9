//! Transactions of a destination, as the pipeline sees them.
//!
//! Responsible for the seam: what is asked for returns at once, and its answer comes later. Refuses nothing. Invariant:
//! each call but [`Ledger::begin`] has exactly one [`Answer`], and none is made before the one before it has its own.

use super::Failure;

/// The token of outcomes that belong to no parcel and only wake who waits for one: something was answered.
pub const WAKE: u64 = u64::MAX;

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The transaction is committed, its position with it.
    Committed,
    /// The transaction is aborted, and every parcel of it has had its outcome.
    Aborted,
    /// The transaction was not committed and cannot be any more: it has to be aborted.
    Spoiled(String),
    /// The producer is of no use any more, and whether the transaction was committed is unknown.
    Broken(String),
    /// A new producer is ready, which no older one can disturb. Carries the shard's position as it is in Kafka.
    Opened(Option<Vec<u8>>),
    /// Another process has written a position of this shard, which is this one.
    TakenOver(Vec<u8>),
    /// No producer can be had before someone changes something.
    Impossible(String),
}

/// The transactional side of a sink.
pub trait Ledger {
    /// Begins a transaction: what is sent from now on belongs to it.
    ///
    /// # Errors
    /// [`Failure`] with its meaning; nothing was begun.
    fn begin(&mut self) -> Result<(), Failure>;

    /// Writes the position and commits. Nothing of the transaction may be in flight.
    fn commit(&mut self, position: Vec<u8>);

    /// Aborts the transaction, whatever of it is in flight.
    fn abort(&mut self);

    /// Gives up the present producer, if there is one, and makes a new one. With `ours`, a position in Kafka that is none
    /// of these means that another process has taken over; nothing is done to that one then.
    fn open(&mut self, ours: Option<Vec<Option<Vec<u8>>>>);

    /// The answer to the last call, once it is there. After [`Answer::Opened`] outcomes come from another queue, and those
    /// that the old producer still owed never come.
    fn answer(&mut self) -> Option<Answer>;
}
