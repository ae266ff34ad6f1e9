//! Transactions of librdkafka, whose calls block, on a thread of their own.
//!
//! Responsible for the calls and for what their errors mean. Refuses to commit while a record is in flight: each such
//! commit costs rust-rdkafka 0.39 a step of 100 ms. Invariant: one call at a time, and the pipeline's loop never waits
//! for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::context::{Context, States};
use super::meaning::mend_of;
use super::positions;
use super::settings::{KafkaSettings, TransactionSettings};
use super::{connect, room};
use crate::sink::Outcome;
use crate::sink::ledger::{Answer, WAKE};

pub(super) type Producer = Arc<ThreadedProducer<Context>>;

/// How long one blocking call may last before it is called again, which resumes it: the end of a run waits for it.
const SLICE: Duration = Duration::from_millis(500);
/// Pause between two looks at what is in flight.
const STEP: Duration = Duration::from_micros(500);
/// Pause between two attempts to get a producer that is ready.
const RETRY: Duration = Duration::from_millis(500);
/// How long a producer that was fenced looks for the position of another process before it takes its place again. A
/// broker says "fenced" also of a transaction that lasted too long (librdkafka does not know KIP-588), and a process that
/// takes over writes its first position within a second or two.
const WATCH: Duration = Duration::from_secs(5);

/// What the thread has to do.
enum Command {
    Commit(Producer, Vec<u8>),
    Abort(Producer),
    Open(Option<Producer>, Option<Vec<Option<Vec<u8>>>>),
}

/// An answer, and what comes with it.
pub(super) struct Told {
    pub(super) answer: Answer,
    /// The new producer and its outcomes, where there is one.
    pub(super) fresh: Option<(Producer, Receiver<Outcome>)>,
}

/// What thread and pipeline share.
#[derive(Debug, Default)]
struct Shared {
    quit: AtomicBool,
    /// Why no producer is ready, while that is so.
    obstacle: Mutex<Option<String>>,
}

impl Shared {
    fn tell(&self, obstacle: Option<String>) {
        let mut told = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = obstacle.as_deref().filter(|_| *told != obstacle) {
            tracing::warn!(reason, "transactions have to wait");
        }
        *told = obstacle;
    }

    fn quits(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }
}

/// The thread, from outside.
#[derive(Debug)]
pub(super) struct Calls {
    commands: Option<Sender<Command>>,
    told: Receiver<Told>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Calls {
    /// Starts the thread; `wake` is the queue of outcomes that is waited on first.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        settings: KafkaSettings,
        transactions: TransactionSettings,
        states: Arc<States>,
        wake: Sender<Outcome>,
    ) -> std::io::Result<Self> {
        // one call at a time, so neither queue ever holds more
        let (commands, received) = bounded(1);
        let (tell, told) = bounded(1);
        let shared = Arc::new(Shared::default());
        let mut caller = Caller {
            settings,
            transactions,
            states,
            shared: Arc::clone(&shared),
            wake,
            next_wake: None,
            fenced: false,
        };
        let thread = thread::Builder::new()
            .name("transactions".to_owned())
            .spawn(move || {
                for command in received {
                    let Some(answer) = caller.call(command) else {
                        return;
                    };
                    if tell.send(answer).is_err() {
                        return;
                    }
                    // a full queue has something to wake with
                    drop(caller.wake.try_send(Outcome {
                        token: WAKE,
                        result: Ok(crate::sink::Landing::Lines),
                    }));
                    if let Some(next) = caller.next_wake.take() {
                        caller.wake = next;
                    }
                }
            })?;
        Ok(Self {
            commands: Some(commands),
            told,
            shared,
            thread: Some(thread),
        })
    }

    fn ask(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // the thread lives as long as this does, and has room for the one call that there is
            drop(commands.send(command));
        }
    }

    pub(super) fn commit(&self, producer: &Producer, position: Vec<u8>) {
        self.ask(Command::Commit(Arc::clone(producer), position));
    }

    pub(super) fn abort(&self, producer: &Producer) {
        self.ask(Command::Abort(Arc::clone(producer)));
    }

    pub(super) fn open(&self, old: Option<Producer>, ours: Option<Vec<Option<Vec<u8>>>>) {
        self.ask(Command::Open(old, ours));
    }

    pub(super) fn told(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Why no producer is ready, if none is.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.shared
            .obstacle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the transactions panicked");
        }
    }
}

/// The thread, from inside.
struct Caller {
    settings: KafkaSettings,
    transactions: TransactionSettings,
    states: Arc<States>,
    shared: Arc<Shared>,
    wake: Sender<Outcome>,
    /// The queue that is waited on after the answer.
    next_wake: Option<Sender<Outcome>>,
    /// The last producer was told that another one has taken its place.
    fenced: bool,
}

/// What an error of a transactional call means.
enum Verdict {
    Again,
    Spoiled(String),
    Broken(String),
}

impl Caller {
    /// Makes a call; no answer if nobody waits for one any more.
    fn call(&mut self, command: Command) -> Option<Told> {
        let answer = match command {
            Command::Commit(producer, position) => self.commit(&producer, &position),
            Command::Abort(producer) => self.abort(&producer),
            Command::Open(old, ours) => {
                if let Some(old) = old {
                    let fatal = old.client().fatal_error();
                    self.fenced |= fatal.is_some_and(|(code, _)| is_fencing(code));
                    // waits for the polling thread, and reports what was in flight as failed
                    drop(old);
                }
                return self.open(ours.as_deref());
            }
        };
        Some(Told {
            answer: answer?,
            fresh: None,
        })
    }

