//! The adapter's configuration: defaults, file, environment and flags, merged and checked in one pass.
//!
//! Responsible for one checked [`Config`] and for the origin of each of its values. Refuses to stop at the first
//! fault, to touch the network, and to echo a secret. Invariant: a [`Config`] exists only if no fault does.

mod audit_rules;
mod draft;
mod effective;
mod exposed;
mod listen;
pub mod mask;
mod owned;
mod properties;
mod raw;
mod rules;
pub(crate) mod secrets;
mod target;
mod tls_files;
mod types;
mod webhook_rules;

#[cfg(test)]
mod example;

pub use config_faults::layers::environment::PREFIX;
pub use config_faults::layers::file::FILE_NAME;
pub use config_faults::layers::{Located, Origin};
use config_faults::layers::{Merged, environment, file};
pub use config_faults::{SecretError, SecretPlace};
pub use draft::{Draft, Faults, Inputs, Setting, in_order};
pub use effective::Effective;
pub use exposed::{exposed, warn_of_exposed};
pub use listen::{Listen, ListenError};
pub use owned::{OWNED, Owned};
pub use raw::schema;
pub use target::{Target, TargetError};
pub use types::{
    Audit, AuditTo, Config, Control, DeadLetter, Delivery, Destination, Envelope, Guarantee, Kafka,
    Operations, Source, Topics, Webhook, WebhookEnvelope,
};
