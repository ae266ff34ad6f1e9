//! Sessions against a scripted server over an in-memory pipe, under paused time, with the real admission and queue.
//!
//! Over 400 lines: one scripted server and one rig serve every scenario, and splitting them would repeat both.

mod hostile;
mod spooled;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::status::{State, Status};
use super::{Command, Failure, FailureKind, Intake, Link, Session, Settings};
use crate::admission::{self, Admission, OnFull};
use crate::backoff::{Backoff, Policy};
use crate::clock::Clock;
use crate::clock::paused::PausedClock;
use crate::config::KeepAlive;
use crate::decode::Transport;
use crate::dedup;
use crate::gap::Origin;
use crate::queue::{Bounds, NoRecords, PullLimits, Queue};
use crate::record::Kind;
use crate::spool::Settings as SpoolSettings;
use crate::spool::storage::faulty::FaultyStorage;
use crate::store::{Keeper, Store, Writer};
use crate::subscription::Subscription;
use crate::transport::events::{Connector, Target};
use crate::transport::proxy::Proxies;
use crate::transport::socket::Socket;

/// The window of known identities.
const WINDOW: dedup::Settings = dedup::Settings {
    window_ms: 60_000,
    max_ids: 1000,
};
const MAX_FRAME_BYTES: usize = 4096;

type Server = WebSocketStream<DuplexStream>;

#[derive(Default)]
struct Script {
    /// What the next logins give; a token when there is nothing left.
    logins: VecDeque<Failure>,
    /// What the next connections give.
    connections: VecDeque<Result<DuplexStream, Failure>>,
    connected_at: Vec<Instant>,
    discarded_tokens: usize,
    /// Tokens given out.
    tokens: usize,
}

struct ScriptedLink {
    script: Rc<RefCell<Script>>,
    connector: Connector,
}

impl Link for ScriptedLink {
    async fn token(&mut self) -> Result<SecretString, Failure> {
        let next = self.script.borrow_mut().logins.pop_front();
        match next {
            Some(failure) => Err(failure),
            None => {
                self.script.borrow_mut().tokens += 1;
                Ok("0123456789abcdefghij".into())
            }
        }
    }

    fn discard_token(&mut self) {
        self.script.borrow_mut().discarded_tokens += 1;
    }

    async fn connect(&mut self) -> Result<Socket, Failure> {
        let next = {
            let mut script = self.script.borrow_mut();
            script.connected_at.push(Instant::now());
            script.connections.pop_front()
        };
        let stream = next.unwrap_or_else(|| Err(Failure::refused(503, "out of script".to_owned(), None)))?;
        Ok(self.connector.upgrade(Box::new(stream)).await?)
    }
}

/// A session and everything that a test holds against it.
struct Rig {
    script: Rc<RefCell<Script>>,
    queue: Arc<Queue>,
    status: Arc<Status>,
    commands: watch::Sender<Command>,
    clock: PausedClock,
    session: Option<Box<Session<ScriptedLink, ChaCha8Rng>>>,
    /// The spool thread's part, called by hand.
    keeper: Option<Keeper>,
    store: Option<Arc<Store>>,
}

struct Options {
    max_records: usize,
    on_full: OnFull,
    max_attempts: Option<u64>,
    /// A directory to spool in.
    storage: Option<FaultyStorage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_records: 1000,
            on_full: OnFull::Stop,
            max_attempts: None,
            storage: None,
        }
    }
}

