//! The ground truth: every frame sent, every event that could not be sent, and what happened to each connection.
//!
//! Responsible for the lines in memory (compact; texts are derived when asked for) and in the file. Refuses to grow
//! beyond its bounds: later lines then go to the file and the counters only, and `truth_truncated` says so. The
//! invariant: `n` counts lines from 1 in the order in which the writes were completed.

mod line;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use crate::error::Error;
use crate::options::Options;
use crate::traffic::{CONVERSATION_ID, EVENT_ID, EventKey, uuid_text};

pub use line::{Counters, Kind, TruthLine};

/// More about a line, for the few that need it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub(crate) code: Option<u16>,
    pub(crate) detail: String,
    /// The notification channel concerned.
    pub(crate) channel: Option<Arc<str>>,
    /// The topic, as in the frame.
    pub(crate) topic: Option<Arc<str>>,
    /// The conversation, where no [`EventKey`] names it.
    pub(crate) conversation: Option<Arc<str>>,
}

/// A line to be recorded.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    pub(crate) connection: u64,
    pub(crate) at_us: u64,
    pub(crate) event: Option<EventKey>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) bytes: Option<u64>,
    pub(crate) note: Option<Note>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    chunk: u32,
    start: u32,
    len: u32,
}

#[derive(Debug)]
struct Stored {
    at_us: u64,
    bytes: Option<u64>,
    event: Option<EventKey>,
    note: Option<Box<Note>>,
    connection: u64,
    place: Option<Place>,
    kind: Kind,
}

const CHUNK_BYTES: usize = 1 << 20;

/// The ground truth.
#[derive(Debug)]
pub(crate) struct Truth {
    seed: u64,
    frames: bool,
    max_lines: usize,
    max_bytes: usize,
    stored: Vec<Stored>,
    chunks: Vec<Vec<u8>>,
    chunk_bytes: usize,
    file: Option<BufWriter<File>>,
    file_error: Option<io::Error>,
    path: std::path::PathBuf,
    pub(crate) counters: Counters,
}

impl Truth {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let path = options.truth.clone().unwrap_or_default();
        let create = |path: &std::path::PathBuf| {
            File::create(path).map_err(|source| Error::File {
                path: path.clone(),
                source,
            })
        };
        let file = options.truth.as_ref().map(create).transpose()?;
        Ok(Self {
            seed: options.seed,
            frames: options.truth_frames,
            max_lines: options.truth_memory_lines,
            max_bytes: options.truth_memory_bytes,
            stored: Vec::new(),
            chunks: Vec::new(),
            chunk_bytes: 0,
            file: file.map(|file| BufWriter::with_capacity(CHUNK_BYTES, file)),
            file_error: None,
            path,
            counters: Counters::default(),
        })
    }

    /// Records a line, counts it, and writes it to the file.
    pub(crate) fn record(&mut self, entry: Entry<'_>) {
        self.count(&entry);
        let n = self.counters.truth_lines;
        let payload = if self.frames { entry.payload } else { None };
        if let Some(file) = &mut self.file {
            let line = line(self.seed, n, &entry, payload);
            let written = serde_json::to_writer(&mut *file, &line).map_err(io::Error::from);
            if let Err(error) = written.and_then(|()| file.write_all(b"\n")) {
                self.file_error.get_or_insert(error);
            }
        }
        if self.stored.len() >= self.max_lines {
            self.counters.truth_truncated = true;
            return;
        }
        let place = payload.and_then(|payload| self.keep(payload));
        self.stored.push(Stored {
            at_us: entry.at_us,
            bytes: entry.bytes,
            event: entry.event,
            note: entry.note.map(Box::new),
            connection: entry.connection,
            place,
            kind: entry.kind,
        });
    }

    fn count(&mut self, entry: &Entry<'_>) {
        let counters = &mut self.counters;
        counters.truth_lines += 1;
        if entry.kind.is_frame() {
            counters.frames_sent += 1;
            counters.bytes_sent += entry.bytes.unwrap_or(0);
        }
        let counter = match entry.kind {
            Kind::Event => &mut counters.events_sent,
            Kind::Duplicate => &mut counters.duplicates,
            Kind::Malformed => &mut counters.malformed,
            Kind::Binary => &mut counters.binary,
            Kind::Oversized => &mut counters.oversized,
            Kind::Replay => &mut counters.replayed,
            Kind::Offence => &mut counters.offences,
            Kind::Unsent => &mut counters.unsent,
            Kind::Closed => {
                counters.open = counters.open.saturating_sub(1);
                &mut counters.closed
            }
            Kind::Connected => &mut counters.open,
            Kind::Refused => &mut counters.refused,
            Kind::Notification => &mut counters.notifications_sent,
            Kind::Unheard => &mut counters.unheard,
            Kind::System => &mut counters.system_sent,
            Kind::ChannelCreated => &mut counters.channels_created,
            Kind::ChannelEnded => &mut counters.channels_ended,
            // counted where the request comes in, so that refused ones are counted too
            Kind::Subscribed => return,
        };
        *counter += 1;
    }

    fn keep(&mut self, payload: &[u8]) -> Option<Place> {
        if self.chunk_bytes + payload.len() > self.max_bytes {
            self.counters.truth_truncated = true;
            return None;
        }
        let full = self
            .chunks
            .last()
            .is_none_or(|chunk| chunk.len() + payload.len() > CHUNK_BYTES);
        if full {
            self.chunks
                .push(Vec::with_capacity(CHUNK_BYTES.max(payload.len())));
        }
        let chunk = self.chunks.last_mut()?;
        let start = u32::try_from(chunk.len()).ok()?;
        let len = u32::try_from(payload.len()).ok()?;
        chunk.extend_from_slice(payload);
        self.chunk_bytes += payload.len();
        Some(Place {
            chunk: u32::try_from(self.chunks.len() - 1).ok()?,
            start,
            len,
        })
    }

    /// Every line in memory.
    pub(crate) fn lines(&self) -> Vec<TruthLine> {
        let whole = |(n, stored): (u64, &Stored)| {
            let payload = stored.place.and_then(|place| {
                let start = place.start as usize;
                self.chunks
                    .get(place.chunk as usize)?
                    .get(start..start + place.len as usize)
            });
            let entry = Entry {
                kind: stored.kind,
                connection: stored.connection,
                at_us: stored.at_us,
                event: stored.event,
                payload: None,
                bytes: stored.bytes,
                note: stored.note.as_deref().cloned(),
            };
            line(self.seed, n, &entry, payload)
        };
        (1..).zip(&self.stored).map(whole).collect()
    }

    /// Writes what is buffered to the file, and reports the first error of any write so far.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        match self.file_error.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(source) => Err(Error::File {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

