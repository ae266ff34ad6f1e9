//! A channel's socket: the upgrade on its URI, what its client says, and what it is sent.
//!
//! Responsible for one connection in one task. Refuses a channel that there is not with 404. The invariant: every
//! notification given to the socket is recorded as sent once the kernel has its last byte, or as unheard when it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tracing::debug;

use crate::events;
use crate::fault::Action;
use crate::feed::{Batch, Feed};
use crate::http::Request;
use crate::notifications::Notifications;
use crate::notifications::registry::{Frame, Waiting};
use crate::notifications::waiting::Step;
use crate::oauth::{Gate, refusal};
use crate::server::Shared;
use crate::socket::{End, Socket};
use crate::truth::{Kind, Note};

/// What the path of a channel's URI begins with; the channel's id follows.
pub(crate) const PREFIX: &str = "/channels/";

/// Answers an upgrade request on a channel's URI as `connect=K` of the script wants it.
pub(crate) async fn upgrade(request: &Request, id: &str, shared: &Shared) -> (u64, Gate) {
    shared.with_notifications(|notifications, feed| {
        let come = notifications.upgrades.come(Instant::now());
        feed.truth.counters.early += u64::from(come.early);
    });
    let (connection, gate) = events::upgrade(request, shared).await;
    let known = shared.with_notifications(|notifications, _| {
        if let Gate::Answer(response) = &gate {
            notifications.upgrades.answered(response, Instant::now());
        }
        notifications.registry.find(id).is_some()
    });
    match gate {
        Gate::Answer(response) | Gate::Trickle(response, _) if response.status == 101 && !known => {
            shared
                .feed()
                .note(Kind::Refused, connection, Some(404), "upgrade of a channel");
            (connection, Gate::Answer(refusal(404, None)))
        }
        gate => (connection, gate),
    }
}

/// Plays an upgraded connection to its end.
pub(crate) async fn play(
    stream: TcpStream,
    surplus: Vec<u8>,
    connection: u64,
    id: String,
    shared: Arc<Shared>,
) {
    let note = || Note {
        channel: Some(Arc::from(id.as_str())),
        ..Note::default()
    };
    shared.with_notifications(|notifications, feed| {
        feed.note_channel(Kind::Connected, connection, note(), None);
        let settings = &notifications.options.notifications;
        // gone between the upgrade and now: then the first fill closes it
        notifications
            .registry
            .attach(feed, &id, connection, settings, Instant::now())
    });
    shared.wake();
    let mut session = Session {
        socket: Socket::new(stream, surplus, connection, Arc::clone(&shared)),
        connection,
        shared: Arc::clone(&shared),
        held: false,
    };
    let end = match session.play().await {
        Err(end) => end,
        Ok(never) => match never {},
    };
    debug!(connection, ?end, "channel socket ends");
    // before the farewell, which may take a while: what happens from now on is unheard
    shared.with_notifications(|notifications, feed| notifications.registry.forget(feed, connection));
    let leave = |_, code, detail: &str| {
        let detail = detail.to_owned();
        shared.feed().note_channel(
            Kind::Closed,
            connection,
            Note {
                code,
                detail,
                ..note()
            },
            None,
        );
    };
    session.socket.finish(end, leave).await;
}

struct Session {
    socket: Socket,
    connection: u64,
    shared: Arc<Shared>,
    // nothing any more: the client has to end the connection
    held: bool,
}

impl Session {
    async fn play(&mut self) -> Result<Infallible, End> {
        let mut batch = Batch::default();
        loop {
            self.socket.check_stop()?;
            self.socket.pump()?;
            if self.is_attached() {
                self.socket.write_replies().await?;
            }
            let texts = self.socket.take_texts();
            let connection = self.connection;
            let step = self.shared.with_notifications(|notifications, feed| {
                let now = Instant::now();
                for text in texts {
                    notifications.hear(feed, connection, &text, now);
                }
                match self.held {
                    true => Step::Hold,
                    false => notifications.fill(feed, connection, now, &mut batch),
                }
            });
            if !batch.bytes.is_empty() {
                let written = self.write_batch(&mut batch).await;
                if written.is_err() {
                    self.shared.feed().abandon(connection, &mut batch);
                    self.shared.announce_progress();
                }
                written?;
                self.shared
                    .with_notifications(|notifications, _| notifications.set_writing(connection, false));
            }
            match step {
                Step::More => tokio::task::yield_now().await,
                Step::Wait(until) => self.socket.wait(Some(until)).await?,
                Step::Act(action) => self.act(action).await?,
                Step::Hold if self.held => self.socket.wait(None).await?,
                Step::Hold => self.held = true,
            }
        }
    }

