//! What waits for a channel's socket: notifications, heartbeats, and what the script wants of it.
//!
//! Responsible for filling a socket's batch in order. Refuses nothing. The invariant: an action of the script comes after the
//! notification that triggered it and before the next one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fault::{Action, malformed_text};
use crate::feed::{Batch, Feed};
use crate::frame::TEXT;
use crate::notifications::Notifications;
use crate::notifications::registry::{Frame, Slot, Waiting, push_bounded};
use crate::truth::Kind;

/// A batch is written once it holds this many bytes.
const BATCH_BYTES: usize = 128 << 10;

/// What a channel's socket does after it has written its batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Asks again at once.
    More,
    /// Waits until then, or for a signal.
    Wait(Instant),
    /// Carries out a fault that concerns the connection itself.
    Act(Action),
    /// Sends nothing any more: the client has to end the connection.
    Hold,
}

// the next thing to send: while two notifications are to change places, the second one first, and none before there are two
fn swapped(slot: &mut Slot, first: Option<Waiting>) -> Option<Waiting> {
    let is_notification =
        |waiting: &Waiting| matches!(waiting, Waiting::Frame(frame) if frame.kind == Kind::Notification);
    if !slot.swaps || !first.as_ref().is_some_and(is_notification) {
        return first;
    }
    match slot.waiting.iter().position(is_notification) {
        Some(place) => {
            slot.swaps = false;
            let second = slot.waiting.remove(place);
            if let Some(first) = first {
                slot.waiting.push_front(first);
            }
            second
        }
        None => {
            // whatever is no notification goes on meanwhile
            let other = slot.waiting.pop_front();
            if let Some(first) = first {
                slot.waiting.push_front(first);
            }
            other
        }
    }
}

impl Notifications {
    /// Fills a socket's batch with what waits for it.
    pub(super) fn fill(&mut self, feed: &mut Feed, connection: u64, now: Instant, batch: &mut Batch) -> Step {
        let step = self.take_waiting(feed, connection, now, batch);
        self.set_writing(connection, !batch.bytes.is_empty());
        step
    }

    /// Remembers whether a batch of a socket is being written.
    pub(super) fn set_writing(&mut self, connection: u64, writing: bool) {
        if let Some(slot) = self.registry.sockets.get_mut(&connection) {
            slot.writing = writing;
        }
    }

    fn take_waiting(&mut self, feed: &mut Feed, connection: u64, now: Instant, batch: &mut Batch) -> Step {
        let heartbeat = Duration::from_millis(self.options.notifications.heartbeat_ms);
        let ended = || {
            Step::Act(Action::Close {
                code: 1001,
                reason: "channel has ended".to_owned(),
            })
        };
        loop {
            let Some(slot) = self.registry.sockets.get_mut(&connection) else {
                return ended();
            };
            if batch.bytes.len() >= BATCH_BYTES {
                return Step::More;
            }
            let first = slot.waiting.pop_front();
            match swapped(slot, first) {
                Some(Waiting::Frame(frame)) => {
                    if frame.kind == Kind::Notification {
                        push_bounded(&mut slot.sent, &frame);
                    }
                    let note = Some(frame.note(&slot.channel, ""));
                    batch.push(frame.kind, TEXT, frame.text.as_bytes(), None, note);
                }
                Some(Waiting::Order(action)) => {
                    if let Some(step) = self.obey(feed, connection, action, now, batch) {
                        return step;
                    }
                }
                None if slot.closes.is_some_and(|closes| closes <= now) => {
                    self.registry.detach(feed, connection);
                    return Step::Act(Action::Close {
                        code: 1001,
                        reason: "maintenance".to_owned(),
                    });
                }
                None => {
                    if slot.frozen.flatten().is_some_and(|until| until <= now) {
                        slot.frozen = None;
                    }
                    if slot.next_heartbeat <= now {
                        slot.next_heartbeat = now + heartbeat;
                        if slot.frozen.is_none() {
                            let body = json!({ "message": "WebSocket Heartbeat" });
                            slot.waiting
                                .push_back(Waiting::Frame(Frame::system("channel.metadata", &body)));
                            continue;
                        }
                    }
                    let times = [Some(slot.next_heartbeat), slot.closes, slot.frozen.flatten()];
                    return Step::Wait(times.into_iter().flatten().min().unwrap_or(now));
                }
            }
        }
    }

    // carries out what the script wants of a socket; hands back what concerns the connection itself
    fn obey(
        &mut self,
        feed: &mut Feed,
        connection: u64,
        action: Action,
        now: Instant,
        batch: &mut Batch,
    ) -> Option<Step> {
        let slot = self.registry.sockets.get_mut(&connection)?;
        match action {
            Action::Freeze { ms } => {
                slot.frozen = Some(ms.and_then(|ms| now.checked_add(Duration::from_millis(ms))));
            }
            Action::Swap => slot.swaps = true,
            Action::Closing { ms } => {
                let ms = ms.unwrap_or(self.options.notifications.closing_ms);
                slot.closes = now.checked_add(Duration::from_millis(ms));
                let body = json!({ "channelId": &*slot.channel, "message": "closing" });
                let frame = Frame::system("v2.system.socket_closing", &body);
                batch.push(
                    frame.kind,
                    TEXT,
                    frame.text.as_bytes(),
                    None,
                    Some(frame.note(&slot.channel, "")),
                );
            }
            Action::Duplicate { back } => {
                let back = usize::try_from(back).unwrap_or(usize::MAX).min(slot.sent.len());
                if let Some(frame) = slot.sent.get(slot.sent.len() - back) {
                    let note = Some(frame.note(&slot.channel, ""));
                    batch.push(Kind::Duplicate, TEXT, frame.text.as_bytes(), None, note);
                }
            }
            Action::Malformed { shape } => {
                let text = malformed_text(shape, feed.next_malformed());
                let frame = Frame::answer("", &Value::Null);
                batch.push(
                    Kind::Malformed,
                    TEXT,
                    text.as_bytes(),
                    None,
                    Some(frame.note(&slot.channel, "")),
                );
            }
            Action::Offence(offence) => {
                batch.push_offence(offence);
                self.registry.detach(feed, connection);
                return Some(Step::Hold);
            }
            action => {
                if matches!(action, Action::Close { .. } | Action::Drop | Action::Reset) {
                    self.registry.detach(feed, connection);
                }
                return Some(Step::Act(action));
            }
        }
        None
    }
}
