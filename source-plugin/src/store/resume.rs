//! Positions: the token of a record, and going on after one.
//!
//! Responsible for what a token means for this spool. Refuses what is no token, and a position once something was
//! pulled. Invariant: nothing is skipped that the host of the token had not taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::token::Token;
use super::{Feeding, Store, lock};
use crate::notice::Notice;
use crate::queue::AlreadyPulled;
use crate::spool::SpoolError;

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
        let token = Token {
            spool: self.uuid,
            epoch: self.epoch(),
            sequence,
        };
        (sequence > 0 && self.queue.was_handed_out(sequence)).then(|| token.to_string())
    }

    /// Goes on after the record that the token stands for, where that is later than the commit mark.
    ///
    /// A token of another spool skips nothing. One of an epoch that this spool has not seen shows that its directory is
    /// an older copy: what the copy holds is done, and the numbers go on above the token's epoch. Both raise a notice.
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
        // Whatever the number is, records of this process are new to the host.
        let skip_to = token.sequence.min(self.recovered_to).max(feeding.skip_to);
        self.queue.skip_to(skip_to)?;
        if token.epoch >= self.epoch()
            && let Some(log) = self.log().as_mut()
        {
            let epoch = log.advance_epoch(token.epoch)?;
            self.epoch.store(epoch, Ordering::Release);
            tracing::warn!(
                epoch,
                position_epoch = token.epoch,
                "position is of an epoch that this spool has not seen: its directory is an older copy"
            );
            self.notify(Notice::restored(self.uuid, token.epoch, epoch));
        }
        feeding.skip_to = skip_to;
        self.commit_skipped(&feeding);
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
