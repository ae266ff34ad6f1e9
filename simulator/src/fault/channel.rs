//! Faults of notification channels: which are possible, and which are due.
//!
//! Refuses, at a channel, what only the events socket plays, and at a REST request what only a socket can do. The
//! invariant: a fault of a channel fires once, `each-channel` once for each channel.

use crate::fault::check::{TURNS_RULE, check_numbers};
use crate::fault::{Action, Fault, Trigger};

pub(super) const NEEDS_A_CHANNEL: &str =
    "this needs a trigger channel=K[:N], each-channel=N, notified=N or topics=K";

/// Says why a fault with a trigger of channels makes no sense.
pub(super) fn check(fault: &Fault) -> Result<(), &'static str> {
    let request = match fault.when {
        Trigger::Api(turns) | Trigger::Create(turns) | Trigger::Topics(turns) if !turns.are_in_order() => {
            return Err(TURNS_RULE);
        }
        Trigger::Api(_) | Trigger::Create(_) => true,
        Trigger::Topics(_) => match &fault.action {
            Action::Reject { topic } if topic.is_empty() => return Err("reject needs a topic"),
            Action::Echo { count } if !(1..=64).contains(count) => return Err("echo needs 1 to 64"),
            Action::Reject { .. } | Action::Echo { .. } => return Ok(()),
            _ => true,
        },
        Trigger::Channel { channel: 0, .. } => return Err("channels are counted from 1"),
        Trigger::EachChannel(0) | Trigger::Notified(0) => return Err("notifications are counted from 1"),
        _ => false,
    };
    match &fault.action {
        Action::Refuse { status, .. } if request && !(400..=599).contains(status) => {
            Err("status must be 400 to 599")
        }
        Action::Refuse { .. } | Action::Slow { .. } | Action::Hang if request => Ok(()),
        Action::Trickle { ms: 1.. } if request => Ok(()),
        _ if request => Err(
            "at api, create and topics only refuse, slow, trickle and hang are possible, at topics also reject and echo",
        ),
        Action::Trickle { ms: 0 } | Action::Unfinished { ms: 0 } => Err("ms must be at least 1"),
        Action::Close { .. }
        | Action::Drop
        | Action::Reset
        | Action::Silence { .. }
        | Action::Stall { .. }
        | Action::Duplicate { .. }
        | Action::Malformed { .. }
        | Action::Oversized { .. }
        | Action::Offence(_)
        | Action::Trickle { .. }
        | Action::Unfinished { .. }
        | Action::Freeze { .. }
        | Action::Swap
        | Action::Closing { .. }
        | Action::Steal
        | Action::Expire
        | Action::Revoke => check_numbers(&fault.action),
        _ => Err("a channel cannot do this; see freeze, closing, steal, expire and revoke"),
    }
}

/// The faults of channels that are still to come.
#[derive(Debug, Default)]
pub(crate) struct ChannelScript {
    faults: Vec<Fault>,
}

impl ChannelScript {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The actions for the `turn`-th REST request.
    pub(crate) fn at_api(&self, turn: u64) -> Option<Action> {
        self.at(|when| matches!(when, Trigger::Api(turns) if turns.contains(turn)))
            .next()
    }

    /// The action for the `turn`-th request that creates a channel.
    pub(crate) fn at_create(&self, turn: u64) -> Option<Action> {
        self.at(|when| matches!(when, Trigger::Create(turns) if turns.contains(turn)))
            .next()
    }

    /// The actions for the `turn`-th request for topics.
    pub(crate) fn at_topics(&self, turn: u64) -> Vec<Action> {
        self.at(|when| matches!(when, Trigger::Topics(turns) if turns.contains(turn)))
            .collect()
    }

    fn at(&self, matches: impl Fn(Trigger) -> bool) -> impl Iterator<Item = Action> {
        let hits = self.faults.iter().filter(move |fault| matches(fault.when));
        hits.map(|fault| fault.action.clone())
    }

    /// Takes what is due on a channel that has been sent `sent` notifications, where `all` is the count over all channels.
    /// `each-channel` and `notified` are due only right `after_a_notification`.
    pub(crate) fn take_due(
        &mut self,
        channel: u64,
        sent: u64,
        all: u64,
        after_a_notification: bool,
    ) -> Vec<Action> {
        let mut due = Vec::new();
        self.faults.retain(|fault| {
            let (hit, keep) = match fault.when {
                Trigger::Channel {
                    channel: wanted,
                    after,
                } => (wanted == channel && sent >= after, false),
                Trigger::EachChannel(n) => (after_a_notification && sent == n, true),
                Trigger::Notified(n) => (after_a_notification && all == n, false),
                _ => (false, true),
            };
            if hit {
                due.push(fault.action.clone());
            }
            !hit || keep
        });
        due
    }

    /// Says whether any fault of a socket is still to come, so that the usual case costs nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_channels_fire_on_their_channel_and_once() {
        let mut script = ChannelScript::default();
        for text in [
            "channel=2:3 drop",
            "each-channel=2 freeze",
            "notified=4 steal",
            "channel=1 expire",
        ] {
            script.add(text.parse().unwrap());
        }
        assert_eq!(script.take_due(1, 0, 0, false), [Action::Expire]);
        assert_eq!(script.take_due(1, 0, 0, false), []);
        assert_eq!(script.take_due(1, 2, 2, true), [Action::Freeze { ms: None }]);
        assert_eq!(
            script.take_due(2, 2, 4, true),
            [Action::Freeze { ms: None }, Action::Steal]
        );
        assert_eq!(script.take_due(2, 3, 5, true), [Action::Drop]);
        assert_eq!(script.take_due(2, 3, 5, true), []);
    }

    #[test]
    fn what_a_channel_or_a_request_cannot_do_is_refused() {
        for (text, part) in [
            ("channel=0 drop", "counted from 1"),
            ("channel=1 binary", "a channel cannot do this"),
            ("channel=1 refuse 429", "a channel cannot do this"),
            ("api=1 drop", "only refuse, slow, trickle"),
            ("api=1 refuse 200", "400 to 599"),
            ("create=2-1 hang", "must not end before"),
            ("topics=1 echo 65", "1 to 64"),
            ("each-channel=0 drop", "counted from 1"),
            ("channel=1 close 1006", "close code must be"),
            ("now steal", "needs a trigger channel"),
            ("after=1 freeze", "needs a trigger channel"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
