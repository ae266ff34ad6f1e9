//! Publishes the records of an event source plugin, with an audit record for each.
//!
//! Responsible for the whole adapter behind the program `genesys-kafka`: configuration, plugin host, pipeline,
//! sinks, audit. Refuses any knowledge of a particular feed: it meets the plugin at run time, through the C contract
//! of `plugin_abi`, only. Invariant: a record is committed to its source only once it is resolved downstream.

pub mod address;
pub mod audit;
pub mod check;
pub mod commands;
pub mod config;
pub mod dead_letter;
pub mod exit;
pub mod host;
pub mod laws;
pub mod logging;
pub mod metrics;
pub mod operations;
pub mod pipeline;
pub mod position;
pub mod record;
pub mod replay;
pub mod run;
mod same_file;
pub mod shutdown;
pub mod sink;
pub mod spool;
pub mod summary;
pub mod text;
pub mod verify;
