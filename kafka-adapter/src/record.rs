//! The record as the adapter sees it: borrowed from a batch of the source, never copied on the hot path.
//!
//! Responsible for the view only; ownership stays with the batch. Refuses to interpret bodies. Invariant: what is
//! published is byte for byte what the source handed out.

use plugin_abi::types::{ESP_KIND_CONTROL, ESP_KIND_DEAD_LETTER, ESP_KIND_EVENT};

/// What a record is, and so where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A normalized event.
    Event,
    /// A frame that is no usable event.
    DeadLetter,
    /// News of the source itself, such as a gap.
    Control,
}

impl Kind {
    /// Reads the contract's number; an unknown kind travels as an event, since a host passes it on as it is.
    #[must_use]
    pub fn from_abi(kind: u32) -> Self {
        match kind {
            ESP_KIND_DEAD_LETTER => Self::DeadLetter,
            ESP_KIND_CONTROL => Self::Control,
            _ => Self::Event,
        }
    }

    /// The contract's number.
    #[must_use]
    pub fn to_abi(self) -> u32 {
        match self {
            Self::Event => ESP_KIND_EVENT,
            Self::DeadLetter => ESP_KIND_DEAD_LETTER,
            Self::Control => ESP_KIND_CONTROL,
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Flags of the contract, such as redelivered or backfill.
    pub flags: u32,
    /// Position in hand-out order; grows, may skip numbers.
    pub sequence: u64,
    /// When it happened, in microseconds since 1970 UTC, if known.
    pub event_time_us: Option<i64>,
    /// When its frame was received, in microseconds since 1970 UTC.
    pub received_time_us: i64,
    /// Identity for de-duplication downstream.
    pub id: &'a str,
    /// Type of the event or control record.
    pub type_: &'a str,
    /// What it is about; may be empty.
    pub subject: &'a str,
    /// Partition key; may be empty.
    pub key: &'a str,
    /// JSON text.
    pub body: &'a [u8],
}

/// Gives the attributes of one record, in the source's order.
pub trait Attributes {
    /// Calls `visit` with the name and value of each attribute.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));

    /// Copies the value of the first attribute called `name` to `into` and says whether there is one.
    fn copy_value(&self, name: &str, into: &mut String) -> bool {
        let mut found = false;
        self.each(&mut |candidate, value| {
            if !found && candidate == name {
                found = true;
                into.clear();
                into.push_str(value);
            }
        });
        found
    }
}

/// No attributes.
#[derive(Clone, Copy, Debug)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn each(&self, _visit: &mut dyn FnMut(&str, &str)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_keep_the_numbers_of_the_contract_and_unknown_ones_travel_as_events() {
        for kind in [Kind::Event, Kind::DeadLetter, Kind::Control] {
            assert_eq!(Kind::from_abi(kind.to_abi()), kind);
        }
        assert_eq!(Kind::from_abi(77), Kind::Event);
    }
}
