//! The adapter: takes records from a source plugin, publishes them, and writes an audit record for each.
//!
//! Responsible for delivery and its proof. Refuses to know anything of the plugin beyond the C contract. Its
//! invariant: a record is committed to its source only after its own outcome and its audit are acknowledged.

pub mod audit;
pub mod dead_letter;
pub mod metrics;
pub mod pipeline;
pub mod record;
pub mod sink;
pub mod summary;
pub mod text;
