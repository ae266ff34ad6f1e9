//! Genesys Cloud event source: subscriber core behind a small, stable C ABI.
pub mod queue;
pub mod record;
