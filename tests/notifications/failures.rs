//! The ways in which a channel fails, each as faults of the simulator, and what the record of its gap must say.
//!
//! The catalogue is rows 1, 2, 4 to 7 and 10 of the table of what the platform does.

use simulator::Simulator;
use support::drill::Chance;
use support::host::inject;

use crate::intruder::intrude;

/// One way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// What an operator would call it.
    pub(crate) name: &'static str,
    /// Faults in the simulator's text form. `CHANNEL` is the present channel after some more notifications, `CONNECT`,
    /// `API` and `LOGIN` the next upgrade, REST request and login, `APIS` the next three. None: a second socket.
    faults: &'static [&'static str],
    /// The gap's cause.
    pub(crate) cause: &'static str,
    /// How the loss was seen: one of these.
    pub(crate) kinds: &'static [&'static str],
    /// The close code, where the server sent one.
    pub(crate) close_code: Option<u16>,
}

const fn way(
    name: &'static str,
    faults: &'static [&'static str],
    kinds: &'static [&'static str],
    close_code: Option<u16>,
) -> Failure {
    Failure {
        name,
        faults,
        cause: "reconnect",
        kinds,
        close_code,
    }
}

const fn dropped(name: &'static str, faults: &'static [&'static str]) -> Failure {
    way(name, faults, &["eof"], None)
}

const fn gone(name: &'static str, faults: &'static [&'static str]) -> Failure {
    way(name, faults, &["close"], Some(1001))
}

const fn revoked(name: &'static str, faults: &'static [&'static str]) -> Failure {
    Failure {
        cause: "token_revoked",
        ..way(name, faults, &["refused"], None)
    }
}

/// Ways that are over in a moment.
const QUICK: [Failure; 25] = [
    dropped("drop without a close", &["CHANNEL drop"]),
    way("reset", &["CHANNEL reset"], &["reset"], None),
    way("close 1000", &["CHANNEL close 1000 bye"], &["close"], Some(1000)),
    way(
        "close 1001",
        &["CHANNEL close 1001 going away"],
        &["close"],
        Some(1001),
    ),
    way(
        "close 1008",
        &["CHANNEL close 1008 policy"],
        &["close"],
        Some(1008),
    ),
    way(
        "close 1011",
        &["CHANNEL close 1011 failure"],
        &["close"],
        Some(1011),
    ),
    way(
        "close 1012",
        &["CHANNEL close 1012 restart"],
        &["close"],
        Some(1012),
    ),
    way(
        "close 4001",
        &["CHANNEL close 4001 vendor's own"],
        &["close"],
        Some(4001),
    ),
    dropped(
        "handshake refused with 401",
        &["CHANNEL drop", "CONNECT refuse 401"],
    ),
    dropped(
        "handshake refused with 403",
        &["CHANNEL drop", "CONNECT refuse 403"],
    ),
    dropped(
        "handshake refused with 404",
        &["CHANNEL drop", "CONNECT refuse 404"],
    ),
    dropped(
        "handshake refused with 503",
        &["CHANNEL drop", "CONNECT refuse 503"],
    ),
    gone("channel gone", &["CHANNEL expire"]),
    way("evicted", &["CHANNEL steal"], &["refused"], None),
    revoked("token revoked", &["CHANNEL revoke"]),
    revoked(
        "token revoked, login out of order",
        &["CHANNEL revoke", "LOGIN refuse 503"],
    ),
    gone("second socket", &[]),
    dropped("topics answered with 404", &["CHANNEL drop", "API refuse 404"]),
    dropped("topics answered with 401", &["CHANNEL drop", "API refuse 401"]),
    dropped("topics answered with 403", &["CHANNEL drop", "API refuse 403"]),
    dropped("topics answered with 400", &["CHANNEL drop", "API refuse 400"]),
    dropped("topics answered with 500", &["CHANNEL drop", "API refuse 500"]),
    dropped(
        "topics answered with 504 thrice",
        &["CHANNEL drop", "APIS refuse 504"],
    ),
    gone(
        "creation answered with 503",
        &["CHANNEL expire", "API refuse 503"],
    ),
    gone(
        "creation answered with 500 thrice",
        &["CHANNEL expire", "APIS refuse 500"],
    ),
];

/// Ways that take seconds, since a silence or a `Retry-After` has to pass.
const SLOW: [Failure; 7] = [
    way("silence", &["CHANNEL silence 8000"], &["silence"], None),
    way(
        "neither heartbeat nor pong",
        &["CHANNEL freeze"],
        &["silence"],
        None,
    ),
    way("half open", &["CHANNEL stall"], &["silence"], None),
    dropped(
        "handshake refused with 429",
        &["CHANNEL drop", "CONNECT refuse 429 1"],
    ),
    dropped("topics answered with 429", &["CHANNEL drop", "API refuse 429 1"]),
    gone(
        "creation answered with 429",
        &["CHANNEL expire", "API refuse 429 2"],
    ),
    revoked(
        "login answered with 429",
        &["CHANNEL revoke", "LOGIN refuse 429 1"],
    ),
];

/// How often each slow way comes.
const SLOW_TIMES: usize = 2;

/// So many failures, among them each way, in an order of chance.
pub(crate) fn draw(chance: &mut Chance, count: usize) -> Vec<Failure> {
    let mut drawn: Vec<Failure> = SLOW.repeat(SLOW_TIMES);
    while drawn.len() < count {
        let left = count - drawn.len();
        drawn.extend(QUICK.iter().take(left));
    }
    for last in (1..drawn.len()).rev() {
        let other = chance.below(last as u64 + 1);
        drawn.swap(last, usize::try_from(other).unwrap());
    }
    drawn
}

/// Brings a failure about; `after` notifications more are sent before, where the channel itself fails. Returns the connection
/// of a second socket, if there was one.
pub(crate) fn bring_about(simulator: &Simulator, faults: &Failure, after: u64) -> Option<u64> {
    let channels = simulator.channels();
    let present = channels
        .iter()
        .rfind(|channel| channel.connection.is_some())
        .unwrap();
    if faults.faults.is_empty() {
        return Some(intrude(simulator, &present.id));
    }
    let counters = simulator.counters();
    let (connect, api, login) = (counters.connects + 1, counters.requests + 1, counters.logins + 1);
    // The last one is what begins it.
    for fault in faults.faults.iter().rev() {
        let (when, action) = fault.split_once(' ').unwrap();
        let when = match when {
            "CHANNEL" => format!("channel={}:{}", present.number, present.sent + after),
            "CONNECT" => format!("connect={connect}"),
            "API" => format!("api={api}"),
            "APIS" => format!("api={api}-{}", api + 2),
            "LOGIN" => format!("login={login}"),
            other => panic!("{other}"),
        };
        inject(simulator, &format!("{when} {action}"));
    }
    None
}
