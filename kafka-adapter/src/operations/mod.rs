//! What an orchestrator asks of the process while it runs: is it alive, is it ready.
//!
//! Responsible for a small HTTP listener on a thread of its own and for the two answers. Refuses to call into the
//! pipeline or the source: the pipeline's thread leaves word here at its turns, and the listener reads that. Invariant:
//! no answer holds a secret, an address beyond scheme, host and port, or a payload, and no question holds up a delivery.

mod answer;
mod health;
mod listener;
mod readiness;

pub use health::Health;
pub use listener::{Listener, OpenError, probe};
pub use readiness::{Part, Readiness, Reason};
