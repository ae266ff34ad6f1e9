/*
 * Event Source Plugin: the C contract between a source plugin and the host that loads it.
 * Generated from the Rust package plugin-abi; edit there. SPDX-License-Identifier: Apache-2.0
 *
 * Lifecycle: esp_open -> (esp_resume) -> esp_next_batch or esp_next_event ... esp_commit ... -> esp_drain
 *            -> pull until ESP_STATUS_END -> esp_commit -> esp_close.
 *
 * Rules that hold for every function:
 *  - Structs begin with struct_size, set by the side that allocates the struct. A reader treats bytes past it as
 *    zero, a writer never touches them. Structs grow at the tail only.
 *  - Arrays of structs carry their stride: step by it, never by sizeof.
 *  - Text is UTF-8 as pointer and length, never NUL-terminated unless a function says so.
 *  - Outputs are written on success only, except esp_error, which is written on failure and cleared on success,
 *    and esp_text.length on ESP_STATUS_SHORT_BUFFER.
 *  - Every pointer is checked for NULL. No panic, signal or log line leaves the library.
 *  - Threads are started in esp_open only, with all signals blocked. The library is never unloaded.
 *  - One consumer per source: a second concurrent pull answers ESP_STATUS_BUSY.
 *  - Zero is success; a positive status is normal and carries no data (an unknown one means ESP_STATUS_TIMEOUT);
 *    a negative one is a failure (an unknown one is fatal).
 */

#ifndef EVENT_SOURCE_H
#define EVENT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

// Major version of the contract: a host refuses a plugin whose major differs from its own.
#define ESP_ABI_MAJOR 1

// Minor version of the contract: raised by any addition; a host accepts every minor of its own major.
#define ESP_ABI_MINOR 0

// The version that `esp_abi_version` returns: major in the high 16 bits, minor in the low 16.
#define ESP_ABI_VERSION ((ESP_ABI_MAJOR << 16) | ESP_ABI_MINOR)

// Record kind: a normalized event; `body` is JSON after `schemas/event.schema.json`.
#define ESP_KIND_EVENT 1

// Record kind: a frame that is no usable event; `body` is JSON after `schemas/dead-letter.schema.json`.
#define ESP_KIND_DEAD_LETTER 2

// Record kind: news of the source itself, such as a gap; `body` is JSON after `schemas/control.schema.json`.
#define ESP_KIND_CONTROL 3

// Record flag: the record may have been handed out before, by this process or an earlier one.
#define ESP_FLAG_REDELIVERED 1

// Record flag: the event comes from the service's history, not from the live feed.
#define ESP_FLAG_BACKFILL 2

// `esp_check` flag: also try the network (log in, reach the endpoint).
#define ESP_CHECK_ONLINE 1

// Log level of a fault that needs an operator.
#define ESP_LOG_ERROR 1

// Log level of a fault that was recovered from.
#define ESP_LOG_WARN 2

// Log level of life-cycle steps.
#define ESP_LOG_INFO 3

// Log level for developers.
#define ESP_LOG_DEBUG 4

// The finest log level.
#define ESP_LOG_TRACE 5

// The value of a time that is not known, in microseconds since 1970-01-01T00:00:00Z.
#define ESP_TIME_ABSENT INT64_MIN

// Number of bytes of `EspError::message`, its terminating NUL included.
#define ESP_ERROR_MESSAGE_BYTES 512

// What a call answers: one of the constants of this module.
typedef int32_t esp_status;

// Borrowed text: `length` bytes of UTF-8 at `data`; not NUL-terminated; NULL only where `length` is 0.
typedef struct esp_str {
  // First byte.
  const uint8_t *data;
  // Number of bytes.
  size_t length;
} esp_str;

// The caller's buffer for text that the library writes.
//
// On `SHORT_BUFFER` nothing is written to `data` and `length` says how many bytes are needed.
typedef struct esp_text {
  // Size of this struct in bytes, set by the caller.
  uint32_t struct_size;
  // Must be zero.
  uint32_t reserved;
  // First byte of the buffer; NULL is allowed with `capacity` 0, to ask for the length.
  uint8_t *data;
  // Number of bytes in the buffer.
  size_t capacity;
  // Number of bytes written, or needed.
  size_t length;
} esp_text;

// Why a call failed; the caller allocates it and there is nothing to free. A NULL pointer to it is allowed.
typedef struct esp_error {
  // Size of this struct in bytes, set by the caller.
  uint32_t struct_size;
  // The status that the call answered.
  esp_status status;
  // 1 if the same call may succeed later, else 0.
  uint32_t retryable;
  // HTTP status or WebSocket close code behind the failure, 0 if there is none.
  int32_t code;
  // UTF-8, NUL-terminated, cut at a character boundary; never holds a secret.
  uint8_t message[ESP_ERROR_MESSAGE_BYTES];
} esp_error;

