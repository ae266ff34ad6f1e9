//! The platform as it is: the plan over the REST client, channels, subscriptions, and sockets over TLS.
//!
//! Responsible for what REST answers mean to a listener. Refuses a socket address that would send its credential in the
//! clear. Invariant: no `connectUri` leaves it but into a connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::planned::Planned;
use super::platform::{Answer, Channel, Platform, Rejected, Wanted};
use super::quota::Growth;
use crate::clock::Clock;
use crate::config::Wishes;
use crate::endpoint::{self, Scheme};
use crate::lookup;
use crate::plan::{self, Follow, Followed, Sighting};
use crate::rest::{DetailsPages, Rest, RestError};
use crate::session::failure::{Failure, FailureKind};
use crate::session::status::Status;
use crate::transport::events::{ConnectError, Connector, Target};
use crate::transport::proxy::Proxies;
use crate::transport::socket::Socket;

/// Life of a channel of which the platform does not tell when it ends.
///
/// # Source
/// Notifications REST interface: 24 hours.
const CHANNEL_LIFE: Duration = Duration::from_secs(86_400);

/// Shortest time after which a channel is replaced because its token is to be renewed, so that a login service that is
/// away does not make channels follow one another.
const MIN_TOKEN_WAIT: Duration = Duration::from_secs(60);

/// Time between two looks at which conversations are to be let go.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Shortest such time, where conversations are let go at their end.
const MIN_EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// What sockets are opened with.
pub(crate) struct Sockets {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) max_frame_bytes: usize,
    pub(crate) deadline: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// Replaces scheme, host and port of a channel's address.
    pub(crate) streaming: Option<Url>,
    pub(crate) allow_insecure: bool,
}

/// See the module documentation.
pub(crate) struct Genesys {
    rest: Rest,
    wishes: Wishes,
    sockets: Sockets,
    planned: RefCell<Option<Planned>>,
    /// A conversation is to be followed.
    sighted: Notify,
    /// One is, and its topics are not told yet.
    is_news: Cell<bool>,
    status: Arc<Status>,
}

impl Genesys {
    pub(crate) fn new(rest: Rest, wishes: Wishes, sockets: Sockets, status: Arc<Status>) -> Self {
        Self {
            rest,
            wishes,
            sockets,
            planned: RefCell::default(),
            sighted: Notify::new(),
            is_news: Cell::new(false),
            status,
        }
    }

    /// Time between two looks at who is a member of what.
    pub(crate) fn refresh(&self) -> Duration {
        self.wishes.refresh
    }

    /// Lets go of conversations that have ended; says whether there were any.
    fn let_go(&self) -> bool {
        let now_ms = self.sockets.clock.uptime_ms();
        let mut guard = self.planned.borrow_mut();
        let Some(followed) = guard.as_mut().and_then(|planned| planned.followed.as_mut()) else {
            return false;
        };
        let is_any = followed.expire(now_ms) > 0;
        self.show(followed);
        is_any
    }

    fn show(&self, followed: &Followed) {
        self.status.update(|figures| {
            figures.conversations_followed = followed.len() as u64;
            figures.conversations_left_out_total = followed.left_out();
        });
    }

    async fn first_plan(&self) -> Result<Wanted, Failure> {
        let directory = lookup::directory(&self.rest, &self.wishes).await?;
        let plan = plan::plan(&self.wishes, &directory).map_err(|faults| Failure {
            kind: FailureKind::Configuration,
            text: joined(&faults),
            code: 0,
            retry_after: None,
        })?;
        let every_queue = if plan.every_queue {
            ": nothing is named, so every queue that the OAuth client may read"
        } else {
            ""
        };
        tracing::info!(
            topics = plan.planned().len(),
            channels = plan.channels(),
            queues = plan.queues,
            users = plan.users,
            "planned{every_queue}"
        );
        let followed = self.wishes.follows().then(|| Followed::new(&self.wishes, &plan));
        let pinned = plan::pinned(&self.wishes, &self.wishes, &directory);
        let mut planned = Planned::new(pinned, plan, directory, followed);
        let wanted = planned.spread();
        *self.planned.borrow_mut() = Some(planned);
        self.count_channels().await;
        Ok(wanted)
    }

    pub(super) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Tells once which channels the plan has come to need since the last call.
    pub(super) fn take_growth(&self) -> Option<Growth> {
        self.planned.borrow_mut().as_mut().and_then(Planned::take_growth)
    }
}

impl Platform for Genesys {
    async fn plan(&self) -> Result<Wanted, Failure> {
        if self.planned.borrow().is_none() {
            return self.first_plan().await;
        }
        let known = self
            .planned
            .borrow()
            .as_ref()
            .map(|planned| (Rc::clone(&planned.directory), planned.wishes.clone()));
        let (known, before) = known.unwrap_or_else(|| (Rc::default(), self.wishes.clone()));
        let refreshed = lookup::refresh(&self.rest, &self.wishes, &before, &known).await;
        self.let_go();
        if let Some(planned) = self.planned.borrow_mut().as_mut() {
            planned.replan(refreshed);
        }
        self.count_channels().await;
        // Only now: what was seen while the channels were counted would be taken off again.
        let wanted = self.planned.borrow_mut().as_mut().map(Planned::spread);
        Ok(wanted.unwrap_or_default())
    }

