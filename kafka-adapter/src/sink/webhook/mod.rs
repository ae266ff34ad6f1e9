//! The webhook sink: one POST an event, on a thread of its own, outcomes through a bounded queue.
//!
//! Responsible for turning parcels into requests and for how many are unanswered at once. Refuses to order, to pace
//! and to repeat them: at most one event a key is with the sink because the pipeline's gate sees to it, and each
//! failure goes back to the pipeline with its meaning. Invariant: path and query of the address, secrets and bodies
//! are in no message.

mod client;
mod probe;
mod request;
mod resolver;
mod retry_after;
mod secrets;
mod settings;
mod signature;
mod status;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::config::WebhookEnvelope;

use request::Request;
use secrets::Secrets;
use worker::{Order, Ticket, Tools};

use super::cloud_event::push_structured;
use super::{Failure, Meaning, Outcome, Parcel, SendError};

pub use probe::{Probe, ProbeAnswer, ProbeError};
pub use settings::{SettingsError, WebhookSettings};

/// Room for outcomes beyond the records in flight.
const SPARE_OUTCOMES: usize = 64;
/// Room for orders beyond the requests in flight: one to abandon them.
const SPARE_ORDERS: usize = 1;

/// The sink that sends requests to a webhook.
pub struct WebhookSink {
    settings: WebhookSettings,
    shown: String,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    outcomes: Sender<Outcome>,
    arrivals: Receiver<Outcome>,
    in_flight: Arc<AtomicUsize>,
    source: String,
}

impl std::fmt::Debug for WebhookSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSink")
            .field("endpoint", &self.shown)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl WebhookSink {
    /// Reads the secrets and starts the thread; connects to nothing yet.
    ///
    /// # Errors
    /// [`SettingsError`]; not retryable.
    pub fn start(settings: WebhookSettings) -> Result<Self, SettingsError> {
        let (outcomes, arrivals) = bounded(settings.max_in_flight_records + SPARE_OUTCOMES);
        let mut sink = Self {
            shown: settings.webhook.target.to_string(),
            settings,
            orders: None,
            thread: None,
            outcomes,
            arrivals,
            in_flight: Arc::default(),
            source: String::new(),
        };
        sink.start_thread()?;
        Ok(sink)
    }

    fn start_thread(&mut self) -> Result<(), SettingsError> {
        let webhook = &self.settings.webhook;
        let tools = Tools {
            client: client::client(webhook)?,
            target: webhook.target.clone(),
            secrets: Secrets::read(webhook.secrets.clone())?,
        };
        let (orders, received) = mpsc::channel(webhook.max_in_flight + SPARE_ORDERS);
        self.thread = Some(worker::spawn(tools, received)?);
        self.orders = Some(orders);
        Ok(())
    }

    /// Accepts a parcel; see [`super::Sink::send`].
    ///
    /// # Errors
    /// As [`super::Sink::send`].
    pub fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let webhook = &self.settings.webhook;
        if self.in_flight.load(Ordering::Acquire) >= webhook.max_in_flight {
            return Err(SendError::Full);
        }
        let Some((record, attributes)) = parcel.record else {
            return Err(SendError::Failed(Failure {
                meaning: Meaning::RefusedAlone,
                reason: "a webhook takes records only".to_owned(),
            }));
        };
        let body = match webhook.envelope {
            WebhookEnvelope::Plain => parcel.body.to_vec(),
            WebhookEnvelope::Structured => {
                if !attributes.copy_value("source", &mut self.source) {
                    self.source.clone_from(&self.settings.default_source);
                }
                let mut body = Vec::with_capacity(parcel.body.len() + 512);
                push_structured(&mut body, &record, attributes, &self.source, parcel.body);
                body
            }
        };
        let request = Request {
            id: signature::header_id(record.id),
            body,
        };
        let ticket = Ticket::new(token, self.outcomes.clone(), Arc::clone(&self.in_flight));
        let refused = match &self.orders {
            Some(orders) => match orders.try_send(Order::Send(request, ticket)) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(order) | TrySendError::Closed(order)) => Some(order),
            },
            None => None,
        };
        let is_alive = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if let Some(Order::Send(_, ticket)) = refused {
            ticket.withdraw();
        }
        Err(if is_alive {
            SendError::Full
        } else {
            SendError::Failed(Failure {
                meaning: Meaning::Fatal,
                reason: "the webhook's thread ended".to_owned(),
            })
        })
    }

    /// Outcomes, in the order of the answers.
    #[must_use]
    pub fn arrivals(&self) -> &Receiver<Outcome> {
        &self.arrivals
    }

    /// Gives up every request; what is known already is appended, and nothing else will follow. Starts a new thread
    /// if the old one has ended.
    ///
    /// # Errors
    /// [`Failure`] if there is no thread to be had; retryable.
    pub fn replace(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        outcomes.extend(self.arrivals.try_iter());
        (self.outcomes, self.arrivals) = bounded(self.settings.max_in_flight_records + SPARE_OUTCOMES);
        let abandoned = self.orders.as_ref().is_some_and(|orders| {
            // full of orders that answer to nobody any more, if it is full
            !matches!(orders.try_send(Order::Abandon), Err(TrySendError::Closed(_)))
        });
        if abandoned {
            return Ok(());
        }
        self.end();
        self.start_thread().map_err(|error| Failure {
            meaning: Meaning::Fatal,
            reason: error.to_string(),
        })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.shown
    }

    /// Attempts after which an event that fails alone is given up.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.settings.webhook.max_attempts
    }

    fn end(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the webhook's thread panicked");
        }
    }
}

impl Drop for WebhookSink {
    fn drop(&mut self) {
        self.end();
    }
}
