//! The one currency after admission: records, written once into the bytes of a chunk.
//!
//! A [`Chunk`] is what one micro-batch of frames became: contiguous bytes and an index of the records in them. The
//! network thread builds it, the queue hands it out, the C boundary lends it; nothing in it is copied or
//! serialized again. It refuses a record beyond 4 GiB of chunk and keeps records in the order they were pushed.
//!
//! Over 400 lines with its tests: builder, chunk and record are three views of one layout of bytes.

use std::ops::Range;

/// What a record is; the numbers are those of the C contract (`ESP_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A normalized event.
    Event = plugin_abi::types::ESP_KIND_EVENT,
    /// A frame that is no usable event.
    DeadLetter = plugin_abi::types::ESP_KIND_DEAD_LETTER,
    /// News of the source itself, such as a gap.
    Control = plugin_abi::types::ESP_KIND_CONTROL,
}

/// Everything of a record but its body.
///
/// # Units
/// Times are microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What the record is.
    pub kind: Kind,
    /// Bits of `ESP_FLAG_*`.
    pub flags: u32,
    /// Number in hand-out order.
    pub sequence: u64,
    /// When it happened, if that is known.
    pub event_time_us: Option<i64>,
    /// When its frame was received.
    pub received_time_us: i64,
    /// Identity downstream; never empty, free of control characters.
    pub id: &'a str,
    /// Event type or control type.
    pub type_: &'a str,
    /// What it is about; may be empty.
    pub subject: &'a str,
    /// Partition key; may be empty, free of control characters.
    pub key: &'a str,
    /// Names are lower-case ASCII letters and digits; values are free of control characters.
    pub attributes: &'a [(&'a str, &'a str)],
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    flags: u32,
    sequence: u64,
    event_time_us: Option<i64>,
    received_time_us: i64,
    id: Span,
    type_: Span,
    subject: Span,
    key: Span,
    body: Span,
    first_attribute: u32,
    attribute_count: u32,
    /// Two halves instead of one `u128`, whose alignment would cost 16 bytes a record.
    id_hash: Option<[u64; 2]>,
}

/// One record inside a [`Chunk`], borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    chunk: &'a Chunk,
    entry: &'a Entry,
}

impl<'a> Record<'a> {
    /// Returns what the record is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.entry.kind
    }

    /// Returns the bits of `ESP_FLAG_*`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.entry.flags
    }

    /// Returns the number in hand-out order.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.entry.sequence
    }

    /// Returns when it happened, in microseconds since 1970 UTC.
    #[must_use]
    pub fn event_time_us(&self) -> Option<i64> {
        self.entry.event_time_us
    }

    /// Returns when its frame was received, in microseconds since 1970 UTC.
    #[must_use]
    pub fn received_time_us(&self) -> i64 {
        self.entry.received_time_us
    }

    /// Returns the identity for de-duplication downstream.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.chunk.text(self.entry.id)
    }

    /// Returns the event type or control type.
    #[must_use]
    pub fn type_(&self) -> &'a str {
        self.chunk.text(self.entry.type_)
    }

    /// Returns what the record is about.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.chunk.text(self.entry.subject)
    }

    /// Returns the partition key.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.chunk.text(self.entry.key)
    }

    /// Returns the body, JSON.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.chunk.slice(self.entry.body)
    }

    /// Returns the attributes as pairs of name and value, in the order they were pushed.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let chunk = self.chunk;
        let first = self.entry.first_attribute as usize;
        let spans = chunk
            .attributes
            .get(first..first + self.entry.attribute_count as usize)
            .unwrap_or_default();
        spans
            .iter()
            .map(|(name, value)| (chunk.text(*name), chunk.text(*value)))
    }

    /// Returns id, type, subject, key and body as bytes, without checking again that they are UTF-8.
    pub(crate) fn texts(&self) -> [&'a [u8]; 5] {
        let entry = self.entry;
        [entry.id, entry.type_, entry.subject, entry.key, entry.body].map(|span| self.chunk.slice(span))
    }

    /// Returns the attributes as [`Record::attributes`] does, as bytes.
    pub(crate) fn attribute_bytes(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let chunk = self.chunk;
        chunk
            .attribute_spans(self.entry)
            .iter()
            .map(|(name, value)| (chunk.slice(*name), chunk.slice(*value)))
    }

    /// Returns the hash of the identity that the record is de-duplicated by, if it has one.
    #[must_use]
    pub fn id_hash(&self) -> Option<u128> {
        self.entry
            .id_hash
            .map(|[high, low]| u128::from(high) << 64 | u128::from(low))
    }

    /// Says whether the key repeats the subject and is stored once with it.
    pub(crate) fn shares_key_with_subject(&self) -> bool {
        self.entry.key.start == self.entry.subject.start && self.entry.key.end == self.entry.subject.end
    }

    /// Returns everything but the numbers as the builder laid it out: id, type, subject, key unless it is the subject,
    /// names and values of the attributes, body.
    pub(crate) fn laid_out(&self) -> &'a [u8] {
        self.chunk.slice(Span {
            start: self.entry.id.start,
            end: self.entry.body.end,
        })
    }

    /// Returns the bytes that count against the queue's bound.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        (self.entry.body.end - self.entry.id.start) as usize
    }
}

