//! The REST client of a source: every call of the platform's API goes through here, one at a time or several at once.
//!
//! Responsible for the token, the rate limit, the deadline and the bounds of each call, and for trying again what may be
//! tried again: a refused token once with a new one, a 429 after its wait, and what a repetition cannot harm after a server's
//! failure. Everything else is the caller's to retry. Refuses answers over [`MAX_ANSWER_BYTES`]. Invariant: no token,
//! `connectUri` or query reaches a log line or an error.
//!
//! `channels` has channels and topics, `directory` the lists of who and what there is, `grants` what the client may, `history`
//! past conversations; `page`
//! joins pages, `answer` says what an answer means, `limit` paces the calls, `login` keeps the tokens.

mod answer;
mod channels;
mod directory;
mod error;
mod grants;
mod history;
mod limit;
mod login;
mod page;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use crate::backoff::{Backoff, Pace, Policy};
use crate::clock::{Clock, skew_ms};
use crate::endpoint::authority;
use crate::oauth::{Grant, OauthError, Obstacle, TokenSource};
use crate::session::status::Status;
use crate::tls;
use answer::Head;
use limit::{Limit, MAX_WAIT, Priority};
use login::Logins;

pub(crate) use channels::{AvailableTopic, Channel, Whose};
pub(crate) use directory::Entity;
pub(crate) use error::RestError;
pub(crate) use grants::Permissions;
pub(crate) use history::DetailsPages;
pub(crate) use login::TokenLife;

/// Largest answer that is read, in bytes: a page of 100 conversations with many participants takes some megabytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Tries of a call that a repetition cannot harm, and the waits between them. `stable` does not apply to calls.
const RETRIES: Policy = Policy {
    min: Duration::from_millis(500),
    max: Duration::from_secs(5),
    max_attempts: Some(3),
    stable: Duration::MAX,
};

/// Channels whose token is remembered; more than the platform lets a client have.
const MAX_REMEMBERED_CHANNELS: usize = 64;

/// A call before it is sent.
struct Request<'a> {
    method: Method,
    /// Segments behind the base; each is encoded.
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Vec<u8>>,
    priority: Priority,
    /// The channel that the call is about: it belongs to the token that made it.
    channel: Option<&'a str>,
    /// Whether a repetition cannot harm, though the method does not say so.
    is_query: bool,
}

impl<'a> Request<'a> {
    fn get(path: &'a [&'a str], query: &'a [(&'a str, &'a str)], priority: Priority) -> Self {
        Self {
            method: Method::GET,
            path,
            query,
            body: None,
            priority,
            channel: None,
            is_query: false,
        }
    }

    /// The path of its address as it may be told: without a channel's id, which with the host of the sockets is the address
    /// of one, and their only credential.
    fn shown(&self, path: &str) -> String {
        let segments: Vec<&str> = path.split('/').collect();
        let base = segments.len().saturating_sub(self.path.len());
        let own = segments[base..].iter().zip(self.path);
        let own = own.map(|(encoded, plain)| {
            if Some(*plain) == self.channel {
                "{id}"
            } else {
                *encoded
            }
        });
        let shown: Vec<&str> = segments[..base].iter().copied().chain(own).collect();
        shown.join("/")
    }

    fn is_repeatable(&self) -> bool {
        self.is_query || self.method.is_idempotent()
    }
}

/// An answer to a call that went well.
struct Answered {
    /// Method, path and host, for errors about the body.
    call: String,
    body: Vec<u8>,
    /// The token that the call was made with.
    generation: u64,
}

impl Answered {
    fn read<T: DeserializeOwned>(&self) -> Result<T, RestError> {
        answer::read(&self.call, &self.body)
    }
}

/// See the module documentation. All its calls may be dropped at any wait: nothing is left half done on our side.
pub(crate) struct Rest {
    http: reqwest::Client,
    api: Url,
    logins: Logins,
    limit: Limit,
    clock: Arc<dyn Clock>,
    skew_ms: Cell<Option<i64>>,
    /// Channels and the generation of the token that made each, the newest last.
    makers: RefCell<VecDeque<(String, u64)>>,
    rng: RefCell<Xoshiro256PlusPlus>,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest")
            .field("host", &authority(&self.api))
            .finish_non_exhaustive()
    }
}

