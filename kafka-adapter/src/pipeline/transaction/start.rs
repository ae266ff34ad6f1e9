//! What transactions begin with, and how they end if another process takes over.
//!
//! Responsible for the types alone. Refuses to show a token in debug output.

use std::fmt;

use crate::pipeline::feed::FeedError;

/// Gives the source's position after a record that was handed out.
pub type Tokens = dyn FnMut(u64) -> Result<String, FeedError>;

/// What transactions begin with.
pub struct Start {
    /// Name of the shard.
    pub shard: String,
    /// Identity of the run.
    pub run_id: String,
    /// The shard's position as it is in Kafka.
    pub position: Option<Vec<u8>>,
    /// See [`Tokens`].
    pub tokens: Box<Tokens>,
    /// Most records of one transaction.
    pub max_records: usize,
    /// Most bytes of one transaction, but always one record.
    pub max_bytes: u64,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

/// Another process has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The shard.
    pub shard: String,
    /// The run that wrote the shard's last position, if it can be read.
    pub by: Option<String>,
}
