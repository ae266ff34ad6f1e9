//! The sixteen exported functions. Each is a thin wrapper: its contract stands in `plugin_abi::functions`.
//!
//! Over 400 lines: a flat list, one wrapper after another with its safety obligations.

use std::ffi::{CString, c_char};
use std::sync::{MutexGuard, OnceLock, TryLockError};
use std::time::Duration;

use plugin_abi::status::{self, Status};
use plugin_abi::types::ESP_CHECK_ONLINE;
use plugin_abi::{ESP_ABI_VERSION, EspBatch, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, EspText};

use super::batch;
use super::boundary::{Failure, guard, read_sized, read_text, write_sized, write_text};
use super::log::{self, is_in_callback};
use super::registry::{self, Entry, Lent, with_source};
use crate::queue::{NoRecords, PullLimits, Slice};
use crate::source::{self, OpenError, PositionError, Source};
use crate::spool::SpoolError;
use crate::store::ResumeError;

/// Records that one pull gives at most, whatever the host asks for.
const MAX_RECORDS: usize = 8192;
/// Bytes that one pull gives at most, whatever the host asks for (but always one record).
const MAX_BYTES: usize = 8 << 20;

/// See `plugin_abi::functions::esp_abi_version`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_abi_version() -> u32 {
    ESP_ABI_VERSION
}

/// See `plugin_abi::functions::esp_describe`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_describe() -> *const c_char {
    static DESCRIPTION: OnceLock<CString> = OnceLock::new();
    // JSON text holds no NUL: control characters are escaped in it.
    DESCRIPTION
        .get_or_init(|| CString::new(source::description()).unwrap_or_default())
        .as_ptr()
}

/// See `plugin_abi::functions::esp_status_name`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_status_name(status: Status) -> *const c_char {
    static NAMES: OnceLock<Vec<(Status, CString)>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        status::ALL
            .iter()
            .map(|(code, name, _)| (*code, CString::new(*name).unwrap_or_default()))
            .collect()
    });
    names
        .iter()
        .find(|(code, _)| *code == status)
        .map_or(c"UNKNOWN".as_ptr(), |(_, name)| name.as_ptr())
}

/// See `plugin_abi::functions::esp_check`.
///
/// # Safety
/// * `config` points to `length` readable bytes.
/// * `report` and `error` are NULL or point to their structs with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_check(
    config: EspStr,
    flags: u32,
    timeout_ms: u32,
    report: *mut EspText,
    error: *mut EspError,
) -> Status {
    guard(
        error,
        || (),
        || {
            if flags & !ESP_CHECK_ONLINE != 0 {
                return Err(Failure::new(
                    status::UNSUPPORTED,
                    format!("esp_check: unknown flags {flags:#x}"),
                ));
            }
            let config = read_text(config, "config")?;
            let timeout = Duration::from_millis(timeout_ms.into());
            let checked = source::check(&config, flags & ESP_CHECK_ONLINE != 0, timeout);
            if !report.is_null() {
                write_text(report, &checked.report)?;
            }
            match checked.failure {
                None => Ok(status::OK),
                Some(ending) => Err(Failure {
                    status: ending.status,
                    code: ending.code,
                    message: ending.message,
                }),
            }
        },
    )
}

/// See `plugin_abi::functions::esp_open`.
///
/// # Safety
/// * `args` is NULL or points to `esp_open_args` with `struct_size` set and valid texts in it.
/// * `source` is NULL or writable; `error` is NULL or points to `esp_error` with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_open(
    args: *const EspOpenArgs,
    source: *mut u64,
    error: *mut EspError,
) -> Status {
    guard(
        error,
        || (),
        || {
            if args.is_null() {
                return Err(Failure::null("args"));
            }
            if source.is_null() {
                return Err(Failure::null("source"));
            }
            // SAFETY: not NULL, valid by the caller's obligation; zero is a valid value of every field.
            let args = unsafe { read_sized(args) }?;
            if args.flags != 0 || args.reserved != 0 {
                return Err(Failure::new(
                    status::UNSUPPORTED,
                    format!("esp_open: unknown flags {:#x}", args.flags),
                ));
            }
            let config = read_text(args.config, "config")?;
            let dispatch = log::dispatch(args.log, args.log_user_data, args.log_level);
            let opened = tracing::dispatcher::with_default(&dispatch, || Source::open(&config, &dispatch));
            let handle = registry::insert(opened.map_err(|error| open_failure(&error))?);
            // SAFETY: not NULL, writable by the caller's obligation.
            unsafe { source.write(handle) };
            Ok(status::OK)
        },
    )
}

