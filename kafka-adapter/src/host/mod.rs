//! Loads an event source plugin and speaks its C contract; unsafe code of the package is in this folder, and in the one
//! question to librdkafka that has no safe wrapper (`sink::kafka::rights`).
//!
//! Responsible for finding the library, for calling its functions as `plugin_abi` documents them, and for a safe
//! view of its records. Refuses a library of another major version or one that lacks a symbol, and text that is not
//! UTF-8. Invariant: a library, once loaded, is never unloaded, since its threads and thread-local destructors would
//! outlive it.
#![expect(
    unsafe_code,
    reason = "calls the plugin through its C contract; each operation has its proof beside it"
)]

mod batch;
mod call;
mod elf;
mod error;
mod load;
mod log;
mod plugin;
mod read;
mod record;
pub mod search;
mod source;

pub use batch::{Batch, Records};
pub use error::{Error, LoadError};
pub use log::LogLevel;
pub(crate) use log::printable;
pub use plugin::{Finding, Online, Plugin, Standing, Verified};
pub use record::{AttributeIter, Attributes, Kind, Record};
pub use source::{Limits, Pull, Source};
