//! Composing a batch: the next event in its form, and what rates and faults put between events.
//!
//! Refuses to touch the connection: such faults are handed back. The invariant: the events and their order are the
//! traffic's, whatever lies between them.

use rand_chacha::rand_core::Rng;

use crate::fault::{Action, MalformedShape, malformed_text};
use crate::feed::batch::{Batch, Mark, Payload};
use crate::feed::{Feed, HISTORY, Next};
use crate::frame::{self, BINARY, TEXT};
use crate::traffic::EventKey;
use crate::truth::{Kind, Note};

/// How an event goes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Plain,
    Binary,
    Fragmented(usize),
}

impl Feed {
    // inserts what a fault adds to the stream; hands back what concerns the connection itself
    pub(super) fn insert(&mut self, action: Action, batch: &mut Batch) -> Option<Next> {
        match action {
            Action::Duplicate { back } => self.push_duplicate(back, batch),
            Action::Malformed { shape } => self.push_malformed(shape, batch),
            Action::Binary => self.push_form(Form::Binary),
            Action::Fragmented { parts } => self.push_form(Form::Fragmented(parts)),
            Action::Replay => (0..self.replay.len()).for_each(|_| self.push_replay(batch)),
            Action::Offence(offence) => {
                batch.push_offence(offence);
                return Some(Next::Hold);
            }
            action => return Some(Next::Act(action)),
        }
        None
    }

    // bounded, since two `every=1` faults ask for more forms than there are events
    fn push_form(&mut self, form: Form) {
        if self.forms.len() < HISTORY {
            self.forms.push_back(form);
        }
    }

    pub(super) fn push_event(&mut self, batch: &mut Batch) {
        let form = self.forms.pop_front().unwrap_or(Form::Plain);
        self.scratch.clear();
        let event = self.traffic.next_event(&mut self.scratch);
        self.truth.counters.produced += 1;
        self.offered += 1;
        match form {
            Form::Plain => batch.push(Kind::Event, TEXT, &self.scratch, Some(event), None),
            Form::Binary => batch.push(Kind::Binary, BINARY, &self.scratch, Some(event), None),
            Form::Fragmented(parts) => {
                frame::push_fragmented(&mut batch.bytes, &self.scratch, parts);
                let detail = format!("in {parts} fragments");
                batch.marks.push_back(Mark {
                    end: batch.bytes.len(),
                    kind: Kind::Event,
                    event: Some(event),
                    payload: Payload::Owned(self.scratch.clone()),
                    bytes: self.scratch.len() as u64,
                    note: Some(Note {
                        detail,
                        ..Note::default()
                    }),
                });
            }
        }
        if !matches!(form, Form::Binary) {
            self.remember(event);
        }
        if self.duplicates_below > 0 {
            let random = self.fault_rng.next_u64();
            if random & 0xFFFF_FFFF < self.duplicates_below {
                self.push_duplicate((random >> 32) % HISTORY as u64 + 1, batch);
            }
        }
        if self.malformed_below > 0 {
            let random = self.fault_rng.next_u64();
            if random & 0xFFFF_FFFF < self.malformed_below {
                let shape = match (random >> 32) % 3 {
                    0 => MalformedShape::Cut,
                    1 => MalformedShape::Types,
                    _ => MalformedShape::Text,
                };
                self.push_malformed(shape, batch);
            }
        }
        let every = self.options.replay.as_ref().map_or(0, |replay| replay.every);
        if every > 0 && self.offered.is_multiple_of(every) && self.replayed < self.replay.len() {
            self.push_replay(batch);
        }
    }

    fn remember(&mut self, event: EventKey) {
        let mut text = match self.history.len() {
            HISTORY.. => self.history.pop_front().map(|(_, text)| text).unwrap_or_default(),
            _ => Vec::new(),
        };
        text.clear();
        text.extend_from_slice(&self.scratch);
        self.history.push_back((event, text));
    }

    fn push_duplicate(&mut self, back: u64, batch: &mut Batch) {
        let back = usize::try_from(back).unwrap_or(HISTORY).min(self.history.len());
        let index = self.history.len() - back;
        if let Some((event, text)) = self.history.get(index) {
            batch.push(Kind::Duplicate, TEXT, text, Some(*event), None);
        }
    }

    /// Counts a malformed frame; its number lets it be found again.
    pub(crate) fn next_malformed(&mut self) -> u64 {
        self.malformed += 1;
        self.malformed
    }

    fn push_malformed(&mut self, shape: MalformedShape, batch: &mut Batch) {
        let text = malformed_text(shape, self.next_malformed());
        batch.push(Kind::Malformed, TEXT, text.as_bytes(), None, None);
    }

    fn push_replay(&mut self, batch: &mut Batch) {
        // round again when a fault asks for the folder a second time
        if let Some(file) = self.replay.get(self.replayed % self.replay.len().max(1)) {
            let note = Some(Note {
                detail: file.name.clone(),
                ..Note::default()
            });
            batch.push(Kind::Replay, TEXT, &file.payload, None, note);
            self.replayed += 1;
        }
    }
}
