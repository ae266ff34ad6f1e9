//! A source as one object: configuration in, records out, one network thread in between.
//!
//! This is what the C functions and the command line work on. It owns the thread, the queue and the shared status;
//! it refuses to decide anything about frames or connections. The thread ends when the source is closed, whatever
//! state it is in; a panic in it becomes the source's ending.
//!
//! Over 400 lines: one object with its documented calls, each short, and their errors.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use config_faults::{Exposure, Fault};
use nix::sys::signal::{SigSet, SigmaskHow};
use plugin_abi::status;
use tokio::sync::watch;
use tracing::Dispatch;

use crate::check::{self, Answers, Row};
use crate::config::{Config, DiskSpool, Spool};
use crate::dedup;
use crate::network::{self, Command};
use crate::panics::contained;
use crate::queue::{Bounds, Ending, NoRecords, NotHandedOut, PullLimits, Queue, Slice};
use crate::replay;
use crate::secret::{self, ProcessEnvironment};
use crate::spool::storage::DiskStorage;
use crate::spool::{Recovered, SpoolError};
use crate::statistics;
use crate::store::{Keeper, ResumeError, Store, Writer};

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is wrong; holds every fault. Not retryable.
    #[error("{}", one_line(.0))]
    Config(Vec<Fault>),
    /// The system gave no thread or descriptor. Retryable.
    #[error("cannot start the source: {0}")]
    Io(#[from] std::io::Error),
    /// The spool cannot be used. Retryable if another process holds it or the disk refused.
    #[error("spool.dir {}: {source}", dir.display())]
    Spool {
        /// Where it is.
        dir: PathBuf,
        /// Why not.
        source: SpoolError,
    },
}

impl OpenError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Config(_) => false,
            Self::Io(_) => true,
            Self::Spool { source, .. } => source.is_retryable(),
        }
    }
}

fn one_line(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// What [`check`] found.
#[derive(Debug)]
pub struct Checked {
    /// JSON `{"faults": [..]}`, and after a login what `esp_check` documents beside it.
    pub report: String,
    /// Why the check failed, if it did.
    pub failure: Option<Ending>,
}

/// Describes the library: JSON with name, version, ABI, capabilities, record kinds and the configuration's schema.
#[must_use]
pub fn description() -> String {
    serde_json::json!({
        "name": "genesys-source",
        "version": env!("CARGO_PKG_VERSION"),
        "abi": {"major": plugin_abi::ESP_ABI_MAJOR, "minor": plugin_abi::ESP_ABI_MINOR},
        "capabilities": ["commit", "drain", "resume"],
        "kinds": {"event": 1, "dead_letter": 2, "control": 3},
        "config_schema": Config::schema(),
    })
    .to_string()
}

/// Checks a configuration; `online` also asks the service, within `timeout`, on a thread of its own.
#[must_use]
pub fn check(config: &str, online: bool, timeout: Duration) -> Checked {
    let config = match Config::parse(config, &ProcessEnvironment) {
        Ok(config) => config,
        Err(faults) => {
            let failure = Ending {
                status: status::CONFIG,
                code: 0,
                message: one_line(&faults),
            };
            return Checked {
                report: report(&faults, &[], None),
                failure: Some(failure),
            };
        }
    };
    let warnings: Vec<Fault> = secret::exposed(&config.credentials)
        .map(|(key, exposure)| Fault::new(key, exposure.detail()).with_mend(Exposure::MEND))
        .collect();
    let looked = match &config.spool {
        Spool::Memory => check::spool::Looked::default(),
        Spool::Disk(spool) => check::spool::look(spool),
    };
    let warnings = [warnings, looked.warnings].concat();
    if !looked.faults.is_empty() {
        return Checked {
            report: report(&looked.faults, &warnings, None),
            failure: Some(Ending {
                status: status::CONFIG,
                code: 0,
                message: one_line(&looked.faults),
            }),
        };
    }
    match online.then(|| ask(config, timeout)).transpose() {
        Ok(answers) => {
            let rows = answers.as_ref().map(|answers| answers.rows.as_slice());
            let failures = rows.unwrap_or_default().iter().filter_map(Row::failure);
            let (faults, endings): (Vec<Fault>, Vec<Ending>) = failures.unzip();
            Checked {
                report: report(&faults, &warnings, answers.as_ref()),
                failure: endings.into_iter().next(),
            }
        }
        Err(ending) => Checked {
            report: report(
                &[Fault::new("endpoints.login", ending.message.clone())],
                &warnings,
                None,
            ),
            failure: Some(ending),
        },
    }
}

/// Asks on a thread of its own, since the caller's thread may belong to a runtime already.
fn ask(config: Config, timeout: Duration) -> Result<Answers, Ending> {
    let failed = |status, message: String| {
        Err(Ending {
            status,
            code: 0,
            message,
        })
    };
    let thread = spawn_without_signals("esp-check", move || contained(|| check::ask(&config, timeout)));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(_)) | Err(_)) => failed(status::PANIC, "the check panicked".to_owned()),
        Err(error) => failed(status::IO, format!("cannot start a thread: {error}")),
    }
}

