//! The simulator itself: its thread, its listener, and what tests ask it.
//!
//! Refuses addresses that are not loopback and more than 256 connections at a time. The invariant: after `stop` (or
//! drop) the port is closed, every session has its `closed` line, and the ground truth is on disk.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::error::Error;
use crate::events::{self, Subscription, Subscriptions};
use crate::fault::Fault;
use crate::feed::Feed;
use crate::http;
use crate::notifications::Notifications;
use crate::oauth::{Gate, Tokens};
use crate::options::Options;
use crate::route::{Answered, next_answer, play};
use crate::truth::{Counters, TruthLine};

const MAX_CONNECTIONS: usize = 256;
/// How often events are recorded as unsent while nobody listens.
const TICK_MS: u64 = 10;
/// Time for sessions to end when the simulator stops.
const STOP_MS: u64 = 1_000;

/// What sessions are told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signal {
    pub(crate) stop: bool,
    // a change of it wakes whoever waits
    turn: u64,
}

/// What the listener, the sessions and the caller share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    // locked before the feed, never after it
    pub(crate) notifications: Mutex<Notifications>,
    feed: Mutex<Feed>,
    progress: Condvar,
    tokens: Mutex<Tokens>,
    subscriptions: Mutex<Subscriptions>,
    signal: watch::Sender<Signal>,
}

// a panic in one session must not hide the ground truth from the test that looks for its cause
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn feed(&self) -> MutexGuard<'_, Feed> {
        lock(&self.feed)
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    pub(crate) fn signal(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// Wakes every session, since what is due may have changed.
    pub(crate) fn wake(&self) {
        self.signal
            .send_modify(|signal| signal.turn = signal.turn.wrapping_add(1));
    }

    /// Wakes the callers that wait for a count.
    pub(crate) fn announce_progress(&self) {
        self.progress.notify_all();
    }

    pub(crate) fn judge_subscription(&self, text: &str) -> Result<String, events::Refusal> {
        let tokens = self.tokens();
        lock(&self.subscriptions).judge(text, &self.options, &tokens, Instant::now())
    }

    pub(crate) fn remember_subscription(&self, connection: u64, text: &str, refused: Option<u16>) {
        let tokens = self.tokens();
        lock(&self.subscriptions).remember(connection, text, &tokens, refused);
    }
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts a simulator on a thread and runtime of its own. It listens when this returns.
    ///
    /// # Errors
    /// Options out of range (not retryable), a port that is taken, a file that cannot be read or created, or no thread
    /// to be had (retryable).
    pub fn start(options: Options) -> Result<Self, Error> {
        options.check()?;
        let listen_error = |source| Error::Listen {
            address: options.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(options.listen).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let feed = Feed::new(&options)?;
        let notifications = Notifications::new(&options);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let shared = Arc::new(Shared {
            options,
            notifications: Mutex::new(notifications),
            feed: Mutex::new(feed),
            progress: Condvar::new(),
            tokens: Mutex::default(),
            subscriptions: Mutex::default(),
            signal: watch::Sender::new(Signal::default()),
        });
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("simulator".to_owned())
            .spawn(move || runtime.block_on(serve(listener, served)))
            .map_err(Error::Thread)?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The login's base URL; clients append `/oauth/token`.
    #[must_use]
    pub fn login_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The whole URL of the events socket.
    #[must_use]
    pub fn events_url(&self) -> String {
        format!("ws://{}{}", self.address, events::PATH)
    }

    /// Every line of ground truth that is in memory, in order.
    #[must_use]
    pub fn truth(&self) -> Vec<TruthLine> {
        self.shared.feed().truth.lines()
    }

    /// What has been done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.feed().truth.counters
    }

    /// Every subscription received, refused ones too, without its token; the first 10,000.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        lock(&self.shared.subscriptions).seen.clone()
    }

    /// Adds a fault to the script and wakes the sessions, so that [`Trigger::Now`](crate::Trigger::Now) fires at once.
    /// For the next login use `Turns::only(counters().logins + 1)`, and likewise for connects and subscriptions.
    ///
    /// # Errors
    /// [`Error::Fault`] if the action has no meaning at its trigger; not retryable.
    pub fn inject(&self, fault: Fault) -> Result<(), Error> {
        self.shared.options.check_fault(&fault)?;
        match fault.when.is_of_channels() {
            true => self
                .shared
                .with_notifications(|notifications, feed| notifications.inject(feed, fault)),
            false => self.shared.feed().inject(fault),
        }
        self.shared.wake();
        Ok(())
    }

    /// Waits until the condition, which must not ask the simulator anything, holds for the counters; says whether it did in time. The condition is looked at after
    /// every write, and every 50 ms.
    #[must_use]
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Counters) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut feed = self.shared.feed();
        while !condition(&feed.truth.counters) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let slice = left.min(Duration::from_millis(50));
            feed = self
                .shared
                .progress
                .wait_timeout(feed, slice)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Waits until `count` events (see [`Counters::events_sent`]) have been sent; says whether they were in time.
    #[must_use]
    pub fn wait_until_sent(&self, count: u64, timeout: Duration) -> bool {
        self.wait_until(timeout, |counters| counters.events_sent >= count)
    }

    /// Waits until every event that shall happen has happened; says whether that was in time.
    #[must_use]
    pub fn wait_until_done(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |counters| counters.done)
    }

    /// Writes the buffered ground truth to its file.
    ///
    /// # Errors
    /// [`Error::File`] for the first write that failed; retryable, but the lines of that write are lost.
    pub fn flush_truth(&self) -> Result<(), Error> {
        self.shared.feed().truth.flush()
    }

    /// Stops: closes the port and every connection (1001), and writes the ground truth to its file. Ground truth,
    /// counters and subscriptions can still be asked for. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::File`] if the ground truth could not be written.
    pub fn stop(&mut self) -> Result<Counters, Error> {
        self.shared.signal.send_modify(|signal| signal.stop = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("simulator thread has panicked");
        }
        self.flush_truth()?;
        Ok(self.counters())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            warn!(%error, "ground truth is not complete");
        }
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "cannot listen");
            return;
        }
    };
    let mut signal = shared.signal();
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !signal.borrow_and_update().stop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
                Ok(_) => warn!(limit = MAX_CONNECTIONS, "connection refused, too many are open"),
                Err(error) => {
                    debug!(%error, "connection lost before it was accepted");
                    tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
                }
            },
            _ = tick.tick() => {
                shared.feed().tick(Instant::now());
                shared.tick_notifications(Instant::now());
                shared.announce_progress();
            }
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                warn!(%error, "connection ended badly");
            },
            _ = signal.changed() => {}
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(STOP_MS), ended)
        .await
        .is_err()
    {
        connections.shutdown().await;
    }
}

