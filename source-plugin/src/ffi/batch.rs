//! Records as the host sees them: tables of pointers into chunks that a reference count keeps alive.

use std::ffi::c_void;

use plugin_abi::types::ESP_TIME_ABSENT;
use plugin_abi::{EspAttribute, EspBatch, EspRecord, EspStr};

use crate::queue::Slice;
use crate::record::Record;

/// A table of attributes whose texts live in a chunk.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<EspAttribute>);

// SAFETY: the pointers lead into the bytes of a chunk, which is immutable and kept alive beside this table.
unsafe impl Send for Attributes {}

/// Everything a batch points to; freed as a whole.
struct Memory {
    batch: EspBatch,
    records: Vec<EspRecord>,
    attributes: Attributes,
    slices: Vec<Slice>,
}

fn text(bytes: &[u8]) -> EspStr {
    EspStr {
        data: bytes.as_ptr(),
        length: bytes.len(),
    }
}

fn append_attributes(table: &mut Attributes, record: &Record<'_>) {
    for (name, value) in record.attribute_bytes() {
        table.0.push(EspAttribute {
            name: text(name),
            value: text(value),
        });
    }
}

/// Describes a record; `attributes` is where its first attribute stands.
fn describe(record: &Record<'_>, attributes: &[EspAttribute]) -> EspRecord {
    let [id, type_, subject, key, body] = record.texts();
    EspRecord {
        struct_size: size_u32::<EspRecord>(),
        kind: record.kind() as u32,
        flags: record.flags(),
        reserved: 0,
        sequence: record.sequence(),
        event_time_us: record.event_time_us().unwrap_or(ESP_TIME_ABSENT),
        received_time_us: record.received_time_us(),
        id: text(id),
        type_: text(type_),
        subject: text(subject),
        key: text(key),
        body: text(body),
        attributes: attributes.as_ptr(),
        attribute_count: u32::try_from(attributes.len()).unwrap_or(u32::MAX),
        attribute_stride: size_u32::<EspAttribute>(),
    }
}

fn size_u32<T>() -> u32 {
    const { assert!(size_of::<T>() < 4096) };
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

fn records(slices: &[Slice]) -> impl Iterator<Item = Record<'_>> {
    slices
        .iter()
        .flat_map(|slice| (slice.start..slice.end).filter_map(|at| slice.chunk.record(at)))
}

/// Makes a batch of at least one record; the host owns it until [`release`].
pub(super) fn lend(slices: Vec<Slice>) -> Option<*mut EspBatch> {
    let mut attributes = Attributes::default();
    for record in records(&slices) {
        append_attributes(&mut attributes, &record);
    }
    let mut table = Vec::with_capacity(slices.iter().map(|slice| slice.end - slice.start).sum());
    let (mut first_attribute, mut total_bytes) = (0, 0_u64);
    for record in records(&slices) {
        let end = first_attribute + record.attribute_bytes().len();
        table.push(describe(
            &record,
            attributes.0.get(first_attribute..end).unwrap_or_default(),
        ));
        first_attribute = end;
        total_bytes += record.size_bytes() as u64;
    }
    let (first, last) = (table.first()?.sequence, table.last()?.sequence);
    let memory = Box::new(Memory {
        batch: EspBatch {
            struct_size: size_u32::<EspBatch>(),
            record_stride: size_u32::<EspRecord>(),
            records: table.as_ptr(),
            record_count: table.len() as u64,
            first_sequence: first,
            last_sequence: last,
            total_bytes,
            private_data: std::ptr::null_mut(),
        },
        records: table,
        attributes,
        slices,
    });
    debug_assert_eq!(memory.records.as_ptr(), memory.batch.records);
    debug_assert!(memory.attributes.0.len() >= first_attribute && !memory.slices.is_empty());
    let raw = Box::into_raw(memory);
    // SAFETY: `raw` comes from `Box::into_raw`, is valid, and nobody else knows it yet.
    unsafe { (*raw).batch.private_data = raw.cast::<c_void>() };
    // SAFETY: `raw` comes from `Box::into_raw` and is valid; only the address of its field is taken.
    Some(unsafe { &raw mut (*raw).batch })
}

/// Frees a batch that [`lend`] made.
///
/// # Safety
/// `batch` comes from [`lend`] and has not been released.
pub(super) unsafe fn release(batch: *mut EspBatch) {
    // SAFETY: a batch of `lend` that was not released is valid, by the obligation above.
    let memory = unsafe { (*batch).private_data }.cast::<Memory>();
    // SAFETY: `private_data` is the `Box::into_raw` pointer of `lend`, given back exactly once.
    drop(unsafe { Box::from_raw(memory) });
}

/// Describes the one record of `slice`; the table must live as long as the description is used.
pub(super) fn describe_one(slice: &Slice) -> Option<(EspRecord, Attributes)> {
    let record = slice.chunk.record(slice.start)?;
    let mut attributes = Attributes::default();
    append_attributes(&mut attributes, &record);
    let described = describe(&record, &attributes.0);
    Some((described, attributes))
}