/// Records in contiguous bytes; immutable once sealed.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    attributes: Vec<(Span, Span)>,
}

impl Chunk {
    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the bytes of all records, head texts and attributes included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the record at `index`, counted from 0.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'_>> {
        self.entries.get(index).map(|entry| Record { chunk: self, entry })
    }

    /// Returns the records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record { chunk: self, entry })
    }

    /// Moves the records to another epoch: of each number only the lower `counter_bits` stay.
    pub(crate) fn move_to_epoch(&mut self, epoch: u32, counter_bits: u32) {
        let counter = (1 << counter_bits) - 1;
        for entry in &mut self.entries {
            entry.sequence = u64::from(epoch) << counter_bits | (entry.sequence & counter);
        }
    }

    fn slice(&self, span: Span) -> &[u8] {
        // Spans are made by `ChunkBuilder::push` from these very bytes, so the fallback is never taken.
        self.bytes.get(span.range()).unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        // Head texts are pushed as whole `&str`s, so the fallback is never taken.
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    fn attribute_spans(&self, entry: &Entry) -> &[(Span, Span)] {
        let first = entry.first_attribute as usize;
        self.attributes
            .get(first..first + entry.attribute_count as usize)
            .unwrap_or_default()
    }
}

/// Why a record was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk holds at most 4 GiB")]
pub struct ChunkFull;

/// Most room a builder reserves ahead for each of its three vectors, in bytes: one monstrous chunk must not cost for
/// ever.
///
/// # Source
/// A micro-batch of 256 frames of the largest captured size, 2 KiB, is half of it.
const KEPT_BYTES: usize = 1 << 20;

/// Builds a [`Chunk`], record by record.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    chunk: Chunk,
}

impl ChunkBuilder {
    /// Makes an empty builder with room for `capacity_bytes`.
    #[must_use]
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self {
            chunk: Chunk {
                bytes: Vec::with_capacity(capacity_bytes),
                ..Chunk::default()
            },
        }
    }

    /// Appends a record whose body `write_body` writes straight into the chunk; returns the record's size in bytes.
    ///
    /// `write_body` must only append. The body must be UTF-8.
    ///
    /// # Errors
    /// [`ChunkFull`] if the chunk would pass 4 GiB; the chunk is as it was. Not retryable on this chunk.
    pub fn push(
        &mut self,
        head: &Head<'_>,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<usize, ChunkFull> {
        let chunk = &mut self.chunk;
        let start = chunk.bytes.len();
        let first_attribute = chunk.attributes.len();
        let attempt = (|| {
            let id = append(&mut chunk.bytes, head.id)?;
            let type_ = append(&mut chunk.bytes, head.type_)?;
            let subject = append(&mut chunk.bytes, head.subject)?;
            // The key mostly repeats the subject: share its bytes.
            let key = if head.key == head.subject {
                subject
            } else {
                append(&mut chunk.bytes, head.key)?
            };
            for (name, value) in head.attributes {
                let name = append(&mut chunk.bytes, name)?;
                let value = append(&mut chunk.bytes, value)?;
                chunk.attributes.push((name, value));
            }
            let body_start = offset(chunk.bytes.len())?;
            write_body(&mut chunk.bytes);
            let body = Span {
                start: body_start,
                end: offset(chunk.bytes.len())?,
            };
            Ok(Entry {
                kind: head.kind,
                flags: head.flags,
                sequence: head.sequence,
                event_time_us: head.event_time_us,
                received_time_us: head.received_time_us,
                id,
                type_,
                subject,
                key,
                body,
                first_attribute: offset(first_attribute)?,
                attribute_count: offset(head.attributes.len())?,
                id_hash: None,
            })
        })();
        match attempt {
            Ok(entry) => {
                chunk.entries.push(entry);
                Ok(chunk.bytes.len() - start)
            }
            Err(full) => {
                chunk.bytes.truncate(start);
                chunk.attributes.truncate(first_attribute);
                Err(full)
            }
        }
    }

    /// Notes the hash of the identity that the record pushed last is de-duplicated by.
    pub fn identify(&mut self, id_hash: u128) {
        if let Some(entry) = self.chunk.entries.last_mut() {
            entry.id_hash = Some([(id_hash >> 64) as u64, id_hash as u64]);
        }
    }

    /// Takes back the record pushed last; does nothing on an empty builder.
    pub fn pop(&mut self) {
        if let Some(entry) = self.chunk.entries.pop() {
            self.chunk.bytes.truncate(entry.id.start as usize);
            self.chunk.attributes.truncate(entry.first_attribute as usize);
        }
    }

    /// Returns the number of records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// Says whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Returns the bytes of all records so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.chunk.size_bytes()
    }

    /// Takes what was built and leaves an empty builder with room for as much again and an eighth more, so that
    /// chunks of about one size are built without growing; what exceeds [`KEPT_BYTES`] is not kept.
    #[must_use]
    pub fn seal(&mut self) -> Chunk {
        let built = &self.chunk;
        let with_slack =
            |needed: usize, size_of_one: usize| (needed + needed / 8).min(KEPT_BYTES / size_of_one);
        let next = Chunk {
            bytes: Vec::with_capacity(with_slack(built.bytes.len(), 1)),
            entries: Vec::with_capacity(with_slack(built.entries.len(), size_of::<Entry>())),
            attributes: Vec::with_capacity(with_slack(built.attributes.len(), size_of::<(Span, Span)>())),
        };
        std::mem::replace(&mut self.chunk, next)
    }
}