// plays one TCP connection: requests, and perhaps a WebSocket in the end
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection without TCP_NODELAY");
    }
    let mut signal = shared.signal();
    let mut bytes = Vec::new();
    loop {
        let Answered {
            connection,
            gate,
            channel,
        } = tokio::select! {
            answered = next_answer(&mut stream, &mut bytes, &shared) => match answered {
                Some(answered) => answered,
                None => return,
            },
            _ = signal.wait_for(|signal| signal.stop) => return,
        };
        let response = match gate {
            Gate::Answer(response) => response,
            Gate::Trickle(response, ms) => {
                let pause = Duration::from_millis(ms);
                tokio::select! {
                    written = http::trickle(&mut stream, &response, pause) => if written.is_err() { return },
                    _ = signal.wait_for(|signal| signal.stop) => return,
                }
                if response.status == 101 {
                    return play(stream, bytes, connection, channel, shared).await;
                }
                continue;
            }
            Gate::NeverAnswer => {
                tokio::select! {
                    () = until_gone(&mut stream) => {}
                    _ = signal.wait_for(|signal| signal.stop) => {}
                }
                return;
            }
        };
        if http::write(&mut stream, &response).await.is_err() {
            return;
        }
        if response.status == 101 {
            return play(stream, bytes, connection, channel, shared).await;
        }
    }
}

async fn until_gone(stream: &mut TcpStream) {
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}
