//! Waiting on a condition: the only way in which tests wait.
//!
//! Refuses fixed sleeps as synchronisation: a condition is polled until it holds or the deadline has passed.

use std::time::{Duration, Instant};

/// Pause between two looks at a condition: short against any deadline, long against a look's cost.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not hold within `deadline`; the message names `what`.
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(
        holds_within(deadline, &mut condition),
        "waited {deadline:?} in vain: {what}"
    );
}

/// Polls `condition` until it holds or `deadline` has passed, and says which.
pub(crate) fn holds_within(deadline: Duration, condition: &mut dyn FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_once_even_without_time() {
        wait_until(Duration::ZERO, "a condition that holds already", || true);
    }

    #[test]
    #[should_panic(expected = "in vain: the impossible")]
    fn an_expired_deadline_names_what_was_awaited() {
        wait_until(Duration::ZERO, "the impossible", || false);
    }
}
