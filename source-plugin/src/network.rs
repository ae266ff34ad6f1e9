//! The network side of a source, on one thread: a single-threaded runtime, the session on it, and nothing else.
//!
//! Responsible for putting the parts together from a checked configuration. It refuses to outlive
//! [`Command::Close`]: whatever it waits for, the thread ends within 100 ms, and name resolution that hangs in the
//! system is left behind, not joined.

use std::sync::Arc;
use std::time::Duration;

use plugin_abi::status;
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use secrecy::SecretString;
use tokio::sync::watch;

pub use crate::session::Command;
pub use crate::session::status::{FrameFigures, State, Status, StatusSnapshot};

use crate::admission::{self, Admission};
use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::config::{Backfill, Config, OnFull};
use crate::decode::Transport;
use crate::gap::Origin;
use crate::oauth::TokenSource;
use crate::queue::{Ending, Queue};
use crate::rest::Rest;
use crate::session::notifications::genesys::{Genesys, Sockets};
use crate::session::notifications::{self, Fleet, ListenerSettings};
use crate::session::{Failure, Intake, Link, Session, Settings};
use crate::spool::Recovered;
use crate::store::Writer;
use crate::tls;
use crate::transport::events::{Connector, Target};
use crate::transport::proxy::Proxies;
use crate::transport::socket::Socket;

/// How long the runtime keeps an idle thread that resolved a name.
const RESOLVER_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runs the network side until it ends; blocks the calling thread, which must not be inside a runtime.
///
/// Every ending but [`Command::Close`] is put into the queue. `spooled` is the way to the spool and what was in it; `None` in
/// memory mode.
pub(crate) fn run(
    config: Config,
    queue: Arc<Queue>,
    spooled: Option<(Writer, Recovered)>,
    commands: watch::Receiver<Command>,
    status: &Arc<Status>,
) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let parts = runtime().and_then(|runtime| Ok((runtime, Feed::new(&config, &clock, status)?)));
    let (runtime, feed) = match parts {
        Ok(parts) => parts,
        Err(ending) => {
            tracing::error!(error = ending.message, "source cannot start");
            status.enter(State::Failed);
            queue.end(ending);
            return;
        }
    };
    let admission = Admission::new(admission::Settings {
        transport: feed.transport(),
        source_name: config.name.clone(),
        dedup: config.dedup.window(),
        on_full: match config.queue.on_full {
            OnFull::Stop => admission::OnFull::Stop,
            OnFull::Drop => admission::OnFull::DropNewest,
        },
        max_queue_bytes: config.queue.max_bytes,
        epoch: spooled.as_ref().map_or(0, |(writer, _)| writer.store().epoch()),
    });
    let origin = Origin {
        source: config.name.clone(),
        topics: match &feed {
            Feed::Events(_) => config.subscription.events.clone(),
            // The plan says which.
            Feed::Notifications(_) => Vec::new(),
        },
        max_topics_bytes: config.subscription.max_bytes,
    };
    let intake = Intake::new(admission, queue, origin, clock, Arc::clone(status));
    let intake = match spooled {
        Some((writer, found)) => intake.with_spool(writer, found),
        None => intake,
    };
    match feed {
        Feed::Events(link) => {
            let settings = Settings {
                subscription: config.subscription,
                subscription_interval: config.subscription_interval,
                subscribe_grace: config.timeouts.subscribe_grace,
                send: config.timeouts.connect,
                keep_alive: config.keep_alive,
                stall: config.queue.stall,
            };
            let backoff = Backoff::new(config.reconnect, system_rng());
            let session = Session::new(*link, intake, backoff, settings);
            runtime.block_on(session.run(commands));
        }
        Feed::Notifications(platform) => {
            let settings = notifications::Settings {
                listener: ListenerSettings {
                    ask_again: platform.refresh(),
                    keep_alive: config.keep_alive,
                    stall: config.queue.stall,
                    overlap: config.handover.overlap,
                    max_held_bytes: config.handover.max_bytes,
                    close: config.timeouts.connect,
                },
                reconnect: config.reconnect,
                refresh: platform.refresh(),
                backfill: config
                    .backfill
                    .map(|Backfill::Conversations| config.max_frame_bytes),
            };
            let fleet = Fleet::new(*platform, intake, settings, system_rng());
            runtime.block_on(fleet.run(commands));
        }
    }
    // A resolver call that hangs in the system cannot be cancelled; waiting for it would hold up the close.
    runtime.shutdown_background();
}

/// The runtime of a network thread: one thread, and at most two beside it that resolve names.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Ending> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(RESOLVER_KEEP_ALIVE)
        .thread_name("esp-resolver")
        .build()
        .map_err(|error| Ending {
            status: status::IO,
            code: 0,
            message: format!("no runtime: {error}"),
        })
}

/// Makes the generator of the jitter from the system's randomness, which the uuid crate reads.
pub(crate) fn system_rng() -> Xoshiro256PlusPlus {
    let mut seed = [0; 32];
    let (first, second) = seed.split_at_mut(16);
    first.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    second.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    Xoshiro256PlusPlus::from_seed(seed)
}

