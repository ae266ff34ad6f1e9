//! What can go wrong with a spool, each with what, where and how to mend it.

use std::io;

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process holds the directory.
    #[error("the spool is in use by {holder}: stop it, or give this source a directory of its own")]
    Busy {
        /// What the lock file says of the holder.
        holder: String,
    },
    /// The directory holds no spool; only where nothing may be made.
    #[error("there is no spool here: no identity and no segment")]
    NoSpool,
    /// A file was written by a version of this program whose format this one does not read.
    #[error(
        "{file} has spool format {found}, this program reads {oldest} to {newest}: use the program that wrote it to empty the \
         spool",
        oldest = super::format::OLDEST_VERSION,
        newest = super::format::VERSION
    )]
    Version {
        /// Name of the file.
        file: String,
        /// The version in it.
        found: u32,
    },
    /// All epochs were used.
    #[error(
        "the spool was opened {} times, which is all its numbers allow: empty it and use a new directory",
        super::settings::MAX_EPOCH
    )]
    EpochsExhausted,
    /// The bound leaves no room for segments.
    #[error("the spool is bounded to {max_bytes} bytes, set max_bytes to at least {least_bytes}")]
    TooSmall {
        /// The bound.
        max_bytes: u64,
        /// The least one.
        least_bytes: u64,
    },
    /// There is no room for another segment; nothing was written.
    #[error(
        "the spool is full at {used_bytes} of {max_bytes} bytes ({limit}): it goes on when records are committed or room is made"
    )]
    Full {
        /// Bytes of all segments and the reserve.
        used_bytes: u64,
        /// The bound on them.
        max_bytes: u64,
        /// Which of the two limits it is.
        limit: Limit,
    },
    /// A record cannot fit into a segment.
    #[error("a record of {bytes} bytes, the spool takes {most_bytes}: raise max_bytes")]
    RecordTooLarge {
        /// Bytes of head and body.
        bytes: u64,
        /// The most a segment takes.
        most_bytes: u64,
    },
    /// The description of the open gaps is too long.
    #[error("open gaps of {bytes} bytes, the spool takes {most_bytes}: raise max_bytes")]
    OpenGapsTooLarge {
        /// Their bytes.
        bytes: u64,
        /// The most a header takes.
        most_bytes: u64,
    },
    /// A number does not follow the last one, or is of another epoch.
    #[error("record {sequence} does not follow {last} in epoch {epoch}: numbers only grow")]
    OutOfOrder {
        /// The number refused.
        sequence: u64,
        /// The last one in the log.
        last: u64,
        /// The epoch in force.
        epoch: u32,
    },
    /// The operating system refused.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Name of the file.
        file: String,
        /// The system's word.
        source: io::Error,
    },
}

/// What keeps a spool from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its own bound.
    MaxBytes,
    /// The disk has no room.
    Disk,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::MaxBytes => "max_bytes",
            Self::Disk => "no room on the disk",
        })
    }
}

impl SpoolError {
    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Self {
        Self::Io {
            action,
            file: file.to_owned(),
            source,
        }
    }

    /// Says whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Full { .. } | Self::Io { .. } => true,
            Self::NoSpool
            | Self::Version { .. }
            | Self::EpochsExhausted
            | Self::TooSmall { .. }
            | Self::RecordTooLarge { .. }
            | Self::OpenGapsTooLarge { .. }
            | Self::OutOfOrder { .. } => false,
        }
    }

    /// Says whether the system found no room: the disk, a quota, or a limit on the size of files.
    pub(super) fn is_no_room(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

/// A micro-batch that was not wholly appended.
#[derive(Debug, thiserror::Error)]
#[error("{appended} records were appended, the rest was not: {source}")]
pub struct AppendError {
    /// How many of its first records are in the log and visible; the others left nothing there.
    pub appended: usize,
    /// Why it stopped.
    pub source: SpoolError,
}

impl AppendError {
    /// Says whether the rest may be offered again as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.source.is_retryable()
    }
}
