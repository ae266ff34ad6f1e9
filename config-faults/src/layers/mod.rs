//! What an operator writes of a configuration: a TOML file and the environment over it, with the origin of each value.
//!
//! Responsible for the form in which the adapter is configured, which a tool beside it reads as well. Refuses to know what the
//! keys mean. Invariant: every value that was set has an origin, so that a fault can name its line or its variable.

pub mod environment;
pub mod file;
mod origin;

pub use origin::{Located, Merged, Origin};
