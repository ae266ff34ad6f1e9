//! A record as the spool keeps it: a small head that says how the bytes are cut, and the bytes as they were built.
//!
//! ```text
//! tag:  layout u8 | flags u16 | kind u8
//! head: event_time_us i64 (i64::MIN for none) | id, type, subject, key (u32::MAX: the subject) u32
//!       | attributes u32 | for each: name, value u32
//! body: id, type, subject, key, names and values, body
//! ```
//!
//! Refuses what it did not write: a tag of another layout, lengths beyond the bytes, texts that are not UTF-8.
//! Invariant: what was encoded is decoded to an equal record.

use std::ops::Range;

use crate::record::{ChunkBuilder, Head, Kind, Record};
use crate::spool::{NewRecord, StoredRecord};

/// This layout; the spool's own version says nothing of it.
const LAYOUT: u32 = 1;

/// No event time.
const NO_TIME: i64 = i64::MIN;

/// The key is the subject and is stored once with it.
const SAME: u32 = u32::MAX;

/// Bytes of a head without attributes.
const FIXED_BYTES: usize = 8 + 4 * 4 + 4;

/// The heads of a micro-batch, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Heads {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Heads {
    /// Encodes the heads of `records`, which replace those before.
    pub(super) fn encode<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) {
        self.bytes.clear();
        self.ranges.clear();
        for record in records {
            let start = self.bytes.len();
            let [id, type_, subject, key, _] = record.texts();
            let out = &mut self.bytes;
            out.extend(record.event_time_us().unwrap_or(NO_TIME).to_le_bytes());
            // Every length is within a chunk, which holds less than 4 GiB.
            for text in [id, type_, subject] {
                out.extend((text.len() as u32).to_le_bytes());
            }
            let key_bytes = if record.shares_key_with_subject() {
                SAME
            } else {
                key.len() as u32
            };
            out.extend(key_bytes.to_le_bytes());
            let attributes = record.attribute_bytes();
            out.extend((attributes.len() as u32).to_le_bytes());
            for (name, value) in attributes {
                out.extend((name.len() as u32).to_le_bytes());
                out.extend((value.len() as u32).to_le_bytes());
            }
            self.ranges.push(start..out.len());
        }
    }

    /// Returns what the spool takes for `records`, the same as were encoded.
    pub(super) fn new_records<'a>(
        &'a self,
        records: impl Iterator<Item = Record<'a>>,
    ) -> impl Iterator<Item = NewRecord<'a>> {
        records.zip(&self.ranges).map(|(record, range)| NewRecord {
            sequence: record.sequence(),
            received_time_us: record.received_time_us(),
            id_hash: record.id_hash(),
            tag: tag(record.kind(), record.flags()),
            head: self.bytes.get(range.clone()).unwrap_or_default(),
            body: record.laid_out(),
        })
    }
}

fn tag(kind: Kind, flags: u32) -> u32 {
    LAYOUT << 24 | (flags & 0xffff) << 8 | (kind as u32 & 0xff)
}

/// A stored record is not what this layout writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Takes bytes from the front of what is left.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn bytes(&mut self, length: u32) -> Result<&'a [u8], Unreadable> {
        let (taken, left) = self.0.split_at_checked(length as usize).ok_or(Unreadable)?;
        self.0 = left;
        Ok(taken)
    }

    fn text(&mut self, length: u32) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Unreadable)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Unreadable)?))
    }
}

