//! Admission: the one synchronous way from a received frame to a numbered record.
//!
//! Responsible for deciding each frame's outcome, in order, and for window, sequence and counters, of which it is the
//! sole owner. Refuses a record that the queue has no room for: by policy the caller keeps the frame or it is dropped
//! and counted. Invariant: each frame has exactly one outcome, and [`Counts::frames_law`] is 0 between two calls.
//!
//! Over 400 lines, a third of them the documented public types: splitting the one function would hide the order.

mod backfilled;
#[cfg(test)]
mod corpus_tests;
mod held;
#[cfg(test)]
mod hostile_tests;
mod replayed;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::counts::Counts;
use crate::dead_letter::{self, DeadLetter};
use crate::decode::{self, ControlFrame, Decoded, Fault, Hints, Scratch, Stage, Transport};
use crate::dedup;
use crate::identity::{IdSource, Identity, KeyBuilder};
use crate::normalize::{self, EventTime, SOURCE};
use crate::record::{Chunk, ChunkBuilder, Head, Kind};
use crate::spool;
use crate::text::escape_control;
use crate::timestamp::LastWritten;

pub(crate) use backfilled::Backfilled;
pub(crate) use replayed::Whole;

/// Largest chunk that still takes a record, in bytes; a chunk's own limit is 4 GiB.
const MAX_CHUNK_BYTES: usize = 1 << 30;

/// One frame as the transport received it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// A text frame.
    Text(&'a str),
    /// A binary frame; decoded like text if it is UTF-8.
    Binary(&'a [u8]),
    /// A frame above the size limit that the transport read past.
    Oversized {
        /// Its length in bytes.
        length_bytes: u64,
        /// Digest of all of it.
        sha256: [u8; 32],
        /// Its first bytes.
        head: &'a [u8],
    },
}

impl Frame<'_> {
    fn length_bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Binary(bytes) => bytes.len() as u64,
            Self::Oversized { length_bytes, .. } => *length_bytes,
        }
    }
}

/// What to do with a frame when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// The caller keeps the frame and stops reading.
    #[default]
    Stop,
    /// The frame is dropped and counted.
    DropNewest,
}

/// What the queue behind can take beyond the chunk being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: usize,
    /// Bytes, as [`crate::record::Record::size_bytes`] counts them.
    pub bytes: usize,
}

impl Room {
    /// Room without a bound.
    pub const UNBOUNDED: Self = Self {
        records: usize::MAX,
        bytes: usize::MAX,
    };
}

/// Settings of an admission.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which protocol the frames follow.
    pub transport: Transport,
    /// Name of the source; key and subject of control records.
    pub source_name: String,
    /// Bounds of the de-duplication window.
    pub dedup: dedup::Settings,
    /// What happens to a frame when the queue is full.
    pub on_full: OnFull,
    /// The queue's whole bound in bytes: with this much room and no open chunk, a record of any size is taken, or a
    /// frame larger than the bound would stop the source for ever.
    pub max_queue_bytes: usize,
    /// Upper part of each sequence; 0 without a spool.
    pub epoch: u32,
}

/// What became of a frame.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is an event record now.
    Event,
    /// Its identity was in the window.
    Duplicate {
        /// How long ago it was accepted, in milliseconds.
        age_ms: u64,
    },
    /// It is a dead-letter record now.
    DeadLetter {
        /// Where it failed.
        stage: Stage,
        /// Why, free of control characters and of payload.
        reason: Cow<'static, str>,
    },
    /// It is for the session.
    Control(ControlFrame),
    /// There was nothing in it.
    Ignored {
        /// Why.
        reason: &'static str,
    },
    /// A rule of the operator left it out.
    Filtered,
    /// The queue was full and the policy is to drop; counted.
    Dropped,
    /// The queue is full and the policy is to stop: nothing was counted or changed, offer the same frame again.
    Full,
}

/// Longest id or event type of an event, in bytes. Genesys' ids have 36; these texts become keys and headers, stand in
/// every audit record, and must never make one too large for a broker.
const MAX_ID_BYTES: usize = 1024;

