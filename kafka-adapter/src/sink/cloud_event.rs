//! A record as a CloudEvents 1.0 object around its body: the structured mode of Kafka and of webhooks.
//!
//! Responsible for the context attributes. Refuses to touch the body. Invariant: `data` is the body byte for byte.

use crate::record::{Attributes, Record};
use crate::text::{push_json_string, push_time};

/// Attribute names that are taken by the CloudEvents context itself.
pub(super) const CONTEXT_NAMES: [&str; 7] = [
    "id",
    "source",
    "specversion",
    "type",
    "datacontenttype",
    "subject",
    "time",
];

/// Appends the object; `body` becomes its `data`.
///
/// # Source
/// CloudEvents 1.0.2, JSON Event Format, section 3.
pub(super) fn push_structured(
    into: &mut Vec<u8>,
    record: &Record<'_>,
    attributes: &dyn Attributes,
    source: &str,
    body: &[u8],
) {
    into.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":");
    push_json_string(into, record.id);
    into.extend_from_slice(b",\"source\":");
    push_json_string(into, source);
    into.extend_from_slice(b",\"type\":");
    push_json_string(into, record.type_);
    into.extend_from_slice(b",\"time\":\"");
    push_time(into, record.event_time_us.unwrap_or(record.received_time_us));
    into.push(b'"');
    if !record.subject.is_empty() {
        into.extend_from_slice(b",\"subject\":");
        push_json_string(into, record.subject);
    }
    attributes.each(&mut |name, value| {
        if !CONTEXT_NAMES.contains(&name) && name != "data" {
            into.push(b',');
            push_json_string(into, name);
            into.push(b':');
            push_json_string(into, value);
        }
    });
    into.extend_from_slice(b",\"datacontenttype\":\"application/json\",\"data\":");
    into.extend_from_slice(body);
    into.push(b'}');
}