fn line(seed: u64, n: u64, entry: &Entry<'_>, payload: Option<&[u8]>) -> TruthLine {
    let text = |space, number| String::from_utf8_lossy(&uuid_text(seed, space, number)).into_owned();
    let event = entry.event;
    let note = entry.note.as_ref();
    let frame = entry.kind.is_frame();
    TruthLine {
        n,
        kind: entry.kind,
        connection: entry.connection,
        sent_us: frame.then_some(entry.at_us),
        at_us: (!frame).then_some(entry.at_us),
        id: event
            .filter(|event| event.has_id)
            .map(|event| text(EVENT_ID, event.index)),
        conversation_id: event
            .map(|event| text(CONVERSATION_ID, u64::from(event.conversation)))
            .or_else(|| note.and_then(|note| note.conversation.as_deref().map(str::to_owned))),
        ordinal: event.map(|event| u64::from(event.ordinal)),
        bytes: entry.bytes,
        code: note.and_then(|note| note.code),
        detail: note
            .map(|note| note.detail.clone())
            .filter(|detail| !detail.is_empty()),
        channel: note.and_then(|note| note.channel.as_deref().map(str::to_owned)),
        topic: note.and_then(|note| note.topic.as_deref().map(str::to_owned)),
        frame: payload
            .and_then(|payload| std::str::from_utf8(payload).ok())
            .map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, payload: &[u8]) -> Entry<'_> {
        let event = Some(EventKey {
            index: 3,
            conversation: 2,
            ordinal: 1,
            has_id: true,
        });
        let bytes = Some(payload.len() as u64);
        Entry {
            kind,
            connection: 1,
            at_us: 9,
            event,
            payload: Some(payload),
            bytes,
            note: None,
        }
    }

    #[test]
    fn memory_and_file_hold_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let mut truth = Truth::new(&Options {
            truth: Some(path.clone()),
            ..Options::default()
        })
        .unwrap();
        truth.record(entry(Kind::Event, b"{\"a\":\"\\u0001\"}"));
        truth.record(entry(Kind::Unsent, "é".as_bytes()));
        truth.record(entry(Kind::Offence, b"\xff"));
        truth.flush().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<TruthLine> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, truth.lines());
        assert_eq!(lines[0].frame.as_deref(), Some("{\"a\":\"\\u0001\"}"));
        assert_eq!(
            (lines[0].sent_us, lines[1].sent_us, lines[1].at_us),
            (Some(9), None, Some(9))
        );
        assert_eq!(lines[2].frame, None);
    }

    #[test]
    fn memory_stays_within_its_bounds_and_says_so() {
        let options = Options {
            truth_memory_lines: 3,
            truth_memory_bytes: 20,
            ..Options::default()
        };
        let mut truth = Truth::new(&options).unwrap();
        for _ in 0..5 {
            truth.record(entry(Kind::Event, &[b'x'; 15]));
        }
        let lines = truth.lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines.iter().filter(|line| line.frame.is_some()).count(), 1);
        assert!(truth.counters.truth_truncated);
        assert_eq!((truth.counters.truth_lines, truth.counters.events_sent), (5, 5));
    }
}
