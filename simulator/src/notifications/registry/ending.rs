//! How a channel ends: evicted, expired, or with its token.
//!
//! Refuses nothing. The invariant: whatever its socket was given before is sent before the close, and its topics are free at
//! once. The order of frames and the close code 1001 are assumed, since they are not public.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use crate::feed::Feed;
use crate::notifications::registry::{Frame, Registry, Waiting};
use crate::truth::{Kind, Note};

impl Registry {
    /// Ends a channel since another one of the client came.
    pub(in crate::notifications) fn steal(&mut self, feed: &mut Feed, number: u64) {
        let Some(channel) = self.channels.get(&number) else {
            return;
        };
        let topic = format!("v2.system.no_longer_subscribed.{}", channel.id);
        let body = json!({
            "channelId": &*channel.id, "systemTopicType": "no_longer_subscribed", "reason": "another_channel_subscribed",
            "message": "another channel of this client has taken its place",
        });
        self.end(feed, number, Some(Frame::system(&topic, &body)), "evicted");
    }

    /// Ends a channel at the end of its life.
    pub(in crate::notifications) fn expire(&mut self, feed: &mut Feed, number: u64) {
        self.end(feed, number, None, "expired");
    }

    pub(super) fn revoke_of(&mut self, feed: &mut Feed, number: u64) {
        if let Some(login) = self.channels.get(&number).map(|channel| channel.login) {
            self.revoked.push(login);
            self.end_of_token(feed, login);
        }
    }

    /// Ends every channel that a login's token created.
    pub(in crate::notifications) fn end_of_token(&mut self, feed: &mut Feed, login: u64) {
        let numbers: Vec<u64> = self
            .channels
            .values()
            .filter(|channel| channel.login == login)
            .map(|channel| channel.number)
            .collect();
        for number in numbers {
            let id = self
                .channels
                .get(&number)
                .map(|channel| channel.id.to_string())
                .unwrap_or_default();
            let topic = format!("v2.system.token_revoked.{id}");
            let body = json!({
                "channelId": id, "systemTopicType": "token_revoked", "reason": "user_tokens_revoked",
                "message": "the token of this channel is no longer valid",
            });
            self.end(feed, number, Some(Frame::system(&topic, &body)), "token revoked");
        }
    }

    fn end(&mut self, feed: &mut Feed, number: u64, last: Option<Frame>, why: &str) {
        let Some(channel) = self.channels.remove(&number) else {
            return;
        };
        self.reindex();
        let note = Note {
            detail: why.to_owned(),
            channel: Some(Arc::clone(&channel.id)),
            ..Note::default()
        };
        feed.note_channel(Kind::ChannelEnded, 0, note, None);
        let Some(connection) = channel.socket else {
            return;
        };
        if let Some(slot) = self.sockets.get_mut(&connection) {
            slot.waiting.extend(last.map(Waiting::Frame));
        }
        self.order_end(connection, why);
    }

    /// Ends the channels whose life is over.
    pub(in crate::notifications) fn expire_due(&mut self, feed: &mut Feed, now: Instant) -> bool {
        let due: Vec<u64> = self
            .channels
            .values()
            .filter(|channel| channel.expires <= now)
            .map(|channel| channel.number)
            .collect();
        for number in &due {
            self.expire(feed, *number);
        }
        !due.is_empty()
    }
}
