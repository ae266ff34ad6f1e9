//! What goes wrong in a soak: one fault after another, drawn from every kind, at instants that a seed repeats.
//!
//! Responsible for the choice. Refuses faults that would make what follows untrue: none sends a notification again or out
//! of order. Invariant: each fault names a channel that lives, or the next request of its kind.

use std::collections::BTreeMap;

use simulator::{ChannelView, Counters, Simulator};
use support::drill::Chance;

/// What befalls a channel's socket, the channel itself, or its token. Silences end after the client's patience, so that the
/// socket wakes up and speaks when nobody listens any more.
const OF_CHANNELS: [&str; 11] = [
    "close 1001 going-away",
    "close 1011 error",
    "drop",
    "reset",
    "silence 5000",
    "stall 5000",
    "freeze",
    "closing 1500",
    "steal",
    "expire",
    "revoke",
];

/// What befalls the next REST requests: the creation of a channel, its topics, or a look at the directory.
const OF_REQUESTS: [&str; 4] = ["refuse 429 1", "refuse 429", "refuse 503", "slow 800"];

/// What befalls the next handshakes.
const OF_HANDSHAKES: [&str; 5] = ["refuse 401", "refuse 403", "refuse 404", "refuse 503", "slow 800"];

/// What befalls the next login; the token of every channel is revoked first, or there would be none.
const OF_LOGINS: [&str; 3] = ["rate-limited", "refuse 503", "no-token"];

/// See the module documentation.
pub(super) struct Faults {
    chance: Chance,
    injected: BTreeMap<String, u64>,
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
    pub(super) fn injected(&self) -> &BTreeMap<String, u64> {
        &self.injected
    }

    /// A number below `bound`, of the same seed.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let place = self.chance.below(of.len() as u64);
        of[usize::try_from(place).unwrap()]
    }

    /// Lets one more thing go wrong.
    pub(super) fn one(&mut self, simulator: &Simulator) {
        let Counters {
            requests, connects, logins, ..
        } = simulator.counters();
        let turns = |before: u64, count: u64| format!("{}-{}", before + 1, before + count);
        // as often as they are many
        match self.chance.below(14) {
            0..9 => {
                let fault = self.pick(&OF_CHANNELS);
                self.on_a_channel(simulator, fault);
            }
            9..11 => {
                let count = 1 + self.chance.below(3);
                let fault = self.pick(&OF_REQUESTS);
                self.inject(simulator, "api", &turns(requests, count), fault);
            }
            11..13 => {
                let count = 1 + self.chance.below(2);
                let fault = self.pick(&OF_HANDSHAKES);
                self.inject(simulator, "connect", &turns(connects, count), fault);
            }
            _ => {
                let fault = self.pick(&OF_LOGINS);
                self.inject(simulator, "login", &turns(logins, 1), fault);
                self.on_a_channel(simulator, "revoke");
            }
        }
    }

    /// Chooses among the channels that have a socket, the standby of a hand-over among them.
    fn on_a_channel(&mut self, simulator: &Simulator, fault: &str) {
        let mut open: Vec<ChannelView> = simulator.channels();
        open.retain(|channel| channel.connection.is_some());
        if open.is_empty() {
            return;
        }
        let place = self.chance.below(open.len() as u64);
        let channel = &open[usize::try_from(place).unwrap()];
        let after = channel.sent + self.chance.below(20);
        self.inject(simulator, "channel", &format!("{}:{after}", channel.number), fault);
    }

    fn inject(&mut self, simulator: &Simulator, what: &str, which: &str, fault: &str) {
        *self.injected.entry(format!("{what} {fault}")).or_default() += 1;
        simulator.inject(format!("{what}={which} {fault}").parse().unwrap()).unwrap();
    }
}
