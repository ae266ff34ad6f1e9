//! What every export does around its body: read and write size-first structs, catch panics, fill the error.

use plugin_abi::status::{self, Status};
use plugin_abi::types::ESP_ERROR_MESSAGE_BYTES;
use plugin_abi::{EspError, EspStr, EspText};

use crate::panics::{Panicked, contained};

/// Why an export does not answer `OK`.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) code: i32,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            code: 0,
            message: message.into(),
        }
    }

    pub(super) fn null(argument: &str) -> Self {
        Self::new(status::INVALID_ARGUMENT, format!("{argument} is NULL"))
    }
}

/// Runs the body of an export, turns a panic into `PANIC`, and writes or clears the caller's error.
///
/// `on_panic` runs after a panic, before the answer.
pub(super) fn guard(
    error: *mut EspError,
    on_panic: impl FnOnce(),
    body: impl FnOnce() -> Result<Status, Failure>,
) -> Status {
    // All that a body shares is a source, which is poisoned by `on_panic`.
    let result = contained(body).unwrap_or_else(|Panicked| {
        on_panic();
        Err(Failure::new(
            status::PANIC,
            "the library panicked; close this source",
        ))
    });
    match result {
        Ok(answer) => {
            write_error(
                error,
                &Failure {
                    status: status::OK,
                    code: 0,
                    message: String::new(),
                },
            );
            answer
        }
        Err(failure) => {
            write_error(error, &failure);
            failure.status
        }
    }
}

fn write_error(error: *mut EspError, failure: &Failure) {
    if error.is_null() {
        return;
    }
    // SAFETY: the caller owes a valid, aligned `EspError` where the pointer is not NULL; its size comes first.
    let struct_size = unsafe { (*error).struct_size } as usize;
    let mut filled = EspError {
        struct_size: u32::try_from(struct_size).unwrap_or(u32::MAX),
        status: failure.status,
        retryable: u32::from(status::is_retryable(failure.status)),
        code: failure.code,
        message: [0; ESP_ERROR_MESSAGE_BYTES],
    };
    let room = struct_size
        .min(size_of::<EspError>())
        .saturating_sub(std::mem::offset_of!(EspError, message));
    if let Some(last) = room.checked_sub(1) {
        let mut end = failure.message.len().min(last);
        while !failure.message.is_char_boundary(end) {
            end -= 1;
        }
        let text = failure.message.as_bytes().get(..end).unwrap_or_default();
        for (to, from) in filled.message.iter_mut().zip(text) {
            // An embedded NUL would end the text early for a C reader.
            *to = if *from == 0 { b' ' } else { *from };
        }
    }
    write_sized(error, &filled, struct_size);
}

/// Copies as much of `value` as the caller's struct of `struct_size` bytes holds.
pub(super) fn write_sized<T: Copy>(target: *mut T, value: &T, struct_size: usize) {
    let length = struct_size.min(size_of::<T>());
    // SAFETY: the caller owes `struct_size` writable bytes at `target`, `length` is not more; `value` has at least
    // `length` bytes, and the two do not overlap because `value` is ours.
    unsafe {
        std::ptr::copy_nonoverlapping(
            std::ptr::from_ref(value).cast::<u8>(),
            target.cast::<u8>(),
            length,
        )
    };
}

/// Reads a size-first struct of the caller; bytes past its `struct_size` are zero.
///
/// # Safety
/// * `source` is not NULL, aligned for `T`, and begins with a `u32` that tells how many bytes are readable there.
/// * All-zero bytes are a valid `T`, and so is every bit pattern that the contract allows in it.
pub(super) unsafe fn read_sized<T: Copy>(source: *const T) -> Result<T, Failure> {
    // SAFETY: the first field is a readable `u32` by the obligations above.
    let struct_size = unsafe { source.cast::<u32>().read() } as usize;
    if struct_size < size_of::<u32>() {
        return Err(Failure::new(
            status::INVALID_ARGUMENT,
            "struct_size is not set: set it to sizeof the struct before the call",
        ));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let length = struct_size.min(size_of::<T>());
    // SAFETY: `length` bytes are readable at `source` and writable in `value`, which is ours and does not overlap.
    unsafe { std::ptr::copy_nonoverlapping(source.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), length) };
    // SAFETY: zeroed and then overwritten with what the caller promises is a valid prefix of `T`.
    Ok(unsafe { value.assume_init() })
}

/// Copies borrowed text of the caller.
pub(super) fn read_text(text: EspStr, argument: &str) -> Result<String, Failure> {
    if text.length == 0 {
        return Ok(String::new());
    }
    if text.data.is_null() {
        return Err(Failure::null(argument));
    }
    if text.length > isize::MAX.unsigned_abs() {
        return Err(Failure::new(
            status::INVALID_ARGUMENT,
            format!("{argument} is longer than memory"),
        ));
    }
    // SAFETY: the caller owes `length` readable bytes at `data`, which is not NULL, for the time of the call.
    let bytes = unsafe { std::slice::from_raw_parts(text.data, text.length) };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|invalid| {
        Failure::new(
            status::INVALID_ARGUMENT,
            format!("{argument} is not UTF-8 from byte {} on", invalid.valid_up_to()),
        )
    })
}

/// Writes text into the caller's buffer, or only its length if it does not fit.
pub(super) fn write_text(target: *mut EspText, text: &str) -> Result<(), Failure> {
    if target.is_null() {
        return Err(Failure::null("text"));
    }
    // SAFETY: not NULL, and the caller owes a valid `EspText` there.
    let mut out = unsafe { read_sized(target.cast_const()) }?;
    let declared = out.struct_size as usize;
    if declared < size_of::<EspText>() {
        return Err(Failure::new(
            status::INVALID_ARGUMENT,
            "text: struct_size is smaller than esp_text",
        ));
    }
    out.length = text.len();
    write_sized(target, &out, declared);
    if out.capacity < text.len() {
        return Err(Failure::new(
            status::SHORT_BUFFER,
            format!(
                "the buffer holds {} bytes, {} are needed",
                out.capacity,
                text.len()
            ),
        ));
    }
    if text.is_empty() {
        return Ok(());
    }
    if out.data.is_null() {
        return Err(Failure::null("text.data"));
    }
    // SAFETY: the caller owes `capacity` writable bytes at `data`, which is not NULL; the text fits and is ours.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), out.data, text.len()) };
    Ok(())
}
