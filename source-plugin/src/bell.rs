//! Wakes the spool's thread and says why.
//!
//! Responsible for losing no reason between two waits. Refuses to carry anything but reasons. Invariant: what was rung
//! before a wait is returned by it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Why the spool's thread was woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons {
    /// Something was appended or committed.
    pub(crate) is_dirty: bool,
    /// The queue has room for records that are in the spool only.
    pub(crate) wants_records: bool,
    /// The source is closing.
    pub(crate) is_over: bool,
}

impl Reasons {
    fn is_any(self) -> bool {
        self.is_dirty || self.wants_records || self.is_over
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    reasons: Mutex<Reasons>,
    rung: Condvar,
}

impl Bell {
    /// Says that something was appended or committed.
    pub(crate) fn tell_dirty(&self) {
        self.ring(|reasons| reasons.is_dirty = true);
    }

    /// Says that the queue has room.
    pub(crate) fn ask_for_records(&self) {
        self.ring(|reasons| reasons.wants_records = true);
    }

    /// Says that it is over.
    pub(crate) fn tell_over(&self) {
        self.ring(|reasons| reasons.is_over = true);
    }

    fn ring(&self, change: impl FnOnce(&mut Reasons)) {
        let mut reasons = self.lock();
        let was_any = reasons.is_any();
        change(&mut reasons);
        drop(reasons);
        // Who waits has been woken by the first ring and has not looked yet.
        if !was_any {
            self.rung.notify_one();
        }
    }

    /// Waits for a reason, at the latest until `deadline`, and takes all there are.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Reasons {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .rung
            .wait_timeout_while(self.lock(), left, |reasons| !reasons.is_any());
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Bell, Reasons};

    #[test]
    fn what_was_rung_before_a_wait_is_returned_by_it_once() {
        let bell = Bell::default();
        bell.tell_dirty();
        bell.ask_for_records();
        let rung = Reasons {
            is_dirty: true,
            wants_records: true,
            is_over: false,
        };
        assert_eq!(bell.wait_until(Instant::now() + Duration::from_secs(60)), rung);
        assert_eq!(bell.wait_until(Instant::now()), Reasons::default());
        bell.tell_over();
        assert!(bell.wait_until(Instant::now()).is_over);
    }
}
