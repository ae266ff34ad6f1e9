//! The channels of the client: creation, topics, which socket has which, and what waits for each socket.
//!
//! `channel` is one channel, `frame` has the texts, `ending` how a channel ends. Refuses a second socket on a channel by ending the first, and a channel over the limit by ending the one used longest
//! ago. Invariants: a notification goes into the queue of each open socket whose channel has its topic, or it is recorded as
//! unheard; a channel has one socket at most; what waits is bounded.

mod channel;
mod ending;
mod frame;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fault::{Action, ChannelScript};
use crate::feed::{Feed, SOCKET_ENDED};
use crate::notifications::settings::NotificationOptions;
use crate::truth::{Kind, Note};

pub(super) use channel::{Channel, Slot, Waiting};
use channel::{channel_id, end_of_life};
pub(super) use frame::Frame;

/// Notifications that can be sent again.
const HISTORY: usize = 64;
/// Topics remembered as once asked for.
const MAX_WANTED: usize = 200_000;

/// The channels and their sockets.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By number, so in the order of creation.
    pub(super) channels: BTreeMap<u64, Channel>,
    pub(super) sockets: HashMap<u64, Slot>,
    created: u64,
    notified: u64,
    index: HashMap<Arc<str>, Vec<u64>>,
    wanted: HashSet<Arc<str>>,
    recent: VecDeque<Frame>,
    pub(super) script: ChannelScript,
    /// Logins whose tokens the script has revoked.
    pub(super) revoked: Vec<u64>,
}

impl Registry {
    pub(super) fn find(&self, id: &str) -> Option<&Channel> {
        self.channels.values().find(|channel| &*channel.id == id)
    }

    /// Creates a channel; over the limit, the one used longest ago ends, one without a socket first.
    pub(super) fn create(
        &mut self,
        feed: &mut Feed,
        options: &NotificationOptions,
        login: u64,
        now: Instant,
    ) -> &Channel {
        while self.channels.len() >= options.channel_limit {
            let oldest = self
                .channels
                .values()
                .min_by_key(|channel| (channel.socket.is_some(), channel.last_used));
            let Some(number) = oldest.map(|channel| channel.number) else {
                break;
            };
            self.steal(feed, number);
        }
        self.created += 1;
        let number = self.created;
        let id: Arc<str> = Arc::from(channel_id());
        feed.note_channel(
            Kind::ChannelCreated,
            0,
            Note {
                detail: format!("channel {number}, login {login}"),
                channel: Some(Arc::clone(&id)),
                ..Note::default()
            },
            None,
        );
        let (expires, expires_us) = end_of_life(options, now);
        self.channels.entry(number).or_insert(Channel {
            number,
            id,
            login,
            expires,
            expires_us,
            last_used: now,
            topics: BTreeMap::new(),
            socket: None,
            sent: 0,
        })
    }

