//! Work that goes to the network, on a thread of its own, awaited no longer than its time.
//!
//! Responsible for the deadline that holds whatever the work does. Refuses to cancel: a look-up that hangs in the system
//! cannot be, and is left behind for the end of the process. Invariant: waiting returns within the time given, and a
//! panic of the work is an answer like any other.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// How long the end of the work is awaited once its answer is there, in milliseconds: closing connections takes a
/// fraction of it, unless the system hangs.
const CLEAN_UP_MS: u64 = 2_000;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The time was over.
    #[error("no answer within {0} ms")]
    Late(u128),
    /// The work panicked, or had no thread.
    #[error("the check itself failed")]
    Broken,
}

/// Work that was begun.
#[derive(Debug)]
pub(super) struct Aside<T> {
    answer: Receiver<T>,
    begun: Instant,
    within: Duration,
}

impl<T: Send + 'static> Aside<T> {
    /// Begins work that sends its answer, once, and cleans up after it.
    pub(super) fn begin(name: &str, within: Duration, work: impl FnOnce(Sender<T>) + Send + 'static) -> Self {
        let (sender, answer) = bounded(1);
        // without a thread the sender is gone with the closure, which reads as `Broken`
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(sender))
            .ok();
        Self {
            answer,
            begun: Instant::now(),
            within,
        }
    }

    /// Waits for the answer, and for the end of the work behind it.
    ///
    /// # Errors
    /// [`NoAnswer`]; retryable.
    pub(super) fn wait(self) -> Result<T, NoAnswer> {
        let left = self.within.saturating_sub(self.begun.elapsed());
        let answer = self.answer.recv_timeout(left).map_err(|missed| match missed {
            RecvTimeoutError::Timeout => NoAnswer::Late(self.within.as_millis()),
            RecvTimeoutError::Disconnected => NoAnswer::Broken,
        })?;
        // the sender goes when the thread ends
        self.answer.recv_timeout(Duration::from_millis(CLEAN_UP_MS)).ok();
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_answers_hangs_or_breaks() {
        let long = Duration::from_secs(60);
        let answers = Aside::begin("answers", long, |answer| answer.send(7).unwrap());
        assert_eq!(answers.wait(), Ok(7));
        let (release, held) = bounded::<()>(1);
        let hangs = Aside::<u8>::begin("hangs", Duration::ZERO, move |answer| {
            held.recv().ok();
            drop(answer);
        });
        assert_eq!(hangs.wait(), Err(NoAnswer::Late(0)));
        drop(release);
        let breaks = Aside::<u8>::begin("breaks", long, drop);
        assert_eq!(breaks.wait(), Err(NoAnswer::Broken));
    }
}
