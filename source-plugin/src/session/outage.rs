//! What is said of a time without a subscription: how it began, each kind of failed attempt once, and its end.
//!
//! Refuses a line for each attempt: an outage of an hour has as many attempts as it likes and one line for each kind of
//! failure. Invariant: whatever was told of an outage is forgotten with its end, so that the next one is told
//! anew.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Failure, FailureKind};

/// A time without a subscription, as far as it has gone.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Which of several channels is concerned, if there are several.
    channel: Option<usize>,
    begun: Option<Instant>,
    /// Attempts that failed.
    attempts: u64,
    last: Option<FailureKind>,
    /// At most one entry for each kind.
    told: Vec<FailureKind>,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Over {
    /// Attempts that failed in it.
    pub(super) failed_attempts: u64,
    /// How long it was, in milliseconds.
    pub(super) away_ms: u64,
}

impl Outage {
    /// Begins with nothing to tell of a channel; its lines name it by this number.
    pub(super) fn of_channel(number: usize) -> Self {
        Self {
            channel: Some(number),
            ..Self::default()
        }
    }

    /// Notes that nobody listens from now on, if that is new.
    pub(super) fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// Notes a failure, `lost` if it ended a subscription; says whether the one before was of the same kind.
    pub(super) fn failed(&mut self, kind: FailureKind, lost: bool) -> bool {
        self.begin();
        self.attempts += u64::from(!lost);
        self.last.replace(kind) == Some(kind)
    }

    /// Says that an attempt is made after `delay`: for the operator where it is new, for developers from then on.
    pub(super) fn tell(&mut self, failure: &Failure, lost: bool, delay: Duration) {
        let delay_ms = millis(delay);
        // A field without a value is left out.
        let (error, channel) = (&failure.text, self.channel);
        if lost {
            tracing::warn!(error, channel, delay_ms, "connection lost, trying again");
        } else if self.told.contains(&failure.kind) {
            let attempt = self.attempts;
            tracing::debug!(error, channel, delay_ms, attempt, "not connected, trying again");
        } else {
            self.told.push(failure.kind);
            tracing::warn!(error, channel, delay_ms, "not connected, trying again");
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self) -> Over {
        let next = Self {
            channel: self.channel,
            ..Self::default()
        };
        let outage = std::mem::replace(self, next);
        Over {
            failed_attempts: outage.attempts,
            away_ms: outage.begun.map_or(0, |begun| millis(begun.elapsed())),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fail(outage: &mut Outage, status: u16, lost: bool) -> bool {
        let failure = Failure::refused(status, format!("HTTP {status}"), None);
        let repeated = outage.failed(failure.kind, lost);
        outage.tell(&failure, lost, Duration::from_millis(7));
        repeated
    }

    /// What is told from now on, until the guard is dropped.
    fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    impl Lines {
        fn told(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| line.trim().to_owned()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_a_channel_names_it_by_its_number_the_next_one_as_well() {
        let (lines, _guard) = listen();
        let mut outage = Outage::of_channel(3);
        for _ in 0..2 {
            fail(&mut outage, 404, true);
            fail(&mut outage, 404, false);
            let _over = outage.end();
        }
        let told = ["connection lost", "not connected"];
        let expected =
            told.map(|what| format!(r#"WARN {what}, trying again error="HTTP 404" channel=3 delay_ms=7"#));
        assert_eq!(lines.told(), [expected.clone(), expected].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_for_each_kind_of_failure_however_they_alternate() {
        let (lines, _guard) = listen();
        let mut outage = Outage::default();
        assert!(!fail(&mut outage, 500, true));
        assert!(fail(&mut outage, 503, false), "of the same kind as a 500");
        for round in 0..50 {
            assert!(!fail(&mut outage, 429, false), "{round}");
            assert!(!fail(&mut outage, 503, false), "the one before was a 429");
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let over = Over {
            failed_attempts: 101,
            away_ms: 500,
        };
        assert_eq!(outage.end(), over);
        assert!(!fail(&mut outage, 429, false), "forgotten with its end");
        let line = |what: &str, status: u16| {
            format!(r#"WARN {what}, trying again error="HTTP {status}" delay_ms=7"#)
        };
        let expected = [
            line("connection lost", 500),
            line("not connected", 503),
            line("not connected", 429),
            line("not connected", 429),
        ];
        assert_eq!(lines.told(), expected);
    }
}
