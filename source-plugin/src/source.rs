//! A source as one object: configuration in, records out, one network thread in between.
//!
//! This is what the C functions and the command line work on. It owns the thread, the queue and the shared status;
//! it refuses to decide anything about frames or connections. The thread ends when the source is closed, whatever
//! state it is in; a panic in it becomes the source's ending.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use config_faults::{Exposure, Fault};
use nix::sys::signal::{SigSet, SigmaskHow};
use plugin_abi::status;
use tokio::sync::watch;
use tracing::Dispatch;

use crate::check::{self, Login};
use crate::config::Config;
use crate::network::{self, Command};
use crate::panics::contained;
use crate::queue::{Bounds, Ending, NoRecords, NotHandedOut, PullLimits, Queue, Slice};
use crate::secret::{self, ProcessEnvironment};
use crate::statistics;

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is wrong; holds every fault. Not retryable.
    #[error("{}", one_line(.0))]
    Config(Vec<Fault>),
    /// The system gave no thread or descriptor. Retryable.
    #[error("cannot start the source: {0}")]
    Io(#[from] std::io::Error),
}

impl OpenError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io(_))
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
    /// JSON `{"faults": [..]}`, and `"login": {..}` after a login.
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
        "capabilities": ["commit", "drain"],
        "kinds": {"event": 1, "dead_letter": 2, "control": 3},
        "config_schema": Config::schema(),
    })
    .to_string()
}

/// Checks a configuration; `online` also logs in, within `timeout`, on a thread of its own.
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
    let login = online.then(|| log_in(config, timeout)).transpose();
    match login {
        Ok(login) => Checked {
            report: report(&[], &warnings, login),
            failure: None,
        },
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

/// Logs in on a thread of its own, since the caller's thread may belong to a runtime already.
fn log_in(config: Config, timeout: Duration) -> Result<Login, Ending> {
    let failed = |status, message: String| {
        Err(Ending {
            status,
            code: 0,
            message,
        })
    };
    let thread = spawn_without_signals("esp-check", move || contained(|| check::log_in(&config, timeout)));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(_)) | Err(_)) => failed(status::PANIC, "the check panicked".to_owned()),
        Err(error) => failed(status::IO, format!("cannot start a thread: {error}")),
    }
}

fn report(faults: &[Fault], warnings: &[Fault], login: Option<Login>) -> String {
    let mut report = serde_json::json!({"faults": faults, "warnings": warnings});
    if let Some(login) = login {
        report["login"] = serde_json::json!(login);
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
    status: Arc<network::Status>,
    commands: watch::Sender<Command>,
    finished: Arc<Finished>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Source {
    /// Opens a source and starts its thread; returns without waiting for a connection.
    ///
    /// `dispatch` receives the log lines of the thread.
    ///
    /// # Errors
    /// [`OpenError::Config`] with every fault; [`OpenError::Io`] if the system gives no thread or descriptor.
    pub fn open(config: &str, dispatch: &Dispatch) -> Result<Self, OpenError> {
        let config = Config::parse(config, &ProcessEnvironment).map_err(OpenError::Config)?;
        let bounds = Bounds {
            max_records: config.queue.max_records,
            max_bytes: config.queue.max_bytes,
        };
        let queue = Arc::new(Queue::try_new(bounds)?);
        let status = Arc::new(network::Status::new());
        let (commands, receiver) = watch::channel(Command::Run);
        let finished = Arc::new(Finished::default());
        let thread = {
            let (queue, status) = (Arc::clone(&queue), Arc::clone(&status));
            let (finished, dispatch) = (Arc::clone(&finished), dispatch.clone());
            spawn_without_signals("esp-source", move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    let run = || {
                        secret::warn_of_exposed(&config.credentials);
                        network::run(config, Arc::clone(&queue), receiver, &status);
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
            })?
        };
        Ok(Self {
            queue,
            status,
            commands,
            finished,
            thread: Mutex::new(Some(thread)),
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
        self.queue.commit(sequence)
    }

    /// Returns the statistics as JSON.
    #[must_use]
    pub fn statistics(&self) -> String {
        statistics::to_json(&self.queue, &self.status)
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
        match thread {
            // It has set `finished` as its last act but one, so the join does not wait for the network.
            Some(thread) if finished => thread.join().is_ok(),
            Some(_leaked) => false,
            None => finished,
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.queue.close();
        self.commands.send_replace(Command::Close);
    }
}

/// Starts a thread that no signal of the process reaches: the mask is inherited, so there is no moment without it.
fn spawn_without_signals<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
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
            "client_id": {"file": secret.path()},
            "client_secret": {"file": secret.path()},
            "endpoints": {"login": "http://127.0.0.1:9", "events": "ws://127.0.0.1:9/ws"},
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
