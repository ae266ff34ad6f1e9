//! Genesys Cloud's notification channels and the contact centre behind them.
//!
//! Responsible for the state of both; `rest` answers requests, `stream` plays a channel's socket, `registry` has the
//! channels, `topic` the topics, `centre` what happens, `org` who is there. Refuses nothing itself. The invariant: every
//! notification on a topic that somebody asked for is recorded as sent or as unheard, once for each channel concerned.
//! Where the platform's behaviour is not public, the options that decide it say so.

mod centre;
mod handle;
mod limits;
mod org;
mod pace;
mod registry;
mod rest;
mod settings;
mod stream;
mod topic;
mod waiting;

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::feed::Feed;
use crate::options::Options;
use crate::truth::Kind;

use centre::Centre;
use org::Org;
use pace::Pace;
use registry::{Frame, Registry};

pub(crate) use limits::Limits;
pub use org::Named;
pub(crate) use rest::{PREFIX as API_PREFIX, answer};
pub use settings::NotificationOptions;
pub(crate) use stream::{PREFIX as STREAM_PREFIX, play, upgrade};

fn metadata(correlation: &str, action: Option<&str>) -> Value {
    let mut metadata = json!({ "CorrelationId": correlation });
    if let Some(action) = action {
        metadata["action"] = action.into();
    }
    metadata
}

/// A channel as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Number of the channel, from 1, as faults name it.
    pub number: u64,
    /// Its id.
    pub id: String,
    /// The login whose token created it, from 1.
    pub login: u64,
    /// The topics as asked for, sorted.
    pub topics: Vec<String>,
    /// Connection of its socket, if one is open.
    pub connection: Option<u64>,
    /// Notifications given to its sockets so far.
    pub sent: u64,
}

/// The notification service and the contact centre.
#[derive(Debug)]
pub(crate) struct Notifications {
    options: Options,
    registry: Registry,
    limits: Limits,
    org: Org,
    centre: Centre,
    creations: u64,
    topic_requests: u64,
    requests: Pace,
    upgrades: Pace,
}

impl Notifications {
    pub(crate) fn new(options: &Options) -> Self {
        let mut registry = Registry::default();
        for fault in options.faults.iter().filter(|fault| fault.when.is_of_channels()) {
            registry.script.add(fault.clone());
        }
        Self {
            options: options.clone(),
            registry,
            limits: Limits::default(),
            org: Org::new(options),
            centre: Centre::new(options),
            creations: 0,
            topic_requests: 0,
            requests: Pace::default(),
            upgrades: Pace::default(),
        }
    }

    /// Adds a fault, and lets it act where it is due.
    pub(crate) fn inject(&mut self, feed: &mut Feed, fault: Fault) {
        self.registry.script.add(fault);
        self.registry.act_on_all(feed);
    }

    /// The logins whose tokens the script has revoked since the last call.
    pub(crate) fn take_revoked(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.registry.revoked)
    }

    /// The logins whose tokens have channels.
    pub(crate) fn logins(&self) -> Vec<u64> {
        self.registry
            .channels
            .values()
            .map(|channel| channel.login)
            .collect()
    }

    /// Ends the channels of tokens that have ended.
    pub(crate) fn end_tokens(&mut self, feed: &mut Feed, logins: &[u64]) {
        for login in logins {
            self.registry.end_of_token(feed, *login);
        }
    }

    /// Lets time pass: lives end, and the contact centre goes on. Says whether a socket has anything new.
    pub(crate) fn tick(&mut self, feed: &mut Feed, now: Instant) -> bool {
        let expired = self.registry.expire_due(feed, now);
        let heard = self.registry.is_heard();
        let due = self.centre.due(heard, self.options.pause_when_alone, now);
        for _ in 0..due {
            self.centre.update(&mut self.org);
            feed.truth.counters.updates += 1;
            for publication in self.centre.take_publications() {
                self.publish(
                    feed,
                    &publication.topic,
                    publication.conversation.as_ref(),
                    &metadata(&publication.correlation, publication.action),
                    || publication.body.to_string(),
                );
            }
        }
        feed.truth.counters.updates_done = self.centre.is_done() && self.registry.is_idle();
        expired || due > 0
    }

    /// Sends a body on a topic of a test's choice, as the contact centre would.
    pub(crate) fn publish_body(&mut self, feed: &mut Feed, topic: &str, body: &Value) {
        let conversation = body["conversationId"]
            .as_str()
            .or_else(|| {
                if topic.contains(".conversations") {
                    body["id"].as_str()
                } else {
                    None
                }
            })
            .map(Arc::from);
        let metadata = metadata(&uuid::Uuid::new_v4().to_string(), None);
        self.publish(feed, topic, conversation.as_ref(), &metadata, || body.to_string());
    }

    fn publish(
        &mut self,
        feed: &mut Feed,
        topic: &str,
        conversation: Option<&Arc<str>>,
        metadata: &Value,
        body: impl FnOnce() -> String,
    ) {
        if !self.registry.is_wanted(topic) {
            return;
        }
        // no body at all where there is nothing to say, as with a station that is left
        let body = Some(body()).filter(|body| body != "null");
        let body = body
            .map(|body| format!(r#""eventBody":{body},"#))
            .unwrap_or_default();
        let frame = Frame {
            kind: Kind::Notification,
            topic: Arc::from(topic),
            conversation: conversation.cloned(),
            text: Arc::from(format!(
                r#"{{"topicName":{},"version":"2",{body}"metadata":{metadata}}}"#,
                Value::from(topic),
            )),
        };
        self.registry.publish(feed, &frame, &self.options.notifications);
    }

    /// Lets a user join or leave a queue, and tells the queue's topic; says whether that changed anything.
    pub(crate) fn set_member(&mut self, feed: &mut Feed, queue: usize, user: usize, joined: bool) -> bool {
        let changed = self.org.set_member(queue, user, joined);
        if changed {
            let (topic, body) = centre::membership(&self.org, queue, user, joined);
            self.publish_body(feed, &topic, &body);
        }
        changed
    }

    /// Takes a permission or a topic off what the role lacks; says whether it was there.
    pub(crate) fn grant(&mut self, name: &str) -> bool {
        let settings = &mut self.options.notifications;
        let lists = [&mut settings.missing_permissions, &mut settings.forbidden_topics];
        let before = lists.iter().map(|list| list.len()).sum::<usize>();
        let after = lists.into_iter().map(|list| {
            list.retain(|lacked| lacked != name);
            list.len()
        });
        after.sum::<usize>() < before
    }

    /// The channels, in the order of their creation.
    pub(crate) fn channels(&self) -> Vec<ChannelView> {
        let view = |channel: &registry::Channel| ChannelView {
            number: channel.number,
            id: channel.id.to_string(),
            login: channel.login,
            topics: channel.topics.keys().cloned().collect(),
            connection: channel.socket,
            sent: channel.sent,
        };
        self.registry.channels.values().map(view).collect()
    }

    /// The queues, in the order of their numbers.
    pub(crate) fn queues(&self) -> Vec<Named> {
        self.org.queues.iter().map(|queue| queue.named.clone()).collect()
    }

    /// The users, in the order of their numbers.
    pub(crate) fn users(&self) -> Vec<Named> {
        self.org.users.iter().map(|user| user.named.clone()).collect()
    }
}
