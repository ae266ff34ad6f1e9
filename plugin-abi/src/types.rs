//! The structs that cross the boundary, and the proof at compile time that their layout has not moved.
//!
//! All offsets are those of an LP64 target (64-bit pointers); other targets do not compile.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use crate::status::Status;

/// Record kind: a normalized event; `body` is JSON after `schemas/event.schema.json`.
pub const ESP_KIND_EVENT: u32 = 1;
/// Record kind: a frame that is no usable event; `body` is JSON after `schemas/dead-letter.schema.json`.
pub const ESP_KIND_DEAD_LETTER: u32 = 2;
/// Record kind: news of the source itself, such as a gap; `body` is JSON after `schemas/control.schema.json`.
pub const ESP_KIND_CONTROL: u32 = 3;

/// Record flag: the record may have been handed out before, by this process or an earlier one.
pub const ESP_FLAG_REDELIVERED: u32 = 1;
/// Record flag: the event comes from the service's history, not from the live feed.
pub const ESP_FLAG_BACKFILL: u32 = 2;

/// `esp_check` flag: also try the network (log in, reach the endpoint).
pub const ESP_CHECK_ONLINE: u32 = 1;

/// Log level of a fault that needs an operator.
pub const ESP_LOG_ERROR: u32 = 1;
/// Log level of a fault that was recovered from.
pub const ESP_LOG_WARN: u32 = 2;
/// Log level of life-cycle steps.
pub const ESP_LOG_INFO: u32 = 3;
/// Log level for developers.
pub const ESP_LOG_DEBUG: u32 = 4;
/// The finest log level.
pub const ESP_LOG_TRACE: u32 = 5;

/// The value of a time that is not known, in microseconds since 1970-01-01T00:00:00Z.
pub const ESP_TIME_ABSENT: i64 = i64::MIN;

/// Borrowed text: `length` bytes of UTF-8 at `data`; not NUL-terminated; NULL only where `length` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspStr {
    /// First byte.
    pub data: *const u8,
    /// Number of bytes.
    pub length: usize,
}

/// The caller's buffer for text that the library writes.
///
/// On `SHORT_BUFFER` nothing is written to `data` and `length` says how many bytes are needed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspText {
    /// Size of this struct in bytes, set by the caller.
    pub struct_size: u32,
    /// Must be zero.
    pub reserved: u32,
    /// First byte of the buffer; NULL is allowed with `capacity` 0, to ask for the length.
    pub data: *mut u8,
    /// Number of bytes in the buffer.
    pub capacity: usize,
    /// Number of bytes written, or needed.
    pub length: usize,
}

/// Number of bytes of `EspError::message`, its terminating NUL included.
pub const ESP_ERROR_MESSAGE_BYTES: usize = 512;

/// Why a call failed; the caller allocates it and there is nothing to free. A NULL pointer to it is allowed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspError {
    /// Size of this struct in bytes, set by the caller.
    pub struct_size: u32,
    /// The status that the call answered.
    pub status: Status,
    /// 1 if the same call may succeed later, else 0.
    pub retryable: u32,
    /// HTTP status or WebSocket close code behind the failure, 0 if there is none.
    pub code: i32,
    /// UTF-8, NUL-terminated, cut at a character boundary; never holds a secret.
    pub message: [u8; ESP_ERROR_MESSAGE_BYTES],
}

/// How much one pull may give and how long it may wait.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspLimits {
    /// Size of this struct in bytes, set by the caller.
    pub struct_size: u32,
    /// At most this many records; 0 means the library's own bound (8192).
    pub max_records: u32,
    /// At most this many bytes of records, but always at least one record; 0 means the library's own bound (8 MiB).
    pub max_bytes: u64,
    /// Wait this long for the first record, in milliseconds; 0 polls.
    pub wait_ms: u32,
    /// After the first record wait this long for more, in milliseconds; 0 takes what is there.
    pub linger_ms: u32,
}

/// One attribute of a record; becomes a header where the sink has headers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspAttribute {
    /// Lower-case ASCII letters and digits (CloudEvents 1.0, "Naming Conventions").
    pub name: EspStr,
    /// Free of control characters.
    pub value: EspStr,
}

/// One record. Everything it points to lives as long as the batch, or until the next pull for `esp_next_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspRecord {
    /// Size of this struct in bytes; set by the library in batches, by the caller for `esp_next_event`.
    pub struct_size: u32,
    /// One of `ESP_KIND_*`; a host passes an unknown kind on as it is.
    pub kind: u32,
    /// Any of `ESP_FLAG_*`; unknown bits are ignored.
    pub flags: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Position in hand-out order: grows with every record, but may skip numbers.
    pub sequence: u64,
    /// When it happened, in microseconds since 1970 UTC, or `ESP_TIME_ABSENT`.
    pub event_time_us: i64,
    /// When the frame was received, in microseconds since 1970 UTC.
    pub received_time_us: i64,
    /// Identity for de-duplication downstream; never empty; free of control characters.
    pub id: EspStr,
    /// Type of the event, or of the control record; never empty.
    pub type_: EspStr,
    /// What it is about, such as the conversation id; may be empty.
    pub subject: EspStr,
    /// Partition key; may be empty; free of control characters.
    pub key: EspStr,
    /// The record itself, JSON.
    pub body: EspStr,
    /// First attribute; step by `attribute_stride`.
    pub attributes: *const EspAttribute,
    /// Number of attributes.
    pub attribute_count: u32,
    /// Distance between attributes in bytes.
    pub attribute_stride: u32,
}