fn report(faults: &[Fault], warnings: &[Fault], answers: Option<&Answers>) -> String {
    let mut report = serde_json::json!({"faults": faults, "warnings": warnings});
    if let Some(answers) = answers {
        report["login"] = serde_json::json!(answers.login);
        if let Some(api) = answers.api {
            report["api"] = serde_json::json!(api);
            report["checks"] = serde_json::json!(answers.rows);
        }
    }
    report.to_string()
}

/// Tells when the network thread has ended.
#[derive(Debug, Default)]
struct Finished {
    is_finished: Mutex<bool>,
    changed: Condvar,
}

impl Finished {
    fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn wait(&self, timeout: Duration) -> bool {
        let guard = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(guard, timeout, |finished| !*finished);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Source {
    queue: Arc<Queue>,
    /// `None` in memory mode.
    store: Option<Arc<Store>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    status: Arc<network::Status>,
    commands: watch::Sender<Command>,
    finished: Arc<Finished>,
    thread: Mutex<Option<JoinHandle<()>>>,
    dispatch: Dispatch,
}

impl Source {
    /// Opens a source and starts its thread; returns without waiting for a connection.
    ///
    /// `dispatch` receives the log lines of the threads, and of a position that is gone on after.
    ///
    /// # Errors
    /// [`OpenError::Config`] with every fault; [`OpenError::Io`] if the system gives no thread or descriptor;
    /// [`OpenError::Spool`] if the spool is held, of another version, or cannot be read or written.
    pub fn open(config: &str, dispatch: &Dispatch) -> Result<Self, OpenError> {
        let config = Config::parse(config, &ProcessEnvironment).map_err(OpenError::Config)?;
        let bounds = Bounds {
            max_records: config.queue.max_records,
            max_bytes: config.queue.max_bytes,
        };
        let queue = Arc::new(Queue::try_new(bounds)?);
        let spooled = match &config.spool {
            Spool::Memory => {
                tracing::warn!("records are kept in memory: what is not committed dies with the process");
                None
            }
            Spool::Disk(spool) => Some(open_spool(spool, config.dedup.window(), &queue)?),
        };
        let status = Arc::new(network::Status::new());
        let (commands, receiver) = watch::channel(Command::Run);
        let finished = Arc::new(Finished::default());
        let (store, found, keeper) = match spooled {
            Some((store, found, keeper)) => (Some(store), Some(found), Some(keeper)),
            None => (None, None, None),
        };
        let spooled = store.clone().map(Writer::new).zip(found);
        // Before the network thread, which has nobody to make room without it.
        let keeper = keeper.map(|keeper| keep(keeper, &queue, dispatch)).transpose()?;
        let thread = {
            let (queue, status) = (Arc::clone(&queue), Arc::clone(&status));
            let (finished, dispatch) = (Arc::clone(&finished), dispatch.clone());
            spawn_without_signals("esp-source", move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    let run = || {
                        if let Some(letters) = &config.replay {
                            replay::run(&config, letters, &queue, receiver, &status);
                            return;
                        }
                        secret::warn_of_exposed(&config.credentials);
                        network::run(config, Arc::clone(&queue), spooled, receiver, &status);
                    };
                    if contained(run).is_err() {
                        tracing::error!("the source's thread panicked; nothing more is read");
                        let message = "the source's thread panicked; close this source".to_owned();
                        queue.end(Ending {
                            status: status::PANIC,
                            code: 0,
                            message,
                        });
                    }
                });
                finished.set();
            })
        };
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                if let Some(store) = &store {
                    store.tell_over();
                }
                return Err(error.into());
            }
        };
        Ok(Self {
            queue,
            store,
            keeper: Mutex::new(keeper),
            status,
            commands,
            finished,
            thread: Mutex::new(Some(thread)),
            dispatch: dispatch.clone(),
        })
    }

    /// Takes the next records.
    ///
    /// # Errors
    /// See [`Queue::pull`].
    pub fn pull(&self, limits: &PullLimits) -> Result<Vec<Slice>, NoRecords> {
        self.queue.pull(limits)
    }

    /// Marks everything up to and including `sequence` as durable downstream.
    ///
    /// # Errors
    /// See [`Queue::commit`].
    pub fn commit(&self, sequence: u64) -> Result<(), NotHandedOut> {
        match &self.store {
            Some(store) => store.commit(sequence),
            None => self.queue.commit(sequence),
        }
    }

    /// Returns the token of a record that has been handed out.
    ///
    /// # Errors
    /// [`PositionError`]; none is retryable as it is.
    pub(crate) fn token(&self, sequence: u64) -> Result<String, PositionError> {
        let store = self.store.as_ref().ok_or(PositionError::NoSpool)?;
        store.token(sequence).ok_or(PositionError::NotHandedOut(sequence))
    }

    /// Goes on after the record of `token`.
    ///
    /// # Errors
    /// [`PositionError`]; retryable if the spool met an I/O error.
    pub(crate) fn resume(&self, token: &str) -> Result<(), PositionError> {
        let store = self.store.as_ref().ok_or(PositionError::NoSpool)?;
        // on the host's thread, which has no place for log lines of its own
        Ok(tracing::dispatcher::with_default(&self.dispatch, || {
            store.resume(token)
        })?)
    }

    /// Returns the statistics as JSON.
    #[must_use]
    pub fn statistics(&self) -> String {
        let spool = self.store.as_ref().and_then(|store| store.figures());
        statistics::to_json(&self.queue, &self.status, spool.as_ref())
    }

    /// Returns the descriptor that polls readable while a pull would not wait.
    #[must_use]
    pub fn poll_fd(&self) -> i32 {
        self.queue.poll_fd()
    }

    /// Makes the pull that waits, or the next one, return once.
    pub fn interrupt(&self) {
        self.queue.interrupt();
    }

    /// Stops reading; the backlog can be pulled until `deadline` from now, then the end comes.
    pub fn drain(&self, deadline: Duration) {
        self.queue.discard_at(Instant::now() + deadline);
        self.commands.send_if_modified(|command| {
            let first = *command == Command::Run;
            if first {
                *command = Command::Drain;
            }
            first
        });
    }

    /// Wakes a pull, ends the thread and joins it; says whether it ended within `timeout`. Later calls change nothing.
    pub fn close(&self, timeout: Duration) -> bool {
        self.queue.close();
        self.commands.send_replace(Command::Close);
        let finished = self.finished.wait(timeout);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_over = match thread {
            // It has set `finished` as its last act but one, so the join does not wait for the network.
            Some(thread) if finished => thread.join().is_ok(),
            Some(_leaked) => false,
            None => finished,
        };
        // While the network thread may still write, the spool stays locked.
        if !finished {
            return false;
        }
        if let Some(store) = &self.store {
            store.tell_over();
        }
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        is_over && keeper.is_none_or(|keeper| keeper.join().is_ok())
    }
}