// Takes a log line of the library.
//
// `level` is one of `ESP_LOG_*`; `target` and `message` are valid only during the call. It may be called on any
// thread of the library, one call at a time per source. It must not unwind and must not call back into the
// library, except `esp_status_name`.
typedef void (*esp_log_fn)(void *user_data, uint32_t level, struct esp_str target, struct esp_str message);

// What `esp_open` takes.
typedef struct esp_open_args {
  // Size of this struct in bytes, set by the caller.
  uint32_t struct_size;
  // Must be zero.
  uint32_t flags;
  // Configuration: one JSON object after the schema in `esp_describe`.
  struct esp_str config;
  // Where log lines go; NULL means silence.
  esp_log_fn log;
  // Passed to `log` as it is.
  void *log_user_data;
  // The most verbose level that reaches `log`, one of `ESP_LOG_*`; 0 means `ESP_LOG_INFO`.
  uint32_t log_level;
  // Must be zero.
  uint32_t reserved;
} esp_open_args;

// How much one pull may give and how long it may wait.
typedef struct esp_limits {
  // Size of this struct in bytes, set by the caller.
  uint32_t struct_size;
  // At most this many records; 0 means the library's own bound (8192).
  uint32_t max_records;
  // At most this many bytes of records, but always at least one record; 0 means the library's own bound (8 MiB).
  uint64_t max_bytes;
  // Wait this long for the first record, in milliseconds; 0 polls.
  uint32_t wait_ms;
  // After the first record wait this long for more, in milliseconds; 0 takes what is there.
  uint32_t linger_ms;
} esp_limits;

// One attribute of a record; becomes a header where the sink has headers.
typedef struct esp_attribute {
  // Lower-case ASCII letters and digits (CloudEvents 1.0, "Naming Conventions").
  struct esp_str name;
  // Free of control characters.
  struct esp_str value;
} esp_attribute;

// One record. Everything it points to lives as long as the batch, or until the next pull for `esp_next_event`.
typedef struct esp_record {
  // Size of this struct in bytes; set by the library in batches, by the caller for `esp_next_event`.
  uint32_t struct_size;
  // One of `ESP_KIND_*`; a host passes an unknown kind on as it is.
  uint32_t kind;
  // Any of `ESP_FLAG_*`; unknown bits are ignored.
  uint32_t flags;
  // Must be ignored.
  uint32_t reserved;
  // Position in hand-out order: grows with every record, but may skip numbers.
  uint64_t sequence;
  // When it happened, in microseconds since 1970 UTC, or `ESP_TIME_ABSENT`.
  int64_t event_time_us;
  // When the frame was received, in microseconds since 1970 UTC.
  int64_t received_time_us;
  // Identity for de-duplication downstream; never empty; free of control characters.
  struct esp_str id;
  // Type of the event, or of the control record; never empty.
  struct esp_str type_;
  // What it is about, such as the conversation id; may be empty.
  struct esp_str subject;
  // Partition key; may be empty; free of control characters.
  struct esp_str key;
  // The record itself, JSON.
  struct esp_str body;
  // First attribute; step by `attribute_stride`.
  const struct esp_attribute *attributes;
  // Number of attributes.
  uint32_t attribute_count;
  // Distance between attributes in bytes.
  uint32_t attribute_stride;
} esp_record;

// Records handed out together; owned by the host until `esp_batch_release`.
typedef struct esp_batch {
  // Size of this struct in bytes, set by the library.
  uint32_t struct_size;
  // Distance between records in bytes.
  uint32_t record_stride;
  // First record; step by `record_stride`.
  const struct esp_record *records;
  // Number of records, at least 1.
  uint64_t record_count;
  // Sequence of the first record.
  uint64_t first_sequence;
  // Sequence of the last record: commit this once the whole batch is resolved.
  uint64_t last_sequence;
  // Bytes of all ids, types, subjects, keys, attributes and bodies.
  uint64_t total_bytes;
  // The library's own.
  void *private_data;
} esp_batch;

// Success; a pull that answers this gives at least one record.
#define ESP_STATUS_OK 0

// Nothing arrived within the wait, and nothing is wrong. Pull again.
#define ESP_STATUS_TIMEOUT 1

// The source has handed out its last record and will give no more. Commit, then close.
#define ESP_STATUS_END 2

// `esp_interrupt` ended the wait. Pull again when ready.
#define ESP_STATUS_INTERRUPTED 3

// An argument is NULL, out of range or not UTF-8. Not retryable.
#define ESP_STATUS_INVALID_ARGUMENT -1

// The configuration is wrong; the error or report names the place. Not retryable.
#define ESP_STATUS_CONFIG -2

