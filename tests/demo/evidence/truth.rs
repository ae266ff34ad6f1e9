//! The ground truth in the proof's terms: what was sent, what could not be, and what each frame must become.
//!
//! Responsible for sorting the simulator's lines. Refuses a line that it cannot place, since a frame left out of the
//! account would let another one go missing unseen. Invariant: every frame line ends up in exactly one list.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use serde_json::Value;
use simulator::{Kind, TruthLine};
use support::notified;

use crate::evidence::{notification_identity, ordinal_identity};
use crate::frames::Prediction;

/// An event that was sent to an open socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentEvent {
    /// What tells it from every other event.
    pub(crate) identity: String,
    /// Its id, where the frame carries one.
    pub(crate) id: Option<String>,
    /// Its key.
    pub(crate) key: String,
    /// Its topic, over notification channels.
    pub(crate) topic: Option<String>,
    /// When the kernel had taken it, in microseconds since 1970.
    pub(crate) sent_us: i64,
}

/// A frame that must become a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadFrame {
    /// Its text.
    pub(crate) text: String,
    /// When the kernel had taken it, in microseconds since 1970.
    pub(crate) sent_us: i64,
}

/// An event that happened while nobody was there to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// What tells it from every other event.
    pub(crate) identity: String,
    /// Its topic, over notification channels.
    pub(crate) topic: Option<String>,
    /// When, in microseconds since 1970.
    pub(crate) at_us: i64,
}

/// What the simulator did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    /// Events sent for the first time, in order.
    pub(crate) events: Vec<SentEvent>,
    /// When events were sent again, in microseconds since 1970.
    pub(crate) duplicates_us: Vec<i64>,
    /// Malformed frames, and replayed ones without an identity.
    pub(crate) bad_frames: Vec<BadFrame>,
    /// Events that no socket was sent.
    pub(crate) unsent: Vec<Unsent>,
    /// Frames sent, those of the protocol itself left out.
    pub(crate) frames: u64,
    /// Frames of the protocol itself: acknowledgements of subscriptions; over channels pongs, heartbeats and notices.
    pub(crate) of_protocol: u64,
    /// Times that a connection was lost.
    pub(crate) interruptions: u64,
    /// Notices that a channel is to close, each of which asks for a hand-over.
    pub(crate) closings: u64,
    /// Frames that a second channel was sent, too.
    pub(crate) overlapping: u64,
}

impl Truth {
    /// Sorts the lines; `predictions` says what the replayed files must become.
    ///
    /// # Errors
    /// A line that has no place here; not retryable.
    pub(crate) fn read(
        lines: &[TruthLine],
        predictions: &BTreeMap<String, Prediction>,
    ) -> anyhow::Result<Self> {
        let mut truth = Self::default();
        let mut subscriptions = 0;
        for line in lines {
            // a channel answers over REST, and its connections are counted by their ends
            subscriptions += u64::from(line.kind == Kind::Subscribed && line.channel.is_none());
            truth
                .add(line, predictions)
                .with_context(|| format!("line {} of the ground truth ({:?})", line.n, line.kind))?;
        }
        truth.add_notifications(lines)?;
        truth.of_protocol += subscriptions;
        // over the tutorial's events a lost connection is followed by a subscription
        truth.interruptions += subscriptions.saturating_sub(1);
        Ok(truth)
    }

    /// Records that all this must become.
    pub(crate) fn records(&self) -> u64 {
        (self.events.len() + self.bad_frames.len()) as u64
    }

