//! Reads the structs of a batch through raw pointers: by stride, after one check of everything.
//!
//! Responsible for [`View::adopt`], which proves a batch readable, and for the reads that lean on that proof.
//! Refuses NULL where there is a length, structs shorter than version 1.0 of the contract, odd strides, and text
//! that is not UTF-8. Invariant: after `adopt` no read can fail, and none allocates.

use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::{ptr, slice, str};

use plugin_abi::types::ESP_TIME_ABSENT;
use plugin_abi::{EspAttribute, EspBatch, EspRecord, EspStr};

use super::error::Error;
use super::record::{Attributes, Kind, Record};

/// An array of structs that is stepped by its own stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strided<'a> {
    first: *const u8,
    count: usize,
    stride: usize,
    lifetime: PhantomData<&'a EspBatch>,
}

// SAFETY: the array belongs to a batch, which the contract makes immutable until its release and releasable on any
// thread; reading it from several threads is reading shared immutable memory.
unsafe impl Send for Strided<'_> {}
// SAFETY: as for `Send`: nothing is ever written through it.
unsafe impl Sync for Strided<'_> {}

impl<'a> Strided<'a> {
    /// Takes an array of `T` whose entries may have grown at the tail.
    fn of<T>(first: *const T, count: usize, stride: usize, what: &str) -> Result<Self, Error> {
        if count > 0 {
            if first.is_null() {
                return Err(Error::broken_contract(format!("{count} {what} at NULL")));
            }
            if !first.is_aligned() || stride < size_of::<T>() || !stride.is_multiple_of(align_of::<T>()) {
                return Err(Error::broken_contract(format!(
                    "{what} with a stride of {stride} bytes"
                )));
            }
            if count
                .checked_mul(stride)
                .is_none_or(|bytes| isize::try_from(bytes).is_err())
            {
                return Err(Error::broken_contract(format!("{count} {what}")));
            }
        }
        Ok(Self {
            first: first.cast(),
            count,
            stride,
            lifetime: PhantomData,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The address of an entry, if there are that many.
    fn entry<T>(&self, index: usize) -> Option<*const T> {
        if index >= self.count {
            return None;
        }
        // SAFETY: `index` is below the count, and `of` has proven that the whole array fits into an allocation of
        // less than `isize::MAX` bytes; that it is one allocation is the contract's word on the batch.
        Some(unsafe { self.first.add(index * self.stride) }.cast())
    }

    /// Name and value of an attribute of a checked record.
    pub(super) fn attribute(&self, index: usize) -> Option<(&'a str, &'a str)> {
        let entry = self.entry::<EspAttribute>(index)?;
        // SAFETY: `entry` is aligned and inside the array (`of`), which lives as long as `'a`.
        let attribute = unsafe { ptr::read(entry) };
        Some((checked(attribute.name), checked(attribute.value)))
    }
}

/// A batch that has been proven readable.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    records: Strided<'a>,
    /// Sequence of the last record.
    pub(super) last_sequence: u64,
    /// Bytes of all texts and bodies.
    pub(super) total_bytes: u64,
}

impl<'a> View<'a> {
    /// Proves a batch readable, every text of every record included.
    ///
    /// # Safety
    /// * `batch` points to an `EspBatch` that a plugin filled, and to which nobody writes during `'a`.
    /// * The pointers and counts in it and in its records describe memory that is readable during `'a`.
    pub(super) unsafe fn adopt(batch: *const EspBatch) -> Result<Self, Error> {
        if batch.is_null() {
            return Err(Error::broken_contract("a batch at NULL"));
        }
        // SAFETY: not NULL, and the caller vouches that it points to a batch.
        let batch: &EspBatch = unsafe { &*batch };
        long_enough::<EspBatch>(batch.struct_size, "batch")?;
        let count = usize::try_from(batch.record_count)
            .map_err(|_| Error::broken_contract("more records than memory holds"))?;
        if count == 0 {
            return Err(Error::broken_contract("an empty batch"));
        }
        let records = Strided::of(batch.records, count, batch.record_stride as usize, "records")?;
        for index in 0..count {
            let record =
                raw(&records, index).ok_or_else(|| Error::broken_contract("a record out of reach"))?;
            // SAFETY: the caller vouches for the pointers of every record.
            unsafe { check_record(&record) }?;
        }
        Ok(Self {
            records,
            last_sequence: batch.last_sequence,
            total_bytes: batch.total_bytes,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// A record by position.
    pub(super) fn record(&self, index: usize) -> Option<Record<'a>> {
        let raw = raw(&self.records, index)?;
        let attributes = Strided {
            first: raw.attributes.cast(),
            count: raw.attribute_count as usize,
            stride: raw.attribute_stride as usize,
            lifetime: PhantomData,
        };
        Some(Record {
            kind: Kind(raw.kind),
            flags: raw.flags,
            sequence: raw.sequence,
            event_time_us: (raw.event_time_us != ESP_TIME_ABSENT).then_some(raw.event_time_us),
            received_time_us: raw.received_time_us,
            id: checked(raw.id),
            type_: checked(raw.type_),
            subject: checked(raw.subject),
            key: checked(raw.key),
            body: checked_bytes(raw.body),
            attributes: Attributes::checked(attributes),
        })
    }
}

/// Copies a record's struct out of the array; fields that a later contract appends are left behind.
fn raw(records: &Strided<'_>, index: usize) -> Option<EspRecord> {
    let entry = records.entry::<EspRecord>(index)?;
    // SAFETY: `entry` is aligned and inside the array (`Strided::of`), which outlives the borrow.
    Some(unsafe { ptr::read(entry) })
}

/// # Safety
/// The pointers and counts of `record` describe readable memory.
unsafe fn check_record(record: &EspRecord) -> Result<(), Error> {
    long_enough::<EspRecord>(record.struct_size, "record")?;
    for (text, what) in [
        (record.id, "id"),
        (record.type_, "type"),
        (record.subject, "subject"),
        (record.key, "key"),
    ] {
        // SAFETY: the caller vouches for the pointers of the record.
        unsafe { check_text(text, what) }?;
    }
    check_span(record.body, "body")?;
    let attributes = Strided::of(
        record.attributes,
        record.attribute_count as usize,
        record.attribute_stride as usize,
        "attributes",
    )?;
    for index in 0..attributes.len() {
        let Some(entry) = attributes.entry::<EspAttribute>(index) else {
            break;
        };
        // SAFETY: `entry` is aligned and inside the array that the caller vouches for.
        let attribute = unsafe { ptr::read(entry) };
        // SAFETY: the caller vouches for the pointers of the record, its attributes included.
        unsafe { check_text(attribute.name, "attribute name") }?;
        // SAFETY: as for the name.
        unsafe { check_text(attribute.value, "attribute value") }?;
    }
    Ok(())
}

/// # Safety
/// `text` describes readable memory.
unsafe fn check_text(text: EspStr, what: &str) -> Result<(), Error> {
    check_span(text, what)?;
    if text.length > 0 {
        // SAFETY: not NULL and not longer than an allocation may be (`check_span`); readable by the caller's word.
        let bytes = unsafe { slice::from_raw_parts(text.data, text.length) };
        str::from_utf8(bytes)
            .map_err(|_| Error::broken_contract(format!("the {what} of a record is not UTF-8")))?;
    }
    Ok(())
}

fn check_span(span: EspStr, what: &str) -> Result<(), Error> {
    if span.length > 0 && span.data.is_null() {
        return Err(Error::broken_contract(format!(
            "the {what} of a record is at NULL"
        )));
    }
    if isize::try_from(span.length).is_err() {
        return Err(Error::broken_contract(format!(
            "the {what} of a record has an impossible length"
        )));
    }
    Ok(())
}

fn long_enough<T>(struct_size: u32, what: &str) -> Result<(), Error> {
    if (struct_size as usize) < size_of::<T>() {
        return Err(Error::broken_contract(format!(
            "a {what} of {struct_size} bytes, at least {} expected",
            size_of::<T>()
        )));
    }
    Ok(())
}

/// The bytes of a span that [`View::adopt`] has passed.
fn checked_bytes<'a>(span: EspStr) -> &'a [u8] {
    if span.length == 0 {
        return &[];
    }
    // SAFETY: `adopt` saw that it is neither NULL nor too long; the batch keeps it readable and unchanged during `'a`,
    // to which every caller is bound through `View<'a>` or `Strided<'a>`.
    unsafe { slice::from_raw_parts(span.data, span.length) }
}

/// The text of a span that [`View::adopt`] has passed.
fn checked<'a>(text: EspStr) -> &'a str {
    // SAFETY: `adopt` saw that these bytes are UTF-8, and nobody writes to a batch.
    unsafe { str::from_utf8_unchecked(checked_bytes(text)) }
}

/// A text of a plugin that is used during a callback only, with what is not UTF-8 replaced.
///
/// # Safety
/// `text` describes memory that is readable during `'a`.
pub(super) unsafe fn borrowed<'a>(text: EspStr) -> std::borrow::Cow<'a, str> {
    if text.data.is_null() || isize::try_from(text.length).is_err() {
        return "".into();
    }
    // SAFETY: not NULL, not too long, readable by the caller's word.
    String::from_utf8_lossy(unsafe { slice::from_raw_parts(text.data, text.length) })
}

#[cfg(test)]
mod tests;