// The plugin, or this source as configured, cannot do that. Not retryable.
#define ESP_STATUS_UNSUPPORTED -3

// The call does not fit the state of the source, such as a resume after the first pull. Not retryable.
#define ESP_STATUS_STATE -4

// The network or the file system failed. Retryable.
#define ESP_STATUS_IO -5

// TLS could not be set up or the peer's certificate was refused. Not retryable.
#define ESP_STATUS_TLS -6

// The service refused the credentials or the role. Not retryable.
#define ESP_STATUS_AUTH -7

// The service broke its own protocol. Retryable.
#define ESP_STATUS_PROTOCOL -8

// The service asked to slow down. Retryable after the time it named.
#define ESP_STATUS_OVERLOAD -9

// The caller's buffer is too small; `esp_text::length` says what is needed. Retryable with a larger buffer.
#define ESP_STATUS_SHORT_BUFFER -10

// The call is not allowed on this thread, such as a close from the log callback. Not retryable.
#define ESP_STATUS_WRONG_THREAD -11

// The process forked after `esp_open`; the child cannot use the source. Not retryable.
#define ESP_STATUS_FORKED -12

// The library panicked; this source is poisoned and only `esp_close` still works on it. Not retryable.
#define ESP_STATUS_PANIC -13

// Memory ran out. Retryable.
#define ESP_STATUS_NO_MEMORY -14

// Another thread is in a call that admits only one, or another process holds the spool. Retryable.
#define ESP_STATUS_BUSY -15

// The handle is stale, already closed, or never was one. Not retryable.
#define ESP_STATUS_CLOSED -16

// The source gave up for good, such as after its last reconnect attempt. Not retryable.
#define ESP_STATUS_FAILED -17

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the version of the contract: major in the high 16 bits, minor in the low 16.
//
// Call it first. Any thread, any time; does not block, allocate or fail.
extern uint32_t esp_abi_version(void);

// Returns a description of the plugin: JSON, NUL-terminated, valid for the life of the process.
//
// Members: `name`, `version`, `abi` {`major`, `minor`}, `capabilities` (what the plugin can do with some
// configuration; `esp_stats` says what an open source can do), `kinds`, `config_schema` (JSON Schema).
// Any thread; does not block on I/O; cannot fail.
extern const char *esp_describe(void);

// Returns the name of a status, `"UNKNOWN"` for a number that is not one: NUL-terminated, static.
//
// Any thread, also from the log callback; does not block; never NULL.
extern const char *esp_status_name(esp_status status);

// Checks a configuration and writes a report of every fault found in one pass.
//
// `flags`: 0, or `ESP_CHECK_ONLINE` to also log in and to ask the service for what the configuration needs. The
// report is JSON: `{"faults": [{"path", "message", "mend", "nearest"}]}`, empty when all is well; it is written for
// `OK` and for `CONFIG`, and online also for `AUTH`, `IO`, `TLS`, `OVERLOAD` and `TIMEOUT`. `"warnings"` has the
// same members, for what works and should be changed all the same. After a login it also holds `"login":
// {"clock_skew_ms", "token_lifetime_s"}`: how far the service's clock is ahead of this machine's at the least, in
// milliseconds (negative: behind; null: it did not tell), and how long the token lives, in seconds; `"api":
// {"clock_skew_ms"}` in the same way, where there is an API behind the login, and with it `"checks": [{"id", "title",
// "outcome", "key", "detail", "mend", "status"}]`, what was examined there, in the order in which people should
// see it. `outcome` is `"ok"`, `"warning"`, `"failed"` or `"skipped"`, others may come; `key` (or null) the key of
// the configuration that it is about; `status` of a failure the number with which a source would end, else null.
// Each failure is in `faults` as well, and the first is what the function returns. `report` may be NULL.
// Any thread. Without `ESP_CHECK_ONLINE` it starts no thread and uses no network; with it, it blocks up to
// `timeout_ms`. Errors: `CONFIG`, `AUTH`, `IO`, `TLS`, `OVERLOAD`, `TIMEOUT` (a positive number, and no
// success here: compare with `OK`), `SHORT_BUFFER`, `INVALID_ARGUMENT`, `PANIC`.
extern esp_status esp_check(struct esp_str config,
                            uint32_t flags,
                            uint32_t timeout_ms,
                            struct esp_text *report,
                            struct esp_error *error);

// Opens a source: starts its thread, which connects and listens until drain or close.
//
// Returns without waiting for a connection. On failure nothing stays allocated and `*source` is untouched.
// May be called many times; sources are independent. `args` and what it points to is copied, except
// `log_user_data`, which must stay valid until `esp_close` has returned `OK`.
// Any thread; blocks on local I/O only. Errors: `CONFIG`, `BUSY`, `IO`, `INVALID_ARGUMENT`, `UNSUPPORTED`
// (unknown flag), `NO_MEMORY`, `PANIC`. A refusal by the service (`AUTH`) shows at the first pull.
extern esp_status esp_open(const struct esp_open_args *args, uint64_t *source, struct esp_error *error);

