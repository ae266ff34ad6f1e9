//! Tests of the view over hand-built batches, well formed and broken.

use std::ptr;

use plugin_abi::types::ESP_TIME_ABSENT;
use plugin_abi::{EspAttribute, EspBatch, EspRecord, EspStr};
use proptest::prelude::*;

use super::View;
use crate::host::{Error, Kind};

fn text(text: &str) -> EspStr {
    EspStr {
        data: text.as_ptr(),
        length: text.len(),
    }
}

/// A record as a later contract would write it: 24 bytes longer than this host knows.
#[repr(C)]
struct Longer<T> {
    known: T,
    appended: [u64; 3],
}

fn longer<T>(known: T) -> Longer<T> {
    Longer {
        known,
        appended: [u64::MAX; 3],
    }
}

fn record(sequence: u64, attributes: &[Longer<EspAttribute>]) -> EspRecord {
    EspRecord {
        struct_size: 160,
        kind: 1,
        flags: 3,
        reserved: 0,
        sequence,
        event_time_us: ESP_TIME_ABSENT,
        received_time_us: 7,
        id: text("id"),
        type_: text("interaction"),
        subject: text("gespräch"),
        key: EspStr {
            data: ptr::null(),
            length: 0,
        },
        body: text("{}"),
        attributes: attributes.as_ptr().cast(),
        attribute_count: u32::try_from(attributes.len()).unwrap(),
        attribute_stride: 56,
    }
}

fn batch(records: &[Longer<EspRecord>]) -> EspBatch {
    EspBatch {
        struct_size: 56,
        record_stride: 160,
        records: records.as_ptr().cast(),
        record_count: records.len() as u64,
        first_sequence: 1,
        last_sequence: records.len() as u64,
        total_bytes: 9,
        private_data: ptr::null_mut(),
    }
}

fn adopt(batch: &EspBatch) -> Result<View<'_>, Error> {
    // SAFETY: every batch of these tests points to live Rust memory, or to NULL, which must be refused.
    unsafe { View::adopt(batch) }
}

#[test]
fn records_and_attributes_are_read_by_their_strides() {
    let attributes = [
        longer(EspAttribute {
            name: text("a"),
            value: text("1"),
        }),
        longer(EspAttribute {
            name: text("b"),
            value: text("ü"),
        }),
    ];
    let records = [longer(record(5, &attributes)), longer(record(9, &[]))];
    let batch = batch(&records);
    let view = adopt(&batch).unwrap();
    assert_eq!(view.len(), 2);
    let first = view.record(0).unwrap();
    assert_eq!(
        (first.kind, first.sequence, first.event_time_us),
        (Kind::EVENT, 5, None)
    );
    assert_eq!(
        (first.id, first.subject, first.key, first.body),
        ("id", "gespräch", "", b"{}".as_slice())
    );
    assert_eq!(
        first.attributes.iter().collect::<Vec<_>>(),
        [("a", "1"), ("b", "ü")]
    );
    assert!(first.is_redelivered() && first.is_backfill());
    let second = view.record(1).unwrap();
    assert_eq!((second.sequence, second.attributes.len()), (9, 0));
    assert!(view.record(2).is_none());
}

#[test]
fn text_that_is_not_utf8_is_an_error_and_names_its_place() {
    let bad = EspStr {
        data: [0xff, 0xfe].as_ptr(),
        length: 2,
    };
    let attributes = [longer(EspAttribute {
        name: text("a"),
        value: bad,
    })];
    for (at, change) in ["id", "type", "subject", "key", "attribute value"]
        .into_iter()
        .enumerate()
    {
        let mut one = record(1, if at == 4 { &attributes } else { &[] });
        *[&mut one.id, &mut one.type_, &mut one.subject, &mut one.key]
            .into_iter()
            .nth(at)
            .unwrap_or(&mut text("")) = bad;
        let records = [longer(one)];
        let error = adopt(&batch(&records)).unwrap_err();
        assert_eq!(
            error.message,
            format!("the plugin broke the contract: the {change} of a record is not UTF-8")
        );
        assert!(!error.is_retryable());
    }
}

