//! What a spool holds while nobody owns it.
//!
//! Responsible for reading it in two ways that must agree: `genesys-source spool`, as an operator would, and record by
//! record from a copy. Refuses to open the spool itself, which would change it.

use std::path::Path;
use std::sync::Arc;

use genesys_source::record::Kind;
use genesys_source::spool::storage::DiskStorage;
use genesys_source::spool::{Batch, Log, ReadLimits, Settings};
use serde_json::{Value, json};
use support::Launch;

use crate::DEADLINE;
use crate::adapter::SPOOL_BYTES;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldRecord {
    pub(crate) sequence: u64,
    /// An event, or a control record.
    pub(crate) is_event: bool,
    /// `eventId` or `controlId`.
    pub(crate) id: String,
}

/// What one kill left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// What is not committed, in order.
    pub(crate) records: Vec<HeldRecord>,
    /// What is committed and still there, since its segment is: a commit mark ahead of the host would hide in it what
    /// nobody has.
    pub(crate) committed: Vec<HeldRecord>,
}

impl Held {
    /// The ids of its events.
    pub(crate) fn event_ids(&self) -> impl Iterator<Item = &str> {
        let events = self.records.iter().filter(|record| record.is_event);
        events.map(|record| record.id.as_str())
    }
}

/// What `genesys-source spool` says of the spool in `directory`.
pub(crate) fn shown(directory: &Path) -> Value {
    let shown = Launch::binary("genesys-source")
        .args(["spool", &directory.display().to_string(), "--json"])
        .run(DEADLINE);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    serde_json::from_str(&shown.stdout.join("\n")).unwrap()
}

/// Reads the spool in `directory`, whose owner is dead.
pub(crate) fn held(directory: &Path) -> Held {
    let shown = shown(directory);
    let held = of_copy(directory);
    assert_eq!(shown["held_by"], Value::Null, "{shown}");
    assert_eq!(shown["damage"], json!([]), "{shown}");
    assert_eq!(shown["backlog"]["records"], held.records.len(), "{shown}");
    let commit = shown["commit"].as_u64().unwrap();
    assert!(
        held.committed.iter().all(|record| record.sequence <= commit),
        "{shown}"
    );
    assert!(
        held.records.iter().all(|record| record.sequence > commit),
        "{shown}"
    );
    held
}

/// Reads a copy of the spool, whose owner may stand still.
pub(crate) fn of_copy(directory: &Path) -> Held {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let storage = DiskStorage::open_or_create(copy.path()).unwrap();
    let settings = Settings::try_new(SPOOL_BYTES).unwrap();
    let (log, found) = Log::open(Arc::new(storage), settings).unwrap();
    let mut held = Held::default();
    let mut reader = log.reader_after(0);
    let mut batch = Batch::default();
    loop {
        let limits = ReadLimits {
            max_records: 1_000,
            max_bytes: 1 << 20,
        };
        reader.read(limits, &mut batch);
        assert_eq!(batch.damage(), []);
        for stored in batch.records() {
            let is_event = stored.tag & 0xff == Kind::Event as u32;
            let record = HeldRecord {
                sequence: stored.sequence,
                is_event,
                id: member(stored.payload, if is_event { "eventId" } else { "controlId" }),
            };
            if record.sequence <= found.commit {
                held.committed.push(record);
            } else {
                held.records.push(record);
            }
        }
        if batch.is_empty() && batch.is_at_end() {
            return held;
        }
    }
}

/// A text of the JSON body that a stored record ends with.
fn member(payload: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(payload);
    let start = format!("\"{name}\":\"");
    let (_, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {name}: {text}"));
    rest.split('"').next().unwrap().to_owned()
}
