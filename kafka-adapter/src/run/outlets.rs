//! What a start waits for, on a thread of its own, unless someone says stop first: the outlets of a run.
//!
//! Responsible for waiting on both at once: brokers may keep a start waiting for as long as `kafka.start_timeout_ms`.
//! Refuses to wait for a start that nobody wants any more: its thread ends with the process. Invariant: whoever waits
//! sees a stop at once.

use std::io::stdout;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, never, select};

use super::Error;
use super::destinations::{audit_rotation, kafka_settings, routing, uses_kafka, webhook_settings};
use crate::config::Config;
use crate::pipeline::Stop;
use crate::sink::{Outlets, WebhookSink};

/// Something that is being opened, or read.
pub(super) struct Opening<T> {
    result: Receiver<Result<T, Error>>,
    thread: JoinHandle<()>,
}

/// What waiting came to.
pub(super) enum Opened<T> {
    Ready(T),
    /// What opening it came to.
    Failed(Error),
    Stopped,
    /// The time is over.
    NotYet(Opening<T>),
}

impl<T: Send + 'static> Opening<T> {
    /// Begins to open it.
    ///
    /// # Errors
    /// [`Error::Thread`] if the system gives no thread.
    pub(super) fn begin(open: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<Self, Error> {
        let (opened, result) = bounded(1);
        let open = move || {
            // nobody listens any more after a stop
            opened.send(open()).ok();
        };
        let thread = thread::Builder::new()
            .name("start".to_owned())
            .spawn(open)
            .map_err(Error::Thread)?;
        Ok(Self { result, thread })
    }

    /// Waits for it, for a stop, or for `longest`.
    ///
    /// # Panics
    /// If the start panics.
    pub(super) fn wait(self, stop: &Stop, longest: Option<Duration>) -> Opened<T> {
        let over = longest.map_or_else(never, crossbeam_channel::after);
        select! {
            recv(self.result) -> opened => match opened {
                Ok(Ok(opened)) => Opened::Ready(opened),
                Ok(Err(error)) => Opened::Failed(error),
                // it ended without a word, so it panicked
                Err(_) => match self.thread.join() {
                    Err(panic) => resume_unwind(panic),
                    Ok(()) => Opened::Stopped,
                },
            },
            recv(stop) -> _ => Opened::Stopped,
            recv(over) -> _ => Opened::NotYet(self),
        }
    }
}

/// Opens what the configuration names.
///
/// # Errors
/// [`Error::Webhook`] and [`Error::Start`].
pub(super) fn open(config: &Config) -> Result<Outlets, Error> {
    let kafka = uses_kafka(config).then(|| kafka_settings(config));
    let webhook = webhook_settings(config).map(WebhookSink::start).transpose()?;
    Ok(Outlets::start(routing(config), kafka, Box::new(stdout()))?
        .with_webhook(webhook)
        .with_audit_rotation(audit_rotation(config)))
}
