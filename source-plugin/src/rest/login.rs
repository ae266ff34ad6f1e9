//! The tokens of REST calls: one login in flight, the present token, and the ones before it while channels need them.
//!
//! Refuses a second login while one is under way, one before the login service's `Retry-After` has passed, and a renewal
//! every moment where one has failed and the present token still lives. Invariant: the generation rises with each new
//! token and with nothing else.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::oauth::{OauthError, TokenSource};
use crate::session::status::Status;

/// Tokens kept besides the present one, for channels that they made: a channel is handed over at each renewal, so that
/// one is the rule.
const FORMER_TOKENS: usize = 3;

/// Rest after a throttled login that named no wait.
///
/// # Source
/// The vendor's Terraform provider retries a throttled login for up to a minute.
const THROTTLED_REST: Duration = Duration::from_secs(60);

/// Rest after a renewal that failed while the present token lives on.
const RENEWAL_REST: Duration = Duration::from_secs(30);

/// How long a token must live for a call to be begun with it: longer than the call's deadline.
const CALL_LIFE: Duration = Duration::from_secs(30);

/// The life of the present token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenLife {
    /// Number of the token, from 1; a channel belongs to the token that made it.
    pub(crate) generation: u64,
    /// When it is to be renewed.
    pub(crate) renew_at: Instant,
    /// When it expires.
    pub(crate) expires_at: Instant,
}

/// A token with its number.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) token: SecretString,
    pub(super) generation: u64,
}

#[derive(Debug)]
struct Held {
    token: SecretString,
    life: TokenLife,
}

impl Held {
    fn numbered(&self) -> Numbered {
        Numbered {
            token: self.token.clone(),
            generation: self.life.generation,
        }
    }

    fn lives_for(&self, needed_for: Duration) -> bool {
        Instant::now() + needed_for < self.life.expires_at
    }
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    /// The newest last; the present one is the one with the present generation, if it is there.
    held: Vec<Held>,
    /// Logins that have ended, well or not.
    ended: u64,
    last_failure: Option<OauthError>,
    rest_until: Option<Instant>,
}

impl State {
    fn present(&self) -> Option<&Held> {
        self.held
            .last()
            .filter(|held| held.life.generation == self.generation)
    }
}

/// See the module documentation.
pub(super) struct Logins {
    source: Mutex<TokenSource>,
    state: RefCell<State>,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
}

impl Logins {
    pub(super) fn new(source: TokenSource, clock: Arc<dyn Clock>, status: Arc<Status>) -> Self {
        Self {
            source: Mutex::new(source),
            state: RefCell::default(),
            clock,
            status,
        }
    }

    pub(super) fn life(&self) -> Option<TokenLife> {
        self.state.borrow().present().map(|held| held.life)
    }

    /// Returns a token that lives for at least `needed_for` and is not due for renewal; one that is due if its renewal
    /// fails and it lives long enough.
    pub(super) async fn token(&self, needed_for: Duration) -> Result<Numbered, OauthError> {
        self.token_if(
            |held| Instant::now() < held.life.renew_at && held.lives_for(needed_for),
            needed_for,
        )
        .await
    }

    /// Returns a token for a call: the one of `generation` if that still lives, otherwise the present one, which is not
    /// renewed before it must be. A renewal costs the channels of the token before, so that only [`Self::token`], and
    /// thereby the session, decides on it.
    pub(super) async fn token_for_call(&self, generation: Option<u64>) -> Result<Numbered, OauthError> {
        if let Some(generation) = generation {
            let state = self.state.borrow();
            let own = state.held.iter().find(|held| held.life.generation == generation);
            if let Some(own) = own.filter(|own| own.lives_for(Duration::ZERO)) {
                return Ok(own.numbered());
            }
        }
        let is_good = |held: &Held| Instant::now() < held.life.renew_at || held.lives_for(CALL_LIFE);
        self.token_if(is_good, Duration::ZERO).await
    }

    /// Keeps a token that was had elsewhere and lives for `expires_in` from now.
    pub(super) fn adopt(&self, token: SecretString, expires_in: Duration) {
        let expires_at = Instant::now() + expires_in;
        self.keep(token, Some((expires_at, expires_at)));
    }

