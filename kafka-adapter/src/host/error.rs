//! What can go wrong between the adapter and a plugin.
//!
//! Responsible for two kinds: a library that is no usable plugin, and a call that failed. Refuses to lose what the
//! plugin said. Invariant: each displays as one line with what, where and how to mend it.

use std::path::PathBuf;

use plugin_abi::{ESP_ABI_MAJOR, ESP_ABI_MINOR, status};

/// Why a library could not be loaded as a plugin; none of these is retryable.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A bare name was found nowhere, or the named file does not exist.
    #[error("plugin `{library}` not found; looked for {}; set source.library to its path", list(.looked))]
    NotFound {
        /// What was asked for.
        library: String,
        /// The files that were looked for, in order.
        looked: Vec<PathBuf>,
    },
    /// The file is no shared library.
    #[error("plugin `{}` is no shared library: {reason}; set source.library to one that was built for {}", .path.display(), std::env::consts::ARCH)]
    NotLibrary {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The library is for another machine.
    #[error("plugin `{}` is built for {built_for}, this program is for {}; set source.library to the plugin that was built for {}", .path.display(), std::env::consts::ARCH, std::env::consts::ARCH)]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// The machine.
        built_for: String,
    },
    /// The dynamic linker refuses the file.
    #[error("plugin `{}` cannot be loaded: {reason}; it must be a shared library built for {}", .path.display(), std::env::consts::ARCH)]
    NotLoadable {
        /// The file.
        path: PathBuf,
        /// First line of what the dynamic linker said.
        reason: String,
    },
    /// The library lacks symbols of the contract.
    #[error("`{}` is no event source plugin: it lacks {}; set source.library to one", .path.display(), .missing.join(", "))]
    MissingSymbols {
        /// The file.
        path: PathBuf,
        /// All missing symbols.
        missing: Vec<&'static str>,
    },
    /// The library speaks another major version of the contract.
    #[error(
        "plugin `{}` speaks version {major}.{minor} of the plugin ABI, this program speaks {ESP_ABI_MAJOR}.{ESP_ABI_MINOR}; \
         use a plugin and an adapter of the same major version", .path.display()
    )]
    OtherAbi {
        /// The file.
        path: PathBuf,
        /// Major version of the plugin.
        major: u32,
        /// Minor version of the plugin.
        minor: u32,
    },
    /// The plugin's description of itself is not JSON text.
    #[error("plugin `{}` does not describe itself: {reason}; it is damaged or not built to the contract", .path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with the description.
        reason: String,
    },
}

impl LoadError {
    /// Says whether the same load may succeed later without a change: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A call that a plugin answered with a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Error {
    /// What the call answered, one of [`plugin_abi::status`].
    pub status: i32,
    /// Name of the status, such as `AUTH`; `UNKNOWN` for a code of a later contract.
    pub name: &'static str,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// HTTP status or WebSocket close code behind the failure, 0 if there is none.
    pub code: i32,
    /// What the plugin said.
    pub message: String,
}

impl Error {
    /// Says whether the same call may succeed later without a change by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The failure of a plugin that broke the contract; not retryable, since it would break it again.
    pub(crate) fn broken_contract(message: impl Into<String>) -> Self {
        Self {
            status: status::PROTOCOL,
            name: status::name(status::PROTOCOL),
            retryable: false,
            code: 0,
            message: format!("the plugin broke the contract: {}", message.into()),
        }
    }
}
