//! What can be wrong with a simulator before it runs, or when its ground truth is closed.
//!
//! Refuses to describe what happens on the wire: that is counted and written to the ground truth. Each message says
//! what is wrong, where, and how to mend it, in one line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a simulator could not start, take a fault, or finish its ground truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The listen address is not a loopback address.
    #[error("listen address {address} is not loopback; use 127.0.0.1:PORT or [::1]:PORT")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The listen address could not be bound.
    #[error("cannot listen on {address}: {source}; choose another port, or port 0 for a free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An option is outside its range.
    #[error("option {name} is {value}, {rule}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// The value given.
        value: String,
        /// What the value must be.
        rule: String,
    },
    /// A fault could not be read, or its action does not fit its trigger.
    #[error("fault {text:?}: {reason}")]
    Fault {
        /// The fault as given.
        text: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}; check that it exists and may be accessed", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder with frames to replay is too large or empty.
    #[error("{path}: {reason}", path = path.display())]
    Replay {
        /// The folder or the file in it.
        path: PathBuf,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The thread or its runtime could not be started.
    #[error("cannot start the simulator's thread: {0}")]
    Thread(io::Error),
}

impl Error {
    /// Says whether the same call may succeed later without a change: only a busy port or a failing file may.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Listen { .. } | Self::File { .. } | Self::Thread(_))
    }
}
