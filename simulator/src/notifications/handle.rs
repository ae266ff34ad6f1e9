//! How tests, the listener and the sessions reach the notification channels.
//!
//! Responsible for the order of the locks: notifications, then feed, then tokens. Refuses nothing. The invariant: a token
//! that the script revokes is refused from the moment at which its channels have ended.

use std::time::Instant;

use crate::feed::Feed;
use crate::notifications::{ChannelView, Named, Notifications};
use crate::server::{Shared, Simulator, lock};

impl Shared {
    /// Works on the notification channels, and revokes the tokens that the script wants revoked.
    pub(crate) fn with_notifications<T>(&self, work: impl FnOnce(&mut Notifications, &mut Feed) -> T) -> T {
        let mut notifications = lock(&self.notifications);
        let result = work(&mut notifications, &mut self.feed());
        let revoked = notifications.take_revoked();
        drop(notifications);
        for login in revoked {
            self.tokens().revoke(login);
        }
        result
    }

    /// Lets the contact centre go on, and ends the channels whose tokens have ended.
    pub(crate) fn tick_notifications(&self, now: Instant) {
        let logins = self.with_notifications(|notifications, _| notifications.logins());
        let ended: Vec<u64> = match self.options.notifications.ends_with_token {
            true => {
                let tokens = self.tokens();
                let over = |login: &u64| tokens.end_of(*login).is_none_or(|end| end <= now);
                logins.into_iter().filter(over).collect()
            }
            false => Vec::new(),
        };
        let news = self.with_notifications(|notifications, feed| {
            notifications.end_tokens(feed, &ended);
            notifications.tick(feed, now)
        });
        if news || !ended.is_empty() {
            self.wake();
        }
    }
}

impl Simulator {
    /// The base URL of the REST API; clients append `/api/v2/…`.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The notification channels that live, in the order of their creation.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelView> {
        self.shared
            .with_notifications(|notifications, _| notifications.channels())
    }

    /// The queues of the contact centre; their places are the numbers that [`Self::set_member`] takes.
    #[must_use]
    pub fn queues(&self) -> Vec<Named> {
        self.shared
            .with_notifications(|notifications, _| notifications.queues())
    }

    /// The users of the contact centre; their places are the numbers that [`Self::set_member`] takes.
    #[must_use]
    pub fn users(&self) -> Vec<Named> {
        self.shared
            .with_notifications(|notifications, _| notifications.users())
    }

    /// Sends a body on a topic to every channel that is subscribed to it, besides what the contact centre sends.
    pub fn publish(&self, topic: &str, body: &serde_json::Value) {
        self.shared
            .with_notifications(|notifications, feed| notifications.publish_body(feed, topic, body));
        self.shared.announce_progress();
        self.shared.wake();
    }

    /// Gives the client's role a permission, or a topic that was forbidden, from the next request for topics on; says whether
    /// it lacked that.
    pub fn grant(&self, name: &str) -> bool {
        self.shared
            .with_notifications(|notifications, _| notifications.grant(name))
    }

    /// Lets a user join or leave a queue; says whether that changed anything.
    pub fn set_member(&self, queue: usize, user: usize, joined: bool) -> bool {
        let changed = self
            .shared
            .with_notifications(|notifications, feed| notifications.set_member(feed, queue, user, joined));
        self.shared.wake();
        changed
    }
}
