//! Positions: the token of a record, and going on after one.
//!
//! Responsible for what a token means for this spool, also where a copy of its directory gave it. Refuses what is no
//! token, and a position once something was pulled. Invariant: nothing is skipped that the host of the token had not
//! taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::token::{MOST_OPENINGS, Token};
use super::{Feeding, Store, lock};
use crate::notice::Notice;
use crate::queue::AlreadyPulled;
use crate::spool::{Lineage, SpoolError, last_of_epoch};

/// Why a source does not go on after a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    /// It is no token of this program.
    #[error("this is no position of a genesys-source spool")]
    NoToken,
    /// Something was pulled already.
    #[error(transparent)]
    AlreadyPulled(#[from] AlreadyPulled),
    /// The spool cannot begin an epoch.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Store {
    /// Returns the token of a record that has been handed out; `None` for another number.
    pub(crate) fn token(&self, sequence: u64) -> Option<String> {
        if sequence == 0 || !self.queue.was_handed_out(sequence) {
            return None;
        }
        let lineage = lock(&self.lineage);
        let token = Token {
            spool: self.uuid,
            epoch: lineage.openings().last()?.epoch,
            sequence,
            incarnations: lineage.newest(MOST_OPENINGS),
        };
        Some(token.to_string())
    }

    /// Goes on after the record that the token stands for, where that is later than the commit mark.
    ///
    /// A token of another spool skips nothing. One of an opening that is not in the line of this spool was given by
    /// another copy of its directory: what both have from before they parted is done, what came later is this copy's
    /// own and new to the host, and the numbers go on above the token's epoch. Both raise a notice.
    ///
    /// # Errors
    /// [`ResumeError`]; retryable if the spool could not begin an epoch for an I/O error.
    pub(crate) fn resume(self: &Arc<Self>, text: &str) -> Result<(), ResumeError> {
        let token = Token::parse(text).ok_or(ResumeError::NoToken)?;
        let mut feeding = lock(&self.feeding);
        if token.spool != self.uuid {
            self.queue.skip_to(0)?;
            tracing::warn!(spool = %self.uuid, position_of = %token.spool, "position is of another spool, nothing is skipped");
            self.notify(Notice::foreign_position(token.spool));
            return Ok(());
        }
        let shared_epoch = shared_with(&lock(&self.lineage), &token);
        // Whatever the number is, records of this process are new to the host, and so are those of openings that the
        // giver of the token has not lived.
        let shared_to = shared_epoch.map_or(0, last_of_epoch).min(self.recovered_to);
        let skip_to = token.sequence.min(shared_to).max(feeding.skip_to);
        self.queue.skip_to(skip_to)?;
        if shared_epoch != Some(token.epoch) {
            self.go_on_beside(&token)?;
        }
        feeding.skip_to = skip_to;
        self.commit_skipped(&feeding);
        Ok(())
    }

    /// Numbers what comes above whatever the giver of the token has numbered that the host knows of, and says that
    /// there are two copies.
    fn go_on_beside(&self, token: &Token) -> Result<(), SpoolError> {
        if token.epoch >= self.epoch()
            && let Some(log) = self.log().as_mut()
        {
            let epoch = log.advance_epoch(token.epoch)?;
            lock(&self.lineage).clone_from(log.lineage());
            self.epoch.store(epoch, Ordering::Release);
        }
        let epoch = self.epoch();
        tracing::warn!(
            epoch,
            position_epoch = token.epoch,
            "position was given by another copy of this spool, what this one heard by itself is kept"
        );
        self.notify(Notice::restored(self.uuid, token.epoch, epoch));
        Ok(())
    }

    /// Takes what is skipped as committed, once the queue is past it: a segment must not go before its records have been
    /// counted.
    pub(super) fn commit_skipped(&self, feeding: &Feeding) {
        if (feeding.fed_to >= feeding.skip_to || !feeding.is_behind)
            && self.commit.fetch_max(feeding.skip_to, Ordering::AcqRel) < feeding.skip_to
        {
            self.bell.tell_dirty();
        }
    }
}

/// Returns the last epoch that the giver of the token and this spool have both lived; the token's own if this spool gave
/// it, `None` if nothing is known.
fn shared_with(lineage: &Lineage, token: &Token) -> Option<u32> {
    if token.incarnations.is_empty() {
        // Given under format 1, so by this spool only if it was under format 1 then.
        return (token.epoch <= lineage.unrecorded_to()).then_some(token.epoch);
    }
    lineage.last_shared(&token.incarnations)
}