// Resumes after the record that `token` stands for; allowed before the first pull only, else `STATE`.
//
// `token` is what `esp_token` gave, also in an earlier process. Any thread; blocks on local I/O only.
// Errors: `STATE`, `UNSUPPORTED` (no spool), `INVALID_ARGUMENT`, `IO`, `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_resume(uint64_t source, struct esp_str token, struct esp_error *error);

// Takes the next records. `OK` means at least one; order is receive order.
//
// Blocks up to `wait_ms + linger_ms`, never on the network. `*batch` is the caller's until
// `esp_batch_release`; it stays valid after later pulls and after `esp_close`. At least one record is given
// even if it exceeds `max_bytes`. `END` and failures come only after the backlog has been handed out.
// One puller at a time, on any thread; a concurrent one gets `BUSY`. Normal: `TIMEOUT`, `END`,
// `INTERRUPTED`. Errors: `AUTH`, `FAILED` and others that ended the source (again at each later pull),
// `BUSY`, `INVALID_ARGUMENT`, `NO_MEMORY`, `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_next_batch(uint64_t source,
                                 const struct esp_limits *limits,
                                 struct esp_batch **batch,
                                 struct esp_error *error);

// Gives a batch back. NULL is allowed; each batch exactly once; any thread, also after `esp_close`.
//
// Does not block. The batch and everything it pointed to is invalid afterwards.
extern void esp_batch_release(struct esp_batch *batch);

// Takes one record, borrowed until the next pull or close on this source.
//
// `record->struct_size` must be set by the caller. Takes from the same queue as `esp_next_batch`; batches
// stay valid beside it. Blocks up to `wait_ms`. Statuses as `esp_next_batch`.
extern esp_status esp_next_event(uint64_t source,
                                 uint32_t wait_ms,
                                 struct esp_record *record,
                                 struct esp_error *error);

// Says that every record up to and including `sequence` is durable downstream.
//
// Cumulative: at or below the mark is `OK` and changes nothing; beyond the last hand-out is
// `INVALID_ARGUMENT`. Works until close, also after `END`. Any thread, also beside a pull; does not block.
// Errors: `INVALID_ARGUMENT`, `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_commit(uint64_t source, uint64_t sequence, struct esp_error *error);

// Writes the resume token of a record that has been handed out: at most 256 bytes of printable ASCII.
//
// Any thread; does not block. Errors: `UNSUPPORTED` (no spool), `INVALID_ARGUMENT` (not handed out),
// `SHORT_BUFFER`, `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_token(uint64_t source,
                            uint64_t sequence,
                            struct esp_text *token,
                            struct esp_error *error);

// Writes the statistics of a source: JSON, read in one snapshot.
//
// Members: `state`, `capabilities` (effective), `frames` {…, `law`}, `records` {…, `law`}, `queue`,
// `session`, `dedup`. Each `law` is a number that must be 0. Any thread; does not block on I/O.
// Errors: `SHORT_BUFFER`, `INVALID_ARGUMENT`, `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_stats(uint64_t source, struct esp_text *text, struct esp_error *error);

// Returns a descriptor that polls readable while a record is queued, an interrupt is due, or the source has ended; or -1.
//
// Level-triggered. Only poll it: never read, write or close it. Valid until close. Any thread.
extern int32_t esp_poll_fd(uint64_t source);

// Makes the current wait, or the next one, return `INTERRUPTED` once.
//
// Any thread, concurrent with every call but close; does not block. Errors: `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_interrupt(uint64_t source);

// Stops reading the feed, records the gap that begins now, and lets the backlog be pulled, then `END`.
//
// Returns at once. When `deadline_ms` has passed, `END` comes even if records remain: with a spool they are
// redelivered at the next open, without one they are counted as dropped. Later calls may only shorten the
// deadline. Any thread. Errors: `CLOSED`, `FORKED`, `PANIC`.
extern esp_status esp_drain(uint64_t source, uint32_t deadline_ms);

// Closes a source: wakes a pull (`CLOSED`), joins its thread, frees everything but unreleased batches.
//
// Blocks up to `timeout_ms`. After `OK` no log line comes and the descriptor is invalid. `TIMEOUT` means
// that the thread did not stop in time: the handle is gone and the thread leaked, so `log_user_data` must
// stay valid. From the log callback it answers `WRONG_THREAD`. A second close answers `CLOSED`.
extern esp_status esp_close(uint64_t source, uint32_t timeout_ms);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EVENT_SOURCE_H */
