//! Commits: what the source is told to be durable, and what it is still to be told.
//!
//! Responsible for repeating a commit that failed and for saying so once. Invariant: commits are cumulative, so that only
//! the last one is kept.

use super::feed::Feed;

/// What the source was told to be durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    pub(super) pending: Option<u64>,
    last: Option<u64>,
    failing: bool,
}

impl Commits {
    /// The last sequence that the source was told.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Says whether a commit is still to be made, because the last try failed.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Tells the source; a failed commit is made up for by the next turn's.
    pub(super) fn make<F: Feed>(&mut self, feed: &F) {
        let Some(sequence) = self.pending else { return };
        match feed.commit(sequence) {
            Ok(()) => {
                self.pending = None;
                self.last = Some(sequence);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(sequence, "commits go on");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, sequence, "commit failed, repeating it");
                }
            }
        }
    }
}
