//! The ground truth in the proof's terms: what was sent, what could not be, and what each frame must become.
//!
//! Responsible for sorting the simulator's lines. Refuses a line that it cannot place, since a frame left out of the
//! account would let another one go missing unseen. Invariant: every frame line ends up in exactly one list.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use simulator::{Kind, TruthLine};

use crate::evidence::ordinal_identity;
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

/// What the simulator did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    /// Events sent for the first time, in order.
    pub(crate) events: Vec<SentEvent>,
    /// When events were sent again, in microseconds since 1970.
    pub(crate) duplicates_us: Vec<i64>,
    /// Malformed frames, and replayed ones without an identity.
    pub(crate) bad_frames: Vec<BadFrame>,
    /// When events happened that nobody was there to get, in microseconds since 1970.
    pub(crate) unsent_us: Vec<i64>,
    /// Frames sent, acknowledgements of subscriptions left out.
    pub(crate) frames: u64,
    /// Subscriptions acknowledged, each with one frame.
    pub(crate) subscriptions: u64,
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
        for line in lines {
            truth.frames += u64::from(line.kind.is_frame());
            truth
                .add(line, predictions)
                .with_context(|| format!("line {} of the ground truth ({:?})", line.n, line.kind))?;
        }
        Ok(truth)
    }

    fn add(&mut self, line: &TruthLine, predictions: &BTreeMap<String, Prediction>) -> anyhow::Result<()> {
        let at_us = i64::try_from(line.sent_us.or(line.at_us).context("has no time")?)?;
        let text = || line.frame.clone().context("has no text");
        match line.kind {
            Kind::Event => {
                let conversation = line.conversation_id.as_deref().context("has no conversation")?;
                self.events.push(SentEvent {
                    identity: ordinal_identity(conversation, line.ordinal.context("has no ordinal")?),
                    id: line.id.clone(),
                    key: conversation.to_owned(),
                    sent_us: at_us,
                });
            }
            Kind::Replay => {
                let name = line.detail.as_deref().context("has no file name")?;
                match predictions.get(name).context("was not predicted")? {
                    Prediction::Event { identity, key } => self.events.push(SentEvent {
                        identity: identity.clone(),
                        id: None,
                        key: key.clone(),
                        sent_us: at_us,
                    }),
                    Prediction::DeadLetter => self.bad_frames.push(BadFrame {
                        text: text()?,
                        sent_us: at_us,
                    }),
                }
            }
            Kind::Malformed => self.bad_frames.push(BadFrame {
                text: text()?,
                sent_us: at_us,
            }),
            Kind::Duplicate => self.duplicates_us.push(at_us),
            Kind::Unsent => self.unsent_us.push(at_us),
            Kind::Subscribed => self.subscriptions += 1,
            Kind::Connected | Kind::Closed => {}
            Kind::Binary
            | Kind::Oversized
            | Kind::Offence
            | Kind::Refused
            | Kind::Notification
            | Kind::System
            | Kind::Unheard
            | Kind::ChannelCreated
            | Kind::ChannelEnded => {
                bail!("is not part of this scenario")
            }
        }
        Ok(())
    }
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
            (truth.unsent_us.len(), truth.subscriptions, truth.frames),
            (1, 1, 4)
        );
    }

    #[test]
    fn a_frame_that_was_not_expected_is_an_error_with_its_line() {
        let unknown = Truth::read(&[line(Kind::Replay)], &BTreeMap::new()).unwrap_err();
        assert!(format!("{unknown:#}").contains("line 1 of the ground truth (Replay): was not predicted"));
        assert!(Truth::read(&[line(Kind::Oversized)], &BTreeMap::new()).is_err());
    }
}
