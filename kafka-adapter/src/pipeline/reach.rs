//! Whether the destination can be reached and takes anything, as the log and an operator are told.
//!
//! Responsible for one line when it goes away and one when it is back, and for the words that say what stands in the
//! way. Refuses to act on it: back-pressure does. Invariant: no word holds a secret or a payload, as none of a failure's
//! reason does.

use crate::sink::Sink;

use super::Pipeline;
use super::feed::Batch;

/// Longest time in which nothing is acknowledged and nothing is said of it, in microseconds. A client library repeats by
/// itself, and without a word, what brokers refuse for the time being (too few replicas in sync, no leader, no
/// coordinator); electing another leader takes Kafka's default session of 9 s at most, and a moment.
const SILENT_US: i64 = 10_000_000;

/// Longest time between two looks that counts, in microseconds: a process that stood still has not listened meanwhile.
const TURN_US: i64 = 1_000_000;

/// Whether what the destination was given is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// When this was last looked at, by the monotonic clock.
    looked_us: i64,
    /// For how long nothing was, if something is waited for.
    lasts_us: Option<i64>,
    /// Something was acknowledged since the last look.
    broken: bool,
    /// That nothing is has been told, and not yet that something is.
    told: bool,
}

impl Silence {
    /// Notes that something was acknowledged.
    pub(super) fn end(&mut self) {
        self.broken = true;
    }
}

/// What stands in the way of every delivery until someone acts.
#[derive(Debug)]
pub(super) struct Blocked {
    /// The first failure that said so.
    pub(super) reason: String,
    /// By the monotonic clock.
    pub(super) since_us: i64,
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Logs when the destination goes away and when it is back, and when it acknowledges nothing and when it does again,
    /// once each; `now_us` is monotonic, in microseconds.
    pub(super) fn note_reach(&mut self, now_us: i64) {
        match (self.sink.unreachable(), self.unreachable) {
            (Some(reason), false) => {
                self.unreachable = true;
                tracing::warn!(reason, "destination unreachable, the source is slowed down");
            }
            (None, true) => {
                self.unreachable = false;
                tracing::info!("destination reachable again");
            }
            _ => {}
        }
        self.note_silence(now_us);
    }

    fn note_silence(&mut self, now_us: i64) {
        let is_waiting = self.in_sink > 0
            || self
                .transactions
                .as_ref()
                .is_some_and(super::transaction::Transactions::is_asking);
        let is_told_of = self.unreachable || self.blocked.is_some() || self.dead_producer.is_some();
        let silence = &mut self.silence;
        let turn_us = (now_us - silence.looked_us).clamp(0, TURN_US);
        silence.looked_us = now_us;
        if std::mem::take(&mut silence.broken) || self.window.is_empty() {
            silence.lasts_us = None;
            if std::mem::take(&mut silence.told) {
                tracing::info!("destination acknowledges again");
            }
        }
        silence.lasts_us = match silence.lasts_us {
            _ if is_told_of => None,
            Some(lasts_us) => Some(lasts_us + turn_us),
            None => is_waiting.then_some(0),
        };
        if silence.lasts_us.is_some_and(|lasts_us| lasts_us >= SILENT_US)
            && !silence.told
            && let Some(reason) = self.sink.silent()
        {
            silence.told = true;
            tracing::warn!(
                reason,
                in_flight = self.in_sink,
                "destination acknowledges nothing, the source is slowed down"
            );
        }
    }

    /// Why nothing can be delivered at present, in words, if that is so.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let shut = || self.breaker.reason().map(str::to_owned);
        self.sink
            .unreachable()
            .or_else(|| self.blocked.as_ref().map(|blocked| blocked.reason.clone()))
            .or_else(|| self.dead_producer.clone())
            .or_else(|| self.silence.told.then(|| self.sink.silent()).flatten())
            .or_else(shut)
    }
}
