//! Status codes: what every call of the contract answers.
//!
//! Zero is success, positive codes are normal and carry no data, negative codes are failures. A number is never
//! reused; a retired one stays here as a comment.

/// What a call answers: one of the constants of this module.
pub type Status = i32;

/// Success; a pull that answers this gives at least one record.
pub const OK: Status = 0;

/// Nothing arrived within the wait, and nothing is wrong. Pull again.
pub const TIMEOUT: Status = 1;
/// The source has handed out its last record and will give no more. Commit, then close.
pub const END: Status = 2;
/// `esp_interrupt` ended the wait. Pull again when ready.
pub const INTERRUPTED: Status = 3;

/// An argument is NULL, out of range or not UTF-8. Not retryable.
pub const INVALID_ARGUMENT: Status = -1;
/// The configuration is wrong; the error or report names the place. Not retryable.
pub const CONFIG: Status = -2;
/// The plugin, or this source as configured, cannot do that. Not retryable.
pub const UNSUPPORTED: Status = -3;
/// The call does not fit the state of the source, such as a resume after the first pull. Not retryable.
pub const STATE: Status = -4;
/// The network or the file system failed. Retryable.
pub const IO: Status = -5;
/// TLS could not be set up or the peer's certificate was refused. Not retryable.
pub const TLS: Status = -6;
/// The service refused the credentials or the role. Not retryable.
pub const AUTH: Status = -7;
/// The service broke its own protocol. Retryable.
pub const PROTOCOL: Status = -8;
/// The service asked to slow down. Retryable after the time it named.
pub const OVERLOAD: Status = -9;
/// The caller's buffer is too small; `esp_text::length` says what is needed. Retryable with a larger buffer.
pub const SHORT_BUFFER: Status = -10;
/// The call is not allowed on this thread, such as a close from the log callback. Not retryable.
pub const WRONG_THREAD: Status = -11;
/// The process forked after `esp_open`; the child cannot use the source. Not retryable.
pub const FORKED: Status = -12;
/// The library panicked; this source is poisoned and only `esp_close` still works on it. Not retryable.
pub const PANIC: Status = -13;
/// Memory ran out. Retryable.
pub const NO_MEMORY: Status = -14;
/// Another thread is in a call that admits only one, or another process holds the spool. Retryable.
pub const BUSY: Status = -15;
/// The handle is stale, already closed, or never was one. Not retryable.
pub const CLOSED: Status = -16;
/// The source gave up for good, such as after its last reconnect attempt. Not retryable.
pub const FAILED: Status = -17;

/// Every code with its name and whether the same call may succeed later, in the order of this module.
pub const ALL: [(Status, &str, bool); 21] = [
    (OK, "OK", false),
    (TIMEOUT, "TIMEOUT", true),
    (END, "END", false),
    (INTERRUPTED, "INTERRUPTED", true),
    (INVALID_ARGUMENT, "INVALID_ARGUMENT", false),
    (CONFIG, "CONFIG", false),
    (UNSUPPORTED, "UNSUPPORTED", false),
    (STATE, "STATE", false),
    (IO, "IO", true),
    (TLS, "TLS", false),
    (AUTH, "AUTH", false),
    (PROTOCOL, "PROTOCOL", true),
    (OVERLOAD, "OVERLOAD", true),
    (SHORT_BUFFER, "SHORT_BUFFER", true),
    (WRONG_THREAD, "WRONG_THREAD", false),
    (FORKED, "FORKED", false),
    (PANIC, "PANIC", false),
    (NO_MEMORY, "NO_MEMORY", true),
    (BUSY, "BUSY", true),
    (CLOSED, "CLOSED", false),
    (FAILED, "FAILED", false),
];

/// Returns the name of a status, `"UNKNOWN"` for a number that is not one.
#[must_use]
pub fn name(status: Status) -> &'static str {
    ALL.iter()
        .find(|(code, _, _)| *code == status)
        .map_or("UNKNOWN", |(_, name, _)| name)
}

/// Says whether the same call may succeed later without a change by the caller; unknown codes are not retryable.
#[must_use]
pub fn is_retryable(status: Status) -> bool {
    ALL.iter()
        .any(|(code, _, retryable)| *code == status && *retryable)
}

#[cfg(test)]
mod tests {
    use super::{ALL, is_retryable, name};

    #[test]
    fn every_code_has_its_own_number_and_name() {
        for (at, (code, text, retryable)) in ALL.iter().enumerate() {
            assert!(
                ALL.iter()
                    .skip(at + 1)
                    .all(|(other, label, _)| other != code && label != text),
                "{text}"
            );
            assert_eq!(name(*code), *text);
            assert_eq!(is_retryable(*code), *retryable);
        }
        assert_eq!(name(-999), "UNKNOWN");
        assert!(!is_retryable(-999));
    }
}
