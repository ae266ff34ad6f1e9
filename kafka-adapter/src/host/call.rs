//! The habits of every call: an error struct of ours, a text buffer that grows.
//!
//! Responsible for turning a status and an error struct into [`Error`], and for asking again with a larger buffer.
//! Refuses to grow a buffer without end. Invariant: a failure always has a message.

use std::mem::size_of;

use plugin_abi::types::ESP_ERROR_MESSAGE_BYTES;
use plugin_abi::{EspError, EspStr, EspText, status};

use super::error::Error;
use super::log::printable;

/// First buffer for a text, in bytes: statistics and fault reports are a few kilobytes.
const TEXT_BYTES: usize = 16 * 1024;

/// Largest text that is taken, in bytes; a plugin that wants more is broken.
const TEXT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How often a text may outgrow the buffer that its own length asked for.
const TEXT_ATTEMPTS: u32 = 4;

/// Rust text as the contract passes it; valid while the text is.
pub(super) fn text(text: &str) -> EspStr {
    EspStr {
        data: text.as_ptr(),
        length: text.len(),
    }
}

/// An error struct for a plugin to fill.
pub(super) fn error_struct() -> EspError {
    EspError {
        struct_size: size_of::<EspError>() as u32,
        status: status::OK,
        retryable: 0,
        code: 0,
        message: [0; ESP_ERROR_MESSAGE_BYTES],
    }
}

/// The failure that a call answered.
pub(super) fn failure(answer: i32, error: &EspError) -> Error {
    let length = error
        .message
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(error.message.len());
    let said = String::from_utf8_lossy(error.message.split_at(length).0);
    let filled = error.status == answer;
    Error {
        status: answer,
        name: status::name(answer),
        retryable: if filled {
            error.retryable != 0
        } else {
            status::is_retryable(answer)
        },
        code: if filled { error.code } else { 0 },
        message: if said.is_empty() {
            format!("status {answer} without a message")
        } else {
            printable(&said)
        },
    }
}

/// The failure of a call that has no error struct.
pub(super) fn bare_failure(call: &str, answer: i32) -> Error {
    Error {
        status: answer,
        name: status::name(answer),
        retryable: status::is_retryable(answer),
        code: 0,
        message: format!("{call} answered status {answer}"),
    }
}

/// Success or the failure that a call answered; an unknown positive status is no failure.
pub(super) fn outcome(answer: i32, error: &EspError) -> Result<(), Error> {
    if answer >= status::OK {
        Ok(())
    } else {
        Err(failure(answer, error))
    }
}

/// Calls with a text buffer until it is large enough; gives the status, the error struct and the text.
pub(super) fn with_text(
    mut call: impl FnMut(&mut EspText, &mut EspError) -> i32,
) -> Result<(i32, EspError, Vec<u8>), Error> {
    let mut buffer = vec![0_u8; TEXT_BYTES];
    for _ in 0..TEXT_ATTEMPTS {
        let mut error = error_struct();
        let mut into = EspText {
            struct_size: size_of::<EspText>() as u32,
            reserved: 0,
            data: buffer.as_mut_ptr(),
            capacity: buffer.len(),
            length: 0,
        };
        let answer = call(&mut into, &mut error);
        let length = into.length;
        if answer != status::SHORT_BUFFER {
            if length > buffer.len() {
                return Err(Error::broken_contract(format!(
                    "a text of {length} bytes in a buffer of {}",
                    buffer.len()
                )));
            }
            buffer.truncate(length);
            return Ok((answer, error, buffer));
        }
        if length <= buffer.len() || length > TEXT_MAX_BYTES {
            return Err(Error::broken_contract(format!(
                "a text of {length} bytes does not fit into {}",
                buffer.len()
            )));
        }
        // A quarter more, because a report of a live source may have grown by the next call.
        buffer.resize(length + length / 4, 0);
    }
    Err(Error::broken_contract(format!(
        "a text outgrew its own length {TEXT_ATTEMPTS} times"
    )))
}

#[cfg(test)]
mod tests {
    use plugin_abi::status;

    use super::{bare_failure, error_struct, failure, outcome, with_text};

    /// Writes as a plugin would, to the end of the buffer at most.
    fn write(into: &mut plugin_abi::EspText, text: &[u8]) -> i32 {
        into.length = text.len();
        if text.len() > into.capacity {
            return status::SHORT_BUFFER;
        }
        // SAFETY: the buffer has `capacity` bytes, and the text is not longer.
        unsafe { into.data.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        status::OK
    }

    #[test]
    fn a_text_that_does_not_fit_is_asked_for_again() {
        let long = vec![b'x'; 100_000];
        let mut calls = 0;
        let (answer, _, text) = with_text(|into, _| {
            calls += 1;
            write(into, &long)
        })
        .unwrap();
        assert_eq!((answer, calls, text), (status::OK, 2, long));
    }

    #[test]
    fn a_text_without_bounds_is_refused() {
        let endless = with_text(|into, _| {
            into.length = into.capacity + into.capacity;
            status::SHORT_BUFFER
        });
        assert!(endless.unwrap_err().message.contains("outgrew"));
        let huge = with_text(|into, _| {
            into.length = usize::MAX;
            status::SHORT_BUFFER
        });
        assert!(huge.unwrap_err().message.contains("does not fit"));
        let lying = with_text(|into, _| {
            into.length = into.capacity + 1;
            status::OK
        });
        assert!(lying.unwrap_err().message.contains("in a buffer of"));
    }

    #[test]
    fn a_failure_carries_what_the_plugin_said() {
        let mut error = error_struct();
        error.status = status::AUTH;
        error.code = 403;
        for (into, byte) in error.message.iter_mut().zip(b"missing scope\n") {
            *into = *byte;
        }
        let failed = failure(status::AUTH, &error);
        assert_eq!(failed.to_string(), "AUTH: missing scope\\n");
        assert_eq!((failed.code, failed.is_retryable()), (403, false));
        assert!(outcome(status::AUTH, &error).is_err());
        assert!(outcome(99, &error).is_ok());
    }

    #[test]
    fn a_failure_without_words_still_has_a_message() {
        assert_eq!(
            failure(-99, &error_struct()).to_string(),
            "UNKNOWN: status -99 without a message"
        );
        let bare = bare_failure("esp_drain", status::BUSY);
        assert_eq!(
            (bare.to_string().as_str(), bare.is_retryable()),
            ("BUSY: esp_drain answered status -15", true)
        );
        let mut endless = error_struct();
        endless.message = [b'y'; 512];
        assert_eq!(failure(status::IO, &endless).message.len(), 512);
    }
}
