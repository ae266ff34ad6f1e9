//! The three answers to pings that a hand-over waits for, and in which order.
//!
//! Responsible for telling an answer to a ping of this stage from one to an earlier ping, by counting. Refuses clocks.
//! Invariant: stages come one after the other, and none after the close of the old socket was sent.

/// One of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first one, authoritative until it is read to its end.
    Old,
    /// The second one, held back until then.
    Standby,
}

/// What the session does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ping this socket now.
    Ping(Side),
    /// Let the overlap pass, then close the old socket.
    Overlap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The standby's subscriptions are not all answered.
    #[default]
    Subscribing,
    /// The standby has not shown that it is subscribed.
    Standby,
    /// The old socket may still deliver what was sent before.
    Old,
    /// The standby may still deliver what the old socket delivered meanwhile.
    StandbyAgain,
    /// Nothing is waited for.
    Passed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pings {
    sent: u64,
    answered: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fences {
    stage: Stage,
    old: Pings,
    standby: Pings,
    /// The number of the first ping of this stage on the socket that it waits for.
    awaited: Option<u64>,
}

impl Fences {
    pub(super) fn subscribed(&mut self) -> Option<Next> {
        (self.stage == Stage::Subscribing).then(|| self.enter(Stage::Standby))
    }

    pub(super) fn pinged(&mut self, side: Side) {
        let is_awaited = self.side() == Some(side);
        let pings = self.pings(side);
        pings.sent += 1;
        let number = pings.sent;
        if is_awaited {
            self.awaited.get_or_insert(number);
        }
    }

    /// Notes an answer; each answers the oldest ping that has none.
    pub(super) fn ponged(&mut self, side: Side) -> Option<Next> {
        let pings = self.pings(side);
        pings.answered += 1;
        let answered = pings.answered;
        let is_passed = self.side() == Some(side) && self.awaited.is_some_and(|number| answered >= number);
        is_passed.then(|| {
            self.enter(match self.stage {
                Stage::Subscribing => Stage::Standby,
                Stage::Standby => Stage::Old,
                Stage::Old => Stage::StandbyAgain,
                Stage::StandbyAgain | Stage::Passed => Stage::Passed,
            })
        })
    }

    pub(super) fn closing(&mut self) {
        // What is delivered from here on may have been sent after the close.
        self.enter(Stage::Passed);
    }

    fn enter(&mut self, stage: Stage) -> Next {
        self.stage = stage;
        self.awaited = None;
        self.side().map_or(Next::Overlap, Next::Ping)
    }

    /// The socket whose answer is waited for.
    fn side(&self) -> Option<Side> {
        match self.stage {
            Stage::Standby | Stage::StandbyAgain => Some(Side::Standby),
            Stage::Old => Some(Side::Old),
            Stage::Subscribing | Stage::Passed => None,
        }
    }

    fn pings(&mut self, side: Side) -> &mut Pings {
        match side {
            Side::Old => &mut self.old,
            Side::Standby => &mut self.standby,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fences, Next, Side};

    #[test]
    fn only_an_answer_to_a_ping_of_its_stage_passes_a_fence() {
        let mut fences = Fences::default();
        // One was on its way on each socket before anything began.
        fences.pinged(Side::Old);
        fences.pinged(Side::Standby);
        assert_eq!(fences.subscribed(), Some(Next::Ping(Side::Standby)));
        assert_eq!(fences.subscribed(), None);
        fences.pinged(Side::Standby);
        assert_eq!(fences.ponged(Side::Standby), None);
        assert_eq!(fences.ponged(Side::Standby), Some(Next::Ping(Side::Old)));
        assert_eq!(fences.ponged(Side::Standby), None, "unasked");
        fences.pinged(Side::Old);
        fences.pinged(Side::Old);
        assert_eq!(fences.ponged(Side::Old), None);
        assert_eq!(fences.ponged(Side::Old), Some(Next::Ping(Side::Standby)));
    }

    #[test]
    fn the_standby_is_asked_twice_and_the_old_one_between() {
        let mut fences = Fences::default();
        assert_eq!(fences.subscribed(), Some(Next::Ping(Side::Standby)));
        for (side, next) in [
            (Side::Standby, Next::Ping(Side::Old)),
            (Side::Old, Next::Ping(Side::Standby)),
            (Side::Standby, Next::Overlap),
        ] {
            fences.pinged(side);
            assert_eq!(fences.ponged(side), Some(next));
        }
        fences.pinged(Side::Standby);
        assert_eq!(fences.ponged(Side::Standby), None);
    }

    #[test]
    fn no_fence_is_passed_once_the_old_socket_is_being_closed() {
        let mut fences = Fences::default();
        fences.subscribed();
        fences.pinged(Side::Standby);
        fences.closing();
        assert_eq!(fences.ponged(Side::Standby), None);
        assert_eq!(fences.subscribed(), None);
    }
}