    // What no longer belongs to its channel, since that has ended or has another socket, answers no ping: an answer would
    // say that whatever happened before it came here. Assumed, since what the platform does is not public.
    fn is_attached(&self) -> bool {
        self.shared.with_notifications(|notifications, _| {
            let registry = &notifications.registry;
            let number = registry.sockets.get(&self.connection).map(|slot| slot.number);
            number
                .and_then(|number| registry.channels.get(&number))
                .is_some_and(|channel| channel.socket == Some(self.connection))
        })
    }

    async fn write_batch(&mut self, batch: &mut Batch) -> Result<(), End> {
        let (mut written, total) = (0, batch.bytes.len());
        while written < total {
            written += self.socket.write_part(&batch.bytes[written..]).await?;
            self.shared.feed().commit(self.connection, batch, written);
            self.shared.announce_progress();
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Close { code, reason } => Err(End::Close { code, reason }),
            Action::Drop => Err(End::Drop),
            Action::Reset => Err(End::Reset),
            Action::Silence { ms } => self.socket.pause(Some(ms), true).await,
            Action::Stall { ms } => self.socket.pause(ms, false).await,
            Action::Oversized { bytes, announced } => {
                self.socket.send_oversized(bytes, announced).await?;
                self.held |= announced;
                let detail = if announced { "announced only" } else { "" };
                self.shared.feed().sent_oversized(self.connection, bytes, detail);
                Ok(())
            }
            Action::Trickle { ms } => self.socket.trickle(ms, false).await,
            Action::Unfinished { ms } => self.socket.trickle(ms, true).await,
            // the state carries out the others itself, and the check of a fault keeps the rest away
            _ => Ok(()),
        }
    }
}

impl Notifications {
    /// Takes in what a client says on its socket: a ping, or topics. Anything else is let pass, as the platform does.
    fn hear(&mut self, feed: &mut Feed, connection: u64, text: &str, now: Instant) {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let Some(slot) = self.registry.sockets.get(&connection) else {
            return;
        };
        let (number, frozen) = (slot.number, slot.frozen);
        let frozen = frozen.is_some_and(|until| until.is_none_or(|until| now < until));
        let answer = match message["message"].as_str() {
            Some("ping") if frozen => return,
            Some("ping") => Frame::system("channel.metadata", &json!({ "message": "pong" })),
            Some(wanted @ ("subscribe" | "unsubscribe")) => {
                let topics: Vec<String> = message["topics"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|topic| topic.as_str().map(str::to_owned))
                    .collect();
                Frame::answer(
                    "",
                    &self.subscribe_over_socket(feed, number, wanted, &topics, &message, now),
                )
            }
            _ => return,
        };
        if let Some(slot) = self.registry.sockets.get_mut(&connection)
            && slot.waiting.len() < self.options.notifications.max_waiting_frames
        {
            slot.waiting.push_back(Waiting::Frame(answer));
        }
    }

    fn subscribe_over_socket(
        &mut self,
        feed: &mut Feed,
        number: u64,
        wanted: &str,
        topics: &[String],
        message: &Value,
        now: Instant,
    ) -> Value {
        let correlation = &message["correlationId"];
        let failure = |result: &str, why: &str| json!({ "correlationId": correlation, "topics": [], "result": result, "status": "error", "message": why });
        if !self.registry.channels.contains_key(&number) {
            return failure("404", "channel is gone");
        }
        let done = match wanted {
            "unsubscribe" => {
                self.registry.remove_topics(number, Some(topics));
                "unsubscribed"
            }
            _ => match self.subscribe(feed, number, topics, false, true, now) {
                Ok(_) => "subscribed",
                Err(refusal) => return failure("400", &refusal.message),
            },
        };
        json!({ "correlationId": correlation, "topics": topics, "result": "200", "status": done })
    }
}

/// A wait that ends with the script's delay.
pub(super) async fn delay(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
