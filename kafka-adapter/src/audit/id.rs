//! `auditId`: what an audit record is about, as a UUID.
//!
//! Responsible for the name that it is made of. Invariant: the same outcome of the same record has the same id in every
//! run, and no other has it; a record about the run itself is named by the run and its place in it.

use uuid::Uuid;

use crate::text::push_number;

/// Namespace of `auditId`: UUIDv5 of the DNS name `audit.genesys-kafka.example`.
const NAMESPACE: Uuid = Uuid::from_u128(0x00ef_3b8a_59ba_5fba_952c_db11_67bd_8fc2);

/// What an audit record is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Name of the source.
    pub(crate) source_name: &'a str,
    /// The run, and the number of the audit record in it.
    pub(crate) place: (&'a str, u64),
    /// The record's own sequence; absent for records about the run.
    pub(crate) source_sequence: Option<u64>,
    /// Identity of the event; absent for records about the run.
    pub(crate) event_id: Option<&'a str>,
    /// The word of its status.
    pub(crate) status: &'a str,
}

impl Subject<'_> {
    /// The id; `name` is room for the name that it is made of.
    pub(crate) fn audit_id(&self, name: &mut Vec<u8>) -> Uuid {
        name.clear();
        name.extend_from_slice(self.source_name.as_bytes());
        name.push(0);
        match (self.source_sequence, self.place) {
            (Some(sequence), _) => push_number(name, sequence),
            (None, (run_id, sequence)) => {
                name.extend_from_slice(run_id.as_bytes());
                name.push(b'#');
                push_number(name, sequence);
            }
        }
        name.push(0);
        name.extend_from_slice(self.event_id.unwrap_or_default().as_bytes());
        name.push(0);
        name.extend_from_slice(self.status.as_bytes());
        Uuid::new_v5(&NAMESPACE, name)
    }
}
