//! What a failed delivery asks of the pipeline.
//!
//! Responsible for the words alone; each destination has its own table of which failure means what. Refuses a meaning
//! that gives a record up: only a record that its destination refuses has another way to go.

/// What the pipeline has to do about a failed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The destination will not have this record, or a neighbour in its batch: isolate the culprit.
    Refused,
    /// The destination will not have this record, which came alone: a dead letter at once.
    RefusedAlone,
    /// The record is as good as any; send it again, in order.
    Rewind,
    /// The record failed alone and is as good as any: send it again later, while others go on.
    Later {
        /// The shortest pause that the destination asks for, in milliseconds; 0 if it asks for none.
        pause_ms: u64,
    },
    /// Nothing can be delivered until an operator acts; send it again, slowly.
    Blocked,
    /// As blocked, but each record comes alone: hold them, and try one at a time.
    Shut,
    /// The producer is dead: make a new one and replay from memory.
    Fatal,
}
