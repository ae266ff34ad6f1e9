//! Notices: control records about the spool and the host's position in it.
//!
//! Responsible for their bodies after `schemas/control.schema.json`. Refuses a word of any record's content. Invariant:
//! what is found again at each start has the same id each time.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::spool::{Damage, Loss};
use crate::timestamp::rfc3339_ms;

/// Version of the record's schema.
const SCHEMA_VERSION: &str = "1.0";

/// One thing to say.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    id: Uuid,
    type_: &'static str,
    notice: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NoticeRecord<'a> {
    schema_version: &'static str,
    control_id: String,
    #[serde(rename = "type")]
    type_: &'static str,
    source: &'a str,
    detected_at: String,
    notice: &'a Value,
}

impl Notice {
    /// A place of the spool that cannot be read.
    pub(crate) fn damaged(spool: Uuid, damage: &Damage) -> Self {
        let notice = json!({
            "segment": damage.segment,
            "fromOffset": damage.from_offset,
            "toOffset": damage.to_offset,
            "lastGoodSequence": damage.last_good,
            "nextGoodSequence": damage.next_good,
            "fault": damage.fault.name(),
        });
        // It is found again at each start until its segment is deleted. What is known of the records around it changes
        // as they are committed.
        let name = format!(
            "spool_damaged:{}:{}:{}",
            damage.segment,
            damage.from_offset,
            damage.fault.name()
        );
        Self {
            id: Uuid::new_v5(&spool, name.as_bytes()),
            type_: "spool_damaged",
            notice,
        }
    }

    /// Records that were lost with a sync that failed.
    pub(crate) fn lost(loss: Loss) -> Self {
        Self {
            id: Uuid::now_v7(),
            type_: "records_lost",
            notice: json!({
                "records": loss.records,
                "firstSequence": loss.first,
                "lastSequence": loss.last,
            }),
        }
    }

    /// The host's position is of another spool.
    pub(crate) fn foreign_position(spool: Uuid) -> Self {
        Self {
            id: Uuid::now_v7(),
            type_: "position_foreign",
            notice: json!({"positionOf": spool.to_string()}),
        }
    }

    /// The host's position was given by another copy of the spool's directory: this one is older, or has parted from it.
    pub(crate) fn restored(spool: Uuid, position_epoch: u32, epoch: u32) -> Self {
        Self {
            id: Uuid::now_v7(),
            type_: "spool_restored",
            notice: json!({
                "spool": spool.to_string(),
                "positionEpoch": position_epoch,
                "epoch": epoch,
            }),
        }
    }

    /// Returns its id.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Returns the control type.
    pub(crate) fn type_(&self) -> &'static str {
        self.type_
    }

    /// Appends the body, JSON.
    ///
    /// # Panics
    /// Never: texts and numbers always serialize, and a vector takes every byte.
    pub(crate) fn write(&self, source: &str, now_us: i64, out: &mut Vec<u8>) {
        let record = NoticeRecord {
            schema_version: SCHEMA_VERSION,
            control_id: self.id.to_string(),
            type_: self.type_,
            source,
            detected_at: String::from_utf8_lossy(&rfc3339_ms(now_us)).into_owned(),
            notice: &self.notice,
        };
        serde_json::to_writer(out, &record).expect("texts and numbers serialize, and a Vec takes every byte");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::Notice;
    use crate::spool::{Damage, Fault, Loss};

    fn damage(last_good: Option<u64>) -> Damage {
        Damage {
            segment: 7,
            from_offset: 4096,
            to_offset: 65_536,
            last_good,
            next_good: None,
            fault: Fault::Entry,
        }
    }

    #[test]
    fn every_notice_is_what_the_schema_says() {
        let schema: Value = serde_json::from_str(include_str!("../../schemas/control.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let spool = Uuid::from_u128(1);
        let loss = Loss {
            records: 2,
            first: 5,
            last: 6,
        };
        for notice in [
            Notice::damaged(spool, &damage(Some(3))),
            Notice::lost(loss),
            Notice::foreign_position(spool),
            Notice::restored(spool, 3, 4),
        ] {
            let mut out = Vec::new();
            notice.write("main", 1_767_323_045_000_999, &mut out);
            let body: Value = serde_json::from_slice(&out).unwrap();
            let faults: Vec<String> = validator
                .iter_errors(&body)
                .map(|fault| fault.to_string())
                .collect();
            assert_eq!(faults, Vec::<String>::new(), "{body}");
            assert_eq!(body["controlId"], notice.id().to_string());
            assert_eq!(body["detectedAt"], "2026-01-02T03:04:05.000Z");
        }
    }

    #[test]
    fn a_place_that_is_found_again_has_the_same_id() {
        let spool = Uuid::from_u128(1);
        let id = |spool, last_good| Notice::damaged(spool, &damage(last_good)).id();
        assert_eq!(id(spool, Some(3)), id(spool, None));
        assert_ne!(id(spool, None), id(Uuid::from_u128(2), None));
    }
}