fn open_failure(error: &OpenError) -> Failure {
    let status = match error {
        OpenError::Config(_) => status::CONFIG,
        OpenError::Spool {
            source: SpoolError::Busy { .. },
            ..
        } => status::BUSY,
        OpenError::Spool { source, .. } if !source.is_retryable() => status::CONFIG,
        OpenError::Io(_) | OpenError::Spool { .. } => status::IO,
    };
    Failure::new(status, error.to_string())
}

/// See `plugin_abi::functions::esp_resume`.
///
/// # Safety
/// * `token` points to `length` readable bytes.
/// * `error` is NULL or points to `esp_error` with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_resume(source: u64, token: EspStr, error: *mut EspError) -> Status {
    with_source(source, error, |entry| {
        let token = read_text(token, "token")?;
        entry
            .source
            .resume(&token)
            .map_err(|error| position_failure("esp_resume", &error))?;
        Ok(status::OK)
    })
}

fn position_failure(function: &str, error: &PositionError) -> Failure {
    let status = match error {
        PositionError::NoSpool => status::UNSUPPORTED,
        PositionError::NotHandedOut(_) | PositionError::Resume(ResumeError::NoToken) => {
            status::INVALID_ARGUMENT
        }
        PositionError::Resume(ResumeError::AlreadyPulled(_)) => status::STATE,
        PositionError::Resume(ResumeError::Spool(_)) => status::IO,
    };
    Failure::new(status, format!("{function}: {error}"))
}

/// See `plugin_abi::functions::esp_next_batch`.
///
/// # Safety
/// * `limits` is NULL or points to `esp_limits` with `struct_size` set.
/// * `batch` is NULL or writable; `error` is NULL or points to `esp_error` with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_next_batch(
    source: u64,
    limits: *const EspLimits,
    batch: *mut *mut EspBatch,
    error: *mut EspError,
) -> Status {
    with_source(source, error, |entry| {
        if limits.is_null() {
            return Err(Failure::null("limits"));
        }
        if batch.is_null() {
            return Err(Failure::null("batch"));
        }
        // SAFETY: not NULL, valid by the caller's obligation; zero is a valid value of every field.
        let limits = unsafe { read_sized(limits) }?;
        let slices = match pull(entry, &pull_limits(&limits)) {
            Ok((slices, _)) => slices,
            Err(reason) => return no_records(reason),
        };
        let lent = batch::lend(slices).ok_or_else(|| Failure::new(status::STATE, "a pull gave no record"))?;
        // SAFETY: not NULL, writable by the caller's obligation.
        unsafe { batch.write(lent) };
        Ok(status::OK)
    })
}

fn pull_limits(limits: &EspLimits) -> PullLimits {
    let bounded = |asked: usize, bound: usize| if asked == 0 { bound } else { asked.min(bound) };
    PullLimits {
        max_records: bounded(
            usize::try_from(limits.max_records).unwrap_or(MAX_RECORDS),
            MAX_RECORDS,
        ),
        max_bytes: bounded(usize::try_from(limits.max_bytes).unwrap_or(MAX_BYTES), MAX_BYTES),
        wait: Duration::from_millis(limits.wait_ms.into()),
        linger: Duration::from_millis(limits.linger_ms.into()),
    }
}

/// Pulls, and gives the place of what `esp_next_event` lends, which is empty now and held until the caller is done: a
/// second pull must not free what the first has just lent.
fn pull<'a>(
    entry: &'a Entry,
    limits: &PullLimits,
) -> Result<(Vec<Slice>, MutexGuard<'a, Option<Lent>>), NoRecords> {
    #[cfg(test)]
    assert!(
        !entry.panic_at_pull.load(std::sync::atomic::Ordering::Relaxed),
        "asked to panic"
    );
    let mut lent = match entry.lent.try_lock() {
        Ok(lent) => lent,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(NoRecords::Busy),
    };
    let slices = entry.source.pull(limits)?;
    // Whatever was lent is valid until the next pull only.
    lent.take();
    Ok((slices, lent))
}

fn no_records(reason: NoRecords) -> Result<Status, Failure> {
    match reason {
        NoRecords::Timeout => Ok(status::TIMEOUT),
        NoRecords::Interrupted => Ok(status::INTERRUPTED),
        NoRecords::Closed => Err(Failure::new(
            status::CLOSED,
            "the source was closed during the pull",
        )),
        NoRecords::Busy => Err(Failure::new(
            status::BUSY,
            "another thread is pulling from this source",
        )),
        NoRecords::Ended(ending) if ending.status >= status::OK => Ok(ending.status),
        NoRecords::Ended(ending) => Err(Failure {
            status: ending.status,
            code: ending.code,
            message: ending.message,
        }),
    }
}