    async fn token_if(
        &self,
        is_good: impl Fn(&Held) -> bool,
        needed_for: Duration,
    ) -> Result<Numbered, OauthError> {
        let good = || {
            self.state
                .borrow()
                .present()
                .filter(|held| is_good(held))
                .map(Held::numbered)
        };
        if let Some(token) = good() {
            return Ok(token);
        }
        let ended = self.state.borrow().ended;
        let mut source = self.source.lock().await;
        if let Some(token) = good() {
            return Ok(token);
        }
        if let Some(refused) = self.refusal(ended) {
            return self.still_living(needed_for).ok_or(refused);
        }
        source.discard();
        let on_login = || self.status.update(|figures| figures.login_attempts_total += 1);
        let outcome = source.token(needed_for, self.clock.now_us(), on_login).await;
        match outcome.map(|token| (token, source.life())) {
            Ok((token, life)) => Ok(self.keep(token, life)),
            Err(error) => {
                self.note_failure(&error);
                self.still_living(needed_for).ok_or(error)
            }
        }
    }

    /// Why no login is made now: one has failed while this call waited for it, or the last one's rest is not over.
    fn refusal(&self, ended_before: u64) -> Option<OauthError> {
        let state = self.state.borrow();
        let failure = state.last_failure.as_ref()?;
        let rest = state
            .rest_until
            .and_then(|until| until.checked_duration_since(Instant::now()));
        let rest = rest.filter(|rest| !rest.is_zero());
        match (failure, rest) {
            (OauthError::Throttled { status, .. }, Some(rest)) => Some(OauthError::Throttled {
                status: *status,
                retry_after: Some(rest),
            }),
            (_, Some(_)) if state.present().is_some() => Some(failure.clone()),
            _ => (state.ended != ended_before).then(|| failure.clone()),
        }
    }

    fn still_living(&self, needed_for: Duration) -> Option<Numbered> {
        let state = self.state.borrow();
        state
            .present()
            .filter(|held| held.lives_for(needed_for))
            .map(Held::numbered)
    }

    fn keep(&self, token: SecretString, life: Option<(Instant, Instant)>) -> Numbered {
        let now = Instant::now();
        let (renew_at, expires_at) = life.unwrap_or((now, now));
        let mut state = self.state.borrow_mut();
        state.ended += 1;
        state.generation += 1;
        (state.last_failure, state.rest_until) = (None, None);
        let generation = state.generation;
        state.held.retain(|held| held.life.expires_at > now);
        let surplus = state.held.len().saturating_sub(FORMER_TOKENS);
        state.held.drain(..surplus);
        let life = TokenLife {
            generation,
            renew_at,
            expires_at,
        };
        let held = Held { token, life };
        let numbered = held.numbered();
        state.held.push(held);
        tracing::debug!(generation, "new access token");
        numbered
    }

    fn note_failure(&self, error: &OauthError) {
        let rest = match error {
            OauthError::Throttled { retry_after, .. } => retry_after.unwrap_or(THROTTLED_REST),
            _ => RENEWAL_REST,
        };
        let mut state = self.state.borrow_mut();
        state.ended += 1;
        state.last_failure = Some(error.clone());
        state.rest_until = Some(Instant::now() + rest);
    }

    /// Forgets the present token, or the one of a generation, since the server no longer takes it.
    pub(super) fn discard(&self, generation: Option<u64>) {
        let mut state = self.state.borrow_mut();
        let refused = generation.unwrap_or(state.generation);
        state.held.retain(|held| held.life.generation != refused);
    }
}

#[cfg(test)]
mod tests {
    // Built by hand where a test needs a token: logins over a network belong to the tests against the simulator.
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use secrecy::ExposeSecret as _;
    use tokio::time::Instant;

    use super::{Logins, Numbered};
    use crate::clock::paused::PausedClock;
    use crate::config::Credentials;
    use crate::oauth::{OauthError, TokenSource};
    use crate::secret::SecretSource;
    use crate::session::status::Status;

