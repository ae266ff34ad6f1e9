//! A host of the source inside the test: opens it, pulls every record, commits what it has pulled.
//!
//! Waits only for conditions, each with a deadline, and goes on pulling while it waits.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::plugin;
use genesys_source::queue::{Ending, NoRecords, PullLimits};
use genesys_source::record::Kind;
use genesys_source::source::Source;
use serde_json::{Value, json};
use simulator::{Simulator, TruthLine};

/// Deadline of every wait that should be over in a moment; long, since the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);

/// What is said of a login that is answered with 401, with `HOST` in the place of host and port.
pub const INVALID_CLIENT: &str = "invalid client credentials or expired secret; HOST refused the login: check \
    client_id and client_secret (by default OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET), and that the client belongs to \
    this region";
/// The same for 403.
pub const FORBIDDEN: &str = "missing scope or role; HOST refused the login: give the OAuth client a role that \
    may read what it subscribes to";
/// The same for 200 without a token.
pub const NO_TOKEN: &str = "the login service answered 200 without an access token; HOST is not Genesys Cloud's \
    login service, or a proxy answers for it: check region and endpoints.login";
/// The faults of the simulator that bring these about.
pub const REFUSED_LOGINS: [(&str, &str); 3] = [
    ("login=1- refuse 401", INVALID_CLIENT),
    ("login=1- refuse 403", FORBIDDEN),
    ("login=1- no-token", NO_TOKEN),
];

/// The text with `HOST` in the place of the simulator's address.
pub fn without_address(text: &str, simulator: &Simulator) -> String {
    text.replace(&simulator.address().to_string(), "HOST")
}

/// What is said of a login service that nobody serves at a port of loopback.
pub fn unreachable_login(port: u16) -> String {
    format!(
        "cannot reach the login service at 127.0.0.1:{port}: Connection refused (os error 111); check the network, \
         region and endpoints.login"
    )
}

/// One record as it was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What it is.
    pub kind: Kind,
    /// Its number.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// Its partition key.
    pub key: String,
    /// Its body.
    pub body: Value,
}

/// An open source and what came out of it.
#[derive(Debug)]
pub struct Host {
    /// The source.
    pub source: Source,
    /// Every record that was pulled, in order.
    pub records: Vec<Pulled>,
    /// How the source has ended, if it has.
    pub ending: Option<Ending>,
}

impl Host {
    /// Opens a source.
    pub fn open(config: &Value) -> Self {
        let source = Source::open(&config.to_string(), &tracing::Dispatch::none()).unwrap();
        Self {
            source,
            records: Vec::new(),
            ending: None,
        }
    }

    /// Pulls once, waiting at most a moment, and commits.
    pub fn pull(&mut self) {
        let limits = PullLimits {
            max_records: 4096,
            max_bytes: 8 << 20,
            wait: Duration::from_millis(10),
            linger: Duration::ZERO,
        };
        match self.source.pull(&limits) {
            Ok(slices) => {
                for slice in slices {
                    for at in slice.start..slice.end {
                        let record = slice.chunk.record(at).unwrap();
                        self.records.push(Pulled {
                            kind: record.kind(),
                            sequence: record.sequence(),
                            id: record.id().to_owned(),
                            key: record.key().to_owned(),
                            body: serde_json::from_slice(record.body()).unwrap(),
                        });
                    }
                }
                let last = self.records.last().unwrap().sequence;
                self.source.commit(last).unwrap();
            }
            Err(NoRecords::Timeout) => {}
            Err(NoRecords::Ended(ending)) => self.ending = Some(ending),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Pulls until the condition holds.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "waited {SOON:?} in vain: {what}; {}",
                self.source.statistics()
            );
            assert!(self.ending.is_none(), "{what}: ended with {:?}", self.ending);
            self.pull();
        }
    }

    /// Pulls until the source has ended, and says how.
    pub fn ending(&mut self) -> Ending {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(ending) = self.ending.take() {
                return ending;
            }
            assert!(Instant::now() < deadline, "no end: {}", self.source.statistics());
            self.pull();
        }
    }

    /// Drains the source and pulls what is left.
    pub fn drain(&mut self) {
        self.source.drain(SOON);
        assert_eq!(self.ending(), Ending::drained());
    }

    /// The source's statistics.
    pub fn statistics(&self) -> Value {
        serde_json::from_str(&self.source.statistics()).unwrap()
    }

    /// The records of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Pulled> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    /// How many records of one kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.of_kind(kind).count()
    }

    /// Pulls until the source has been subscribed `count` times, and has said so by closing every gap but the first.
    pub fn until_gaps_closed(&mut self, count: usize) {
        self.until(&format!("{count} closed gaps"), |host| {
            let closed = host
                .of_kind(Kind::Control)
                .filter(|record| record.body["type"] == "gap_closed");
            closed.count() >= count
        });
    }
}

/// The plugin's configuration for a simulator with `changes` merged in; its secrets are files in `folder`.
pub fn config(simulator: &Simulator, folder: &Path, changes: Value) -> Value {
    let mut config = plugin::config(simulator, folder);
    merge(&mut config, changes);
    config
}

/// The usual deadlines of these tests: short, but not so short that a busy machine breaks them.
pub fn prompt() -> Value {
    json!({
        "reconnect": {"min_ms": 1, "max_ms": 20, "stable_ms": 10},
        "keep_alive": {"ping_ms": 250, "silence_ms": 1000},
        "timeouts": {"connect_ms": 700, "login_ms": 700, "subscribe_grace_ms": 500},
    })
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes,
    }
}

/// Adds a fault to a running script.
pub fn inject(simulator: &Simulator, fault: &str) {
    simulator.inject(fault.parse().unwrap()).unwrap();
}

/// Lines of ground truth of one kind.
pub fn truth(simulator: &Simulator, kind: simulator::Kind) -> Vec<TruthLine> {
    let mut lines = simulator.truth();
    lines.retain(|line| line.kind == kind);
    lines
}
