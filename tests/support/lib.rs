//! Test support.
pub mod c;
