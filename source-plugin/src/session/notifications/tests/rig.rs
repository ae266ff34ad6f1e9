//! A fleet against the scripted service, and everything that a test holds against it.
//!
//! Over 400 lines: it is one struct, and each method one line of what a test says.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use super::super::platform::Rejected;
use super::super::{Fleet, ListenerSettings, Settings};
pub(super) use super::service::Say;
use super::service::{MAX_SAID, Script, Scripted, Server, serve};
use crate::admission::{self, Admission, OnFull};
use crate::backoff::Policy;
use crate::clock::Clock;
use crate::clock::paused::PausedClock;
use crate::config::KeepAlive;
use crate::counts::Counts;
use crate::decode::Transport;
use crate::dedup;
use crate::gap::Origin;
use crate::queue::{Bounds, NoRecords, PullLimits, Queue};
use crate::record::Kind;
use crate::rest::RestError;
use crate::session::status::{Status, StatusSnapshot};
use crate::session::{Command, Failure, Intake};
use crate::spool::{self, storage::faulty::FaultyStorage};
use crate::store::{Keeper, Store, Writer};
use crate::transport::events::{Connector, Target};

/// The window of known identities.
const WINDOW: dedup::Settings = dedup::Settings {
    window_ms: 60_000,
    max_ids: 1000,
};

/// Kind, type, body.
pub(super) type Records = Vec<(Kind, String, Value)>;

pub(super) struct Options {
    pub(super) shares: Vec<Vec<&'static str>>,
    pub(super) life: Duration,
    pub(super) max_records: usize,
    pub(super) is_backfilling: bool,
    /// Where a spool is; without one records are in memory.
    pub(super) storage: Option<FaultyStorage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shares: vec![vec!["t1", "t2"]],
            life: Duration::from_secs(86_400),
            max_records: 100_000,
            is_backfilling: false,
            storage: None,
        }
    }
}

impl Options {
    /// With channels of this life.
    pub(super) fn living(life: Duration) -> Self {
        Self {
            life,
            ..Self::default()
        }
    }
}

/// A fleet and everything that a test holds against it.
pub(super) struct Rig {
    script: Rc<RefCell<Script>>,
    queue: Arc<Queue>,
    spool: Option<(Arc<Store>, RefCell<Keeper>)>,
    status: Arc<Status>,
    commands: watch::Sender<Command>,
    fleet: Option<Fleet<Scripted, ChaCha8Rng>>,
    taken: RefCell<Records>,
}

/// Runs a test with a rig.
pub(super) async fn with<F: Future<Output = ()>>(options: Options, test: impl FnOnce(Rig) -> F) {
    LocalSet::new()
        .run_until(async move { test(Rig::new(&options)).await })
        .await;
}

fn owned(shares: &[Vec<&str>]) -> Vec<Vec<String>> {
    let share = |share: &Vec<&str>| share.iter().map(|topic| (*topic).to_owned()).collect();
    shares.iter().map(share).collect()
}