impl Rig {
    fn new(options: &Options) -> Self {
        let paused = PausedClock::start();
        let clock: Arc<dyn Clock> = Arc::new(paused.clone());
        let script = Rc::new(RefCell::new(Script::default()));
        let bounds = Bounds {
            max_records: options.max_records,
            max_bytes: 1 << 20,
        };
        let queue = Arc::new(Queue::try_new(bounds).unwrap());
        let status = Arc::new(Status::new());
        let link = ScriptedLink {
            script: Rc::clone(&script),
            connector: Connector {
                target: Target::Events,
                url: "ws://127.0.0.1:1/events".parse().unwrap(),
                proxies: Proxies::none(),
                tls: crate::tls::client_config(None, false).unwrap(),
                max_frame_bytes: MAX_FRAME_BYTES,
                deadline: Duration::from_secs(15),
                clock: Arc::clone(&clock),
            },
        };
        let spool = options.storage.as_ref().map(|storage| {
            let (sync, settings) = (
                Duration::from_millis(20),
                SpoolSettings::try_new(256 << 10).unwrap(),
            );
            Store::open(
                Arc::new(storage.clone()),
                settings,
                sync,
                WINDOW,
                Arc::clone(&queue),
            )
            .unwrap()
        });
        let admission = Admission::new(admission::Settings {
            transport: Transport::Events,
            source_name: "main".to_owned(),
            dedup: WINDOW,
            on_full: options.on_full,
            max_queue_bytes: bounds.max_bytes,
            epoch: spool.as_ref().map_or(0, |(store, ..)| store.epoch()),
        });
        let settings = Settings {
            subscription: Subscription {
                events: vec!["interaction".to_owned()],
                filters: Map::new(),
                max_events: 10,
                max_bytes: 8192,
            },
            subscription_interval: Duration::from_secs(2),
            subscribe_grace: Duration::from_secs(2),
            send: Duration::from_secs(15),
            keep_alive: KeepAlive {
                ping: Duration::from_secs(20),
                silence: Duration::from_secs(35),
            },
            stall: Duration::from_secs(10),
        };
        let policy = Policy {
            min: Duration::from_millis(1),
            max: Duration::from_secs(60),
            max_attempts: options.max_attempts,
            stable: Duration::from_secs(30),
        };
        let backoff = Backoff::new(policy, ChaCha8Rng::seed_from_u64(1));
        let origin = Origin {
            source: "main".to_owned(),
            topics: settings.subscription.events.clone(),
            max_topics_bytes: settings.subscription.max_bytes,
        };
        let intake = Intake::new(admission, Arc::clone(&queue), origin, clock, Arc::clone(&status));
        let (commands, _) = watch::channel(Command::Run);
        let (intake, store, keeper) = match spool {
            None => (intake, None, None),
            Some((store, found, keeper)) => {
                let intake = intake.with_spool(Writer::new(Arc::clone(&store)), found);
                (intake, Some(store), Some(keeper))
            }
        };
        let session = Session::new(link, intake, backoff, settings);
        Self {
            store,
            keeper,
            script,
            queue,
            status,
            commands,
            clock: paused,
            session: Some(Box::new(session)),
        }
    }

    fn start(&mut self) -> JoinHandle<()> {
        let session = self.session.take().unwrap();
        tokio::task::spawn_local(session.run(self.commands.subscribe()))
    }

    /// Offers one more connection; returns the server's end.
    fn connection(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.script.borrow_mut().connections.push_back(Ok(ours));
        theirs
    }

    /// Accepts a connection and reads its subscription.
    async fn accept(&self, stream: DuplexStream) -> (Server, Value) {
        let mut server = tokio_tungstenite::accept_async(stream).await.unwrap();
        let payload = server.next().await.unwrap().unwrap();
        (server, serde_json::from_str(payload.to_text().unwrap()).unwrap())
    }

    async fn accept_and_acknowledge(&self, stream: DuplexStream) -> Server {
        let (mut server, _) = self.accept(stream).await;
        server.send(text(&json!({"type": "subscribed"}))).await.unwrap();
        self.until(|status| status.subscribed).await;
        server
    }

