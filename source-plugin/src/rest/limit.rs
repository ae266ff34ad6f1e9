//! The rate limit of REST calls: one window for every call of a source, guided by what the server tells.
//!
//! Refuses to send what the server would answer with 429, to let paging use up what a hand-over needs, and to send
//! anything before a `Retry-After` has passed. Invariant: a call that was let through is counted until it is answered or
//! given up, so that a window that begins anew begins with what is under way.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

/// Calls of one window until an answer tells the number.
///
/// # Source
/// Genesys Cloud, `client.credentials.token.rate.per.minute`: 300 calls a minute for each token.
const ALLOWED: u32 = 300;

/// Length of a window until an answer tells its end; see [`ALLOWED`].
const WINDOW: Duration = Duration::from_secs(60);

/// One part in so many of a window is kept for [`Priority::Urgent`]: 60 calls of 300, three for each of 20 channels.
const RESERVE_PART: u32 = 5;

/// `inin-ratelimit-reset` comes in whole seconds and travels: ends of a window that differ by less are one.
const SLACK: Duration = Duration::from_millis(1_500);

/// Longest wait inside a call: a window, its rounding and its travel. What has to wait longer is told to the caller.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(65);

/// Wait after a 429 that names none.
///
/// # Source
/// The vendor's .NET SDK.
const UNNAMED_WAIT: Duration = Duration::from_secs(3);

/// Shortest wait after a 429 that names one, doubled for each further 429 in a row: a server that says 0 is no
/// invitation to a storm.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Which calls go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Channels and their topics: a hand-over waits for it.
    Urgent,
    /// Lists and history.
    Bulk,
}

/// Where the server says that a token stands, after the call that it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Calls of a window.
    pub(super) allowed: Option<u32>,
    /// Calls of this window so far.
    pub(super) count: Option<u32>,
    /// Time to the window's end, rounded up to seconds.
    pub(super) reset: Option<Duration>,
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Limit(RefCell<Window>);

#[derive(Debug)]
struct Window {
    allowed: u32,
    /// Calls sent in this window, ours and those that the server counted besides.
    used: u32,
    ends_at: Option<Instant>,
    /// Whether the server told the end, or it is our guess.
    is_told: bool,
    in_flight: u32,
    stopped_until: Option<Instant>,
    /// 429s since another answer came, those of one moment counted once.
    stops_in_a_row: u32,
}

/// A call that was let through; it counts as under way until this is dropped.
#[derive(Debug)]
pub(super) struct Pass<'a>(&'a Limit);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().in_flight -= 1;
    }
}

impl Limit {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Window {
            allowed: ALLOWED,
            used: 0,
            ends_at: None,
            is_told: false,
            in_flight: 0,
            stopped_until: None,
            stops_in_a_row: 0,
        }))
    }

    /// Waits until a call may be sent; the error is a wait that is too long to be spent in a call.
    ///
    /// # Cancel safety
    /// Safe: a call that waits is not counted.
    pub(super) async fn pass(&self, priority: Priority) -> Result<Pass<'_>, Duration> {
        loop {
            let now = Instant::now();
            let taken = self.0.borrow_mut().take(now, priority);
            match taken {
                Ok(()) => return Ok(Pass(self)),
                Err(until) if until - now > MAX_WAIT => return Err(until - now),
                Err(until) => tokio::time::sleep_until(until).await,
            }
        }
    }

    /// Takes over what an answer other than 429 tells; the call is still counted as under way.
    pub(super) fn answered(&self, standing: Standing) {
        let mut window = self.0.borrow_mut();
        window.stops_in_a_row = 0;
        window.adopt(Instant::now(), standing);
    }

    /// Stops all calls, as a 429 asks; returns for how long.
    pub(super) fn stopped(&self, retry_after: Option<Duration>, standing: Standing) -> Duration {
        let now = Instant::now();
        let mut window = self.0.borrow_mut();
        window.adopt(now, standing);
        window.stop(now, retry_after.or(standing.reset))
    }
}

