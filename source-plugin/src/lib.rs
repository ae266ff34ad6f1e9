//! Genesys Cloud event source: subscriber core behind a small, stable C ABI.
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
pub mod text;
pub mod timestamp;
pub mod topic;