    /// Gives a channel these topics, in place of its own or besides, and a new life.
    pub(super) fn set_topics(
        &mut self,
        number: u64,
        topics: Vec<(String, Vec<Arc<str>>)>,
        replace: bool,
        options: &NotificationOptions,
        now: Instant,
    ) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        channel.last_used = now;
        (channel.expires, channel.expires_us) = end_of_life(options, now);
        if replace {
            channel.topics.clear();
        }
        channel.topics.extend(topics);
        self.reindex();
    }

    /// Takes topics from a channel, or all.
    pub(super) fn remove_topics(&mut self, number: u64, topics: Option<&[String]>) {
        if let Some(channel) = self.channels.get_mut(&number) {
            match topics {
                None => channel.topics.clear(),
                Some(topics) => channel.topics.retain(|topic, _| !topics.contains(topic)),
            }
        }
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index.clear();
        for channel in self.channels.values() {
            for name in channel.topics.values().flatten() {
                let numbers = self.index.entry(Arc::clone(name)).or_default();
                // two requested topics may stand for the same name
                if numbers.last() != Some(&channel.number) {
                    numbers.push(channel.number);
                }
            }
        }
        for name in self.index.keys() {
            if self.wanted.len() < MAX_WANTED && !self.wanted.contains(name) {
                self.wanted.insert(Arc::clone(name));
            }
        }
    }

    /// Says whether anybody is, or was, subscribed to a topic: only then is its text needed.
    pub(super) fn is_wanted(&self, topic: &str) -> bool {
        self.wanted.contains(topic)
    }

    /// Says whether any channel has topics and a socket.
    pub(super) fn is_heard(&self) -> bool {
        self.channels
            .values()
            .any(|channel| channel.socket.is_some() && !channel.topics.is_empty())
    }

    /// Says whether nothing waits for any socket or is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.sockets
            .values()
            .all(|slot| slot.waiting.is_empty() && !slot.writing)
    }

    /// Opens a channel's socket; one that was open ends.
    pub(super) fn attach(
        &mut self,
        feed: &mut Feed,
        id: &str,
        connection: u64,
        options: &NotificationOptions,
        now: Instant,
    ) -> bool {
        let Some(channel) = self.channels.values_mut().find(|channel| &*channel.id == id) else {
            return false;
        };
        channel.last_used = now;
        let (number, before) = (channel.number, channel.socket.replace(connection));
        let slot = Slot {
            channel: Arc::clone(&channel.id),
            number,
            waiting: VecDeque::new(),
            writing: false,
            next_heartbeat: now + Duration::from_millis(options.heartbeat_ms),
            closes: None,
            frozen: None,
            swaps: false,
            sent: VecDeque::new(),
        };
        self.sockets.insert(connection, slot);
        if let Some(before) = before {
            self.order_end(before, "another socket has taken this channel");
        }
        let sent = self.channels.get(&number).map_or(0, |channel| channel.sent);
        self.act(feed, number, sent, false);
        true
    }

    // lets a socket send what waits, then close
    fn order_end(&mut self, connection: u64, reason: &str) {
        if let Some(slot) = self.sockets.get_mut(&connection) {
            slot.waiting.push_back(Waiting::Order(Action::Close {
                code: 1001,
                reason: reason.to_owned(),
            }));
        }
    }

    /// Takes a socket off its channel: no further notification goes there, and what still waited is unheard. Both at once, so
    /// that the ground truth keeps the order of the notifications.
    pub(super) fn detach(&mut self, feed: &mut Feed, connection: u64) {
        for channel in self.channels.values_mut() {
            if channel.socket == Some(connection) {
                channel.socket = None;
            }
        }
        let Some(slot) = self.sockets.get_mut(&connection) else {
            return;
        };
        for waiting in std::mem::take(&mut slot.waiting) {
            if let Waiting::Frame(frame) = waiting
                && frame.kind == Kind::Notification
            {
                let note = frame.note(&slot.channel, SOCKET_ENDED);
                feed.note_channel(Kind::Unheard, connection, note, Some(frame.text.as_bytes()));
            }
        }
    }

    /// Forgets a socket that has ended.
    pub(super) fn forget(&mut self, feed: &mut Feed, connection: u64) {
        self.detach(feed, connection);
        self.sockets.remove(&connection);
    }

    /// Sends a notification to whom it concerns.
    pub(super) fn publish(&mut self, feed: &mut Feed, frame: &Frame, options: &NotificationOptions) {
        let numbers = self.index.get(&frame.topic).cloned().unwrap_or_default();
        if numbers.is_empty() && self.wanted.contains(&frame.topic) {
            let note = Note {
                detail: "no channel is subscribed".to_owned(),
                topic: Some(Arc::clone(&frame.topic)),
                conversation: frame.conversation.clone(),
                ..Note::default()
            };
            feed.note_channel(Kind::Unheard, 0, note, Some(frame.text.as_bytes()));
        }
        let mut heard = false;
        for number in &numbers {
            heard |= self.deliver(feed, *number, frame, options);
        }
        if heard {
            push_bounded(&mut self.recent, frame);
        }
    }

    // says whether a socket was there for it
    fn deliver(
        &mut self,
        feed: &mut Feed,
        number: u64,
        frame: &Frame,
        options: &NotificationOptions,
    ) -> bool {
        let Some(channel) = self.channels.get_mut(&number) else {
            return false;
        };
        let slot = channel
            .socket
            .and_then(|connection| self.sockets.get_mut(&connection));
        let unheard = match slot {
            None => "the channel has no socket",
            Some(slot) if slot.waiting.len() >= options.max_waiting_frames => {
                "too many frames wait for the client"
            }
            Some(slot) => {
                slot.waiting.push_back(Waiting::Frame(frame.clone()));
                channel.sent += 1;
                self.notified += 1;
                let sent = channel.sent;
                self.act(feed, number, sent, true);
                return true;
            }
        };
        let note = frame.note(&channel.id, unheard);
        feed.note_channel(Kind::Unheard, 0, note, Some(frame.text.as_bytes()));
        false
    }

    /// Lets the script act on a channel, where something is due.
    pub(super) fn act(&mut self, feed: &mut Feed, number: u64, sent: u64, after_a_notification: bool) {
        if self.script.is_empty() {
            return;
        }
        let due = self
            .script
            .take_due(number, sent, self.notified, after_a_notification);
        for action in due {
            match action {
                Action::Steal => self.steal(feed, number),
                Action::Expire => self.expire(feed, number),
                Action::Revoke => self.revoke_of(feed, number),
                action => {
                    let connection = self.channels.get(&number).and_then(|channel| channel.socket);
                    if let Some(slot) = connection.and_then(|connection| self.sockets.get_mut(&connection)) {
                        slot.waiting.push_back(Waiting::Order(action));
                    }
                }
            }
        }
    }

    /// Lets the script act on every channel that has a socket, after a fault was added.
    pub(super) fn act_on_all(&mut self, feed: &mut Feed) {
        let all: Vec<(u64, u64)> = self
            .channels
            .values()
            .map(|channel| (channel.number, channel.sent))
            .collect();
        for (number, sent) in all {
            self.act(feed, number, sent, false);
        }
    }

    /// Sends a channel once more the last notifications of its topics.
    pub(super) fn echo(&mut self, number: u64, count: u64) {
        let Some(channel) = self.channels.get(&number) else {
            return;
        };
        let Some(slot) = channel
            .socket
            .and_then(|connection| self.sockets.get_mut(&connection))
        else {
            return;
        };
        let names: HashSet<&Arc<str>> = channel.topics.values().flatten().collect();
        let fitting = self.recent.iter().filter(|frame| names.contains(&frame.topic));
        let skip = fitting
            .clone()
            .count()
            .saturating_sub(usize::try_from(count).unwrap_or(HISTORY));
        for frame in fitting.skip(skip) {
            let kind = Kind::Duplicate;
            slot.waiting.push_back(Waiting::Frame(Frame {
                kind,
                ..frame.clone()
            }));
        }
    }
}

pub(super) fn push_bounded(frames: &mut VecDeque<Frame>, frame: &Frame) {
    if frames.len() >= HISTORY {
        frames.pop_front();
    }
    frames.push_back(frame.clone());
}