impl Window {
    /// Takes a call out of the window; the error is when to ask again.
    fn take(&mut self, now: Instant, priority: Priority) -> Result<(), Instant> {
        if let Some(until) = self.stopped_until.filter(|until| now < *until) {
            return Err(until);
        }
        let ends_at = match self.ends_at.filter(|ends_at| now < *ends_at) {
            Some(ends_at) => ends_at,
            None => {
                // What is under way may be counted by the server in either window.
                self.used = self.in_flight;
                self.is_told = false;
                *self.ends_at.insert(now + WINDOW)
            }
        };
        let most = match priority {
            Priority::Urgent => self.allowed,
            Priority::Bulk => (self.allowed - self.allowed.div_ceil(RESERVE_PART)).max(1),
        };
        if self.used >= most {
            return Err(ends_at);
        }
        self.used += 1;
        self.in_flight += 1;
        Ok(())
    }

    fn adopt(&mut self, now: Instant, standing: Standing) {
        if let Some(allowed) = standing.allowed.filter(|allowed| *allowed > 0) {
            self.allowed = allowed;
        }
        let Some((count, reset)) = standing.count.zip(standing.reset) else {
            return;
        };
        let told = now + reset;
        match self.ends_at.filter(|ends_at| self.is_told && now < *ends_at) {
            // The answer of a window before this one, come late.
            Some(known) if told + SLACK < known => {}
            Some(known) if told <= known + SLACK => {
                // Rounded up and late, both make it later than it is: the earlier one is nearer.
                self.ends_at = Some(known.min(told));
                self.used = self.used.max(count);
            }
            // A window that began since, or one that slides: what is under way besides this call may not be counted yet.
            Some(_) => {
                self.ends_at = Some(told);
                self.used = count.saturating_add(self.in_flight.saturating_sub(1));
            }
            None => {
                self.ends_at = Some(told);
                self.is_told = true;
                self.used = self.used.max(count);
            }
        }
    }

