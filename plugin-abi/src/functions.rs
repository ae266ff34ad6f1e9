//! The sixteen functions of the contract, as a host calls them.
//!
//! A plugin defines each with this signature; a host resolves each by name. The declarations below are the source
//! of the C header. `source` is a handle from `esp_open`: a stale or foreign one answers `CLOSED`, never undefined
//! behaviour. After a panic inside the library the source is poisoned: every call but `esp_close` answers `PANIC`.
//! In a forked child every call on a source answers `FORKED`.

use crate::status::Status;
use crate::types::{EspBatch, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, EspText};

/// The exported symbols of a plugin, all required.
pub const SYMBOLS: [&str; 16] = [
    "esp_abi_version",
    "esp_describe",
    "esp_status_name",
    "esp_check",
    "esp_open",
    "esp_resume",
    "esp_next_batch",
    "esp_batch_release",
    "esp_next_event",
    "esp_commit",
    "esp_token",
    "esp_stats",
    "esp_poll_fd",
    "esp_interrupt",
    "esp_drain",
    "esp_close",
];

/// Type of [`esp_abi_version`].
pub type AbiVersionFn = unsafe extern "C" fn() -> u32;
/// Type of [`esp_describe`].
pub type DescribeFn = unsafe extern "C" fn() -> *const core::ffi::c_char;
/// Type of [`esp_status_name`].
pub type StatusNameFn = unsafe extern "C" fn(Status) -> *const core::ffi::c_char;
/// Type of [`esp_check`].
pub type CheckFn = unsafe extern "C" fn(EspStr, u32, u32, *mut EspText, *mut EspError) -> Status;
/// Type of [`esp_open`].
pub type OpenFn = unsafe extern "C" fn(*const EspOpenArgs, *mut u64, *mut EspError) -> Status;
/// Type of [`esp_resume`].
pub type ResumeFn = unsafe extern "C" fn(u64, EspStr, *mut EspError) -> Status;
/// Type of [`esp_next_batch`].
pub type NextBatchFn =
    unsafe extern "C" fn(u64, *const EspLimits, *mut *mut EspBatch, *mut EspError) -> Status;
/// Type of [`esp_batch_release`].
pub type BatchReleaseFn = unsafe extern "C" fn(*mut EspBatch);
/// Type of [`esp_next_event`].
pub type NextEventFn = unsafe extern "C" fn(u64, u32, *mut EspRecord, *mut EspError) -> Status;
/// Type of [`esp_commit`].
pub type CommitFn = unsafe extern "C" fn(u64, u64, *mut EspError) -> Status;
/// Type of [`esp_token`].
pub type TokenFn = unsafe extern "C" fn(u64, u64, *mut EspText, *mut EspError) -> Status;
/// Type of [`esp_stats`].
pub type StatsFn = unsafe extern "C" fn(u64, *mut EspText, *mut EspError) -> Status;
/// Type of [`esp_poll_fd`].
pub type PollFdFn = unsafe extern "C" fn(u64) -> i32;
/// Type of [`esp_interrupt`].
pub type InterruptFn = unsafe extern "C" fn(u64) -> Status;
/// Type of [`esp_drain`].
pub type DrainFn = unsafe extern "C" fn(u64, u32) -> Status;
/// Type of [`esp_close`].
pub type CloseFn = unsafe extern "C" fn(u64, u32) -> Status;

#[expect(
    unsafe_code,
    reason = "declares the C functions of the contract; nothing is called here"
)]
mod declarations {
    use super::{EspBatch, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, EspText, Status};

