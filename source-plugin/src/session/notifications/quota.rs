//! The channels of the OAuth client, counted once before further ones are made for a plan.
//!
//! Responsible for the word of warning. Refuses to hold a channel back, though the 21st ends another one: no call ends a
//! channel and none tells whose it is, so that those which an earlier run left, each for up to a day, look like another
//! program's. A source that waited for them would listen to nothing after a restart; and they are the first to end, since nobody
//! listens to them.

use super::MAX_CHANNELS;
use super::genesys::Genesys;
use crate::rest::{Channel, Whose};

/// Channels that a plan has come to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// Those that it needed before.
    pub(super) listened: usize,
    /// Those that are new.
    pub(super) further: usize,
}

impl Growth {
    /// Returns how many channels are not this run's, if there are more with those that are needed than there may be.
    fn excess(self, present: &[Channel], is_own: impl Fn(&str) -> bool) -> Option<usize> {
        let others = present.iter().filter(|channel| !is_own(&channel.id)).count();
        (others + self.listened + self.further > MAX_CHANNELS).then_some(others)
    }
}

impl Genesys {
    /// Counts the channels of the OAuth client if the plan needs more than it did, and warns where others are in the way.
    pub(super) async fn count_channels(&self) {
        let Some(growth) = self.take_growth() else {
            return;
        };
        let present = match self.rest().channels(Whose::OauthClient).await {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(%error, "channels of the OAuth client cannot be counted");
                return;
            }
        };
        if let Some(others) = growth.excess(&present, |id| self.rest().has_made(id)) {
            let wanted = growth.listened + growth.further;
            tracing::warn!(
                others,
                wanted,
                most = MAX_CHANNELS,
                "more channels than the OAuth client may have, those used longest ago end: give this source a client of its own"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Growth;
    use crate::rest::Channel;

    #[test]
    fn channels_of_this_run_are_no_excess_and_those_that_nobody_tells_of_are() {
        let channel = |id: &str| Channel {
            id: id.to_owned(),
            connect_uri: "".into(),
            expires_us: None,
        };
        let excess = |own: usize, hidden: usize, listened: usize, further: usize| {
            let mut present = vec![channel("own"); own];
            present.extend(vec![channel(""); hidden]);
            let growth = Growth { listened, further };
            growth.excess(&present, |id| id == "own")
        };
        // what a hand-over has left behind is this run's, too
        assert_eq!(excess(8, 12, 7, 1), None);
        assert_eq!(excess(8, 13, 7, 1), Some(13));
        assert_eq!(excess(0, 20, 0, 1), Some(20));
        assert_eq!(excess(20, 0, 18, 1), None);
    }
}