    async fn until(&self, condition: impl Fn(&super::status::StatusSnapshot) -> bool) {
        let waiting = async {
            while !condition(&self.status.snapshot()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(600), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.status.snapshot());
    }

    /// Takes what the queue holds: kind, type or id, body.
    fn pull(&self) -> Vec<(Kind, String, Value)> {
        let limits = PullLimits {
            max_records: 10_000,
            max_bytes: usize::MAX,
            wait: Duration::ZERO,
            linger: Duration::ZERO,
        };
        match self.queue.pull(&limits) {
            Err(_) => Vec::new(),
            Ok(slices) => slices
                .iter()
                .flat_map(|slice| (slice.start..slice.end).map(|at| slice.chunk.record(at).unwrap()))
                .map(|record| {
                    let body = serde_json::from_slice(record.body()).unwrap();
                    let name = if record.kind() == Kind::Event {
                        record.id()
                    } else {
                        record.type_()
                    };
                    (record.kind(), name.to_owned(), body)
                })
                .collect(),
        }
    }

    fn end(&self) -> NoRecords {
        let limits = PullLimits {
            max_records: 1,
            max_bytes: usize::MAX,
            wait: Duration::ZERO,
            linger: Duration::ZERO,
        };
        self.queue.pull(&limits).unwrap_err()
    }
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

fn event(id: &str) -> Message {
    text(
        &json!({"type": "interaction", "id": id, "conversationId": "c1", "timestamp": "2026-01-02T03:04:05Z"}),
    )
}

fn names(records: &[(Kind, String, Value)]) -> Vec<&str> {
    records.iter().map(|(_, name, _)| name.as_str()).collect()
}

async fn with<F: Future<Output = ()>>(options: Options, test: impl FnOnce(Rig) -> F) {
    LocalSet::new().run_until(test(Rig::new(&options))).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_is_followed_by_a_reconnect_with_a_gap_pair_and_the_session_token() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let (mut server, payload) = rig.accept(first).await;
        assert_eq!(payload["type"], "subscribe");
        assert_eq!(payload["sessionToken"].as_str().unwrap().len(), 36);
        server
            .send(text(&json!({"type": "subscribed", "sessionToken": "theirs"})))
            .await
            .unwrap();
        server.send(event("e1")).await.unwrap();
        rig.until(|status| status.subscribed).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let close = CloseFrame {
            code: CloseCode::Away,
            reason: "by\u{7}e".into(),
        };
        server.close(Some(close)).await.unwrap();
        let (mut server, payload) = rig.accept(second).await;
        assert_eq!(payload["sessionToken"], "theirs");
        server.send(event("e2")).await.unwrap();
        rig.until(|status| status.subscribed && status.connects_total == 2)
            .await;
        let records = rig.pull();
        assert_eq!(names(&records), ["e1", "gap_opened", "e2", "gap_closed"]);
        let (opened, closed) = (&records[1].2, &records[3].2);
        assert_eq!(opened["cause"], "reconnect");
        assert_eq!(
            opened["detail"],
            json!({"kind": "close", "closeCode": 1001, "closeReason": "by\\u{7}e"})
        );
        assert_eq!(
            (&opened["gapId"], &opened["source"]),
            (&closed["gapId"], &json!("main"))
        );
        assert!(opened["from"].as_str() < closed["to"].as_str());
        // At least two seconds between the subscriptions, also across the reconnect.
        let at = rig.script.borrow().connected_at.clone();
        assert!(at[1] - at[0] >= Duration::from_secs(2));
        let status = rig.status.snapshot();
        assert_eq!(
            (status.reconnects_total, status.gaps_total, status.gaps_open),
            (1, 1, 0)
        );
        assert_eq!(rig.status.frames().counts.frames_law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_without_a_close_frame_dates_the_gap_from_what_is_known_to_have_arrived() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        server.send(event("e1")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(server);
        rig.until(|status| !status.subscribed).await;
        let _server = rig.accept_and_acknowledge(second).await;
        let records = rig.pull();
        assert_eq!(names(&records), ["e1", "gap_opened", "gap_closed"]);
        let opened = &records[1].2;
        assert_eq!(opened["detail"]["kind"], "eof");
        // No ping has been answered, so nothing is known of the five seconds since the connection was opened.
        assert!(
            opened["from"].as_str() < Some("2026-01-02T03:04:05.100Z"),
            "{opened}"
        );
        assert!(
            opened["detectedAt"].as_str() >= Some("2026-01-02T03:04:10.000Z"),
            "{opened}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_after_the_deadline_and_pings_keep_a_quiet_connection() {
    with(Options::default(), |mut rig| async move {
        let (first, _second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        // The server's codec answers pings while it is read: two minutes pass without a loss.
        let quiet = tokio::time::timeout(Duration::from_secs(120), async {
            while server.next().await.is_some() {}
        });
        assert!(quiet.await.is_err());
        let status = rig.status.snapshot();
        assert!(
            status.subscribed && status.pings_total >= 5 && status.pongs_total >= 5,
            "{status:?}"
        );
        let silent_since = Instant::now();
        rig.until(|status| !status.subscribed).await;
        let noticed = silent_since.elapsed();
        assert!(
            noticed > Duration::from_secs(14) && noticed < Duration::from_secs(36),
            "{noticed:?}"
        );
        assert_eq!(rig.pull()[0].2["detail"]["kind"], "silence");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_keep_their_distance_from_when_the_last_one_had_arrived() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let (mut server, _) = rig.accept(first).await;
        // The server may have had it as late as this.
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.send(text(&json!({"type": "subscribed"}))).await.unwrap();
        let arrived = Instant::now();
        rig.until(|status| status.subscribed).await;
        drop(server);
        let (_server, _) = rig.accept(second).await;
        assert!(
            arrived.elapsed() >= Duration::from_secs(2),
            "{:?}",
            arrived.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_acknowledgement_the_subscription_counts_after_the_grace() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let _session = rig.start();
        let (_server, _) = rig.accept(first).await;
        let sent = Instant::now();
        rig.until(|status| status.subscribed).await;
        assert!(
            sent.elapsed() >= Duration::from_millis(1999),
            "{:?}",
            sent.elapsed()
        );
        assert!(rig.pull().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_subscription_leaves_no_gap() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        rig.script
            .borrow_mut()
            .connections
            .push_front(Err(Failure::refused(503, "busy".to_owned(), None)));
        let second = rig.connection();
        let _session = rig.start();
        let (mut server, _) = rig.accept(first).await;
        server
            .send(text(&json!({"type": "error", "status": 500, "message": "no"})))
            .await
            .unwrap();
        rig.until(|status| status.failed_attempts_total == 2).await;
        let _server = rig.accept_and_acknowledge(second).await;
        assert!(rig.pull().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_waits_as_long_as_the_server_asks() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let (mut server, _) = rig.accept(first).await;
        let refusal = json!({"type": "error", "status": 429, "message": "slow down", "retryAfterMs": 17_000});
        server.send(text(&refusal)).await.unwrap();
        let refused = Instant::now();
        rig.until(|status| status.state == State::Disconnected).await;
        assert!(rig.status.snapshot().last_error.unwrap().contains("slow down"));
        let _server = rig.accept(second).await;
        assert!(refused.elapsed() >= Duration::from_secs(17));
    })
    .await;
}

fn refused_login() -> Failure {
    Failure::from(crate::oauth::OauthError::InvalidClient {
        host: "login.example.com:443".to_owned(),
    })
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_fatal_at_the_start() {
    with(Options::default(), |mut rig| async move {
        rig.script.borrow_mut().logins.push_back(refused_login());
        rig.start().await.unwrap();
        let NoRecords::Ended(ending) = rig.end() else {
            panic!("no ending")
        };
        assert_eq!((ending.status, ending.code), (plugin_abi::status::AUTH, 401));
        assert!(
            ending.message.starts_with(
                "invalid client credentials or expired secret; login.example.com:443 refused the login:"
            ),
            "{}",
            ending.message
        );
        assert_eq!(rig.status.snapshot().state, State::Failed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_while_running_wait_longest_with_the_gap_open() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let server = rig.accept_and_acknowledge(first).await;
        rig.script.borrow_mut().logins.push_back(refused_login());
        drop(server);
        rig.until(|status| status.failed_attempts_total == 2).await;
        let refused = Instant::now();
        assert_eq!(names(&rig.pull()), ["gap_opened"]);
        assert_eq!(rig.status.snapshot().gaps_open, 1);
        let _server = rig.accept_and_acknowledge(second).await;
        assert!(
            refused.elapsed() >= Duration::from_secs(59),
            "{:?}",
            refused.elapsed()
        );
        assert_eq!(names(&rig.pull()), ["gap_closed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_discarded() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let _session = rig.start();
        let server = rig.accept_and_acknowledge(first).await;
        rig.script
            .borrow_mut()
            .connections
            .push_back(Err(Failure::refused(401, "token".to_owned(), None)));
        drop(server);
        rig.until(|status| status.failed_attempts_total == 2).await;
        assert_eq!(rig.script.borrow().discarded_tokens, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_the_last_attempt_with_a_failed_status() {
    with(
        Options {
            max_attempts: Some(10),
            ..Options::default()
        },
        |mut rig| async move {
            rig.start().await.unwrap();
            let NoRecords::Ended(ending) = rig.end() else {
                panic!("no ending")
            };
            assert_eq!(ending.status, plugin_abi::status::FAILED);
            assert_eq!(ending.message, "gave up after 10 failed attempts: out of script");
            assert_eq!(rig.script.borrow().connected_at.len(), 10);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_the_reader_and_loses_nothing_if_room_comes_in_time() {
    with(
        Options {
            max_records: 10,
            ..Options::default()
        },
        |mut rig| async move {
            let first = rig.connection();
            let _session = rig.start();
            let mut server = rig.accept_and_acknowledge(first).await;
            for n in 0..25 {
                server.send(event(&format!("e{n}"))).await.unwrap();
            }
            rig.until(|status| status.state == State::Stalled).await;
            let mut records = rig.pull();
            assert_eq!(records.len(), 10);
            while records.len() < 25 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                records.extend(rig.pull());
            }
            let expected: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
            assert_eq!(names(&records), expected);
            rig.until(|status| status.subscribed).await;
            assert_eq!(
                (
                    rig.status.snapshot().connects_total,
                    rig.status.snapshot().stalls_total
                ),
                (1, 2)
            );
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stays_full_costs_the_connection_and_is_a_gap() {
    with(
        Options {
            max_records: 10,
            ..Options::default()
        },
        |mut rig| async move {
            let (first, second) = (rig.connection(), rig.connection());
            let _session = rig.start();
            let mut server = rig.accept_and_acknowledge(first).await;
            for n in 0..15 {
                server.send(event(&format!("e{n}"))).await.unwrap();
            }
            rig.until(|status| status.state == State::Stalled).await;
            let stalled = Instant::now();
            rig.until(|status| status.state == State::Disconnected).await;
            assert!(
                stalled.elapsed() >= Duration::from_millis(9_990),
                "{:?}",
                stalled.elapsed()
            );
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert_eq!(rig.script.borrow().connected_at.len(), 1);
            let mut records = rig.pull();
            let mut server = rig.accept_and_acknowledge(second).await;
            server.send(event("after")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            records.extend(rig.pull());
            // The frame that was held when the connection was given up is not lost; the unread ones are in the gap.
            let mut expected: Vec<String> = (0..10).map(|n| format!("e{n}")).collect();
            expected.extend(["gap_opened", "e10", "gap_closed", "after"].map(str::to_owned));
            assert_eq!(names(&records), expected);
            assert_eq!(records[10].2["cause"], "queue_full");
            assert_eq!(rig.status.frames().counts.frames_law(), 0);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn drops_are_counted_and_covered_by_a_gap() {
    with(
        Options {
            max_records: 10,
            on_full: OnFull::DropNewest,
            ..Options::default()
        },
        |mut rig| async move {
            let first = rig.connection();
            let _session = rig.start();
            let mut server = rig.accept_and_acknowledge(first).await;
            for n in 0..15 {
                server.send(event(&format!("e{n}"))).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut records = rig.pull();
            server.send(event("after")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            records.extend(rig.pull());
            let names = names(&records);
            assert_eq!(&names[9..], ["e9", "gap_opened", "after", "gap_closed"]);
            assert_eq!(
                (&records[10].2["cause"], &records[12].2["framesDropped"]),
                (&json!("dropped"), &json!(5))
            );
            let counts = rig.status.frames().counts;
            assert_eq!((counts.dropped, counts.frames_law()), (5, 0));
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_oversized_message_is_a_dead_letter_and_the_connection_lives_on() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        server.send(event("before")).await.unwrap();
        server
            .send(Message::text("x".repeat(3 * MAX_FRAME_BYTES)))
            .await
            .unwrap();
        server.send(event("after")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let records = rig.pull();
        let kinds: Vec<Kind> = records.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [Kind::Event, Kind::DeadLetter, Kind::Event]);
        assert_eq!(records[1].2["frame"]["lengthBytes"], 3 * MAX_FRAME_BYTES);
        assert_eq!(rig.status.snapshot().connects_total, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fragments_over_the_limit_cost_the_connection_with_dead_letter_and_gap() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        let piece = vec![b'x'; MAX_FRAME_BYTES / 2];
        for n in 0..4 {
            let opcode = OpCode::Data(if n == 0 { Data::Text } else { Data::Continue });
            server
                .send(Message::Frame(Frame::message(piece.clone(), opcode, n == 3)))
                .await
                .unwrap();
        }
        let Some(Ok(Message::Close(Some(close)))) = server.next().await else {
            panic!("no close frame")
        };
        assert_eq!(close.code, CloseCode::Size);
        let _server = rig.accept_and_acknowledge(second).await;
        let records = rig.pull();
        let kinds: Vec<Kind> = records.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [Kind::DeadLetter, Kind::Control, Kind::Control]);
        assert_eq!(records[1].2["cause"], "oversized");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_stops_reading_records_the_gap_and_says_goodbye() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        server.send(event("e1")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        rig.commands.send_replace(Command::Drain);
        let Some(Ok(Message::Close(Some(close)))) = server.next().await else {
            panic!("no close frame")
        };
        assert_eq!(close.code, CloseCode::Normal);
        session.await.unwrap();
        let records = rig.pull();
        assert_eq!(names(&records), ["e1", "gap_opened"]);
        assert_eq!(
            (&records[1].2["cause"], &records[1].2["to"]),
            (&json!("stopped"), &Value::Null)
        );
        assert!(matches!(rig.end(), NoRecords::Ended(ending) if ending.status == plugin_abi::status::END));
        assert_eq!(rig.status.snapshot().state, State::Ended);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_while_disconnected_ends_the_open_gap_where_the_stop_begins() {
    with(Options::default(), |mut rig| async move {
        let first = rig.connection();
        let session = rig.start();
        let server = rig.accept_and_acknowledge(first).await;
        drop(server);
        rig.until(|status| status.failed_attempts_total == 3).await;
        rig.commands.send_replace(Command::Drain);
        session.await.unwrap();
        let records = rig.pull();
        assert_eq!(names(&records), ["gap_opened", "gap_closed", "gap_opened"]);
        let causes: Vec<&str> = records
            .iter()
            .map(|record| record.2["cause"].as_str().unwrap())
            .collect();
        assert_eq!(causes, ["reconnect", "reconnect", "stopped"]);
        let at = |value: &Value| {
            value
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .unwrap()
                .as_millisecond()
        };
        assert!(at(&records[1].2["to"]) - at(&records[2].2["from"]) <= 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn control_records_obey_their_schema() {
    with(Options::default(), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        server.close(None).await.unwrap();
        let _server = rig.accept_and_acknowledge(second).await;
        let schema: Value =
            serde_json::from_str(include_str!("../../../schemas/control.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let records = rig.pull();
        assert_eq!(records.len(), 2);
        for (_, _, body) in records {
            assert!(
                validator.is_valid(&body),
                "{:?}",
                validator.iter_errors(&body).next()
            );
        }
    })
    .await;
}

/// Brings the session into a state, then closes it and measures.
async fn closes_promptly(mut rig: Rig, state: State, server: Option<DuplexStream>) {
    let session = rig.start();
    let mut connection = None;
    if let Some(server) = server {
        let (mut server, _) = rig.accept(server).await;
        if state != State::Subscribing {
            for n in 0..20 {
                server.send(event(&format!("e{n}"))).await.unwrap();
            }
        }
        connection = Some(server);
    }
    rig.until(|status| status.state == state).await;
    rig.commands.send_replace(Command::Close);
    let closing = Instant::now();
    session.await.unwrap();
    assert!(
        closing.elapsed() < Duration::from_millis(100),
        "{state:?}: {:?}",
        closing.elapsed()
    );
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_it_promptly_in_every_state() {
    with(Options::default(), |rig| async move {
        // The server accepts the bytes and never answers the upgrade.
        let _server = rig.connection();
        closes_promptly(rig, State::Connecting, None).await;
    })
    .await;
    for (state, max_records) in [
        (State::Subscribing, 1000),
        (State::Subscribed, 1000),
        (State::Stalled, 5),
    ] {
        with(
            Options {
                max_records,
                ..Options::default()
            },
            |rig| async move {
                let server = rig.connection();
                closes_promptly(rig, state, Some(server)).await;
            },
        )
        .await;
    }
    with(Options::default(), |rig| async move {
        rig.script.borrow_mut().connections.push_back(Err(Failure {
            kind: FailureKind::Throttled,
            text: String::new(),
            code: 429,
            retry_after: Some(Duration::from_secs(3600)),
        }));
        closes_promptly(rig, State::Disconnected, None).await;
    })
    .await;
}
