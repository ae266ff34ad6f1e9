//! The script at run time: which faults are still to come and which are due.
//!
//! Refuses nothing: its faults are checked. The invariant: a fault of a connection fires once, `every` once for each
//! multiple of its count.

use crate::fault::{Action, Fault, Trigger};

/// The faults still to come, and the counts that trigger them.
#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: Vec<Fault>,
    // for each fault: the event count at which `every` fires next
    next_every: Vec<u64>,
}

impl Script {
    /// Adds a fault; `offered` events have been put on a socket so far.
    pub(crate) fn add(&mut self, fault: Fault, offered: u64) {
        let next = match fault.when {
            Trigger::Every(n) => (offered / n.max(1) + 1) * n,
            _ => 0,
        };
        self.faults.push(fault);
        self.next_every.push(next);
    }

    /// The event count at which the next counted fault fires; `u64::MAX` if there is none.
    pub(crate) fn next_count(&self) -> u64 {
        let counts = self
            .faults
            .iter()
            .zip(&self.next_every)
            .filter_map(|(fault, next)| match fault.when {
                Trigger::After(n) => Some(n),
                Trigger::Every(_) => Some(*next),
                _ => None,
            });
        counts.min().unwrap_or(u64::MAX)
    }

    /// The own clock's milliseconds at which the next timed fault fires.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.faults
            .iter()
            .filter_map(|fault| {
                if let Trigger::At(ms) = fault.when {
                    Some(ms)
                } else {
                    None
                }
            })
            .min()
    }

    /// Takes the first fault, in script order, that is due on a subscribed connection.
    pub(crate) fn take_due(&mut self, offered: u64, elapsed_ms: u64) -> Option<Action> {
        let index = self
            .faults
            .iter()
            .zip(&self.next_every)
            .position(|(fault, next)| match fault.when {
                Trigger::Now => true,
                Trigger::After(n) => n <= offered,
                Trigger::At(ms) => ms <= elapsed_ms,
                Trigger::Every(_) => *next <= offered,
                // gates, and the faults of channels
                _ => false,
            })?;
        if let Trigger::Every(n) = self.faults[index].when {
            self.next_every[index] += n;
            return Some(self.faults[index].action.clone());
        }
        self.next_every.remove(index);
        Some(self.faults.remove(index).action)
    }

    /// The action for the `turn`-th login.
    pub(crate) fn at_login(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Login(turns) if turns.contains(turn)))
    }

    /// The action for the `turn`-th upgrade request.
    pub(crate) fn at_connect(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Connect(turns) if turns.contains(turn)))
    }

    /// The action for the `turn`-th subscription.
    pub(crate) fn at_subscribe(&self, turn: u64) -> Option<Action> {
        self.at_gate(|when| matches!(when, Trigger::Subscribe(turns) if turns.contains(turn)))
    }

    fn at_gate(&self, matches: impl Fn(Trigger) -> bool) -> Option<Action> {
        self.faults
            .iter()
            .find(|fault| matches(fault.when))
            .map(|fault| fault.action.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_fire_once_and_every_fires_again() {
        let mut script = Script::default();
        for text in ["after=10 drop", "every=4 reset", "at=100 binary"] {
            script.add(text.parse().unwrap(), 0);
        }
        assert_eq!(script.next_count(), 4);
        assert_eq!(script.take_due(3, 99), None);
        assert_eq!(script.take_due(4, 0), Some(Action::Reset));
        assert_eq!(script.next_count(), 8);
        assert_eq!(script.take_due(8, 0), Some(Action::Reset));
        assert_eq!(script.take_due(10, 0), Some(Action::Drop));
        assert_eq!(script.take_due(10, 100), Some(Action::Binary));
        assert_eq!(script.take_due(11, 1_000), None);
    }

    #[test]
    fn gates_match_their_turns() {
        let mut script = Script::default();
        for text in ["login=2- hang", "connect=1 slow 5", "subscribe=2-3 refuse 429 1"] {
            script.add(text.parse().unwrap(), 0);
        }
        assert_eq!(script.at_login(1), None);
        assert_eq!(script.at_login(900), Some(Action::Hang));
        assert_eq!(script.at_connect(1), Some(Action::Slow { ms: 5 }));
        assert_eq!(script.at_connect(2), None);
        assert!(script.at_subscribe(3).is_some() && script.at_subscribe(4).is_none());
    }
}