    fn commit(&mut self, producer: &Producer, position: &[u8]) -> Option<Answer> {
        let mut record = BaseRecord::with_opaque_to(&self.settings.topics.positions, WAKE as usize)
            .key(self.transactions.shard.as_bytes())
            .payload(position);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => record = again,
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) => {
                    return Some(Answer::Broken(error.to_string()));
                }
                Err((error, _)) => return Some(Answer::Spoiled(error.to_string())),
            }
            self.step(STEP)?;
        }
        self.land(producer)?;
        loop {
            // a position that failed has spoiled the transaction, and the library knows it
            let Err(error) = producer.commit_transaction(SLICE) else {
                return Some(Answer::Committed);
            };
            match self.judge(&error) {
                Verdict::Again => self.step(STEP)?,
                Verdict::Spoiled(reason) => return Some(Answer::Spoiled(reason)),
                Verdict::Broken(reason) => return Some(Answer::Broken(reason)),
            }
        }
    }

    fn abort(&mut self, producer: &Producer) -> Option<Answer> {
        loop {
            let Err(error) = producer.abort_transaction(SLICE) else {
                self.land(producer)?;
                return Some(Answer::Aborted);
            };
            match self.judge(&error) {
                Verdict::Again => self.step(STEP)?,
                Verdict::Spoiled(reason) | Verdict::Broken(reason) => return Some(Answer::Broken(reason)),
            }
        }
    }

    /// Waits until nothing is in flight, or the producer is dead.
    fn land(&self, producer: &Producer) -> Option<()> {
        while producer.in_flight_count() > 0 && producer.client().fatal_error().is_none() {
            self.step(STEP)?;
        }
        Some(())
    }

    fn judge(&mut self, error: &KafkaError) -> Verdict {
        let KafkaError::Transaction(failed) = error else {
            // what is in flight has not landed in time: it may in the next slice
            return Verdict::Again;
        };
        let reason = failed.to_string();
        if failed.is_fatal() {
            self.fenced |= is_fencing(failed.code());
            Verdict::Broken(reason)
        } else if failed.txn_requires_abort() {
            Verdict::Spoiled(reason)
        } else if failed.is_retriable() {
            Verdict::Again
        } else {
            Verdict::Broken(reason)
        }
    }

    fn open(&mut self, ours: Option<&[Option<Vec<u8>>]>) -> Option<Told> {
        let is_foreign = |found: &Option<Vec<u8>>| ours.is_some_and(|ours| !ours.contains(found));
        let told = |answer| Some(Told { answer, fresh: None });
        if std::mem::take(&mut self.fenced) && ours.is_some() {
            let until = Instant::now() + WATCH;
            loop {
                let found = self.position()?;
                if is_foreign(&found) {
                    return told(Answer::TakenOver(found.unwrap_or_default()));
                }
                if Instant::now() >= until {
                    break;
                }
                self.step(RETRY)?;
            }
        }
        let fresh = match self.ready() {
            Ok(ready) => ready?,
            Err(impossible) => return told(Answer::Impossible(impossible)),
        };
        let found = self.position()?;
        self.shared.tell(None);
        if is_foreign(&found) {
            return told(Answer::TakenOver(found.unwrap_or_default()));
        }
        Some(Told {
            answer: Answer::Opened(found),
            fresh: Some(fresh),
        })
    }

    /// A producer that no older one can disturb. `Ok(None)` if nobody waits for it any more.
    fn ready(&mut self) -> Result<Option<(Producer, Receiver<Outcome>)>, String> {
        loop {
            self.states.fatal.store(false, Ordering::Release);
            self.states.lost_outcomes.store(0, Ordering::Relaxed);
            let (outcomes, arrivals) = bounded(room(&self.settings));
            let config = self.settings.transactional_config(&self.transactions);
            let producer = Arc::new(connect(config, outcomes.clone(), &self.states)?);
            loop {
                if self.shared.quits() {
                    return Ok(None);
                }
                let error = match producer.init_transactions(SLICE) {
                    Ok(()) => {
                        self.next_wake = Some(outcomes);
                        return Ok(Some((producer, arrivals)));
                    }
                    Err(KafkaError::Transaction(error)) => error,
                    Err(error) => return Err(error.to_string()),
                };
                if error.code() == RDKafkaErrorCode::InvalidTransactionTimeout {
                    return Err(format!(
                        "kafka.transaction_timeout_ms = {} is longer than the brokers allow; lower it, or raise their \
                         transaction.max.timeout.ms",
                        self.transactions.timeout_ms
                    ));
                }
                if !error.is_retriable() || error.code() != RDKafkaErrorCode::OperationTimedOut {
                    let mend = mend_of(error.code()).map_or_else(String::new, |mend| format!("; {mend}"));
                    self.shared
                        .tell(Some(format!("{}: {error}{mend}", self.transactions.id())));
                }
                if !error.is_retriable() {
                    if self.step(RETRY).is_none() {
                        return Ok(None);
                    }
                    break;
                }
            }
        }
    }

    /// The shard's position, asked for until it is told.
    fn position(&self) -> Option<Option<Vec<u8>>> {
        loop {
            match positions::last(&self.settings, &self.transactions.shard, &|| self.shared.quits()) {
                Ok(found) => return found,
                Err(reason) => self.shared.tell(Some(reason)),
            }
            self.step(RETRY)?;
        }
    }

    /// Waits a little; nothing if nobody waits for the answer any more.
    fn step(&self, pause: Duration) -> Option<()> {
        if self.shared.quits() {
            return None;
        }
        thread::sleep(pause);
        Some(())
    }
}

/// Says whether a broker means that another producer has taken this one's place, or that its transaction timed out.
fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
    )
}
