//! Transports: how frames arrive. They only deliver; what a frame means is decided elsewhere.
//!
//! Each refuses to hold more than one message of at most `max_frame_bytes`, and reports how its connection ended in
//! the terms of RFC 6455, never in those of a library.

pub mod events;
pub mod oversize;
pub mod proxy;
pub mod socket;
