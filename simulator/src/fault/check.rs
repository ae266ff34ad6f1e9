//! Which action makes sense at which trigger, and the ranges of their numbers.
//!
//! Refuses, with the rule, what has no meaning. The invariant: a fault that has passed can be carried out as it stands.

use crate::error::Error;
use crate::fault::{Action, Fault, Trigger, channel};

/// Largest frame in bytes that the simulator really sends.
const MAX_OVERSIZED_BYTES: u64 = 256 << 20;

impl Fault {
    /// Checks that the action has a meaning at the trigger and that its numbers are in range.
    ///
    /// # Errors
    /// [`Error::Fault`], not retryable.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |reason: &str| {
            Err(Error::Fault {
                text: format!("{self:?}"),
                reason: reason.to_owned(),
            })
        };
        if self.when.is_of_channels() {
            return channel::check(self).map_err(|reason| Error::Fault {
                text: format!("{self:?}"),
                reason: reason.to_owned(),
            });
        }
        let gate = matches!(
            self.when,
            Trigger::Login(_) | Trigger::Connect(_) | Trigger::Subscribe(_)
        );
        let login = matches!(self.when, Trigger::Login(_));
        let connect = matches!(self.when, Trigger::Connect(_));
        match &self.action {
            Action::Freeze { .. }
            | Action::Swap
            | Action::Closing { .. }
            | Action::Steal
            | Action::Expire
            | Action::Revoke
            | Action::Reject { .. }
            | Action::Echo { .. } => return fault(channel::NEEDS_A_CHANNEL),
            Action::RateLimited | Action::NoToken if !login => {
                return fault("only a login can answer this way");
            }
            Action::RateLimited | Action::NoToken => {}
            Action::Extension if !connect => return fault("only an upgrade can be answered this way"),
            Action::Extension => {}
            Action::Trickle { .. } if matches!(self.when, Trigger::Subscribe(_)) => {
                return fault(
                    "a subscription is answered in one frame; trickle at login, connect or on the socket",
                );
            }
            Action::Trickle { ms } | Action::Unfinished { ms } if *ms == 0 => {
                return fault("ms must be at least 1");
            }
            Action::Trickle { .. } => {}
            Action::Refuse { .. } | Action::Slow { .. } | Action::Hang if !gate => {
                return fault("this needs a trigger login=K, connect=K or subscribe=K");
            }
            Action::Refuse { status, .. } if !(400..=599).contains(status) => {
                return fault("status must be 400 to 599");
            }
            Action::Refuse { .. } | Action::Slow { .. } | Action::Hang => {}
            _ if gate => {
                return fault(
                    "at login, connect and subscribe only refuse, slow, trickle, extension and hang are possible",
                );
            }
            action => check_numbers(action).or_else(fault)?,
        }
        match self.when {
            Trigger::Every(0) => fault("every needs at least 1"),
            Trigger::Login(turns) | Trigger::Connect(turns) | Trigger::Subscribe(turns)
                if !turns.are_in_order() =>
            {
                fault(TURNS_RULE)
            }
            _ => Ok(()),
        }
    }
}

pub(super) const TURNS_RULE: &str = "turns are counted from 1 and must not end before they begin";

// the ranges of what happens on a socket
pub(super) fn check_numbers(action: &Action) -> Result<(), &'static str> {
    match action {
        Action::Close { code, .. } if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) => {
            return Err(
                "close code must be 1000-1003, 1007-1014 or 3000-4999; see offence forbidden-close-code",
            );
        }
        Action::Oversized {
            bytes,
            announced: false,
        } if *bytes > MAX_OVERSIZED_BYTES => {
            return Err("at most 268435456 bytes are really sent; add \"announced\" to send the header only");
        }
        Action::Oversized { bytes, .. } if *bytes < 64 || *bytes > i64::MAX.cast_unsigned() => {
            return Err("bytes must be 64 to 9223372036854775807");
        }
        Action::Duplicate { back } if !(1..=64).contains(back) => return Err("back must be 1 to 64"),
        Action::Fragmented { parts } if !(2..=64).contains(parts) => {
            return Err("parts must be 2 to 64");
        }
        _ => {}
    }
    Ok(())
}
