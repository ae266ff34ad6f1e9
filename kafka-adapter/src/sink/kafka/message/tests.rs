//! Headers and envelope of each kind of record, whole.

use rdkafka::message::Headers as _;

use super::*;
use crate::record::{Kind, NoAttributes, Record};
use crate::sink::{Refusal, Route};

struct Listed(&'static [(&'static str, &'static str)]);

impl Attributes for Listed {
    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self.0 {
            visit(name, value);
        }
    }
}

fn record() -> Record<'static> {
    Record {
        kind: Kind::Event,
        flags: 0,
        sequence: 7,
        event_time_us: Some(0),
        received_time_us: 5,
        id: "id-1",
        type_: "interaction",
        subject: "conversation-1",
        key: "conversation-1",
        body: b"{\"x\":1}",
    }
}

fn parcel<'a>(record: &Record<'a>, attributes: &'a dyn Attributes) -> Parcel<'a> {
    Parcel {
        route: Route::Event,
        sequence: Some(7),
        key: record.key,
        body: record.body,
        // differs from the record's, which is what CloudEvents' time says
        time_us: 5,
        record: Some((*record, attributes)),
        refusal: None,
    }
}

fn listed(built: &Built) -> Vec<(String, String)> {
    built.headers.as_ref().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| {
                let value = header.value.unwrap_or_default().to_vec();
                (header.key.to_owned(), String::from_utf8(value).unwrap())
            })
            .collect()
    })
}

#[test]
fn binary_mode_puts_the_context_into_headers_and_further_attributes_after_it() {
    let attributes = Listed(&[
        ("source", "genesys-cloud"),
        ("analyticsid", "a"),
        ("id", "not this"),
    ]);
    let mut builder = MessageBuilder::new(Envelope::Binary, "main".to_owned(), "genesys.events".to_owned());
    let built = builder.build(&parcel(&record(), &attributes));
    let headers = listed(&built);
    let pairs: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", "id-1"),
            ("ce_source", "genesys-cloud"),
            ("ce_type", "interaction"),
            ("ce_time", "1970-01-01T00:00:00.000Z"),
            ("ce_subject", "conversation-1"),
            ("ce_analyticsid", "a"),
        ]
    );
    let least: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(!built.enveloped && built.size_bytes > least + 14 + 7);
}

#[test]
fn structured_mode_wraps_the_body_and_keeps_it_verbatim() {
    let mut builder = MessageBuilder::new(
        Envelope::Structured,
        "main".to_owned(),
        "genesys.events".to_owned(),
    );
    let built = builder.build(&parcel(&record(), &Listed(&[("analyticsid", "a\"b")])));
    assert!(built.enveloped);
    assert_eq!(
        listed(&built),
        [(
            "content-type".to_owned(),
            "application/cloudevents+json; charset=UTF-8".to_owned()
        )]
    );
    let value: serde_json::Value = serde_json::from_slice(builder.body()).unwrap();
    assert_eq!(value["data"], serde_json::json!({"x": 1}));
    assert_eq!(value["source"], "main");
    assert_eq!(value["analyticsid"], "a\"b");
    assert_eq!(value["subject"], "conversation-1");
}

#[test]
fn no_envelope_and_audit_records_have_no_headers() {
    let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned(), "genesys.events".to_owned());
    assert!(builder.build(&parcel(&record(), &NoAttributes)).headers.is_none());
    let mut builder = MessageBuilder::new(Envelope::Binary, "main".to_owned(), "genesys.events".to_owned());
    let audit = Parcel {
        record: None,
        route: Route::Audit,
        ..parcel(&record(), &NoAttributes)
    };
    assert!(builder.build(&audit).headers.is_none());
}

#[test]
fn a_dead_letter_of_our_own_making_says_why_in_kafka_connects_words() {
    let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned(), "genesys.events".to_owned());
    let refusal = Some(Refusal {
        meant_for: "genesys.events",
        reason: "too large",
    });
    let built = builder.build(&Parcel {
        refusal,
        ..parcel(&record(), &NoAttributes)
    });
    assert_eq!(
        listed(&built),
        connect("PRODUCE", "genesys-kafka", "ProduceError", "too large")
    );
}

/// Kafka Connect's headers for a record of source `main` that was meant for `genesys.events`.
fn connect(stage: &str, class: &str, error: &str, reason: &str) -> Vec<(String, String)> {
    [
        ("topic", "genesys.events"),
        ("connector.name", "main"),
        ("task.id", "0"),
        ("stage", stage),
        ("class.name", class),
        ("exception.class.name", error),
        ("exception.message", reason),
    ]
    .map(|(name, value)| (format!("__connect.errors.{name}"), value.to_owned()))
    .to_vec()
}

#[test]
fn a_dead_letter_of_the_source_has_the_same_headers_beside_its_own_attributes_and_none_twice() {
    let attributes = Listed(&[
        ("source", "genesys-cloud"),
        ("stage", "DECODE"),
        ("reason", "not JSON"),
    ]);
    let record = Record {
        kind: Kind::DeadLetter,
        ..record()
    };
    let expected = connect("DECODE", "genesys-cloud", "DecodeError", "not JSON");
    for envelope in [Envelope::Binary, Envelope::Structured, Envelope::None] {
        let mut builder = MessageBuilder::new(envelope, "main".to_owned(), "genesys.events".to_owned());
        let headers = listed(&builder.build(&parcel(&record, &attributes)));
        assert!(headers.ends_with(&expected), "{headers:?}");
        let names: std::collections::BTreeSet<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), headers.len(), "{headers:?}");
    }
    // an event that has such attributes is none
    let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned(), "genesys.events".to_owned());
    let event = Record {
        kind: Kind::Event,
        ..record
    };
    assert!(builder.build(&parcel(&event, &attributes)).headers.is_none());
}

#[test]
fn what_a_source_does_not_say_of_its_dead_letter_is_left_out() {
    let record = Record {
        kind: Kind::DeadLetter,
        ..record()
    };
    let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned(), "genesys.events".to_owned());
    let headers = listed(&builder.build(&parcel(&record, &NoAttributes)));
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "__connect.errors.topic",
            "__connect.errors.connector.name",
            "__connect.errors.task.id",
            "__connect.errors.class.name",
        ]
    );
}
