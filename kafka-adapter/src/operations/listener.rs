//! The HTTP listener: one thread, a bounded number of connections, one request each.
//!
//! Responsible for opening the address, for the bounds on what strangers may ask for, and for ending with the run.
//! Refuses connections that are kept, and waits for nobody at the end. Invariant: the thread is gone when the listener
//! is dropped.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use config_faults::Fault;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::Listen;

use super::{Health, answer};

/// Most connections at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// Most bytes of a request's head; the least that hyper takes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Most headers of a request; a probe sends some five.
const MAX_HEADERS: usize = 64;
/// How long the head of a request may take: a probe's own deadline is seconds.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may last, its answer included.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Pause after a connection that the system could not hand over: it has no descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why the listener cannot be opened. Not retryable.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.fault())]
pub struct OpenError {
    /// The address as it is configured.
    pub listen: Listen,
    /// The system's words.
    pub reason: io::Error,
}

impl OpenError {
    /// The same as a fault of its key.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let Self { listen, reason } = self;
        Fault::new(
            "operations.listen",
            format!("{listen} cannot be opened: {reason}"),
        )
        .with_mend(mend(reason))
    }

    /// Says whether the same start may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

fn mend(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::PermissionDenied => "set operations.listen to a port above 1023",
        io::ErrorKind::AddrInUse => "stop what listens there, or set operations.listen to a free port",
        _ => "set operations.listen to an address of this machine",
    }
}

/// Opens an address and closes it again.
///
/// # Errors
/// As [`Listener::open`].
pub fn probe(listen: &Listen) -> Result<(), OpenError> {
    let opened = TcpListener::bind((listen.host(), listen.port()));
    opened.map(drop).map_err(|reason| OpenError {
        listen: listen.clone(),
        reason,
    })
}

/// An open listener; closed when dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    health: Arc<Health>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Opens the address and answers from then on.
    ///
    /// # Errors
    /// [`OpenError`] if the address is in use, is none of this machine, or may not be opened; not retryable.
    pub fn open(listen: &Listen, health: Arc<Health>) -> Result<Self, OpenError> {
        Self::try_open(listen, health).map_err(|reason| OpenError {
            listen: listen.clone(),
            reason,
        })
    }

    fn try_open(listen: &Listen, health: Arc<Health>) -> io::Result<Self> {
        let socket = TcpListener::bind((listen.host(), listen.port()))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new().name("operations".to_owned()).spawn({
            let health = Arc::clone(&health);
            move || {
                if let Err(error) = runtime.block_on(serve(socket, &health, stopped)) {
                    tracing::error!(%error, "operations listener failed, it answers no more");
                }
            }
        })?;
        tracing::info!(%address, "operations listener open");
        Ok(Self {
            address,
            health,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address that it was opened on, with the port that the system chose where none was named.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it tells.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the operations listener panicked");
        }
    }
}

/// Accepts and answers until the other end of `stopped` is gone.
async fn serve(
    socket: TcpListener,
    health: &Arc<Health>,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = socket.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    connections.spawn(converse(stream, Arc::clone(health)));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "operations listener cannot accept connections, repeating it");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
}

/// Answers the one request of a connection.
async fn converse(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let answered = answer::answer(request.method(), request.uri().path(), &health);
        async { Ok::<_, std::convert::Infallible>(answered) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "operations connection failed"),
        Err(_) => tracing::debug!("operations connection took too long"),
    }
}