impl Rest {
    /// Makes a client that has not called yet. `http` carries the deadline of one call and the TLS configuration, and
    /// follows no redirect; `api` ends in `/api/v2`.
    pub(crate) fn new(
        http: reqwest::Client,
        api: Url,
        tokens: TokenSource,
        clock: Arc<dyn Clock>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            http,
            api,
            logins: Logins::new(tokens, Arc::clone(&clock), status),
            limit: Limit::new(),
            clock,
            skew_ms: Cell::new(None),
            makers: RefCell::default(),
            rng: RefCell::new(crate::network::system_rng()),
        }
    }

    /// Returns a token that lives for at least `needed_for` and is not due for renewal; where a renewal fails, the present
    /// one if it lives long enough, which [`Self::token_life`] shows by a generation that stays.
    ///
    /// # Errors
    /// [`OauthError`]; those who wait for one login share its failure.
    pub(crate) async fn token(&self, needed_for: Duration) -> Result<SecretString, OauthError> {
        Ok(self.logins.token(needed_for).await?.token)
    }

    /// Uses the token of a login that was made besides, until it expires, so that there is no second one.
    pub(crate) fn adopt(&self, grant: &Grant) {
        self.logins.adopt(grant.token.clone(), grant.expires_in);
    }

    /// Forgets the present token, since the server no longer takes it.
    pub(crate) fn discard_token(&self) {
        self.logins.discard(None);
    }

    /// The life of the present token; `None` without one. Calls do not renew a token before they must: who sees that
    /// `renew_at` has come asks for a [`Self::token`].
    pub(crate) fn token_life(&self) -> Option<TokenLife> {
        self.logins.life()
    }

    /// By how much the server's clock is ahead of ours at least, in milliseconds, negative if it is behind; from the
    /// last answer that told its time.
    pub(crate) fn clock_skew_ms(&self) -> Option<i64> {
        self.skew_ms.get()
    }

    /// Makes a call, as often as the module documentation says.
    async fn call(&self, request: &Request<'_>) -> Result<Answered, RestError> {
        let url = self.url(request)?;
        let call = format!(
            "{} {} at {}",
            request.method,
            request.shown(url.path()),
            authority(&self.api)
        );
        let mut backoff = Backoff::new(RETRIES, Xoshiro256PlusPlus::from_rng(&mut *self.rng.borrow_mut()));
        let (mut is_token_new, mut stops) = (false, 0);
        loop {
            let maker = request.channel.and_then(|channel| self.maker_of(channel));
            let login = self.logins.token_for_call(maker).await?;
            let failure = match self.attempt(request, &url, &call, &login.token).await {
                Ok(body) => {
                    return Ok(Answered {
                        call,
                        body,
                        generation: login.generation,
                    });
                }
                Err(failure) => failure,
            };
            let pace = match &failure {
                RestError::Unauthorized { .. } if !is_token_new => {
                    is_token_new = true;
                    self.logins.discard(Some(login.generation));
                    continue;
                }
                RestError::Throttled { retry_after, .. } if stops < 2 && *retry_after <= MAX_WAIT => {
                    // The limit makes it wait, like every other call.
                    stops += 1;
                    continue;
                }
                RestError::Answer {
                    status, retry_after, ..
                } if request.is_repeatable() && *status >= 500 && *status != 501 => match retry_after {
                    Some(wait) if *wait > MAX_WAIT => return Err(failure),
                    Some(wait) => Pace::AtLeast(*wait),
                    None => Pace::Usual,
                },
                RestError::Unreachable { obstacle, .. }
                    if request.is_repeatable() && *obstacle != Obstacle::Tls =>
                {
                    Pace::Usual
                }
                _ => return Err(failure),
            };
            match backoff.next_delay(pace) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(failure),
            }
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        url: &Url,
        call: &str,
        token: &SecretString,
    ) -> Result<Vec<u8>, RestError> {
        // Counts as under way until this function is left.
        let _pass = self
            .limit
            .pass(request.priority)
            .await
            .map_err(|retry_after| RestError::Throttled {
                call: call.to_owned(),
                retry_after,
            })?;
        let mut sending = self
            .http
            .request(request.method.clone(), url.clone())
            .header(AUTHORIZATION, bearer(token))
            .header(ACCEPT, "application/json");
        if let Some(body) = &request.body {
            sending = sending
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let unreachable = |error: reqwest::Error| RestError::Unreachable {
            call: call.to_owned(),
            obstacle: Obstacle::of(&error),
            // The address, with its query, stays out.
            reason: tls::reason(&error.without_url()),
        };
        let sent_us = self.clock.now_us();
        let mut response = sending.send().await.map_err(unreachable)?;
        let answered_us = self.clock.now_us();
        let head = Head::read(response.status().as_u16(), response.headers(), answered_us);
        if let Some(date_s) = head.date_s {
            self.skew_ms.set(Some(skew_ms(date_s, sent_us, answered_us)));
        }
        let stopped = if head.status == 429 {
            self.limit.stopped(head.retry_after, head.standing)
        } else {
            self.limit.answered(head.standing);
            Duration::ZERO
        };
        tracing::debug!(
            call,
            status = head.status,
            stopped_ms = stopped.as_millis(),
            "rest call answered"
        );
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(RestError::Unreadable {
                    call: call.to_owned(),
                    reason: format!("the answer is larger than {} MiB", MAX_ANSWER_BYTES >> 20),
                });
            }
            body.extend_from_slice(&piece);
        }
        answer::judge(call, head, &body, stopped)?;
        Ok(body)
    }

    /// Appends encoded segments and the query to the base.
    fn url(&self, request: &Request<'_>) -> Result<Url, RestError> {
        let mut url = self.api.clone();
        // A path of dots would walk up, and an empty one ask for the whole list.
        let wrong = request
            .path
            .iter()
            .find(|segment| matches!(**segment, "" | "." | ".."));
        match (wrong, url.path_segments_mut()) {
            (None, Ok(mut segments)) => {
                segments.pop_if_empty().extend(request.path);
            }
            _ => {
                return Err(RestError::BadRequest {
                    call: format!("{} at {}", request.method, authority(&self.api)),
                    status: 0,
                    code: "invalid id".to_owned(),
                    message: format!("{:?} is no id", wrong.copied().unwrap_or_default()),
                });
            }
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        Ok(url)
    }

    fn maker_of(&self, channel: &str) -> Option<u64> {
        let makers = self.makers.borrow();
        let found = makers.iter().rev().find(|(id, _)| id == channel);
        found.map(|(_, generation)| *generation)
    }

    fn remember_maker(&self, channel: &str, generation: u64) {
        let mut makers = self.makers.borrow_mut();
        if makers.len() == MAX_REMEMBERED_CHANNELS {
            makers.pop_front();
        }
        makers.push_back((channel.to_owned(), generation));
    }
}

fn bearer(token: &SecretString) -> HeaderValue {
    let text = SecretString::from(format!("Bearer {}", token.expose_secret()));
    // A token that is no header value cannot be one of the platform's: the server then says that it does not take it.
    let mut value = HeaderValue::try_from(text.expose_secret()).unwrap_or(HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}
