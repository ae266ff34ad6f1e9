//! Genesys Cloud event source: subscriber core behind a small, stable C ABI.
//!
//! ```text
//! transport ─▶ session ─▶ decode ─▶ admission (identity, dedup, normalize, number) ─▶ chunk ─▶ queue ─▶ ffi
//!     ▲           │                                                                                     │
//!     oauth, tls  └─ gap records, backoff                                        commit ◀────────────────┘
//! ```
//!
//! [`source::Source`] is the whole as one object; the C functions and the command line work on it.
pub mod admission;
pub mod counts;
pub mod dead_letter;
pub mod decode;
pub mod dedup;
pub mod identity;
mod json;
pub mod normalize;
pub mod queue;
pub mod record;
pub mod spool;
pub mod text;
pub mod timestamp;
pub mod topic;

pub mod backoff;
pub mod check;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod gap;
pub mod network;
pub mod oauth;
pub mod region;
pub mod secret;
pub mod session;
pub mod subscription;
pub mod tls;
pub mod transport;

pub mod ffi;
mod panics;
pub mod source;
pub mod statistics;