/// Records handed out together; owned by the host until `esp_batch_release`.
#[repr(C)]
#[derive(Debug)]
pub struct EspBatch {
    /// Size of this struct in bytes, set by the library.
    pub struct_size: u32,
    /// Distance between records in bytes.
    pub record_stride: u32,
    /// First record; step by `record_stride`.
    pub records: *const EspRecord,
    /// Number of records, at least 1.
    pub record_count: u64,
    /// Sequence of the first record.
    pub first_sequence: u64,
    /// Sequence of the last record: commit this once the whole batch is resolved.
    pub last_sequence: u64,
    /// Bytes of all ids, types, subjects, keys, attributes and bodies.
    pub total_bytes: u64,
    /// The library's own.
    pub private_data: *mut c_void,
}

/// Takes a log line of the library.
///
/// `level` is one of `ESP_LOG_*`; `target` and `message` are valid only during the call. It may be called on any
/// thread of the library, one call at a time per source. It must not unwind and must not call back into the
/// library, except `esp_status_name`.
pub type EspLogFn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: u32, target: EspStr, message: EspStr)>;

/// What `esp_open` takes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspOpenArgs {
    /// Size of this struct in bytes, set by the caller.
    pub struct_size: u32,
    /// Must be zero.
    pub flags: u32,
    /// Configuration: one JSON object after the schema in `esp_describe`.
    pub config: EspStr,
    /// Where log lines go; NULL means silence.
    pub log: EspLogFn,
    /// Passed to `log` as it is.
    pub log_user_data: *mut c_void,
    /// The most verbose level that reaches `log`, one of `ESP_LOG_*`; 0 means `ESP_LOG_INFO`.
    pub log_level: u32,
    /// Must be zero.
    pub reserved: u32,
}

const _: () = {
    assert!(
        size_of::<usize>() == 8,
        "the contract is laid out for LP64 targets"
    );
    assert!(size_of::<EspStr>() == 16 && offset_of!(EspStr, length) == 8);
    assert!(size_of::<EspText>() == 32);
    assert!(
        offset_of!(EspText, data) == 8
            && offset_of!(EspText, capacity) == 16
            && offset_of!(EspText, length) == 24
    );
    assert!(size_of::<EspError>() == 528);
    assert!(offset_of!(EspError, status) == 4 && offset_of!(EspError, retryable) == 8);
    assert!(offset_of!(EspError, code) == 12 && offset_of!(EspError, message) == 16);
    assert!(size_of::<EspLimits>() == 24);
    assert!(offset_of!(EspLimits, max_records) == 4 && offset_of!(EspLimits, max_bytes) == 8);
    assert!(offset_of!(EspLimits, wait_ms) == 16 && offset_of!(EspLimits, linger_ms) == 20);
    assert!(size_of::<EspAttribute>() == 32 && offset_of!(EspAttribute, value) == 16);
    assert!(size_of::<EspRecord>() == 136);
    assert!(offset_of!(EspRecord, kind) == 4 && offset_of!(EspRecord, flags) == 8);
    assert!(offset_of!(EspRecord, sequence) == 16 && offset_of!(EspRecord, event_time_us) == 24);
    assert!(offset_of!(EspRecord, received_time_us) == 32 && offset_of!(EspRecord, id) == 40);
    assert!(offset_of!(EspRecord, type_) == 56 && offset_of!(EspRecord, subject) == 72);
    assert!(offset_of!(EspRecord, key) == 88 && offset_of!(EspRecord, body) == 104);
    assert!(offset_of!(EspRecord, attributes) == 120 && offset_of!(EspRecord, attribute_count) == 128);
    assert!(offset_of!(EspRecord, attribute_stride) == 132);
    assert!(size_of::<EspBatch>() == 56);
    assert!(offset_of!(EspBatch, record_stride) == 4 && offset_of!(EspBatch, records) == 8);
    assert!(offset_of!(EspBatch, record_count) == 16 && offset_of!(EspBatch, first_sequence) == 24);
    assert!(offset_of!(EspBatch, last_sequence) == 32 && offset_of!(EspBatch, total_bytes) == 40);
    assert!(offset_of!(EspBatch, private_data) == 48);
    assert!(size_of::<EspOpenArgs>() == 48);
    assert!(offset_of!(EspOpenArgs, config) == 8 && offset_of!(EspOpenArgs, log) == 24);
    assert!(offset_of!(EspOpenArgs, log_user_data) == 32 && offset_of!(EspOpenArgs, log_level) == 40);
};