impl Rig {
    fn new(options: &Options) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::start());
        let bounds = Bounds {
            max_records: options.max_records,
            max_bytes: 8 << 20,
        };
        let queue = Arc::new(Queue::try_new(bounds).unwrap());
        let status = Arc::new(Status::new());
        let script = Rc::new(RefCell::new(Script {
            shares: owned(&options.shares),
            life: options.life,
            ..Script::default()
        }));
        let (acceptor, mut accepted) = mpsc::channel(MAX_SAID);
        let served = Rc::clone(&script);
        tokio::task::spawn_local(async move {
            while let Some((number, stream, said)) = accepted.recv().await {
                tokio::task::spawn_local(serve(Rc::clone(&served), number, stream, said));
            }
        });
        let platform = Scripted {
            script: Rc::clone(&script),
            acceptor,
            connector: Rc::new(Connector {
                target: Target::Channel,
                url: "ws://127.0.0.1:1/channels/c".parse().unwrap(),
                proxies: crate::transport::proxy::Proxies::none(),
                tls: crate::tls::client_config(None, false).unwrap(),
                max_frame_bytes: 65_536,
                deadline: Duration::from_secs(15),
                clock: Arc::clone(&clock),
            }),
        };
        let spool = options.storage.as_ref().map(|storage| {
            Store::open(
                Arc::new(storage.clone()),
                spool::Settings::try_new(16 << 20).unwrap(),
                Duration::from_millis(20),
                WINDOW,
                Arc::clone(&queue),
            )
            .unwrap()
        });
        let admission = Admission::new(admission::Settings {
            transport: Transport::Notifications,
            source_name: "main".to_owned(),
            dedup: WINDOW,
            on_full: OnFull::Stop,
            max_queue_bytes: bounds.max_bytes,
            epoch: spool.as_ref().map_or(0, |(store, ..)| store.epoch()),
        });
        let origin = Origin {
            source: "main".to_owned(),
            topics: Vec::new(),
            max_topics_bytes: 8192,
        };
        let intake = Intake::new(admission, Arc::clone(&queue), origin, clock, Arc::clone(&status));
        let (intake, spool) = match spool {
            None => (intake, None),
            Some((store, found, keeper)) => {
                let intake = intake.with_spool(Writer::new(Arc::clone(&store)), found);
                (intake, Some((store, RefCell::new(keeper))))
            }
        };
        let settings = Settings {
            listener: ListenerSettings {
                keep_alive: KeepAlive {
                    ping: Duration::from_secs(1),
                    silence: Duration::from_secs(35),
                },
                stall: Duration::from_secs(10),
                overlap: Duration::from_secs(2),
                max_held_bytes: 1 << 20,
                close: Duration::from_secs(5),
                ask_again: Duration::from_secs(300),
            },
            reconnect: Policy {
                min: Duration::from_millis(100),
                max: Duration::from_secs(60),
                max_attempts: None,
                stable: Duration::from_secs(30),
            },
            refresh: Duration::from_secs(300),
            backfill: options.is_backfilling.then_some(65_536),
        };
        let (commands, _) = watch::channel(Command::Run);
        Self {
            script,
            queue,
            spool,
            status,
            commands,
            fleet: Some(Fleet::new(
                platform,
                intake,
                settings,
                ChaCha8Rng::seed_from_u64(1),
            )),
            taken: RefCell::default(),
        }
    }

    pub(super) fn start(&mut self) -> JoinHandle<()> {
        let fleet = self.fleet.take().unwrap();
        tokio::task::spawn_local(fleet.run(self.commands.subscribe()))
    }

    /// The process dies: what was written to the spool stays, nothing is said.
    pub(super) fn die(&self) {
        self.spool.as_ref().unwrap().0.shut();
    }

    /// Lets the spool's own thread do its part.
    pub(super) fn sync(&self) {
        self.spool.as_ref().unwrap().1.borrow_mut().sync().unwrap();
    }

    pub(super) fn snapshot(&self) -> StatusSnapshot {
        self.status.snapshot()
    }

    pub(super) fn command(&self, command: Command) {
        self.commands.send_replace(command);
    }

    pub(super) async fn until(&self, condition: impl Fn(&StatusSnapshot) -> bool) {
        let waiting = async {
            while !condition(&self.status.snapshot()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(900), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.status.snapshot());
    }

    /// Lets the open socket of a channel do something.
    pub(super) fn say(&self, channel: &str, say: Say) {
        let script = self.script.borrow();
        let server = script.servers.iter().rfind(|server| server.channel == channel);
        server.unwrap().say.try_send(say).ok();
    }

    /// Sends an event to each open socket whose channel has the topic.
    pub(super) fn broadcast(&self, topic: &str, number: i64) {
        let script = self.script.borrow();
        for server in script.servers.iter().filter(|server| server.is_open) {
            let topics = script.topics.get(&server.channel);
            if topics.is_some_and(|topics| topics.iter().any(|subscribed| subscribed == topic)) {
                server.say.try_send(Say::event(topic, number)).ok();
            }
        }
    }

    pub(super) fn channel_of(&self, topic: &str) -> String {
        let script = self.script.borrow();
        let mut channels = script.topics.iter();
        let found = channels.find(|(_, topics)| topics.iter().any(|subscribed| subscribed == topic));
        found.unwrap().0.clone()
    }

    pub(super) fn wish(&self, shares: &[Vec<&'static str>]) {
        self.script.borrow_mut().shares = owned(shares);
    }

    pub(super) fn leave_out(&self, topics: &[&str]) {
        self.script.borrow_mut().left_out = topics.iter().map(|topic| (*topic).to_owned()).collect();
    }

    pub(super) fn refuse_connection(&self, channel: &str, failure: Failure) {
        let refusals = &mut self.script.borrow_mut().refusals;
        refusals.push((channel.to_owned(), failure));
    }

    /// Refuses the next attempt to connect a channel in a way that says nothing of the channel.
    pub(super) fn fail_connection(&self, channel: &str) {
        self.refuse_connection(channel, Failure::refused(500, "HTTP 500".to_owned(), None));
    }

    /// Lets no channel be connected any more.
    pub(super) fn refuse_every_connection(&self) {
        self.script.borrow_mut().is_unreachable = true;
    }

    /// Answers questions about whether a channel lives, or, with `None`, leaves them without an answer.
    pub(super) fn says_of(&self, channel: &str, answer: Option<Result<bool, Failure>>) {
        self.script.borrow_mut().lives.insert(channel.to_owned(), answer);
    }

    /// The channels that were asked about, in order.
    pub(super) fn questions(&self) -> Vec<String> {
        self.script.borrow().questions.clone()
    }

    /// Refuses the next subscribe request of a channel.
    pub(super) fn refuse_topics(&self, channel: &str, error: RestError) {
        let refusals = &mut self.script.borrow_mut().subscribe_refusals;
        refusals.push((channel.to_owned(), error.into()));
    }

    pub(super) fn reject(&self, topic: &str, reason: &str) {
        self.script.borrow_mut().rejected.push(Rejected {
            topic: topic.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Answers the next query of the history.
    pub(super) fn remember(&self, answer: Result<Vec<Value>, RestError>) {
        self.script.borrow_mut().history.push_back(answer);
    }

    pub(super) fn permit_all(&self) {
        self.script.borrow_mut().rejected.clear();
    }

    pub(super) fn subscriptions(&self) -> Vec<(String, Vec<String>)> {
        self.script.borrow().subscriptions.clone()
    }

    /// The channels whose sockets were opened, in order.
    pub(super) fn connections(&self) -> Vec<String> {
        let script = self.script.borrow();
        script
            .servers
            .iter()
            .map(|server| server.channel.clone())
            .collect()
    }

    fn of<T>(&self, channel: &str, read: impl Fn(&Server) -> T) -> T {
        let script = self.script.borrow();
        read(
            script
                .servers
                .iter()
                .rfind(|server| server.channel == channel)
                .unwrap(),
        )
    }

    pub(super) fn asked(&self, channel: &str) -> usize {
        self.of(channel, |server| server.asked)
    }

    pub(super) fn is_open(&self, channel: &str) -> bool {
        self.of(channel, |server| server.is_open)
    }

    pub(super) fn closed(&self, channel: &str) -> Option<u16> {
        self.of(channel, |server| server.closed)
    }

    pub(super) fn discarded_tokens(&self) -> usize {
        self.script.borrow().discarded_tokens
    }

    pub(super) fn counts(&self) -> Counts {
        self.status.frames().counts
    }

    pub(super) fn law(&self) -> i64 {
        self.counts().frames_law()
    }

    /// Takes what the queue holds, and the spool behind it.
    pub(super) fn pull(&self) -> Records {
        let mut all = Records::new();
        loop {
            if let Some((_, keeper)) = &self.spool {
                while keeper.borrow_mut().refill() {}
            }
            let pulled = self.try_pull().unwrap_or_default();
            if pulled.is_empty() {
                return all;
            }
            all.extend(pulled);
        }
    }

    fn try_pull(&self) -> Result<Records, NoRecords> {
        let limits = PullLimits {
            max_records: 100_000,
            max_bytes: usize::MAX,
            wait: Duration::ZERO,
            linger: Duration::ZERO,
        };
        let slices = self.queue.pull(&limits)?;
        let records = slices
            .iter()
            .flat_map(|slice| (slice.start..slice.end).map(|at| slice.chunk.record(at).unwrap()));
        let shown = records.map(|record| {
            let body = serde_json::from_slice(record.body()).unwrap();
            (record.kind(), record.type_().to_owned(), body)
        });
        Ok(shown.collect())
    }

    /// Pulls until the source ends; returns status and message.
    pub(super) async fn ending(&self) -> (i32, String) {
        loop {
            match self.try_pull() {
                Ok(records) => self.taken.borrow_mut().extend(records),
                Err(NoRecords::Ended(ending)) => return (ending.status, ending.message),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// What [`Rig::ending`] pulled.
    pub(super) fn taken(&self) -> Records {
        self.taken.borrow().clone()
    }
}
