//! What the listeners need of Genesys Cloud: a plan, channels, subscriptions and sockets.
//!
//! One implementation over the REST room, one for tests. Refuses to decide when any of it is asked for.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::plan::Sighting;
use crate::rest::{DetailsPages, RestError, Verdict};
use crate::session::failure::Failure;
use crate::transport::socket::Socket;

/// A channel of the notification service.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// Its id, with which the address of its socket can be made: it is not told either.
    pub(crate) id: String,
    /// Address and only credential of its socket.
    pub(crate) connect_uri: SecretString,
    /// When it ends by itself.
    pub(crate) expires_at: Instant,
    /// When the token that made it is to be renewed, and the channel with it.
    pub(crate) renew_at: Instant,
}

/// A topic that is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rejected {
    /// The topic.
    pub(crate) topic: String,
    /// Why, and the permissions that are missing where the platform tells; one line.
    pub(crate) reason: String,
}

impl From<Verdict> for Rejected {
    fn from(verdict: Verdict) -> Self {
        Self {
            reason: verdict.rejection(),
            topic: verdict.topic,
        }
    }
}

/// What a subscribe request was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Topics that are subscribed.
    pub(crate) permitted: usize,
    /// Topics that are not.
    pub(crate) rejected: Vec<Rejected>,
}

impl Answer {
    /// Says whether none of the topics is to be had.
    pub(crate) fn is_refusal(&self) -> bool {
        self.permitted == 0 && !self.rejected.is_empty()
    }
}

/// The topics of each channel.
pub(crate) type Shares = Vec<Arc<[String]>>;

/// What is to be listened to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) shares: Shares,
    /// Topics for which no channel has room, without those of conversations that are followed; the most important first.
    pub(crate) left_out: Arc<[String]>,
}

/// See the module documentation. Every call may be repeated, and dropped half-way.
pub(crate) trait Platform: 'static {
    /// Looks up what is wanted and spreads it over channels; a topic stays on the channel on which it is.
    fn plan(&self) -> impl Future<Output = Result<Wanted, Failure>>;

    /// Waits until topics have changed for another reason than that of [`Platform::plan`], which has succeeded before.
    fn changed(&self) -> impl Future<Output = Wanted>;

    /// Says whether conversations that are seen are of interest.
    fn follows(&self) -> bool;

    /// Takes note of a conversation that was seen.
    fn sighted(&self, sighting: &Sighting);

    /// Makes a channel.
    fn create_channel(&self) -> impl Future<Output = Result<Channel, Failure>>;

    /// Says whether a channel lives.
    fn is_channel_alive(&self, channel: &str) -> impl Future<Output = Result<bool, Failure>>;

    /// Makes `topics` the whole subscription of a channel.
    fn subscribe(&self, channel: &str, topics: &[String]) -> impl Future<Output = Result<Answer, Failure>>;

    /// Opens a channel's socket.
    fn connect(&self, channel: &Channel) -> impl Future<Output = Result<Socket, Failure>>;

    /// Reads the next page of the history; see [`DetailsPages::next`].
    fn past(
        &self,
        pages: &mut DetailsPages,
    ) -> impl Future<Output = Result<Option<Vec<Box<RawValue>>>, RestError>>;

    /// Forgets the access token, since the server no longer takes it.
    fn discard_token(&self);
}