    /// Logins of a client whose secret is gone: each fails at once, without a network.
    fn logins() -> (Logins, Arc<Status>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let place = config_faults::SecretPlace::File(file.path().to_owned());
        let secret = SecretSource::new(place, &BTreeMap::new()).unwrap();
        drop(file);
        let tls = crate::tls::client_config(None, false).unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .build()
            .unwrap();
        let credentials = Credentials {
            client_id: secret.clone(),
            client_secret: secret,
        };
        let url = "http://127.0.0.1:9/oauth/token".parse().unwrap();
        let status = Arc::new(Status::new());
        let source = TokenSource::new(http, url, credentials);
        let logins = Logins::new(source, Arc::new(PausedClock::start()), Arc::clone(&status));
        (logins, status)
    }

    fn keep(logins: &Logins, token: &str, renew_s: u64, expires_s: u64) -> u64 {
        let now = Instant::now();
        let life = (
            now + Duration::from_secs(renew_s),
            now + Duration::from_secs(expires_s),
        );
        logins.keep(token.to_owned().into(), Some(life)).generation
    }

    fn shown(token: &Result<Numbered, OauthError>) -> (&str, u64) {
        let token = token.as_ref().unwrap();
        (token.token.expose_secret(), token.generation)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_for_a_channel_uses_the_token_that_made_it_while_that_lives() {
        let (logins, _) = logins();
        let first = keep(&logins, "first", 50, 100);
        let second = keep(&logins, "second", 500, 1000);
        assert_eq!((first, second), (1, 2));
        assert_eq!(logins.life().unwrap().generation, 2);
        assert_eq!(shown(&logins.token_for_call(Some(first)).await), ("first", 1));
        assert_eq!(shown(&logins.token_for_call(None).await), ("second", 2));
        assert_eq!(shown(&logins.token(Duration::ZERO).await), ("second", 2));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(shown(&logins.token_for_call(Some(first)).await), ("second", 2));
        // refused for a call of the first: the present one stays
        logins.discard(Some(first));
        assert_eq!(logins.life().unwrap().generation, 2);
        logins.discard(None);
        assert_eq!(logins.life(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_due_is_renewed_on_demand_only_and_serves_on_where_that_fails() {
        let (logins, status) = logins();
        keep(&logins, "old", 50, 100);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(shown(&logins.token_for_call(None).await), ("old", 1));
        assert_eq!(status.snapshot().login_attempts_total, 0);
        assert_eq!(shown(&logins.token(Duration::from_secs(20)).await), ("old", 1));
        // not at each call: the renewal rests
        for _ in 0..5 {
            assert_eq!(shown(&logins.token(Duration::from_secs(20)).await), ("old", 1));
        }
        assert_eq!(status.snapshot().login_attempts_total, 1);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(shown(&logins.token(Duration::from_secs(5)).await), ("old", 1));
        assert_eq!(status.snapshot().login_attempts_total, 2);
        // and without a token that lives long enough the failure is told
        assert!(matches!(
            logins.token(Duration::from_secs(20)).await,
            Err(OauthError::Secret(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_a_login_share_its_failure() {
        let (logins, status) = logins();
        let lock = logins.source.lock().await;
        let waiting = async { tokio::join!(logins.token(Duration::ZERO), logins.token_for_call(None)) };
        let failing = async {
            tokio::task::yield_now().await;
            let host = "login.example.com".to_owned();
            logins.note_failure(&OauthError::InvalidClient { host });
            drop(lock);
        };
        let ((first, second), ()) = tokio::join!(waiting, failing);
        for refused in [first, second] {
            assert!(matches!(refused, Err(OauthError::InvalidClient { .. })));
        }
        assert_eq!(status.snapshot().login_attempts_total, 0);
        // who comes later tries anew
        assert!(matches!(
            logins.token(Duration::ZERO).await,
            Err(OauthError::Secret(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn no_login_is_tried_before_a_throttled_one_may_come_again() {
        let (logins, status) = logins();
        for (named, rest_s) in [(Some(300), 300), (None, 60)] {
            logins.note_failure(&OauthError::Throttled {
                status: 429,
                retry_after: named.map(Duration::from_secs),
            });
            let before = status.snapshot().login_attempts_total;
            tokio::time::advance(Duration::from_secs(rest_s - 1)).await;
            for _ in 0..3 {
                let refused = logins.token_for_call(None).await.unwrap_err();
                assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
            }
            assert_eq!(status.snapshot().login_attempts_total, before);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(matches!(
                logins.token_for_call(None).await,
                Err(OauthError::Secret(_))
            ));
        }
    }
}
