//! Why a run failed, in one line each, and what that means for whoever started it.
//!
//! Responsible for the words and for the kinds that exit codes hang on. Refuses a message without a mend, where there is
//! one. Invariant: each error has a kind.

use crate::audit::KeyError;
use crate::host;
use crate::laws::Laws;
use crate::operations::OpenError;
use crate::pipeline::{FeedError, FeedFault, TakenOver};
use crate::position::Unreadable;
use crate::sink::{StartError, WebhookError};

/// What kind of failure ended a run; the program's exit code hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Something in the configuration or its surroundings must be changed (exit code 78).
    Config,
    /// The service refused the credentials or the role (exit code 77).
    Credentials,
    /// The source or the destination gave up, or was never there (exit code 69).
    GaveUp,
    /// This program, or the plugin, is at fault (exit code 1).
    Internal,
    /// A law of conservation is broken (exit code 70).
    Law,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operations listener could not be opened.
    #[error(transparent)]
    Operations(#[from] OpenError),
    /// The source could not be opened.
    #[error("source cannot be opened: {0}")]
    Open(host::Error),
    /// The destination could not be used.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The webhook could not be used.
    #[error("[webhook] cannot be used: {0}")]
    Webhook(#[from] WebhookError),
    /// The key of the audit trail could not be read.
    #[error("audit.key: {0}")]
    AuditKey(#[from] KeyError),
    /// The source keeps nothing that transactions could go on from.
    #[error(
        "delivery.guarantee = \"exactly_once\" needs a source that keeps its records on disk, and this one keeps them in \
         memory; set source.config.spool.mode to \"disk\", or delivery.guarantee to \"at_least_once\""
    )]
    NothingKept,
    /// The position in Kafka is of no use.
    #[error(
        "{0}; it says what was delivered, so without it events would be repeated: mend the record, or run with \
         delivery.guarantee = \"at_least_once\""
    )]
    Position(#[from] Unreadable),
    /// The source does not go on from the position in Kafka.
    #[error("the source cannot go on from the position in kafka.topics.positions: {0}")]
    Resume(host::Error),
    /// Another process has taken over.
    #[error(
        "shard {} was taken over by another process{}: look for a second instance with source.name = \"{}\" at the same \
         brokers, and stop one of the two",
        .0.shard, .0.by.as_ref().map(|run| format!(" (run {run})")).unwrap_or_default(), .0.shard
    )]
    TakenOver(TakenOver),
    /// The source failed while it ran.
    #[error("source failed: {0}")]
    Source(FeedError),
    /// Records were left over when the time for draining was over.
    #[error(
        "{unresolved} records were not delivered within delivery.drain_ms = {drain_ms}; a source in memory loses them"
    )]
    Undelivered {
        /// How many.
        unresolved: u64,
        /// The time they had, in milliseconds.
        drain_ms: u64,
    },
    /// Standard output could not be written.
    #[error("{0}")]
    Output(String),
    /// The system gave no thread to start on.
    #[error(
        "no thread for the start of the destinations: {0}; raise the limit on processes (ulimit -u), or end others"
    )]
    Thread(std::io::Error),
    /// A law of conservation is broken.
    #[error(
        "a law of conservation is broken ({0}): records were lost or counted twice, please report this with the summary"
    )]
    Law(Laws),
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            // Another process holds the spool: which of the two is meant is the operator's to say.
            Self::Open(error) if error.status == plugin_abi::status::BUSY => ErrorKind::Config,
            Self::Open(error) => match FeedError::from(error.clone()).fault {
                FeedFault::Credentials => ErrorKind::Credentials,
                FeedFault::GaveUp | FeedFault::Passing => ErrorKind::GaveUp,
                FeedFault::Configuration | FeedFault::Broken => ErrorKind::Config,
            },
            Self::Start(error) if error.is_retryable() => ErrorKind::GaveUp,
            Self::Operations(_)
            | Self::Start(_)
            | Self::Webhook(_)
            | Self::AuditKey(_)
            | Self::NothingKept
            | Self::Position(_) => ErrorKind::Config,
            Self::Resume(error) => match FeedError::from(error.clone()).fault {
                FeedFault::GaveUp | FeedFault::Passing => ErrorKind::GaveUp,
                FeedFault::Credentials | FeedFault::Configuration | FeedFault::Broken => ErrorKind::Config,
            },
            Self::TakenOver(_) => ErrorKind::GaveUp,
            Self::Source(error) => match error.fault {
                FeedFault::Credentials => ErrorKind::Credentials,
                FeedFault::Configuration => ErrorKind::Config,
                FeedFault::GaveUp | FeedFault::Passing => ErrorKind::GaveUp,
                FeedFault::Broken => ErrorKind::Internal,
            },
            Self::Undelivered { .. } | Self::Output(_) => ErrorKind::GaveUp,
            Self::Thread(_) => ErrorKind::Internal,
            Self::Law(_) => ErrorKind::Law,
        }
    }

    /// Says whether the same run may succeed later without a change by the user.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Operations(error) => error.is_retryable(),
            Self::Open(error) => error.is_retryable(),
            Self::Start(error) => error.is_retryable(),
            Self::Webhook(error) => error.is_retryable(),
            Self::AuditKey(error) => error.is_retryable(),
            Self::Source(error) => error.is_retryable() || error.fault == FeedFault::GaveUp,
            Self::Undelivered { .. } | Self::Thread(_) => true,
            Self::Resume(error) => error.is_retryable(),
            Self::Output(_) | Self::Law(_) | Self::NothingKept | Self::Position(_) | Self::TakenOver(_) => {
                false
            }
        }
    }
}