fn offset(value: usize) -> Result<u32, ChunkFull> {
    u32::try_from(value).map_err(|_| ChunkFull)
}

fn append(bytes: &mut Vec<u8>, text: &str) -> Result<Span, ChunkFull> {
    let start = offset(bytes.len())?;
    bytes.extend_from_slice(text.as_bytes());
    Ok(Span {
        start,
        end: offset(bytes.len())?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Chunk, ChunkBuilder, Head, KEPT_BYTES, Kind};

    fn head<'a>(sequence: u64, id: &'a str, attributes: &'a [(&'a str, &'a str)]) -> Head<'a> {
        Head {
            kind: Kind::Event,
            flags: 0,
            sequence,
            event_time_us: Some(5),
            received_time_us: 6,
            id,
            type_: "interaction",
            subject: "conversation",
            key: "conversation",
            attributes,
        }
    }

    #[test]
    fn gives_back_what_was_pushed_in_order() {
        let mut builder = ChunkBuilder::with_capacity(16);
        builder
            .push(&head(1, "a", &[("source", "x"), ("stage", "y")]), |body| {
                body.extend(b"{}")
            })
            .unwrap();
        builder
            .push(&head(2, "bb", &[]), |body| body.extend(b"[1]"))
            .unwrap();
        let chunk = builder.seal();
        assert!(builder.is_empty());
        let records: Vec<_> = chunk.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(
            (records[0].id(), records[0].key(), records[0].body()),
            ("a", "conversation", &b"{}"[..])
        );
        assert_eq!(
            records[0].attributes().collect::<Vec<_>>(),
            [("source", "x"), ("stage", "y")]
        );
        assert_eq!(
            (records[1].sequence(), records[1].id(), records[1].body()),
            (2, "bb", &b"[1]"[..])
        );
        assert_eq!(
            records[0].size_bytes() + records[1].size_bytes(),
            chunk.size_bytes()
        );
    }

    #[test]
    fn a_sealed_builder_keeps_room_for_as_much_again_up_to_a_bound() {
        for (body_bytes, reserved_bytes) in [(800, 900..2 * KEPT_BYTES), (4 * KEPT_BYTES, 0..KEPT_BYTES + 1)]
        {
            let mut builder = ChunkBuilder::default();
            let body = vec![b' '; body_bytes];
            builder
                .push(&head(1, "a", &[("source", "x")]), |out| out.extend(&body))
                .unwrap();
            assert_eq!(builder.seal().len(), 1);
            assert!(builder.is_empty());
            let Chunk {
                bytes,
                entries,
                attributes,
            } = &builder.chunk;
            assert!(reserved_bytes.contains(&bytes.capacity()), "{}", bytes.capacity());
            assert!(entries.capacity() >= 1 && attributes.capacity() >= 1);
        }
    }

    #[test]
    fn pop_leaves_the_records_before_untouched() {
        let mut builder = ChunkBuilder::with_capacity(0);
        builder
            .push(&head(1, "a", &[("source", "x")]), |body| body.extend(b"{}"))
            .unwrap();
        let size_bytes = builder.size_bytes();
        builder
            .push(&head(2, "b", &[("source", "x")]), |body| body.extend(b"{}"))
            .unwrap();
        builder.pop();
        assert_eq!((builder.len(), builder.size_bytes()), (1, size_bytes));
        let chunk = builder.seal();
        assert_eq!(chunk.record(0).unwrap().attributes().len(), 1);
    }
}
