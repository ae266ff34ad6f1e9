//! The C contract between an event source plugin and the host that loads it.
//!
//! A *source plugin* is a shared library that listens to a feed and hands out numbered records; a *host* is any
//! program that can `dlopen` it. They meet at run time only, through the sixteen `esp_*` symbols declared in
//! [`functions`], the `repr(C)` structs in [`types`] and the status codes in [`status`]. The C header
//! `include/event_source.h` is generated from this crate and committed.
//!
//! # Lifecycle
//! `esp_open` → (`esp_resume`) → `esp_next_batch` / `esp_next_event` … `esp_commit` … → `esp_drain` → pull until
//! [`status::END`] → `esp_commit` → `esp_close`.
//!
//! # Rules that hold for every function
//! * Structs begin with `struct_size`, set by the side that allocates the struct. A reader treats bytes past
//!   `struct_size` as zero; a writer never touches them. Structs grow at the tail only.
//! * Arrays of structs carry their stride; step by the stride, never by `sizeof`.
//! * Text is UTF-8 as pointer and length, never NUL-terminated unless a function says so.
//! * Outputs are written only on success, except `esp_error`, which is written only on failure and cleared on
//!   success, and `esp_text::length` on [`status::SHORT_BUFFER`].
//! * Every pointer is checked for NULL. No panic, signal or log line leaves the library.
//! * Threads are started in `esp_open` only, with all signals blocked. The library is never unloaded.
//! * One consumer per source: a second concurrent pull answers [`status::BUSY`].
//! * An unknown negative status is a fatal failure; an unknown positive one means [`status::TIMEOUT`].
#![no_std]

pub mod functions;
pub mod status;
pub mod types;

pub use functions::SYMBOLS;
pub use status::Status;
pub use types::{
    EspAttribute, EspBatch, EspError, EspLimits, EspLogFn, EspOpenArgs, EspRecord, EspStr, EspText,
};

/// Major version of the contract: a host refuses a plugin whose major differs from its own.
pub const ESP_ABI_MAJOR: u32 = 1;

/// Minor version of the contract: raised by any addition; a host accepts every minor of its own major.
pub const ESP_ABI_MINOR: u32 = 0;

/// The version that `esp_abi_version` returns: major in the high 16 bits, minor in the low 16.
pub const ESP_ABI_VERSION: u32 = (ESP_ABI_MAJOR << 16) | ESP_ABI_MINOR;

const _: () = assert!(
    ESP_ABI_VERSION == 0x0001_0000,
    "the composed version must repeat its parts"
);