    fn stop(&mut self, now: Instant, named: Option<Duration>) -> Duration {
        let stopped = self.stopped_until.filter(|until| now < *until);
        if stopped.is_none() {
            self.stops_in_a_row = self.stops_in_a_row.saturating_add(1);
        }
        let doubled = 1 << self.stops_in_a_row.saturating_sub(1).min(6);
        let least = if named.is_some() { LEAST_WAIT } else { UNNAMED_WAIT } * doubled;
        let wait = named.unwrap_or_default().max(least.min(WINDOW));
        let until = stopped.map_or(now + wait, |stopped| stopped.max(now + wait));
        self.stopped_until = Some(until);
        until - now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::{ALLOWED, Limit, Pass, Priority, Standing, WINDOW};

    const fn standing(allowed: u32, count: u32, reset_s: u64) -> Standing {
        Standing {
            allowed: Some(allowed),
            count: Some(count),
            reset: Some(Duration::from_secs(reset_s)),
        }
    }

    /// Lets so many calls through and has them answered by nobody.
    async fn send(limit: &Limit, priority: Priority, calls: u32) -> Duration {
        let begun = Instant::now();
        for _ in 0..calls {
            drop(limit.pass(priority).await.unwrap());
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn paging_leaves_a_fifth_of_the_window_to_what_is_urgent() {
        let limit = Limit::new();
        assert_eq!(send(&limit, Priority::Bulk, 240).await, Duration::ZERO);
        assert!(limit.pass(Priority::Bulk).now_or_never().is_none());
        assert_eq!(send(&limit, Priority::Urgent, 60).await, Duration::ZERO);
        let begun = Instant::now();
        let bulk = async {
            drop(limit.pass(Priority::Bulk).await.unwrap());
            begun.elapsed()
        };
        let urgent = async {
            drop(limit.pass(Priority::Urgent).await.unwrap());
            begun.elapsed()
        };
        assert_eq!(tokio::join!(bulk, urgent), (WINDOW, WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn the_numbers_of_the_server_count() {
        let limit = Limit::new();
        drop(limit.pass(Priority::Urgent).await.unwrap());
        // Others use the same token, and its window ends in 10 s.
        limit.answered(standing(180, 170, 10));
        assert_eq!(send(&limit, Priority::Urgent, 10).await, Duration::ZERO);
        assert_eq!(send(&limit, Priority::Urgent, 1).await, Duration::from_secs(10));
        // What comes late of the old window tells nothing of the new one.
        limit.answered(standing(180, 1, 60));
        limit.answered(standing(180, 180, 1));
        assert_eq!(send(&limit, Priority::Urgent, 100).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_the_server_began_anew_is_taken_over_with_what_is_under_way() {
        let limit = Limit::new();
        let mut passes = Vec::new();
        for _ in 0..4 {
            passes.push(limit.pass(Priority::Urgent).await.unwrap());
        }
        limit.answered(standing(10, 4, 5));
        tokio::time::advance(Duration::from_secs(3)).await;
        limit.answered(standing(10, 1, 60));
        // one counted by the server, three under way besides
        assert_eq!(send(&limit, Priority::Urgent, 6).await, Duration::ZERO);
        assert_eq!(send(&limit, Priority::Urgent, 1).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_stops_every_call_until_its_time() {
        let limit = Limit::new();
        let wait = limit.stopped(Some(Duration::from_secs(17)), Standing::default());
        assert_eq!(wait, Duration::from_secs(17));
        // a second one of the same moment makes it no longer, and no shorter
        let wait = limit.stopped(Some(Duration::from_secs(2)), Standing::default());
        assert_eq!(wait, Duration::from_secs(17));
        assert_eq!(send(&limit, Priority::Urgent, 1).await, Duration::from_secs(17));
        // longer than a call may wait: told at once, as often as it is asked
        limit.stopped(Some(Duration::from_secs(900)), Standing::default());
        for _ in 0..3 {
            let refused = limit.pass(Priority::Urgent).await.unwrap_err();
            assert_eq!(refused, Duration::from_secs(900));
        }
        tokio::time::advance(Duration::from_secs(900)).await;
        assert_eq!(send(&limit, Priority::Bulk, 1).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_in_a_row_wait_longer_each_time_whatever_they_name() {
        let limit = Limit::new();
        let mut waits = Vec::new();
        for named in [Some(0), Some(0), Some(0), None, None, None, None] {
            let wait = limit.stopped(named.map(Duration::from_secs), Standing::default());
            tokio::time::advance(wait).await;
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 24, 48, 60, 60]);
        limit.answered(Standing::default());
        assert_eq!(limit.stopped(None, Standing::default()), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_is_under_way_no_longer() {
        let limit = Limit::new();
        let passes: Vec<Pass<'_>> = vec![limit.pass(Priority::Urgent).await.unwrap()];
        assert_eq!(limit.0.borrow().in_flight, 1);
        drop(passes);
        assert_eq!(limit.0.borrow().in_flight, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_fixed_window_of_the_server_is_overrun(
            pauses_ms in proptest::collection::vec(0_u64..400, 50..900),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let limit = Limit::new();
                let (mut begun, mut count) = (Instant::now(), 0_u32);
                for pause_ms in pauses_ms {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    let pass = limit.pass(Priority::Urgent).await.unwrap();
                    if begun.elapsed() >= WINDOW {
                        (begun, count) = (Instant::now(), 0);
                    }
                    count += 1;
                    assert!(count <= ALLOWED);
                    let left = WINDOW - begun.elapsed();
                    let reset_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                    limit.answered(standing(ALLOWED, count, reset_s));
                    drop(pass);
                }
            });
        }
    }
}
