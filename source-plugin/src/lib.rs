//! Genesys Cloud event source: subscriber core behind a small, stable C ABI.
//!
//! ```text
//! transport ─▶ session ─▶ decode ─▶ admission (identity, dedup, normalize, number) ─▶ chunk ─▶ store ─▶ queue ─▶ ffi
//!     ▲           │                                                                                     │
//!     oauth, tls  └─ gap records, backoff                                        commit ◀────────────────┘
//! ```
//!
//! [`source::Source`] is the whole as one object; the C functions and the command line work on it.
pub mod admission;
mod bell;
pub mod counts;
pub mod dead_letter;
pub mod decode;
pub mod dedup;
pub mod identity;
mod json;
pub mod normalize;
pub mod queue;
pub mod record;
mod record_bound;
pub mod spool;
mod store;
pub mod text;
pub mod timestamp;
pub mod topic;

pub mod backfill;
pub mod backoff;
pub mod check;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod gap;
mod handover;
pub mod lookup;
pub mod network;
mod notice;
pub mod oauth;
pub mod region;
mod replay;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "whole as an interface: the session sets topics by PUT alone, and asks for no channel that it knows"
    )
)]
mod rest;
pub mod secret;
pub mod session;
pub mod subscription;
pub mod tls;
pub mod transport;

pub mod ffi;
mod panics;
pub mod plan;
pub mod source;
pub mod statistics;
