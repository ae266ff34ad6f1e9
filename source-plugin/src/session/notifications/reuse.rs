//! Which channel a listener connects next: the one that it had, as long as it lives, or a new one.
//!
//! Responsible for asking the API about a channel that cannot be connected and does not say why. Refuses to ask where an
//! answer has decided already: a refused address, a system frame, or topics that were answered. Invariant: a channel is
//! connected again [`MAX_REUSES`] times at most.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::listener::Listener;
use super::platform::{Channel, Platform};
use crate::session::failure::{Failure, FailureKind};

/// Times that a channel is connected again before a new one is made.
///
/// # Source
/// The vendor's streaming client makes a new channel after 10.
const MAX_REUSES: u32 = 10;

/// Attempts in a row that say nothing of a channel, after which the API is asked whether it lives. The first one is tried
/// again as it is: a flaky network is more frequent than a channel that has gone in silence, and a question costs a call.
const MAX_DOUBTS: u32 = 2;

/// How long the answer is waited for, from the rate limit to the last try of the call: without one the channel is tried
/// again, which is what a network that is away comes to.
const ASK_WITHIN: Duration = Duration::from_secs(5);

impl<P: Platform, R: Rng> Listener<P, R> {
    /// Returns the channel that is to be connected.
    ///
    /// # Errors
    /// What making one came to.
    pub(super) async fn next_channel(&mut self) -> Result<Channel, Failure> {
        let now = Instant::now();
        let kept = self.kept.take();
        let kept = kept.filter(|channel| self.reuses < MAX_REUSES && now < channel.expires_at);
        if let Some(channel) = kept {
            if self.is_alive(&channel).await {
                self.reuses += 1;
                return Ok(channel);
            }
            tracing::warn!(channel = self.number, "channel has gone, another one is made");
        }
        let channel = self.platform.create_channel().await?;
        (self.reuses, self.doubts) = (0, 0);
        Ok(channel)
    }

    /// Asks the API whether a channel lives, once it is doubtful; it does unless the API says no.
    async fn is_alive(&mut self, channel: &Channel) -> bool {
        if self.doubts < MAX_DOUBTS {
            return true;
        }
        self.doubts = 0;
        let asked = self.platform.is_channel_alive(&channel.id);
        match tokio::time::timeout(ASK_WITHIN, asked).await {
            Ok(Ok(is_alive)) => is_alive,
            Ok(Err(failure)) => failure.kind != FailureKind::ChannelGone,
            Err(_) => true,
        }
    }

    /// Keeps a channel whose attempt has failed, or whose socket is lost, for the next one, unless it is gone.
    pub(super) fn keep(&mut self, channel: Channel, failure: &Failure, is_subscribed: bool) {
        if failure.kind == FailureKind::ChannelGone {
            return;
        }
        // Topics that were answered are the API's word that it lived.
        if failure.kind == FailureKind::Transient && !is_subscribed {
            self.doubts += 1;
        }
        self.kept = Some(channel);
    }
}