/// Why a position cannot be given or taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PositionError {
    /// The source keeps its records in memory.
    #[error("this source keeps its records in memory (spool.mode = \"memory\") and has no positions")]
    NoSpool,
    /// The number has not been handed out.
    #[error("sequence {0} has not been handed out")]
    NotHandedOut(u64),
    /// The token cannot be taken.
    #[error(transparent)]
    Resume(#[from] ResumeError),
}

fn open_spool(
    spool: &DiskSpool,
    window: dedup::Settings,
    queue: &Arc<Queue>,
) -> Result<(Arc<Store>, Recovered, Keeper), OpenError> {
    let failed = |source| OpenError::Spool {
        dir: spool.dir.clone(),
        source,
    };
    let storage = DiskStorage::open_or_create(&spool.dir)
        .map_err(|error| failed(SpoolError::io("make", "the directory", error)))?;
    Store::open(
        Arc::new(storage),
        spool.settings,
        spool.sync,
        window,
        Arc::clone(queue),
    )
    .map_err(failed)
}

/// Starts the spool thread; a panic in it becomes the source's ending.
fn keep(keeper: Keeper, queue: &Arc<Queue>, dispatch: &Dispatch) -> std::io::Result<JoinHandle<()>> {
    let (queue, dispatch) = (Arc::clone(queue), dispatch.clone());
    spawn_without_signals("esp-spool", move || {
        tracing::dispatcher::with_default(&dispatch, || {
            if contained(|| keeper.run()).is_err() {
                tracing::error!("the spool's thread panicked; nothing more is made durable");
                queue.end(Ending {
                    status: status::PANIC,
                    code: 0,
                    message: "the spool's thread panicked; close this source".to_owned(),
                });
            }
        });
    })
}