fn too_long(facts: &normalize::Facts<'_>) -> Option<Fault> {
    let source = match &facts.identity {
        Identity::Source(source) => source.len(),
        Identity::Natural | Identity::None => 0,
    };
    let conversation = facts.conversation_id.as_ref().map_or(0, |id| id.text.len());
    let longest = source
        .max(conversation)
        .max(facts.analytics_id.text.len())
        .max(facts.event_type.text.len());
    (longest > MAX_ID_BYTES).then(|| {
        Fault::validate(format!(
            "an id or type of {longest} bytes, at most {MAX_ID_BYTES} are taken"
        ))
    })
}

/// Whether a record found room.
enum Push {
    Done,
    Dropped,
    Full,
}

/// See the module.
#[derive(Debug)]
pub struct Admission {
    settings: Settings,
    window: dedup::Window,
    ids: IdSource,
    counts: Counts,
    counter: u64,
    chunk: ChunkBuilder,
    scratch: Scratch<'static>,
    key: KeyBuilder,
    event_type: String,
    id: String,
    received: LastWritten,
    uptime_ms: Option<i64>,
    /// Id of the dead letter that is being replayed.
    letter: Option<String>,
}

impl Admission {
    /// Makes an admission whose random ids are seeded by the operating system.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_ids(settings, IdSource::from_system())
    }

    /// Makes an admission that draws its ids from `ids`.
    #[must_use]
    pub fn with_ids(settings: Settings, ids: IdSource) -> Self {
        Self {
            window: dedup::Window::new(settings.dedup),
            settings,
            ids,
            counts: Counts::default(),
            counter: 0,
            chunk: ChunkBuilder::default(),
            scratch: Scratch::default(),
            key: KeyBuilder::default(),
            event_type: String::new(),
            id: String::new(),
            received: LastWritten::default(),
            uptime_ms: None,
            letter: None,
        }
    }

    /// Sets the time by which the window of identities expires, in milliseconds of a clock that is never set; without
    /// it the window follows the times of receipt, which do for frames that come from a file.
    pub fn tell_uptime(&mut self, uptime_ms: i64) {
        self.uptime_ms = Some(uptime_ms);
    }

    /// Takes an identity into the window that was accepted before this admission began; one that is there already, or
    /// is too old for it, changes nothing.
    ///
    /// # Units
    /// `seen_ms`: milliseconds of the clock of [`Admission::tell_uptime`], negative for a time before its beginning.
    pub fn recall(&mut self, hash: u128, seen_ms: i64) {
        self.window.recall(hash, seen_ms);
    }

    /// Numbers the records from here on in another epoch; what is already numbered keeps its number.
    pub fn enter_epoch(&mut self, epoch: u32) {
        self.settings.epoch = epoch;
    }

    /// Decides one frame.
    ///
    /// # Units
    /// `received_time_us`: microseconds since 1970-01-01T00:00:00Z.
    pub fn admit(&mut self, frame: Frame<'_>, received_time_us: i64, room: Room) -> Outcome {
        let outcome = self.decide(frame, received_time_us, room);
        self.received(&outcome, frame.length_bytes());
        outcome
    }

    fn decide(&mut self, frame: Frame<'_>, received_time_us: i64, room: Room) -> Outcome {
        match frame {
            Frame::Text(text) => self.admit_text(text, &frame, received_time_us, room),
            Frame::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.admit_text(text, &frame, received_time_us, room),
                Err(_) => {
                    let fault = Fault::decode("binary frame that is not UTF-8");
                    self.admit_dead_letter(fault, &Hints::default(), &frame, received_time_us, room)
                }
            },
            Frame::Oversized { .. } => {
                let fault = Fault::decode("frame above the size limit");
                let outcome =
                    self.admit_dead_letter(fault, &Hints::default(), &frame, received_time_us, room);
                if matches!(outcome, Outcome::DeadLetter { .. }) {
                    self.counts.oversized += 1;
                }
                outcome
            }
        }
    }

    fn received(&mut self, outcome: &Outcome, length_bytes: u64) {
        if !matches!(outcome, Outcome::Full) {
            self.counts.received += 1;
            self.counts.received_bytes += length_bytes;
        }
    }

    fn admit_text(&mut self, text: &str, frame: &Frame<'_>, received_time_us: i64, room: Room) -> Outcome {
        let mut scratch: Scratch<'_> = std::mem::take(&mut self.scratch);
        let outcome = match decode::decode(self.settings.transport, text, &mut scratch) {
            Ok(Decoded::Event(topic)) => {
                self.admit_event(topic.as_ref(), &mut scratch, received_time_us, room)
            }
            Ok(Decoded::Control(control)) => {
                self.counts.control += 1;
                Ok(Outcome::Control(control))
            }
            Ok(Decoded::Ignored(reason)) => {
                self.counts.ignored += 1;
                Ok(Outcome::Ignored { reason })
            }
            Err(fault) => Err(fault),
        };
        self.scratch = scratch.recycle();
        outcome.unwrap_or_else(|fault| {
            let hints = decode::hints(self.settings.transport, text);
            self.admit_dead_letter(fault, &hints, frame, received_time_us, room)
        })
    }

    fn admit_event<'a>(
        &mut self,
        topic: Option<&crate::json::Text<'a>>,
        scratch: &mut Scratch<'a>,
        received_time_us: i64,
        room: Room,
    ) -> Result<Outcome, Fault> {
        // The PII policy's place is here: after decoding, before anything of the frame is normalized, numbered,
        // remembered or written. It rewrites the members in `scratch`.
        let mut event_type = std::mem::take(&mut self.event_type);
        let facts = normalize::read(
            self.settings.transport,
            topic,
            scratch,
            &mut event_type,
            &mut self.key,
        )?;
        if let Some(fault) = too_long(&facts) {
            self.event_type = event_type;
            return Err(fault);
        }
        let hash = (facts.identity != Identity::None).then(|| self.key.hash());
        let seen_ms = self.uptime_ms.unwrap_or(received_time_us.div_euclid(1000));
        if let Some(hash) = hash
            && let Some(age_ms) = self.window.seen(hash, seen_ms)
        {
            self.counts.duplicates += 1;
            self.event_type = event_type;
            return Ok(Outcome::Duplicate { age_ms });
        }
        let analytics_id = escape_control(&facts.analytics_id.text);
        let mut id = std::mem::take(&mut self.id);
        id.clear();
        match &facts.identity {
            Identity::Source(source) if *source == facts.analytics_id.text => id.push_str(&analytics_id),
            Identity::Source(source) => id.push_str(&escape_control(source)),
            Identity::Natural => write_uuid(&mut id, self.key.natural_id()),
            Identity::None => write_uuid(&mut id, self.new_id(received_time_us)),
        }
        let subject = match &facts.conversation_id {
            Some(conversation) => escape_control(&conversation.text),
            None => Cow::Borrowed(analytics_id.as_ref()),
        };
        let received = self.received.rfc3339_ms(received_time_us);
        let head = Head {
            kind: Kind::Event,
            flags: 0,
            sequence: self.next_sequence(),
            event_time_us: facts.time.us(),
            received_time_us,
            id: &id,
            type_: &escape_control(&facts.event_type.text),
            subject: &subject,
            key: &subject,
            attributes: &[("source", SOURCE), ("analyticsid", &analytics_id)],
        };
        let push = self.push(&head, room, |out| {
            normalize::write_event(out, &facts, head.id, &received, scratch)
        });
        let unreadable = facts.time == EventTime::Unreadable;
        (self.id, self.event_type) = (id, event_type);
        Ok(match push {
            Push::Done => {
                self.counts.events += 1;
                self.counts.unreadable_timestamps += u64::from(unreadable);
                if let Some(hash) = hash {
                    self.window.remember(hash, seen_ms);
                    self.chunk.identify(hash);
                }
                Outcome::Event
            }
            Push::Dropped => self.dropped(),
            Push::Full => Outcome::Full,
        })
    }

    fn admit_dead_letter(
        &mut self,
        fault: Fault,
        hints: &Hints,
        frame: &Frame<'_>,
        received_time_us: i64,
        room: Room,
    ) -> Outcome {
        let id = match &self.letter {
            Some(letter) => letter.clone(),
            None => self.ids.draw(received_time_us).to_string(),
        };
        // The chunk is borrowed while the body is written; a dead letter is rare enough for a copy of the name.
        let source_name = self.settings.source_name.clone();
        let conversation = hints
            .conversation_id
            .as_deref()
            .filter(|id| id.len() <= MAX_ID_BYTES);
        let key = escape_control(conversation.unwrap_or_default());
        let head = Head {
            kind: Kind::DeadLetter,
            flags: 0,
            sequence: self.next_sequence(),
            event_time_us: None,
            received_time_us,
            id: &id,
            type_: dead_letter::TYPE,
            subject: &key,
            key: &key,
            attributes: &[
                ("source", SOURCE),
                ("stage", fault.stage.name()),
                ("reason", &escape_control(&fault.reason)),
            ],
        };
        let letter = DeadLetter {
            id: &id,
            received_time_us,
            source_name: &source_name,
            transport: self.settings.transport,
            topic: hints.topic.as_deref(),
            fault: &fault,
        };
        match self.push(&head, room, |out| letter.write(out, frame)) {
            Push::Done => {
                self.counts.dead_letters += 1;
                Outcome::DeadLetter {
                    stage: fault.stage,
                    reason: fault.reason,
                }
            }
            Push::Dropped => self.dropped(),
            Push::Full => Outcome::Full,
        }
    }

    fn dropped(&mut self) -> Outcome {
        self.counts.dropped += 1;
        Outcome::Dropped
    }

    /// Appends a control record; it takes a number but needs no room and is no part of the frames law.
    ///
    /// # Units
    /// `now_us`: microseconds since 1970-01-01T00:00:00Z.
    pub fn append_control(&mut self, type_: &str, body: impl FnOnce(&mut Vec<u8>), now_us: i64) {
        let id = self.ids.draw(now_us);
        self.append_control_as(id, type_, body, now_us);
    }

    /// As [`Admission::append_control`], with an id of the caller's, for what may be said more than once.
    pub fn append_control_as(
        &mut self,
        id: uuid::Uuid,
        type_: &str,
        body: impl FnOnce(&mut Vec<u8>),
        now_us: i64,
    ) {
        let id = id.to_string();
        let source_name = escape_control(&self.settings.source_name).into_owned();
        let head = Head {
            kind: Kind::Control,
            flags: 0,
            sequence: self.next_sequence(),
            event_time_us: Some(now_us),
            received_time_us: now_us,
            id: &id,
            type_: &escape_control(type_),
            subject: &source_name,
            key: &source_name,
            attributes: &[("source", SOURCE)],
        };
        // `push` keeps 3 GiB of a chunk free of frames, so only a control body of that size could fail here.
        match self.chunk.push(&head, body) {
            Ok(_) => self.counter += 1,
            Err(error) => tracing::error!(%error, type_, "control record lost"),
        }
    }

    /// Takes the records admitted since the last call, or `None` if there are none.
    pub fn take_chunk(&mut self) -> Option<Chunk> {
        (!self.chunk.is_empty()).then(|| self.chunk.seal())
    }

    /// Returns the counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns how many records and bytes the open chunk holds.
    #[must_use]
    pub fn open_chunk(&self) -> (usize, usize) {
        (self.chunk.len(), self.chunk.size_bytes())
    }

    /// Returns the de-duplication window, for its figures.
    #[must_use]
    pub fn window(&self) -> &dedup::Window {
        &self.window
    }

    /// Returns the number of the next record.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        spool::sequence(self.settings.epoch, self.counter + 1)
    }

    fn push(&mut self, head: &Head<'_>, room: Room, body: impl FnOnce(&mut Vec<u8>)) -> Push {
        self.push_or(self.settings.on_full, head, room, body)
    }

    fn push_or(
        &mut self,
        on_full: OnFull,
        head: &Head<'_>,
        room: Room,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Push {
        let refusal = match on_full {
            OnFull::Stop => Push::Full,
            OnFull::DropNewest => Push::Dropped,
        };
        if room.records == 0 {
            return refusal;
        }
        if self.chunk.size_bytes() >= MAX_CHUNK_BYTES {
            return Push::Full;
        }
        let alone = self.chunk.is_empty() && room.bytes >= self.settings.max_queue_bytes;
        match self.chunk.push(head, body) {
            Ok(size_bytes) if size_bytes <= room.bytes || alone => {
                self.counter += 1;
                Push::Done
            }
            Ok(_) => {
                self.chunk.pop();
                refusal
            }
            Err(_) => Push::Full,
        }
    }
}

fn write_uuid(out: &mut String, id: uuid::Uuid) {
    let mut buffer = uuid::Uuid::encode_buffer();
    out.push_str(id.hyphenated().encode_lower(&mut buffer));
}
