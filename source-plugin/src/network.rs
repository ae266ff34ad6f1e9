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
use crate::config::{Config, OnFull};
use crate::decode::Transport;
use crate::dedup;
use crate::oauth::TokenSource;
use crate::queue::{Ending, Queue};
use crate::session::{Failure, Link, Session, Settings};
use crate::tls;
use crate::transport::events::Connector;
use crate::transport::socket::Socket;

/// How long the runtime keeps an idle thread that resolved a name.
const RESOLVER_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runs the network side until it ends; blocks the calling thread, which must not be inside a runtime.
///
/// Every ending but [`Command::Close`] is put into the queue.
pub fn run(config: Config, queue: Arc<Queue>, commands: watch::Receiver<Command>, status: &Arc<Status>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let parts =
        runtime().and_then(|runtime| Ok((runtime, events_link(&config, &clock, Arc::clone(status))?)));
    let (runtime, link) = match parts {
        Ok(parts) => parts,
        Err(ending) => {
            tracing::error!(error = ending.message, "source cannot start");
            status.enter(State::Failed);
            queue.end(ending);
            return;
        }
    };
    let admission = Admission::new(admission::Settings {
        transport: Transport::Events,
        source_name: config.name.clone(),
        dedup: dedup::Settings {
            window_ms: config.dedup.window_ms,
            max_ids: config.dedup.max_ids,
        },
        on_full: match config.queue.on_full {
            OnFull::Stop => admission::OnFull::Stop,
            OnFull::Drop => admission::OnFull::DropNewest,
        },
        max_queue_bytes: config.queue.max_bytes,
        epoch: 0,
    });
    let settings = Settings {
        subscription: config.subscription,
        subscription_interval: config.subscription_interval,
        subscribe_grace: config.timeouts.subscribe_grace,
        send: config.timeouts.connect,
        keep_alive: config.keep_alive,
        stall: config.queue.stall,
    };
    let backoff = Backoff::new(config.reconnect, system_rng());
    let session = Session::new(
        link,
        admission,
        queue,
        backoff,
        settings,
        &config.name,
        clock,
        Arc::clone(status),
    );
    runtime.block_on(session.run(commands));
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
fn system_rng() -> Xoshiro256PlusPlus {
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

/// The source of tokens for a configuration, and the TLS configuration that it shares with the feed's connection.
pub(crate) fn token_source(config: &Config) -> Result<(TokenSource, Arc<rustls::ClientConfig>), Ending> {
    let encrypted = [&config.endpoints.token, &config.endpoints.events]
        .iter()
        .any(|url| matches!(url.scheme(), "https" | "wss"));
    let failed = |message: String| Ending {
        status: plugin_abi::status::TLS,
        code: 0,
        message,
    };
    let tls = tls::client_config(config.ca_file.as_deref(), encrypted)
        .map_err(|error| failed(error.to_string()))?;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(config.timeouts.login)
        .user_agent(concat!("genesys-source/", env!("CARGO_PKG_VERSION")))
        // A login happens once in minutes at most: an idle connection would only be found dead.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| failed(format!("no HTTP client: {error}")))?;
    let tokens = TokenSource::new(http, config.endpoints.token.clone(), config.credentials.clone());
    Ok((tokens, tls))
}

fn events_link(config: &Config, clock: &Arc<dyn Clock>, status: Arc<Status>) -> Result<EventsLink, Ending> {
    let (tokens, tls) = token_source(config)?;
    Ok(EventsLink {
        tokens,
        connector: Connector {
            url: config.endpoints.events.clone(),
            tls,
            max_frame_bytes: config.max_frame_bytes,
            deadline: config.timeouts.connect,
            clock: Arc::clone(clock),
        },
        clock: Arc::clone(clock),
        status,
    })
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
