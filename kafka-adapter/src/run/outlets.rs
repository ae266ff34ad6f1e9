//! The outlets of a run, opened unless someone says stop first.
//!
//! Responsible for waiting on both at once: brokers may keep a start waiting for as long as `kafka.start_timeout_ms`.
//! Refuses to wait for a start that nobody wants any more: its thread ends with the process. Invariant: a stop before
//! the outlets are there leaves nothing to drain, since no source is open yet.

use std::io::stdout;
use std::panic::resume_unwind;
use std::thread;

use crossbeam_channel::{bounded, select};

use super::Error;
use super::destinations::{audit_rotation, kafka_settings, routing, uses_kafka, webhook_settings};
use crate::config::Config;
use crate::pipeline::Stop;
use crate::sink::{Outlets, WebhookSink};

/// Opens what the configuration names; none if `stop` received something first.
///
/// # Errors
/// [`Error::Webhook`], [`Error::Start`], and [`Error::Thread`] if the system gives no thread.
/// # Panics
/// If the start panics.
pub(super) fn open(config: &Config, stop: &Stop) -> Result<Option<Outlets>, Error> {
    let (opened, result) = bounded(1);
    let config = config.clone();
    let open = move || {
        // nobody listens any more after a stop
        opened.send(open_all(&config)).ok();
    };
    let starting = thread::Builder::new()
        .name("start".to_owned())
        .spawn(open)
        .map_err(Error::Thread)?;
    select! {
        recv(result) -> outlets => match outlets {
            Ok(outlets) => outlets.map(Some),
            // it ended without a word, so it panicked
            Err(_) => match starting.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => Ok(None),
            },
        },
        recv(stop) -> _ => Ok(None),
    }
}

fn open_all(config: &Config) -> Result<Outlets, Error> {
    let kafka = uses_kafka(config).then(|| kafka_settings(config));
    let webhook = webhook_settings(config).map(WebhookSink::start).transpose()?;
    Ok(Outlets::start(routing(config), kafka, Box::new(stdout()))?
        .with_webhook(webhook)
        .with_audit_rotation(audit_rotation(config)))
}
