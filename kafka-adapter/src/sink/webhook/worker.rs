//! The thread that speaks HTTP: a current-thread runtime, one task a request.
//!
//! Responsible for running requests side by side and for their outcomes. Refuses to queue: the sink hands over no more
//! than may be in flight. Invariant: each order to send gets exactly one outcome, also if its task panics, unless its
//! sink has been replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::Sender;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Target;
use crate::sink::{Failure, Landing, Meaning, Outcome};

use super::request::{self, Request};
use super::secrets::Secrets;
use super::settings::SettingsError;
use super::signature;

/// What the sink asks of the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// Send an event.
    Send(Request, Ticket),
    /// Give up every request.
    Abandon,
}

/// The right to one outcome, and a place among those in flight.
#[derive(Debug)]
pub(super) struct Ticket {
    token: u64,
    outcomes: Option<Sender<Outcome>>,
    in_flight: Arc<AtomicUsize>,
}

impl Ticket {
    /// Takes a place.
    pub(super) fn new(token: u64, outcomes: Sender<Outcome>, in_flight: Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::AcqRel);
        Self {
            token,
            outcomes: Some(outcomes),
            in_flight,
        }
    }

    /// Gives the place back without an outcome.
    pub(super) fn withdraw(mut self) {
        if self.outcomes.take().is_some() {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn settle(&mut self, result: Result<Landing, Failure>) {
        if let Some(outcomes) = self.outcomes.take() {
            // the place is free before anyone can know the outcome and ask for it
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            // nobody listens to a sink that was replaced
            outcomes
                .send(Outcome {
                    token: self.token,
                    result,
                })
                .ok();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // settles nothing where there has been an outcome
        self.settle(Err(Failure {
            meaning: Meaning::Later { pause_ms: 0 },
            reason: "the request was given up".to_owned(),
        }));
    }
}

/// What requests are made with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) client: Client,
    pub(super) target: Target,
    pub(super) secrets: Secrets,
}

/// Starts the thread; it ends when the sender of orders is gone.
pub(super) fn spawn(tools: Tools, orders: mpsc::Receiver<Order>) -> Result<JoinHandle<()>, SettingsError> {
    let system = |error: std::io::Error| SettingsError::System(format!("no thread for the webhook: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system)?;
    Builder::new()
        .name("webhook".to_owned())
        .spawn(move || {
            runtime.block_on(serve(tools, orders));
            // a look-up of a name that hangs must not hold up the end
            runtime.shutdown_background();
        })
        .map_err(system)
}

async fn serve(mut tools: Tools, mut orders: mpsc::Receiver<Order>) {
    let mut running = JoinSet::new();
    while let Some(order) = orders.recv().await {
        // outcomes are reported by the tasks; only their remains are collected here
        while running.try_join_next().is_some() {}
        match order {
            Order::Abandon => running.abort_all(),
            Order::Send(Request { id, body }, mut ticket) => {
                let sent_s = u64::try_from(wall_us() / 1_000_000).unwrap_or(0);
                let keys = tools.secrets.keys();
                let signature = (!keys.is_empty()).then(|| signature::sign(keys, &id, sent_s, &body));
                let headers = request::headers(&id, sent_s, signature.as_deref());
                let (client, target) = (tools.client.clone(), tools.target.clone());
                running.spawn(async move {
                    let result = request::exchange(&client, &target, headers, body, wall_us).await;
                    ticket.settle(result);
                });
            }
        }
    }
}

fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
