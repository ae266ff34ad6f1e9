//! A webhook receiver whose answers a test scripts: HTTP/1.1 on loopback, every request kept.
//!
//! Responsible for reading requests, for answering as told, late, slowly or not at all, and for saying how many
//! requests it held at once. It refuses to judge them. Invariant: a request is kept before it is answered, in the order
//! in which requests were complete.

mod wire;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers with a status.
    Status(u16),
    /// Answers with a status and one header.
    WithHeader(u16, &'static str, String),
    /// Answers with a status and a body of so many bytes.
    WithBody(u16, usize),
    /// Answers with a status and this body.
    WithText(u16, String),
    /// Answers with a status after a while.
    After(Duration, u16),
    /// Never answers.
    Silence,
    /// Sends a head with a status and then a byte of the body each 20 ms, without end.
    SlowBody(u16),
    /// Sends a head with a status and then a body as fast as it can, up to 64 MiB: more than the sockets between the
    /// two can hold of what nobody reads.
    LongBody(u16),
    /// Resets the connection instead of an answer.
    Reset,
    /// Resets the connection in the middle of the head.
    ResetInHead,
    /// Resets the connection in the middle of the body of an answer with a status.
    ResetInBody(u16),
}

impl Reply {
    /// The status that the client can know; nothing where it gets no whole head.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status)
            | Self::WithHeader(status, ..)
            | Self::WithBody(status, _)
            | Self::WithText(status, _)
            | Self::After(_, status)
            | Self::SlowBody(status)
            | Self::LongBody(status)
            | Self::ResetInBody(status) => Some(*status),
            Self::Silence | Self::Reset | Self::ResetInHead => None,
        }
    }
}

/// A request that was received whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number, from 0.
    pub number: usize,
    /// The connection that it came on, from 0.
    pub connection: usize,
    /// Method and path.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Instant,
    /// The requests that were unanswered when it came, by their numbers.
    pub beside: BTreeSet<usize>,
    /// What the script said.
    pub reply: Reply,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// Says whether it was answered with success, as far as its head.
    pub fn is_accepted(&self) -> bool {
        self.reply
            .status()
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// Decides what becomes of a request; called in the order of their numbers.
pub type Script = Box<dyn FnMut(&Request) -> Reply + Send>;

struct State {
    script: Script,
    received: Vec<Request>,
    connections: usize,
    held: BTreeSet<usize>,
    most_held: usize,
    /// Lengths of long bodies, as far as they could be written.
    long_bodies: Vec<u64>,
}

/// A running receiver; gone when dropped.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Starts a receiver on a free port.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[must_use]
    pub fn start(script: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// Starts a receiver at an address, such as that of one that is gone.
    ///
    /// # Panics
    /// If the address is taken.
    #[must_use]
    pub fn start_at(address: SocketAddr, script: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(Mutex::new(State {
            script: Box::new(script),
            received: Vec::new(),
            connections: 0,
            held: BTreeSet::new(),
            most_held: 0,
            long_bodies: Vec::new(),
        }));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || serve(listener, state, stopped)
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    #[must_use]
    pub fn received(&self) -> Vec<Request> {
        lock(&self.state).received.clone()
    }

    /// The requests from a number on.
    #[must_use]
    pub fn received_since(&self, number: usize) -> Vec<Request> {
        let state = lock(&self.state);
        state.received.get(number..).unwrap_or_default().to_vec()
    }

    /// Number of requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state).received.len()
    }

    /// Number of requests so far that were answered with success.
    #[must_use]
    pub fn accepted(&self) -> usize {
        let state = lock(&self.state);
        state
            .received
            .iter()
            .filter(|request| request.is_accepted())
            .count()
    }

    /// The most requests that were unanswered at once.
    #[must_use]
    pub fn most_held(&self) -> usize {
        lock(&self.state).most_held
    }

    /// How many bytes could be written of each [`Reply::LongBody`] that is over.
    #[must_use]
    pub fn long_bodies(&self) -> Vec<u64> {
        lock(&self.state).long_bodies.clone()
    }

    /// Changes what becomes of the requests that follow.
    pub fn script(&self, script: impl FnMut(&Request) -> Reply + Send + 'static) {
        lock(&self.state).script = Box::new(script);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the receiver does not panic");
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: std::net::TcpListener, state: Arc<Mutex<State>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a nonblocking socket");
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&state)));
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

/// Reads and answers requests until either side closes.
async fn connection(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    stream.set_nodelay(true).ok();
    let connection = {
        let mut state = lock(&state);
        state.connections += 1;
        state.connections - 1
    };
    let mut bytes = Vec::new();
    while let Some((line, headers, body)) = wire::read(&mut stream, &mut bytes).await {
        let (number, reply) = {
            let mut state = lock(&state);
            let number = state.received.len();
            let mut request = Request {
                number,
                connection,
                line,
                headers,
                body,
                at: Instant::now(),
                beside: state.held.clone(),
                reply: Reply::Silence,
            };
            state.held.insert(number);
            state.most_held = state.most_held.max(state.held.len());
            request.reply = (state.script)(&request);
            state.received.push(request.clone());
            (number, request.reply)
        };
        // a request is held until its client can know the answer, or is gone
        let held = Held(Arc::clone(&state), number);
        if let Reply::After(wait, _) = reply {
            tokio::time::sleep(wait).await;
        }
        if let Reply::LongBody(status) = reply {
            let written_bytes = wire::answer_at_length(held, status, &mut stream).await;
            lock(&state).long_bodies.push(written_bytes);
            return;
        }
        wire::answer(held, &reply, &mut stream).await;
        if !matches!(
            reply,
            Reply::Status(_) | Reply::WithHeader(..) | Reply::WithBody(..) | Reply::After(..)
        ) {
            return;
        }
    }
}

/// One of the requests that are held.
struct Held(Arc<Mutex<State>>, usize);

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.0).held.remove(&self.1);
    }
}