/// Pushes a stored record with `more_flags`.
pub(super) fn decode(
    stored: &StoredRecord<'_>,
    more_flags: u32,
    into: &mut ChunkBuilder,
) -> Result<(), Unreadable> {
    if stored.tag >> 24 != LAYOUT {
        return Err(Unreadable);
    }
    let kind = [Kind::Event, Kind::DeadLetter, Kind::Control]
        .into_iter()
        .find(|kind| *kind as u32 == stored.tag & 0xff)
        .ok_or(Unreadable)?;
    let mut head = Cut(stored.payload);
    let time: [u8; 8] = head.bytes(8)?.try_into().map_err(|_| Unreadable)?;
    let event_time_us = Some(i64::from_le_bytes(time)).filter(|time| *time != NO_TIME);
    let [id_bytes, type_bytes, subject_bytes, key_bytes, attributes] =
        [head.u32()?, head.u32()?, head.u32()?, head.u32()?, head.u32()?];
    let head_bytes = (attributes as usize)
        .checked_mul(8)
        .and_then(|lengths| lengths.checked_add(FIXED_BYTES))
        .ok_or(Unreadable)?;
    let (_, body) = stored.payload.split_at_checked(head_bytes).ok_or(Unreadable)?;
    let mut body = Cut(body);
    let (id, type_) = (body.text(id_bytes)?, body.text(type_bytes)?);
    let subject = body.text(subject_bytes)?;
    let key = if key_bytes == SAME {
        subject
    } else {
        body.text(key_bytes)?
    };
    let mut pairs = Vec::with_capacity(attributes as usize);
    for _ in 0..attributes {
        let (name_bytes, value_bytes) = (head.u32()?, head.u32()?);
        pairs.push((body.text(name_bytes)?, body.text(value_bytes)?));
    }
    let described = Head {
        kind,
        flags: (stored.tag >> 8 & 0xffff) | more_flags,
        sequence: stored.sequence,
        event_time_us,
        received_time_us: stored.received_time_us,
        id,
        type_,
        subject,
        key,
        attributes: &pairs,
    };
    let text = std::str::from_utf8(body.0).map_err(|_| Unreadable)?;
    into.push(&described, |out| out.extend_from_slice(text.as_bytes()))
        .map_err(|_| Unreadable)?;
    if let Some(hash) = stored.id_hash {
        into.identify(hash);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Heads, Unreadable, decode};
    use crate::record::{ChunkBuilder, Head, Kind, Record};
    use crate::spool::{NewRecord, StoredRecord};

    fn stored<'a>(record: &NewRecord<'_>, payload: &'a [u8]) -> StoredRecord<'a> {
        StoredRecord {
            sequence: record.sequence,
            received_time_us: record.received_time_us,
            id_hash: record.id_hash,
            tag: record.tag,
            payload,
        }
    }

    fn facts<'a>(record: &Record<'a>) -> impl PartialEq + std::fmt::Debug + use<'a> {
        (
            (record.kind(), record.flags(), record.sequence(), record.id_hash()),
            (record.event_time_us(), record.received_time_us()),
            record.texts(),
            record.attributes().collect::<Vec<_>>(),
        )
    }

    prop_compose! {
        fn text()(text in "[ -~äé€]{0,12}") -> String { text }
    }

    proptest! {
        #[test]
        fn a_record_comes_out_as_it_went_in_and_cut_off_anywhere_it_is_refused(
            kind in 0..3_usize,
            flags in 0..4_u32,
            times in (proptest::option::of(any::<i64>().prop_filter("no sentinel", |time| *time != i64::MIN)), any::<i64>()),
            hash in proptest::option::of(any::<u128>()),
            texts in (text(), text(), text(), text(), text()),
            shared in any::<bool>(),
            attributes in prop::collection::vec((text(), text()), 0..4),
        ) {
            let (id, type_, subject, key, body) = &texts;
            let pairs: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let head = Head {
                kind: [Kind::Event, Kind::DeadLetter, Kind::Control][kind],
                flags,
                sequence: 7,
                event_time_us: times.0,
                received_time_us: times.1,
                id,
                type_,
                subject,
                key: if shared { subject } else { key },
                attributes: &pairs,
            };
            let mut builder = ChunkBuilder::default();
            builder.push(&head, |out| out.extend(body.as_bytes())).unwrap();
            if let Some(hash) = hash {
                builder.identify(hash);
            }
            let chunk = builder.seal();
            let mut heads = Heads::default();
            heads.encode(chunk.records());
            let new: Vec<NewRecord<'_>> = heads.new_records(chunk.records()).collect();
            let payload = [new[0].head, new[0].body].concat();
            decode(&stored(&new[0], &payload), 0, &mut builder).unwrap();
            let again = builder.seal();
            prop_assert_eq!(facts(&again.record(0).unwrap()), facts(&chunk.record(0).unwrap()));
            // whatever is missing before the body is missed
            let least = payload.len() - body.len();
            for end in 0..least {
                prop_assert_eq!(decode(&stored(&new[0], &payload[..end]), 0, &mut builder), Err(Unreadable));
            }
            prop_assert!(builder.is_empty());
        }

        #[test]
        fn foreign_bytes_are_no_record_or_one_but_never_a_panic(
            tag in prop_oneof![any::<u32>(), (0..5_u32).prop_map(|kind| 1 << 24 | kind)],
            payload in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..80),
        ) {
            let stored = StoredRecord { sequence: 1, received_time_us: 2, id_hash: None, tag, payload: &payload };
            let mut builder = ChunkBuilder::default();
            let decoded = decode(&stored, 0, &mut builder);
            prop_assert_eq!(builder.len(), usize::from(decoded.is_ok()));
        }
    }
}