    /// Adds what channels were sent, and what none was sent: while one channel replaces another, what one of them does not
    /// hear the other does.
    fn add_notifications(&mut self, lines: &[TruthLine]) -> anyhow::Result<()> {
        for notified in notified::notified(lines) {
            self.overlapping += notified.sockets - 1;
            let key = notified.conversation.or_else(|| id_of(&notified.frame));
            self.events.push(SentEvent {
                identity: identity(&notified.topic, &notified.frame)?,
                id: None,
                key: key.context("a notification about nothing")?,
                topic: Some(notified.topic),
                sent_us: notified.sent_us,
            });
        }
        let mut known: BTreeSet<String> = self.events.iter().map(|event| event.identity.clone()).collect();
        for line in lines.iter().filter(|line| line.kind == Kind::Unheard) {
            let topic = line
                .topic
                .clone()
                .context("an unheard notification has a topic")?;
            let identity = identity(&topic, &notified::frame(line))?;
            if known.insert(identity.clone()) {
                self.unsent.push(Unsent {
                    identity,
                    topic: Some(topic),
                    at_us: time_us(line)?,
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &TruthLine, predictions: &BTreeMap<String, Prediction>) -> anyhow::Result<()> {
        let at_us = time_us(line)?;
        let conversation = || line.conversation_id.as_deref().context("has no conversation");
        let ordinal = || line.ordinal.context("has no ordinal");
        let text = || line.frame.clone().context("has no text");
        match line.kind {
            Kind::Event => {
                self.frames += 1;
                self.events.push(SentEvent {
                    identity: ordinal_identity(conversation()?, ordinal()?),
                    id: line.id.clone(),
                    key: conversation()?.to_owned(),
                    topic: None,
                    sent_us: at_us,
                });
            }
            Kind::Replay => {
                self.frames += 1;
                let name = line.detail.as_deref().context("has no file name")?;
                match predictions.get(name).context("was not predicted")? {
                    Prediction::Event { identity, key } => self.events.push(SentEvent {
                        identity: identity.clone(),
                        id: None,
                        key: key.clone(),
                        topic: None,
                        sent_us: at_us,
                    }),
                    Prediction::DeadLetter => self.bad_frames.push(BadFrame {
                        text: text()?,
                        sent_us: at_us,
                    }),
                }
            }
            Kind::Malformed => {
                self.frames += 1;
                self.bad_frames.push(BadFrame {
                    text: text()?,
                    sent_us: at_us,
                });
            }
            Kind::Duplicate => {
                self.frames += 1;
                self.duplicates_us.push(at_us);
            }
            Kind::Unsent => self.unsent.push(Unsent {
                identity: ordinal_identity(conversation()?, ordinal()?),
                topic: None,
                at_us,
            }),
            Kind::Notification => self.frames += 1,
            Kind::System => {
                self.of_protocol += 1;
                let topic = line.topic.as_deref().unwrap_or_default();
                self.closings += u64::from(topic.starts_with("v2.system.socket_closing"));
            }
            Kind::Closed => {
                let how = line.detail.as_deref().unwrap_or_default();
                self.interruptions += u64::from(how.starts_with("dropped by the simulator"));
            }
            Kind::Connected | Kind::Subscribed | Kind::Unheard | Kind::ChannelCreated => {}
            Kind::Binary | Kind::Oversized | Kind::Offence | Kind::Refused | Kind::ChannelEnded => {
                bail!("is not part of this scenario")
            }
        }
        Ok(())
    }
}

fn time_us(line: &TruthLine) -> anyhow::Result<i64> {
    let time_us = line.sent_us.or(line.at_us).context("has no time")?;
    Ok(i64::try_from(time_us)?)
}

fn identity(topic: &str, frame: &Value) -> anyhow::Result<String> {
    let correlation = frame["metadata"]["CorrelationId"].as_str();
    Ok(notification_identity(
        topic,
        correlation.context("a notification without correlation")?,
    ))
}

fn id_of(frame: &Value) -> Option<String> {
    frame["eventBody"]["id"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind) -> TruthLine {
        TruthLine {
            n: 1,
            kind,
            connection: 1,
            sent_us: Some(7),
            at_us: None,
            id: None,
            conversation_id: Some("c".to_owned()),
            ordinal: Some(3),
            bytes: None,
            code: None,
            detail: Some("f.json".to_owned()),
            channel: None,
            topic: None,
            frame: Some("{".to_owned()),
        }
    }

    #[test]
    fn every_kind_of_the_scenario_has_its_place() {
        let kinds = [
            Kind::Event,
            Kind::Duplicate,
            Kind::Malformed,
            Kind::Replay,
            Kind::Unsent,
            Kind::Subscribed,
        ];
        let predictions = BTreeMap::from([("f.json".to_owned(), Prediction::DeadLetter)]);
        let truth = Truth::read(&kinds.map(line), &predictions).unwrap();
        assert_eq!(truth.events[0].identity, "c #3");
        assert_eq!((truth.duplicates_us.len(), truth.bad_frames.len()), (1, 2));
        assert_eq!(
            (
                truth.unsent.len(),
                truth.of_protocol,
                truth.frames,
                truth.interruptions
            ),
            (1, 1, 4, 0)
        );
        assert_eq!(truth.records(), 3);
    }

    #[test]
    fn what_two_channels_were_sent_is_one_event_and_what_only_one_missed_is_none() {
        let frame = |n: u64| format!(r#"{{"eventBody":{{}},"metadata":{{"CorrelationId":"{n}"}}}}"#);
        let of = |kind: Kind, n: u64| TruthLine {
            topic: Some("t".to_owned()),
            frame: Some(frame(n)),
            ..line(kind)
        };
        let closing = TruthLine {
            topic: Some("v2.system.socket_closing".to_owned()),
            ..line(Kind::System)
        };
        let dropped = TruthLine {
            detail: Some("dropped by the simulator".to_owned()),
            ..line(Kind::Closed)
        };
        let lines = [
            TruthLine {
                channel: Some("c".to_owned()),
                ..line(Kind::Subscribed)
            },
            of(Kind::Unheard, 1),
            of(Kind::Notification, 1),
            of(Kind::Notification, 2),
            of(Kind::Notification, 2),
            closing,
            dropped,
            of(Kind::Unheard, 3),
        ];
        let truth = Truth::read(&lines, &BTreeMap::new()).unwrap();
        let events: Vec<&str> = truth.events.iter().map(|event| event.identity.as_str()).collect();
        assert_eq!(events, ["t 1", "t 2"]);
        assert_eq!((truth.frames, truth.overlapping, truth.of_protocol), (3, 1, 1));
        assert_eq!((truth.interruptions, truth.closings), (1, 1));
        assert_eq!(truth.unsent.len(), 1);
        assert_eq!(
            (truth.unsent[0].identity.as_str(), truth.unsent[0].at_us),
            ("t 3", 7)
        );
    }

    #[test]
    fn a_frame_that_was_not_expected_is_an_error_with_its_line() {
        let unknown = Truth::read(&[line(Kind::Replay)], &BTreeMap::new()).unwrap_err();
        assert!(format!("{unknown:#}").contains("line 1 of the ground truth (Replay): was not predicted"));
        assert!(Truth::read(&[line(Kind::Oversized)], &BTreeMap::new()).is_err());
    }
}
