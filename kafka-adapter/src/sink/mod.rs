//! Where records go: Kafka, a webhook, lines on standard output, local files, and the table that says which goes where.
//!
//! Responsible for handing bytes over and for saying, once, what became of them. Refuses to decide what a failure
//! means for a record (the pipeline does). Invariant: each accepted parcel gets exactly one [`Outcome`], unless its
//! sink is replaced, which the pipeline knows because it did it.

mod cloud_event;
mod file;
mod kafka;
pub mod ledger;
mod lines;
mod meaning;
mod outlets;
mod routing;
mod trial;
mod webhook;

use crossbeam_channel::Receiver;

use crate::audit::Destination;
use crate::record::{Attributes, Record};

pub use file::{RecordFile, Rotation};
pub use kafka::{
    Cluster, Envelope, Extent, KafkaSettings, KafkaSink, Obstacle, Operation, Position, Rights,
    StartError as KafkaStartError, TopicPlan, TopicSettings, TopicState, Topics, TransactionSettings, grant,
    in_words, lacks_read, meaning_of, unread,
};
pub use ledger::{Answer, Ledger, WAKE};
pub use lines::LinesSink;
pub use meaning::Meaning;
pub use outlets::{Outlets, StartError};
pub use routing::{Outlet, Routing};
pub use trial::{FileError, FileReason, try_file};
pub use webhook::{
    Probe, ProbeAnswer, ProbeError, SettingsError as WebhookError, WebhookSettings, WebhookSink,
};

/// What kind of delivery a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// A normalized event.
    Event,
    /// A frame that is no usable event, or a record that its own destination refused.
    DeadLetter,
    /// News of the source.
    Control,
    /// An audit record.
    Audit,
    /// A dead letter that its own destination refused, too.
    LastResort,
}

impl Route {
    /// Every route, in the order of [`Route::index`].
    pub const ALL: [Self; 5] = [
        Self::Event,
        Self::DeadLetter,
        Self::Control,
        Self::Audit,
        Self::LastResort,
    ];

    /// Place in tables that are kept per route.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Event => 0,
            Self::DeadLetter => 1,
            Self::Control => 2,
            Self::Audit => 3,
            Self::LastResort => 4,
        }
    }

    /// The word in lines and files.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::DeadLetter | Self::LastResort => "dead_letter",
            Self::Control => "control",
            Self::Audit => "audit",
        }
    }
}

/// One delivery to make; borrowed for the call only.
#[derive(Clone, Copy)]
pub struct Parcel<'a> {
    /// What kind of delivery.
    pub route: Route,
    /// Sequence of the record that it is about; absent for audit records about the run.
    pub sequence: Option<u64>,
    /// Partition key; none if empty.
    pub key: &'a str,
    /// The bytes.
    pub body: &'a [u8],
    /// The timestamp for Kafka, never later than the receipt, in microseconds since 1970 UTC.
    pub time_us: i64,
    /// The record, whose context becomes headers; absent for audit records, which carry none.
    pub record: Option<(Record<'a>, &'a dyn Attributes)>,
    /// Where the record was meant to go and why it was refused, if this is a dead letter of our own making.
    pub refusal: Option<Refusal<'a>>,
}

impl std::fmt::Debug for Parcel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parcel")
            .field("route", &self.route)
            .field("sequence", &self.sequence)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a record became a dead letter of our own making.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The topic, or other destination, that the record was meant for.
    pub meant_for: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
}

/// Where a parcel was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// A partition of the route's topic.
    Kafka {
        /// Number of the partition.
        partition: i32,
        /// Offset, if the broker gave one.
        offset: Option<i64>,
    },
    /// Standard output, flushed.
    Lines,
    /// The route's file, synced.
    File,
    /// A webhook, which answered with success.
    Webhook {
        /// The HTTP status.
        status: u16,
    },
}

impl Landing {
    /// The landing in the words of the audit; `place` is the topic or path of the route, `attempt` the number of
    /// times that the record was sent there.
    #[must_use]
    pub fn destination(self, place: &str, attempt: u32) -> Destination<'_> {
        match self {
            Self::Kafka { partition, offset } => Destination::Kafka {
                topic: place,
                partition,
                offset,
            },
            Self::Lines => Destination::Lines,
            Self::File => Destination::File { path: place },
            Self::Webhook { status } => Destination::Webhook { status, attempt },
        }
    }
}

/// Why a parcel was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the pipeline has to do about it.
    pub meaning: Meaning,
    /// In words, for the log and for dead letters.
    pub reason: String,
}

/// What became of an accepted parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The token that the parcel was sent with.
    pub token: u64,
    /// Where it is, or why it is nowhere.
    pub result: Result<Landing, Failure>,
}

/// Why a parcel was not accepted; nothing was sent and no outcome will follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The sink's queue is full: wait for outcomes, then send the same parcel again.
    Full,
    /// This parcel, or the sink as a whole, cannot do it.
    Failed(Failure),
}

/// A destination, or a set of them.
pub trait Sink {
    /// Accepts a parcel; never blocks.
    ///
    /// # Errors
    /// [`SendError::Full`] is retryable after an outcome; [`SendError::Failed`] carries its meaning.
    fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError>;

    /// Ends a turn: writes out what is buffered and appends the outcomes that are known by now.
    fn end_turn(&mut self, outcomes: &mut Vec<Outcome>);

    /// Outcomes that arrive from other threads.
    fn arrivals(&self) -> &Receiver<Outcome>;

    /// Gives up the connection behind the sink and makes a new one; what the old one still knows is appended, and
    /// what it does not know will have no outcome.
    ///
    /// # Errors
    /// [`Failure`] if no new one can be made; retryable.
    fn replace(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure>;

    /// The fatal error that makes a replacement necessary, if there is one.
    fn fatal(&self) -> Option<String>;

    /// Says whether at most one record per key may be unacknowledged.
    fn serial_per_key(&self) -> bool;

    /// Number of attempts that a record has that fails alone while others are accepted; see [`Meaning::Later`].
    fn max_attempts(&self) -> u32 {
        u32::MAX
    }

    /// Why the destination cannot be reached at present, if it cannot.
    fn unreachable(&self) -> Option<String>;

    /// What it means that nothing is acknowledged for seconds, in words, with the mend; none where every wait for the
    /// destination has a failure at its end.
    fn silent(&self) -> Option<String> {
        None
    }

    /// Says whether the reader of the destination has gone for good, so that the run ends in order.
    fn closed(&self) -> bool;

    /// Says whether parcels of this route can still land: not if its reader has gone.
    fn is_open(&self, route: Route) -> bool;

    /// The transactions of the destination, where what is sent goes into transactions.
    fn ledger(&mut self) -> Option<&mut dyn Ledger> {
        None
    }

    /// Topic or path of a route, for the audit and for messages.
    fn place(&self, route: Route) -> &str;
}