impl Drop for Source {
    fn drop(&mut self) {
        self.queue.close();
        self.commands.send_replace(Command::Close);
        if let Some(store) = &self.store {
            store.tell_over();
        }
    }
}

/// Starts a thread that no signal of the process reaches: the mask is inherited, so there is no moment without it.
fn spawn_without_signals<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    before.thread_set_mask()?;
    spawned
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Panics at the first line that the thread logs.
    #[derive(Default)]
    struct FailingLog {
        has_failed: AtomicBool,
    }

    impl Subscriber for FailingLog {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            assert!(self.has_failed.swap(true, Ordering::Relaxed), "asked to panic");
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_panic_of_the_thread_is_the_sources_ending_and_it_can_still_be_closed() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "not-a-secret-just-text").unwrap();
        // Port 9 of loopback (discard, RFC 863) is not listened to.
        let config = serde_json::json!({
            "region": "us-east-1",
            "transport": "events",
            "client_id": {"file": secret.path()},
            "client_secret": {"file": secret.path()},
            "endpoints": {"login": "http://127.0.0.1:9", "events": "ws://127.0.0.1:9/ws"},
            "spool": {"mode": "memory"},
        });
        let source = Source::open(&config.to_string(), &Dispatch::new(FailingLog::default())).unwrap();
        let limits = PullLimits {
            max_records: 1,
            max_bytes: 1,
            wait: Duration::from_secs(60),
            linger: Duration::ZERO,
        };
        let Err(NoRecords::Ended(ending)) = source.pull(&limits) else {
            panic!("no end")
        };
        assert_eq!(ending.status, status::PANIC);
        assert!(!ending.message.contains("asked"), "a panic's text may hold data");
        assert!(source.close(Duration::from_secs(60)));
    }
}