    unsafe extern "C" {
        /// Returns the version of the contract: major in the high 16 bits, minor in the low 16.
        ///
        /// Call it first. Any thread, any time; does not block, allocate or fail.
        pub fn esp_abi_version() -> u32;

        /// Returns a description of the plugin: JSON, NUL-terminated, valid for the life of the process.
        ///
        /// Members: `name`, `version`, `abi` {`major`, `minor`}, `capabilities` (what the plugin can do with some
        /// configuration; `esp_stats` says what an open source can do), `kinds`, `config_schema` (JSON Schema).
        /// Any thread; does not block on I/O; cannot fail.
        pub fn esp_describe() -> *const core::ffi::c_char;

        /// Returns the name of a status, `"UNKNOWN"` for a number that is not one: NUL-terminated, static.
        ///
        /// Any thread, also from the log callback; does not block; never NULL.
        pub fn esp_status_name(status: Status) -> *const core::ffi::c_char;

        /// Checks a configuration and writes a report of every fault found in one pass.
        ///
        /// `flags`: 0, or `ESP_CHECK_ONLINE` to also log in and to ask the service for what the configuration needs. The
        /// report is JSON: `{"faults": [{"path", "message", "mend", "nearest"}]}`, empty when all is well; it is written for
        /// `OK` and for `CONFIG`, and online also for `AUTH`, `IO`, `TLS`, `OVERLOAD` and `TIMEOUT`. `"warnings"` has the
        /// same members, for what works and should be changed all the same. After a login it also holds `"login":
        /// {"clock_skew_ms", "token_lifetime_s"}`: how far the service's clock is ahead of this machine's at the least, in
        /// milliseconds (negative: behind; null: it did not tell), and how long the token lives, in seconds; `"api":
        /// {"clock_skew_ms"}` in the same way, where there is an API behind the login, and with it `"checks": [{"id", "title",
        /// "outcome", "key", "detail", "mend", "status"}]`, what was examined there, in the order in which people should
        /// see it. `outcome` is `"ok"`, `"warning"`, `"failed"` or `"skipped"`, others may come; `key` (or null) the key of
        /// the configuration that it is about; `status` of a failure the number with which a source would end, else null.
        /// Each failure is in `faults` as well, and the first is what the function returns. `report` may be NULL.
        /// Any thread. Without `ESP_CHECK_ONLINE` it starts no thread and uses no network; with it, it blocks up to
        /// `timeout_ms`. Errors: `CONFIG`, `AUTH`, `IO`, `TLS`, `OVERLOAD`, `TIMEOUT` (a positive number, and no
        /// success here: compare with `OK`), `SHORT_BUFFER`, `INVALID_ARGUMENT`, `PANIC`.
        pub fn esp_check(
            config: EspStr,
            flags: u32,
            timeout_ms: u32,
            report: *mut EspText,
            error: *mut EspError,
        ) -> Status;

        /// Opens a source: starts its thread, which connects and listens until drain or close.
        ///
        /// Returns without waiting for a connection. On failure nothing stays allocated and `*source` is untouched.
        /// May be called many times; sources are independent. `args` and what it points to is copied, except
        /// `log_user_data`, which must stay valid until `esp_close` has returned `OK`.
        /// Any thread; blocks on local I/O only. Errors: `CONFIG`, `BUSY`, `IO`, `INVALID_ARGUMENT`, `UNSUPPORTED`
        /// (unknown flag), `NO_MEMORY`, `PANIC`. A refusal by the service (`AUTH`) shows at the first pull.
        pub fn esp_open(args: *const EspOpenArgs, source: *mut u64, error: *mut EspError) -> Status;

        /// Resumes after the record that `token` stands for; allowed before the first pull only, else `STATE`.
        ///
        /// `token` is what `esp_token` gave, also in an earlier process. Any thread; blocks on local I/O only.
        /// Errors: `STATE`, `UNSUPPORTED` (no spool), `INVALID_ARGUMENT`, `IO`, `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_resume(source: u64, token: EspStr, error: *mut EspError) -> Status;

        /// Takes the next records. `OK` means at least one; order is receive order.
        ///
        /// Blocks up to `wait_ms + linger_ms`, never on the network. `*batch` is the caller's until
        /// `esp_batch_release`; it stays valid after later pulls and after `esp_close`. At least one record is given
        /// even if it exceeds `max_bytes`. `END` and failures come only after the backlog has been handed out.
        /// One puller at a time, on any thread; a concurrent one gets `BUSY`. Normal: `TIMEOUT`, `END`,
        /// `INTERRUPTED`. Errors: `AUTH`, `FAILED` and others that ended the source (again at each later pull),
        /// `BUSY`, `INVALID_ARGUMENT`, `NO_MEMORY`, `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_next_batch(
            source: u64,
            limits: *const EspLimits,
            batch: *mut *mut EspBatch,
            error: *mut EspError,
        ) -> Status;

