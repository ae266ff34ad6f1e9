//! The adapter's configuration: defaults, file, environment and flags, merged and checked in one pass.
//!
//! Responsible for one checked [`Config`] and for the origin of each of its values. Refuses to stop at the first
//! fault, to touch the network, and to echo a secret. Invariant: a [`Config`] exists only if no fault does.

pub mod mask;
mod types;

pub use types::{
    Audit, AuditTo, Config, Control, DeadLetter, Delivery, Destination, Envelope, Guarantee, Kafka,
    Operations, Source, Topics,
};