    async fn changed(&self) -> Wanted {
        let expire_every = EXPIRE_EVERY.min(self.wishes.follow_after_end.max(MIN_EXPIRE_EVERY));
        loop {
            // Kept beside the bell: whoever waits here may be called away at any time.
            if !self.is_news.get() {
                let _rung = tokio::time::timeout(expire_every, self.sighted.notified()).await;
            }
            if self.is_news.get() {
                let channels = self
                    .planned
                    .borrow()
                    .as_ref()
                    .map_or(0, |planned| planned.spread.channels());
                tokio::time::sleep(plan::follow_within(channels)).await;
            }
            if self.let_go() | self.is_news.take()
                && let Some(planned) = self.planned.borrow_mut().as_mut()
            {
                return planned.spread();
            }
        }
    }

    fn follows(&self) -> bool {
        self.wishes.follows()
    }

    fn sighted(&self, sighting: &Sighting) {
        let now_ms = self.sockets.clock.uptime_ms();
        let mut guard = self.planned.borrow_mut();
        let Some(followed) = guard.as_mut().and_then(|planned| planned.followed.as_mut()) else {
            return;
        };
        match followed.seen(&sighting.conversation_id, sighting.standing, now_ms) {
            Follow::Added => {
                self.is_news.set(true);
                self.sighted.notify_one();
            }
            Follow::LeftOut if followed.left_out() == 1 => {
                let most = followed.most();
                tracing::warn!(most, "conversations over the quota are not followed");
            }
            Follow::LeftOut => {}
            Follow::Unchanged => return,
        }
        self.show(followed);
    }

    async fn create_channel(&self) -> Result<Channel, Failure> {
        // Where followed conversations need one more: a change of them cannot wait.
        self.count_channels().await;
        // Renews what is due: a channel belongs to the token that made it.
        self.rest.token(self.sockets.deadline).await?;
        let channel = self.rest.create_channel().await?;
        let now = Instant::now();
        let server_us = self.sockets.clock.now_us() + self.rest.clock_skew_ms().unwrap_or(0) * 1000;
        let life = channel.expires_us.map_or(CHANNEL_LIFE, |expires_us| {
            Duration::from_micros(expires_us.saturating_sub(server_us).max(0).unsigned_abs())
                .min(CHANNEL_LIFE)
        });
        let renew_at = self
            .rest
            .token_life()
            .map(|life| life.renew_at.max((now + MIN_TOKEN_WAIT).min(life.expires_at)));
        Ok(Channel {
            id: channel.id,
            connect_uri: channel.connect_uri,
            expires_at: now + life,
            renew_at: renew_at.unwrap_or(now + life),
        })
    }

    async fn is_channel_alive(&self, channel: &str) -> Result<bool, Failure> {
        Ok(self.rest.is_channel_alive(channel).await?)
    }

    async fn subscribe(&self, channel: &str, topics: &[String]) -> Result<Answer, Failure> {
        if topics.is_empty() {
            self.rest.remove_subscriptions(channel).await?;
            return Ok(Answer::default());
        }
        let verdicts = self.rest.replace_subscriptions(channel, topics).await?;
        let (permitted, rejected): (Vec<_>, Vec<_>) =
            verdicts.into_iter().partition(|verdict| verdict.is_permitted);
        Ok(Answer {
            permitted: permitted.len(),
            rejected: rejected.into_iter().map(Rejected::from).collect(),
        })
    }

    async fn connect(&self, channel: &Channel) -> Result<Socket, Failure> {
        let connector = Connector {
            target: Target::Channel,
            url: self.address(channel)?,
            proxies: Proxies::from_environment(),
            tls: Arc::clone(&self.sockets.tls),
            max_frame_bytes: self.sockets.max_frame_bytes,
            deadline: self.sockets.deadline,
            clock: Arc::clone(&self.sockets.clock),
        };
        connector.connect().await.map_err(|error| {
            // The address is the only credential: whoever is refused there has no channel any more.
            let is_gone = matches!(&error, ConnectError::Refused { status, .. } if matches!(status, 401 | 403 | 404 | 410));
            let failure = Failure::from(error);
            if is_gone {
                return Failure {
                    kind: FailureKind::ChannelGone,
                    ..failure
                };
            }
            failure
        })
    }

    async fn past(&self, pages: &mut DetailsPages) -> Result<Option<Vec<Box<RawValue>>>, RestError> {
        pages.next(&self.rest).await
    }

    fn discard_token(&self) {
        self.rest.discard_token();
    }
}

impl Genesys {
    /// Returns the address of a channel's socket, at the configured host if there is one.
    fn address(&self, channel: &Channel) -> Result<Url, Failure> {
        let refused = |reason: String| Failure {
            kind: FailureKind::Configuration,
            text: format!(
                "the address of a channel's socket is of no use: {reason}; check endpoints.streaming"
            ),
            code: 0,
            retry_after: None,
        };
        let told = channel.connect_uri.expose_secret();
        let Some(base) = &self.sockets.streaming else {
            let parsed = endpoint::parse(told, Scheme::WebSocket, self.sockets.allow_insecure);
            return parsed.map_err(|error| refused(error.to_string()));
        };
        let told = Url::parse(told).map_err(|error| refused(error.to_string()))?;
        let mut url = endpoint::join(base, told.path());
        url.set_query(told.query());
        Ok(url)
    }
}

fn joined(faults: &[config_faults::Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}
