//! The C boundary: the sixteen `esp_*` functions over [`crate::source::Source`].
//!
//! The only unsafe code of the package. Every export runs inside one guard: NULL checks, handle, process id, poison,
//! then a panic catch that turns a panic into a status and poisons the source. The contract of each function stands
//! in `plugin_abi::functions`; the types of the exports are held against it at compile time.
#![expect(
    unsafe_code,
    reason = "the ABI edge: raw pointers from the host are read and written here and nowhere else"
)]

mod batch;
mod boundary;
mod exports;
mod log;
mod registry;

pub use exports::{
    esp_abi_version, esp_batch_release, esp_check, esp_close, esp_commit, esp_describe, esp_drain,
    esp_interrupt, esp_next_batch, esp_next_event, esp_open, esp_poll_fd, esp_resume, esp_stats,
    esp_status_name, esp_token,
};

const _: plugin_abi::functions::AbiVersionFn = esp_abi_version;
const _: plugin_abi::functions::DescribeFn = esp_describe;
const _: plugin_abi::functions::StatusNameFn = esp_status_name;
const _: plugin_abi::functions::CheckFn = esp_check;
const _: plugin_abi::functions::OpenFn = esp_open;
const _: plugin_abi::functions::ResumeFn = esp_resume;
const _: plugin_abi::functions::NextBatchFn = esp_next_batch;
const _: plugin_abi::functions::BatchReleaseFn = esp_batch_release;
const _: plugin_abi::functions::NextEventFn = esp_next_event;
const _: plugin_abi::functions::CommitFn = esp_commit;
const _: plugin_abi::functions::TokenFn = esp_token;
const _: plugin_abi::functions::StatsFn = esp_stats;
const _: plugin_abi::functions::PollFdFn = esp_poll_fd;
const _: plugin_abi::functions::InterruptFn = esp_interrupt;
const _: plugin_abi::functions::DrainFn = esp_drain;
const _: plugin_abi::functions::CloseFn = esp_close;

#[cfg(test)]
mod tests;