/// See `plugin_abi::functions::esp_batch_release`.
///
/// # Safety
/// `batch` is NULL or comes from `esp_next_batch` and has not been released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_batch_release(batch: *mut EspBatch) {
    if batch.is_null() {
        return;
    }
    // SAFETY: not NULL, from `esp_next_batch` and released once, by the caller's obligation.
    guard(
        std::ptr::null_mut(),
        || (),
        || {
            // SAFETY: as above.
            unsafe { batch::release(batch) };
            Ok(status::OK)
        },
    );
}

/// See `plugin_abi::functions::esp_next_event`.
///
/// # Safety
/// `record` and `error` are NULL or point to their structs with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_next_event(
    source: u64,
    wait_ms: u32,
    record: *mut EspRecord,
    error: *mut EspError,
) -> Status {
    with_source(source, error, |entry| {
        if record.is_null() {
            return Err(Failure::null("record"));
        }
        // SAFETY: not NULL, and its first field is readable by the caller's obligation.
        let declared = unsafe { record.cast::<u32>().read() };
        if declared < 16 {
            return Err(Failure::new(
                status::INVALID_ARGUMENT,
                "record: struct_size is not set",
            ));
        }
        let limits = PullLimits {
            max_records: 1,
            max_bytes: 1,
            wait: Duration::from_millis(wait_ms.into()),
            linger: Duration::ZERO,
        };
        let (slices, mut lent) = match pull(entry, &limits) {
            Ok(pulled) => pulled,
            Err(reason) => return no_records(reason),
        };
        let slice = slices
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(status::STATE, "a pull gave no record"))?;
        let (mut described, attributes) = batch::describe_one(&slice)
            .ok_or_else(|| Failure::new(status::STATE, "a pull gave no record"))?;
        *lent = Some(Lent { slice, attributes });
        described.struct_size = declared;
        write_sized(record, &described, declared as usize);
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_commit`.
///
/// # Safety
/// `error` is NULL or points to `esp_error` with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_commit(source: u64, sequence: u64, error: *mut EspError) -> Status {
    with_source(source, error, |entry| {
        let committed = entry.source.commit(sequence);
        committed.map_err(|error| Failure::new(status::INVALID_ARGUMENT, error.to_string()))?;
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_token`.
///
/// # Safety
/// `token` and `error` are NULL or point to their structs with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_token(
    source: u64,
    sequence: u64,
    token: *mut EspText,
    error: *mut EspError,
) -> Status {
    with_source(source, error, |entry| {
        if token.is_null() {
            return Err(Failure::null("token"));
        }
        let text = entry.source.token(sequence);
        write_text(
            token,
            &text.map_err(|error| position_failure("esp_token", &error))?,
        )?;
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_stats`.
///
/// # Safety
/// `text` and `error` are NULL or point to their structs with `struct_size` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esp_stats(source: u64, text: *mut EspText, error: *mut EspError) -> Status {
    with_source(source, error, |entry| {
        write_text(text, &entry.source.statistics())?;
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_poll_fd`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_poll_fd(source: u64) -> i32 {
    let mut descriptor = -1;
    with_source(source, std::ptr::null_mut(), |entry| {
        descriptor = entry.source.poll_fd();
        Ok(status::OK)
    });
    descriptor
}

/// See `plugin_abi::functions::esp_interrupt`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_interrupt(source: u64) -> Status {
    with_source(source, std::ptr::null_mut(), |entry| {
        entry.source.interrupt();
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_drain`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_drain(source: u64, deadline_ms: u32) -> Status {
    with_source(source, std::ptr::null_mut(), |entry| {
        entry.source.drain(Duration::from_millis(deadline_ms.into()));
        Ok(status::OK)
    })
}

/// See `plugin_abi::functions::esp_close`.
#[unsafe(no_mangle)]
pub extern "C" fn esp_close(source: u64, timeout_ms: u32) -> Status {
    guard(
        std::ptr::null_mut(),
        || (),
        || {
            if is_in_callback() {
                return Err(Failure::new(
                    status::WRONG_THREAD,
                    "esp_close was called from the log callback",
                ));
            }
            let entry = registry::remove(source)?;
            if entry.source.close(Duration::from_millis(timeout_ms.into())) {
                Ok(status::OK)
            } else {
                Ok(status::TIMEOUT)
            }
        },
    )
}