#[test]
fn a_body_need_not_be_utf8() {
    let mut one = record(1, &[]);
    one.body = EspStr {
        data: [0xff].as_ptr(),
        length: 1,
    };
    let records = [longer(one)];
    assert_eq!(adopt(&batch(&records)).unwrap().record(0).unwrap().body, [0xff]);
}

#[test]
fn a_batch_that_breaks_the_contract_is_refused() {
    let records = [longer(record(1, &[]))];
    type Change = fn(&mut EspBatch);
    let table: [(&str, Change); 7] = [
        ("a batch of 48 bytes, at least 56 expected", |batch| {
            batch.struct_size = 48
        }),
        ("records with a stride of 128 bytes", |batch| {
            batch.record_stride = 128
        }),
        ("records with a stride of 141 bytes", |batch| {
            batch.record_stride = 141
        }),
        ("an empty batch", |batch| batch.record_count = 0),
        ("1 records at NULL", |batch| batch.records = ptr::null()),
        ("records with a stride of 160 bytes", |batch| {
            batch.records = batch.records.wrapping_byte_add(1)
        }),
        ("18446744073709551615 records", |batch| {
            batch.record_count = u64::MAX
        }),
    ];
    for (message, change) in table {
        let mut batch = batch(&records);
        change(&mut batch);
        assert_eq!(
            adopt(&batch).unwrap_err().message,
            format!("the plugin broke the contract: {message}")
        );
    }
    // SAFETY: NULL is what is tested.
    assert!(unsafe { View::adopt(ptr::null()) }.is_err());
}

#[test]
fn a_record_that_breaks_the_contract_is_refused() {
    type Change = fn(&mut EspRecord);
    let table: [(&str, Change); 4] = [
        ("a record of 128 bytes, at least 136 expected", |record| {
            record.struct_size = 128
        }),
        ("the body of a record is at NULL", |record| {
            record.body.data = ptr::null()
        }),
        ("the id of a record has an impossible length", |record| {
            record.id.length = usize::MAX
        }),
        ("2 attributes at NULL", |record| {
            record.attribute_count = 2;
            record.attributes = ptr::null();
        }),
    ];
    for (message, change) in table {
        let mut one = record(1, &[]);
        change(&mut one);
        let records = [longer(one)];
        let error = adopt(&batch(&records)).unwrap_err();
        assert_eq!(error.message, format!("the plugin broke the contract: {message}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_plugin_wrote_is_what_the_host_reads(
        rows in prop::collection::vec(("\\PC{0,12}", prop::collection::vec(any::<u8>(), 0..32), prop::collection::vec(("[a-z]{1,8}", "\\PC{0,8}"), 0..4)), 1..20)
    ) {
        let attributes: Vec<Vec<Longer<EspAttribute>>> = rows
            .iter()
            .map(|(_, _, pairs)| {
                pairs.iter().map(|(name, value)| longer(EspAttribute { name: text(name), value: text(value) })).collect()
            })
            .collect();
        let records: Vec<Longer<EspRecord>> = rows
            .iter()
            .zip(&attributes)
            .zip(1u64..)
            .map(|(((id, body, _), attributes), sequence)| {
                let mut one = record(sequence, attributes);
                one.id = text(id);
                one.body = EspStr { data: body.as_ptr(), length: body.len() };
                longer(one)
            })
            .collect();
        let batch = batch(&records);
        let view = adopt(&batch).unwrap();
        prop_assert_eq!(view.len(), rows.len());
        for (index, (id, body, pairs)) in rows.iter().enumerate() {
            let read = view.record(index).unwrap();
            prop_assert_eq!((read.id, read.body), (id.as_str(), body.as_slice()));
            let read_pairs: Vec<(String, String)> =
                read.attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(&read_pairs, pairs);
        }
    }
}