        /// Gives a batch back. NULL is allowed; each batch exactly once; any thread, also after `esp_close`.
        ///
        /// Does not block. The batch and everything it pointed to is invalid afterwards.
        pub fn esp_batch_release(batch: *mut EspBatch);

        /// Takes one record, borrowed until the next pull or close on this source.
        ///
        /// `record->struct_size` must be set by the caller. Takes from the same queue as `esp_next_batch`; batches
        /// stay valid beside it. Blocks up to `wait_ms`. Statuses as `esp_next_batch`.
        pub fn esp_next_event(
            source: u64,
            wait_ms: u32,
            record: *mut EspRecord,
            error: *mut EspError,
        ) -> Status;

        /// Says that every record up to and including `sequence` is durable downstream.
        ///
        /// Cumulative: at or below the mark is `OK` and changes nothing; beyond the last hand-out is
        /// `INVALID_ARGUMENT`. Works until close, also after `END`. Any thread, also beside a pull; does not block.
        /// Errors: `INVALID_ARGUMENT`, `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_commit(source: u64, sequence: u64, error: *mut EspError) -> Status;

        /// Writes the resume token of a record that has been handed out: at most 256 bytes of printable ASCII.
        ///
        /// Any thread; does not block. Errors: `UNSUPPORTED` (no spool), `INVALID_ARGUMENT` (not handed out),
        /// `SHORT_BUFFER`, `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_token(source: u64, sequence: u64, token: *mut EspText, error: *mut EspError) -> Status;

        /// Writes the statistics of a source: JSON, read in one snapshot.
        ///
        /// Members: `state`, `capabilities` (effective), `frames` {…, `law`}, `records` {…, `law`}, `queue`,
        /// `session`, `dedup`. Each `law` is a number that must be 0. Any thread; does not block on I/O.
        /// Errors: `SHORT_BUFFER`, `INVALID_ARGUMENT`, `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_stats(source: u64, text: *mut EspText, error: *mut EspError) -> Status;

        /// Returns a descriptor that polls readable while a record is queued, an interrupt is due, or the source has ended; or -1.
        ///
        /// Level-triggered. Only poll it: never read, write or close it. Valid until close. Any thread.
        pub fn esp_poll_fd(source: u64) -> i32;

        /// Makes the current wait, or the next one, return `INTERRUPTED` once.
        ///
        /// Any thread, concurrent with every call but close; does not block. Errors: `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_interrupt(source: u64) -> Status;

        /// Stops reading the feed, records the gap that begins now, and lets the backlog be pulled, then `END`.
        ///
        /// Returns at once. When `deadline_ms` has passed, `END` comes even if records remain: with a spool they are
        /// redelivered at the next open, without one they are counted as dropped. Later calls may only shorten the
        /// deadline. Any thread. Errors: `CLOSED`, `FORKED`, `PANIC`.
        pub fn esp_drain(source: u64, deadline_ms: u32) -> Status;

        /// Closes a source: wakes a pull (`CLOSED`), joins its thread, frees everything but unreleased batches.
        ///
        /// Blocks up to `timeout_ms`. After `OK` no log line comes and the descriptor is invalid. `TIMEOUT` means
        /// that the thread did not stop in time: the handle is gone and the thread leaked, so `log_user_data` must
        /// stay valid. From the log callback it answers `WRONG_THREAD`. A second close answers `CLOSED`.
        pub fn esp_close(source: u64, timeout_ms: u32) -> Status;
    }
}

pub use declarations::{
    esp_abi_version, esp_batch_release, esp_check, esp_close, esp_commit, esp_describe, esp_drain,
    esp_interrupt, esp_next_batch, esp_next_event, esp_open, esp_poll_fd, esp_resume, esp_stats,
    esp_status_name, esp_token,
};