/// Tokens and connections of the `events` transport.
struct EventsLink {
    tokens: TokenSource,
    connector: Connector,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
}

/// Where frames come from.
enum Feed {
    Events(Box<EventsLink>),
    Notifications(Box<Genesys>),
}

impl Feed {
    fn new(config: &Config, clock: &Arc<dyn Clock>, status: &Arc<Status>) -> Result<Self, Ending> {
        let (tokens, tls) = token_source(config)?;
        if let Some(wishes) = &config.wishes {
            let rest = rest_over(config, tokens, &tls, clock, status)?;
            let sockets = Sockets {
                tls,
                max_frame_bytes: config.max_frame_bytes,
                deadline: config.timeouts.connect,
                clock: Arc::clone(clock),
                streaming: config.endpoints.streaming.clone(),
                allow_insecure: config.allow_insecure,
            };
            return Ok(Self::Notifications(Box::new(Genesys::new(
                rest,
                wishes.clone(),
                sockets,
                Arc::clone(status),
            ))));
        }
        let url = config.endpoints.events.clone();
        Ok(Self::Events(Box::new(EventsLink {
            tokens,
            connector: Connector {
                target: Target::Events,
                url: url.ok_or_else(|| unset("endpoints.events"))?,
                proxies: Proxies::from_environment(),
                tls,
                max_frame_bytes: config.max_frame_bytes,
                deadline: config.timeouts.connect,
                clock: Arc::clone(clock),
            },
            clock: Arc::clone(clock),
            status: Arc::clone(status),
        })))
    }

    fn transport(&self) -> Transport {
        match self {
            Self::Events(_) => Transport::Events,
            Self::Notifications(_) => Transport::Notifications,
        }
    }
}

/// Connections to the API that are kept between calls.
const MAX_IDLE_CONNECTIONS: usize = 2;

/// A REST client for a configuration of the notifications transport, not logged in.
pub(crate) fn rest_client(
    config: &Config,
    clock: &Arc<dyn Clock>,
    status: &Arc<Status>,
) -> Result<Rest, Ending> {
    let (tokens, tls) = token_source(config)?;
    rest_over(config, tokens, &tls, clock, status)
}

fn rest_over(
    config: &Config,
    tokens: TokenSource,
    tls: &Arc<rustls::ClientConfig>,
    clock: &Arc<dyn Clock>,
    status: &Arc<Status>,
) -> Result<Rest, Ending> {
    let api = config.endpoints.api.clone();
    let api = api.ok_or_else(|| unset("endpoints.api"))?;
    let http = http_client(config, tls, MAX_IDLE_CONNECTIONS)?;
    Ok(Rest::new(
        http,
        api,
        tokens,
        Arc::clone(clock),
        Arc::clone(status),
    ))
}

fn unset(what: &str) -> Ending {
    Ending {
        status: status::CONFIG,
        code: 0,
        message: format!("{what} is not set"),
    }
}

/// The source of tokens for a configuration, and the TLS configuration that it shares with the feed's connection.
pub(crate) fn token_source(config: &Config) -> Result<(TokenSource, Arc<rustls::ClientConfig>), Ending> {
    let endpoints = &config.endpoints;
    // The address of a channel's socket is not known before; the platform's are encrypted.
    let is_streaming_plain = |url: &reqwest::Url| url.scheme() == "ws";
    let encrypted = [
        Some(&endpoints.token),
        endpoints.events.as_ref(),
        endpoints.api.as_ref(),
    ]
    .into_iter()
    .flatten()
    .any(|url| matches!(url.scheme(), "https" | "wss"))
        || (config.wishes.is_some() && !endpoints.streaming.as_ref().is_some_and(is_streaming_plain));
    let tls = tls::client_config(config.ca_file.as_deref(), encrypted)
        .map_err(|error| tls_ending(error.to_string()))?;
    // A login happens once in minutes at most: an idle connection would only be found dead.
    let http = http_client(config, &tls, 0)?;
    let tokens = TokenSource::new(http, endpoints.token.clone(), config.credentials.clone());
    Ok((tokens, tls))
}

fn http_client(
    config: &Config,
    tls: &Arc<rustls::ClientConfig>,
    max_idle: usize,
) -> Result<reqwest::Client, Ending> {
    reqwest::Client::builder()
        .tls_backend_preconfigured((**tls).clone())
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(config.timeouts.login)
        .user_agent(concat!("genesys-source/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(max_idle)
        .build()
        .map_err(|error| tls_ending(format!("no HTTP client: {error}")))
}

fn tls_ending(message: String) -> Ending {
    Ending {
        status: status::TLS,
        code: 0,
        message,
    }
}

impl Link for EventsLink {
    async fn token(&mut self) -> Result<SecretString, Failure> {
        let status = &self.status;
        let on_login = || status.update(|figures| figures.login_attempts_total += 1);
        Ok(self
            .tokens
            .token(self.connector.deadline, self.clock.now_us(), on_login)
            .await?)
    }

    fn discard_token(&mut self) {
        self.tokens.discard();
    }

    async fn connect(&mut self) -> Result<Socket, Failure> {
        Ok(self.connector.connect().await?)
    }
}
