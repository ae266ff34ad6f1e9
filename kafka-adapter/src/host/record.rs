//! Records of a batch as Rust sees them: borrowed, checked once.
//!
//! Responsible for the safe view. Refuses text that is not UTF-8, when the batch is taken over and not later.
//! Invariant: a [`Record`] borrows from its [`Batch`](super::Batch) and is valid as long as that is.

use std::slice;

use plugin_abi::types;

use super::read;

/// What a record is: a number, because a later contract may add kinds that this adapter passes on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u32);

impl Kind {
    /// A normalized event.
    pub const EVENT: Self = Self(types::ESP_KIND_EVENT);
    /// A frame that is no usable event.
    pub const DEAD_LETTER: Self = Self(types::ESP_KIND_DEAD_LETTER);
    /// News of the source itself, such as a gap.
    pub const CONTROL: Self = Self(types::ESP_KIND_CONTROL);

    /// The name in the schemas, `unknown` for a kind of a later contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EVENT => "event",
            Self::DEAD_LETTER => "dead_letter",
            Self::CONTROL => "control",
            _ => "unknown",
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Any of `ESP_FLAG_*`.
    pub flags: u32,
    /// Position in hand-out order: grows with every record, but may skip numbers.
    pub sequence: u64,
    /// When it happened, in microseconds since 1970 UTC, if known.
    pub event_time_us: Option<i64>,
    /// When its frame was received, in microseconds since 1970 UTC.
    pub received_time_us: i64,
    /// Identity for de-duplication downstream; never empty.
    pub id: &'a str,
    /// Type of the event or of the control record; never empty.
    pub type_: &'a str,
    /// What it is about, such as the conversation id; may be empty.
    pub subject: &'a str,
    /// Partition key; may be empty.
    pub key: &'a str,
    /// The record itself, JSON.
    pub body: &'a [u8],
    /// Name and value pairs that become headers.
    pub attributes: Attributes<'a>,
}

impl Record<'_> {
    /// Says whether the record may have been handed out before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.flags & types::ESP_FLAG_REDELIVERED != 0
    }

    /// Says whether the event comes from the service's history.
    #[must_use]
    pub fn is_backfill(&self) -> bool {
        self.flags & types::ESP_FLAG_BACKFILL != 0
    }
}

/// Name and value pairs of a record; iterate it by value, it is a copy of a pointer.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(Pairs<'a>);

#[derive(Clone, Copy, Debug)]
enum Pairs<'a> {
    Plugin(read::Strided<'a>),
    Own(&'a [(&'a str, &'a str)]),
}

impl<'a> Attributes<'a> {
    /// Attributes that the adapter itself made.
    #[must_use]
    pub fn of(pairs: &'a [(&'a str, &'a str)]) -> Self {
        Self(Pairs::Own(pairs))
    }

    /// Attributes of a record that [`read::check`] has passed.
    pub(super) fn checked(strided: read::Strided<'a>) -> Self {
        Self(Pairs::Plugin(strided))
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Pairs::Plugin(strided) => strided.len(),
            Pairs::Own(pairs) => pairs.len(),
        }
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over name and value.
    #[must_use]
    pub fn iter(&self) -> AttributeIter<'a> {
        AttributeIter(match self.0 {
            Pairs::Plugin(strided) => Walk::Plugin { strided, next: 0 },
            Pairs::Own(pairs) => Walk::Own(pairs.iter()),
        })
    }
}

impl<'a> IntoIterator for Attributes<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = AttributeIter<'a>;

    fn into_iter(self) -> AttributeIter<'a> {
        self.iter()
    }
}

/// Iterator over the name and value of each attribute.
#[derive(Clone, Debug)]
pub struct AttributeIter<'a>(Walk<'a>);

#[derive(Clone, Debug)]
enum Walk<'a> {
    Plugin { strided: read::Strided<'a>, next: usize },
    Own(slice::Iter<'a, (&'a str, &'a str)>),
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Plugin { strided, next } => {
                let pair = strided.attribute(*next)?;
                *next += 1;
                Some(pair)
            }
            Walk::Own(pairs) => pairs.next().copied(),
        }
    }
}
