//! What goes wrong in a soak: every kind of fault once, then one after another, drawn at instants that a seed repeats.
//!
//! Responsible for the choice. Refuses faults that would make what follows untrue: none sends a notification again or out
//! of order. Invariant: each fault names a channel that lives, or the next request of its kind.

use std::collections::BTreeMap;

use simulator::{ChannelView, Counters, Simulator};
use support::drill::Chance;

/// Every kind, by what it befalls: a channel, its socket or its token; the next REST request, be it a new channel, its topics
/// or a look at the directory; the next handshake; the next login.
///
/// Silences end after the client's patience, so that the socket speaks again when nobody listens any more. A login that is
/// throttled is not among them: the source stays away for a minute then, and a soak would be one long gap.
const KINDS: [(&str, &str); 22] = [
    ("channel", "close 1001 going-away"),
    ("channel", "close 1011 error"),
    ("channel", "drop"),
    ("channel", "reset"),
    ("channel", "silence 5000"),
    ("channel", "stall 5000"),
    ("channel", "freeze"),
    ("channel", "closing 1500"),
    ("channel", "steal"),
    ("channel", "expire"),
    ("channel", "revoke"),
    ("api", "refuse 429 1"),
    ("api", "refuse 429"),
    ("api", "refuse 503"),
    ("api", "slow 800"),
    ("connect", "refuse 401"),
    ("connect", "refuse 403"),
    ("connect", "refuse 404"),
    ("connect", "refuse 503"),
    ("connect", "slow 800"),
    ("login", "refuse 503"),
    ("login", "no-token"),
];

/// See the module documentation.
pub(super) struct Faults {
    chance: Chance,
    injected: BTreeMap<(&'static str, &'static str), u64>,
}

impl Faults {
    /// Begins with the seed of the environment, or with a new one; tells which.
    pub(super) fn of_environment() -> Self {
        Self {
            chance: Chance::of_environment("soak"),
            injected: BTreeMap::new(),
        }
    }

    /// How many of each kind there have been.
    pub(super) fn injected(&self) -> &BTreeMap<(&'static str, &'static str), u64> {
        &self.injected
    }

    /// Says whether every kind has been there.
    pub(super) fn is_every_kind_known(&self) -> bool {
        self.injected.len() == KINDS.len()
    }

    /// A number below `bound`, of the same seed.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    /// Lets one more thing go wrong; one of a kind that has not been there yet, while there is any.
    pub(super) fn one(&mut self, simulator: &Simulator) {
        let mut kinds: Vec<_> = KINDS
            .iter()
            .filter(|kind| !self.injected.contains_key(kind))
            .collect();
        if kinds.is_empty() {
            kinds.extend(&KINDS);
        }
        let place = self.chance.below(kinds.len() as u64);
        let (what, fault) = *kinds[usize::try_from(place).unwrap()];
        let Counters {
            requests,
            connects,
            logins,
            ..
        } = simulator.counters();
        let which = match what {
            "channel" => self.a_channel(simulator),
            "api" => Some(format!(
                "{}-{}",
                requests + 1,
                requests + 1 + self.chance.below(2)
            )),
            "connect" => Some(format!(
                "{}-{}",
                connects + 1,
                connects + 1 + self.chance.below(2)
            )),
            _ => Some(format!("{}", logins + 1)),
        };
        // nobody listens: another time
        let Some(which) = which else { return };
        *self.injected.entry((what, fault)).or_default() += 1;
        inject(simulator, what, &which, fault);
        if what == "login"
            && let Some(which) = self.a_channel(simulator)
        {
            // without that there would be no login for long
            inject(simulator, "channel", &which, "revoke");
        }
    }

    /// Chooses among the channels that have a socket, the standby of a hand-over among them, and a notification soon.
    fn a_channel(&mut self, simulator: &Simulator) -> Option<String> {
        let mut open: Vec<ChannelView> = simulator.channels();
        open.retain(|channel| channel.connection.is_some());
        let place = self.chance.below(open.len().max(1) as u64);
        let channel = open.get(usize::try_from(place).unwrap())?;
        let after = channel.sent + self.chance.below(10);
        Some(format!("{}:{after}", channel.number))
    }
}

fn inject(simulator: &Simulator, what: &str, which: &str, fault: &str) {
    simulator
        .inject(format!("{what}={which} {fault}").parse().unwrap())
        .unwrap();
}
