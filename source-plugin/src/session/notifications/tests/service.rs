//! The scripted notification service itself: channels, subscriptions, and sockets over pipes that answer pings.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::super::platform::{Answer, Channel, Platform, Rejected, Wanted};
use crate::rest::{DetailsPages, RestError};
use crate::session::Failure;
use crate::transport::events::Connector;
use crate::transport::socket::Socket;

/// What a socket may be told before it has done it.
pub(super) const MAX_SAID: usize = 1_000;

/// What a socket of the service does.
pub(super) enum Say {
    Text(Value),
    /// Ends without a close frame.
    Vanish,
    /// Answers nothing of the service's own any more.
    Deafen,
    /// Reads nothing any more.
    Hang,
}

impl Say {
    pub(super) fn event(topic: &str, number: i64) -> Self {
        Self::Text(json!({
            "topicName": topic, "version": "2", "eventBody": {"number": number, "id": "e"},
            "metadata": {"CorrelationId": "x"},
        }))
    }
}

pub(super) struct Server {
    pub(super) channel: String,
    pub(super) say: mpsc::Sender<Say>,
    pub(super) is_open: bool,
    pub(super) asked: usize,
    pub(super) closed: Option<u16>,
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) shares: Vec<Vec<String>>,
    /// Topics without room.
    pub(super) left_out: Vec<String>,
    pub(super) life: Duration,
    pub(super) channels: usize,
    pub(super) topics: BTreeMap<String, Vec<String>>,
    pub(super) subscriptions: Vec<(String, Vec<String>)>,
    /// What the next attempts to connect a channel are refused with, the last one first.
    pub(super) refusals: Vec<(String, Failure)>,
    /// Nothing can be connected.
    pub(super) is_unreachable: bool,
    /// What a question about a channel is answered, `None` nothing; it lives unless it is here.
    pub(super) lives: BTreeMap<String, Option<Result<bool, Failure>>>,
    /// The channels that were asked about.
    pub(super) questions: Vec<String>,
    pub(super) rejected: Vec<Rejected>,
    /// What the next subscribe requests of a channel are refused with, the last one first.
    pub(super) subscribe_refusals: Vec<(String, Failure)>,
    pub(super) servers: Vec<Server>,
    pub(super) discarded_tokens: usize,
    /// What the next queries of the history are answered; then nothing.
    pub(super) history: VecDeque<Result<Vec<Value>, RestError>>,
}

#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) script: Rc<RefCell<Script>>,
    /// Where sockets are served, since those of the fleet's own tasks end with it.
    pub(super) acceptor: mpsc::Sender<(usize, DuplexStream, mpsc::Receiver<Say>)>,
    pub(super) connector: Rc<Connector>,
}

impl Platform for Scripted {
    async fn plan(&self) -> Result<Wanted, Failure> {
        let script = self.script.borrow();
        Ok(Wanted {
            shares: script.shares.iter().map(|share| share.clone().into()).collect(),
            left_out: script.left_out.clone().into(),
        })
    }

    async fn changed(&self) -> Wanted {
        std::future::pending().await
    }

    fn follows(&self) -> bool {
        false
    }

    fn sighted(&self, _: &crate::plan::Sighting) {}

    async fn create_channel(&self) -> Result<Channel, Failure> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut script = self.script.borrow_mut();
        script.channels += 1;
        let id = format!("c{}", script.channels);
        Ok(Channel {
            connect_uri: format!("wss://secret/{id}").into(),
            id,
            expires_at: Instant::now() + script.life,
            renew_at: Instant::now() + script.life,
        })
    }

    async fn is_channel_alive(&self, channel: &str) -> Result<bool, Failure> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer = {
            let script = &mut *self.script.borrow_mut();
            script.questions.push(channel.to_owned());
            script.lives.get(channel).cloned()
        };
        match answer {
            None => Ok(true),
            Some(Some(answer)) => answer,
            Some(None) => std::future::pending().await,
        }
    }

    async fn subscribe(&self, channel: &str, topics: &[String]) -> Result<Answer, Failure> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut script = self.script.borrow_mut();
        let asked = (channel.to_owned(), topics.to_vec());
        script.subscriptions.push(asked.clone());
        if let Some((_, failure)) = script
            .subscribe_refusals
            .pop_if(|(refused, _)| refused == channel)
        {
            return Err(failure);
        }
        script.topics.insert(asked.0, asked.1);
        let is_asked = |rejected: &&Rejected| topics.contains(&rejected.topic);
        let rejected: Vec<Rejected> = script.rejected.iter().filter(is_asked).cloned().collect();
        Ok(Answer {
            permitted: topics.len() - rejected.len(),
            rejected,
        })
    }

    async fn connect(&self, channel: &Channel) -> Result<Socket, Failure> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        if self.script.borrow().is_unreachable {
            return Err(Failure::refused(500, "HTTP 500".to_owned(), None));
        }
        let refusal = self
            .script
            .borrow_mut()
            .refusals
            .pop_if(|(refused, _)| *refused == channel.id);
        if let Some((_, failure)) = refusal {
            return Err(failure);
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (say, said) = mpsc::channel(MAX_SAID);
        let number = {
            let mut script = self.script.borrow_mut();
            script.servers.push(Server {
                channel: channel.id.clone(),
                say,
                is_open: true,
                asked: 0,
                closed: None,
            });
            script.servers.len() - 1
        };
        self.acceptor.try_send((number, theirs, said)).unwrap();
        Ok(self.connector.upgrade(Box::new(ours)).await?)
    }

    async fn past(&self, pages: &mut DetailsPages) -> Result<Option<Vec<Box<RawValue>>>, RestError> {
        if pages.next_page().is_none() {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer = self.script.borrow_mut().history.pop_front();
        let rows = answer.unwrap_or_else(|| Ok(Vec::new()))?;
        let raw = rows.iter().map(|row| to_raw_value(row).unwrap());
        Ok(pages.take(raw.collect()))
    }

    fn discard_token(&self) {
        self.script.borrow_mut().discarded_tokens += 1;
    }
}

pub(super) async fn serve(
    script: Rc<RefCell<Script>>,
    number: usize,
    stream: DuplexStream,
    mut said: mpsc::Receiver<Say>,
) {
    let mut socket: WebSocketStream<DuplexStream> = tokio_tungstenite::accept_async(stream).await.unwrap();
    let (mut is_deaf, mut is_hung) = (false, false);
    loop {
        tokio::select! {
            say = said.recv() => match say {
                Some(Say::Text(text)) => {
                    if socket.send(Message::text(text.to_string())).await.is_err() {
                        break;
                    }
                }
                Some(Say::Deafen) => is_deaf = true,
                Some(Say::Hang) => is_hung = true,
                Some(Say::Vanish) | None => break,
            },
            message = socket.next(), if !is_hung => match message {
                Some(Ok(Message::Text(text))) if text.as_str() == r#"{"message":"ping"}"# => {
                    script.borrow_mut().servers[number].asked += 1;
                    let pong = json!({"topicName": "channel.metadata", "eventBody": {"message": "pong"}});
                    if !is_deaf && socket.send(Message::text(pong.to_string())).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    script.borrow_mut().servers[number].closed = frame.map(|frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    script.borrow_mut().servers[number].is_open = false;
}
