//! An open source: resume, pull, commit, drain, close.
//!
//! Responsible for the calls on one handle. Refuses nothing that the plugin allows. Invariant: it is closed at the
//! latest when it is dropped; a later call answers `CLOSED`.

use std::mem::size_of;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use plugin_abi::{EspLimits, status};
use serde_json::Value;

use super::batch::Batch;
use super::call::{bare_failure, error_struct, failure, outcome, text, with_text};
use super::error::Error;
use super::load::Functions;

/// How long a drop waits for the plugin's thread, in milliseconds; a close by name states its own.
const DROP_TIMEOUT_MS: u32 = 5_000;

/// Longest token, in bytes: the contract's own limit.
const TOKEN_MAX_BYTES: usize = 256;

/// How much one pull may give and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most this many records; 0 is the plugin's own bound.
    pub max_records: u32,
    /// At most this many bytes of records, but always one record; 0 is the plugin's own bound.
    pub max_bytes: u64,
    /// Wait this long for the first record, in milliseconds; 0 polls.
    pub wait_ms: u32,
    /// After the first record wait this long for more, in milliseconds.
    pub linger_ms: u32,
}

/// What a pull gave.
#[derive(Debug)]
pub enum Pull {
    /// At least one record.
    Batch(Batch),
    /// Nothing arrived within the wait.
    Timeout,
    /// The source has handed out its last record.
    End,
    /// [`Source::interrupt`] ended the wait.
    Interrupted,
}

/// An open source; callable from any thread, one pull at a time.
#[derive(Debug)]
pub struct Source {
    functions: Functions,
    handle: u64,
    closed: AtomicBool,
}

impl Source {
    pub(super) fn new(functions: Functions, handle: u64) -> Self {
        Self {
            functions,
            handle,
            closed: AtomicBool::new(false),
        }
    }

    /// Lets the source hand out only what comes after `token`, which [`Source::token`] gave, also in an earlier process.
    ///
    /// # Errors
    /// [`Error`]: `STATE` after the first pull, `INVALID_ARGUMENT` for what is no token, `UNSUPPORTED` of a source that
    /// keeps nothing.
    pub fn resume(&self, token: &str) -> Result<(), Error> {
        let mut error = error_struct();
        // SAFETY: text and error struct live through the call.
        let answer = unsafe { (self.functions.resume)(self.handle, text(token), &mut error) };
        outcome(answer, &error)
    }

    /// The position after the record `sequence`, to be kept with what the record became: printable ASCII.
    ///
    /// # Errors
    /// [`Error`]: `INVALID_ARGUMENT` for a record that was not handed out, `UNSUPPORTED` of a source that keeps nothing,
    /// `PROTOCOL` for a token that breaks the contract.
    pub fn token(&self, sequence: u64) -> Result<String, Error> {
        let (answer, error, token) = with_text(|into, error| {
            // SAFETY: the buffer and the error struct live through the call and have their sizes set.
            unsafe { (self.functions.token)(self.handle, sequence, into, error) }
        })?;
        outcome(answer, &error)?;
        let is_token = (1..=TOKEN_MAX_BYTES).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
        let token = is_token.then(|| String::from_utf8(token).ok()).flatten();
        token.ok_or_else(|| {
            Error::broken_contract("a token that is not 1 to 256 printable characters".to_owned())
        })
    }

    /// Takes the next records. Blocks up to `wait_ms + linger_ms`.
    ///
    /// # Errors
    /// [`Error`]: `AUTH`, `FAILED` and others that ended the source (again at each later pull); `BUSY` for a second
    /// pull at the same time; `PROTOCOL` for a batch that breaks the contract.
    pub fn next_batch(&self, limits: Limits) -> Result<Pull, Error> {
        let limits = EspLimits {
            struct_size: size_of::<EspLimits>() as u32,
            max_records: limits.max_records,
            max_bytes: limits.max_bytes,
            wait_ms: limits.wait_ms,
            linger_ms: limits.linger_ms,
        };
        let mut batch = ptr::null_mut();
        let mut error = error_struct();
        // SAFETY: limits, pointer and error struct live through the call and have their sizes set.
        let answer = unsafe { (self.functions.next_batch)(self.handle, &limits, &mut batch, &mut error) };
        match answer {
            status::OK => {
                // SAFETY: the plugin has just handed it out, and its contract keeps it unchanged until the release.
                let batch = unsafe { Batch::adopt(batch, self.functions.batch_release) }?;
                Ok(Pull::Batch(batch))
            }
            status::END => Ok(Pull::End),
            status::INTERRUPTED => Ok(Pull::Interrupted),
            // The contract: an unknown positive status means TIMEOUT.
            answer if answer > status::OK => Ok(Pull::Timeout),
            answer => Err(failure(answer, &error)),
        }
    }

    /// Says that every record up to and including `sequence` is durable downstream; cumulative.
    ///
    /// # Errors
    /// [`Error`]: `INVALID_ARGUMENT` beyond the last hand-out, `CLOSED`.
    pub fn commit(&self, sequence: u64) -> Result<(), Error> {
        let mut error = error_struct();
        // SAFETY: the error struct lives through the call and has its size set.
        let answer = unsafe { (self.functions.commit)(self.handle, sequence, &mut error) };
        outcome(answer, &error)
    }

    /// Reads the statistics of the source, one snapshot.
    ///
    /// # Errors
    /// [`Error`]: `CLOSED`; `PROTOCOL` where they are not JSON.
    pub fn stats(&self) -> Result<Value, Error> {
        let (answer, error, stats) = with_text(|into, error| {
            // SAFETY: the buffer and the error struct live through the call and have their sizes set.
            unsafe { (self.functions.stats)(self.handle, into, error) }
        })?;
        outcome(answer, &error)?;
        serde_json::from_slice(&stats)
            .map_err(|fault| Error::broken_contract(format!("statistics that cannot be read: {fault}")))
    }

    /// Makes the current wait, or the next one, return [`Pull::Interrupted`] once.
    ///
    /// # Errors
    /// [`Error`]: `CLOSED`.
    pub fn interrupt(&self) -> Result<(), Error> {
        // SAFETY: any thread, concurrent with every call but close; a stale handle is a status.
        let answer = unsafe { (self.functions.interrupt)(self.handle) };
        if answer < status::OK {
            Err(bare_failure("esp_interrupt", answer))
        } else {
            Ok(())
        }
    }

    /// Stops reading the feed and lets the backlog be pulled until [`Pull::End`]. Returns at once.
    ///
    /// # Units
    /// `deadline_ms`: milliseconds after which the end comes even if records remain.
    /// # Errors
    /// [`Error`]: `CLOSED`.
    pub fn drain(&self, deadline_ms: u32) -> Result<(), Error> {
        // SAFETY: any thread; a stale handle is a status.
        let answer = unsafe { (self.functions.drain)(self.handle, deadline_ms) };
        if answer < status::OK {
            Err(bare_failure("esp_drain", answer))
        } else {
            Ok(())
        }
    }

    /// Closes the source: wakes a pull, joins the plugin's thread, frees everything but batches not yet dropped.
    ///
    /// # Units
    /// `timeout_ms`: milliseconds that the plugin's thread has to stop.
    /// # Errors
    /// [`Error`]: `TIMEOUT` where the thread did not stop in time and was leaked; `CLOSED` for a second close.
    pub fn close(&self, timeout_ms: u32) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        // SAFETY: any thread but the log callback's; a stale handle is a status.
        let answer = unsafe { (self.functions.close)(self.handle, timeout_ms) };
        if answer == status::OK {
            Ok(())
        } else {
            Err(bare_failure("esp_close", answer))
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::Acquire)
            && let Err(error) = self.close(DROP_TIMEOUT_MS)
        {
            tracing::warn!(%error, "source did not close");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

    use plugin_abi::types::EspOpenArgs;
    use plugin_abi::{EspBatch, EspError, EspLimits, EspStr, EspText, status};

    use super::{Functions, Limits, Pull, Source};

    /// What the next pull and close of the fake plugin answer; one test alone uses it.
    static ANSWER: AtomicI32 = AtomicI32::new(0);
    static CLOSES: AtomicU32 = AtomicU32::new(0);

    unsafe extern "C" fn describe() -> *const core::ffi::c_char {
        c"{}".as_ptr()
    }
    unsafe extern "C" fn check(_: EspStr, _: u32, _: u32, _: *mut EspText, _: *mut EspError) -> i32 {
        status::OK
    }
    unsafe extern "C" fn open(_: *const EspOpenArgs, _: *mut u64, _: *mut EspError) -> i32 {
        status::OK
    }
    unsafe extern "C" fn next_batch(
        _: u64,
        _: *const EspLimits,
        _: *mut *mut EspBatch,
        _: *mut EspError,
    ) -> i32 {
        ANSWER.load(Ordering::SeqCst)
    }
    unsafe extern "C" fn resume(_: u64, token: EspStr, _: *mut EspError) -> i32 {
        if token.length == 3 {
            status::OK
        } else {
            status::INVALID_ARGUMENT
        }
    }
    unsafe extern "C" fn token(_: u64, sequence: u64, text: *mut EspText, _: *mut EspError) -> i32 {
        let token: &[u8] = if sequence == 7 { b"a:7" } else { b"a\n7" };
        // SAFETY: the host passes a valid struct.
        let text = unsafe { &mut *text };
        text.length = token.len();
        // SAFETY: the host's buffer is larger than this text.
        unsafe { text.data.copy_from_nonoverlapping(token.as_ptr(), token.len()) };
        status::OK
    }
    unsafe extern "C" fn release(_: *mut EspBatch) {}
    unsafe extern "C" fn commit(_: u64, sequence: u64, _: *mut EspError) -> i32 {
        if sequence > 10 {
            status::INVALID_ARGUMENT
        } else {
            status::OK
        }
    }
    unsafe extern "C" fn stats(_: u64, text: *mut EspText, _: *mut EspError) -> i32 {
        let json = br#"{"state": "open"}"#;
        // SAFETY: the host passes a valid struct.
        let text = unsafe { &mut *text };
        text.length = json.len();
        // SAFETY: the host's buffer is larger than this text.
        unsafe { text.data.copy_from_nonoverlapping(json.as_ptr(), json.len()) };
        status::OK
    }
    unsafe extern "C" fn interrupt(_: u64) -> i32 {
        status::OK
    }
    unsafe extern "C" fn drain(_: u64, _: u32) -> i32 {
        status::CLOSED
    }
    unsafe extern "C" fn close(_: u64, _: u32) -> i32 {
        if CLOSES.fetch_add(1, Ordering::SeqCst) == 0 {
            status::OK
        } else {
            status::CLOSED
        }
    }

    const LIMITS: Limits = Limits {
        max_records: 1,
        max_bytes: 0,
        wait_ms: 0,
        linger_ms: 0,
    };

    #[test]
    fn every_status_of_a_call_has_its_meaning() {
        let functions = Functions {
            describe,
            check,
            open,
            resume,
            next_batch,
            batch_release: release,
            commit,
            token,
            stats,
            interrupt,
            drain,
            close,
        };
        let source = Source::new(functions, 7);
        let pull = |answer| {
            ANSWER.store(answer, Ordering::SeqCst);
            source.next_batch(LIMITS)
        };
        assert!(matches!(pull(status::TIMEOUT), Ok(Pull::Timeout)));
        assert!(matches!(pull(status::END), Ok(Pull::End)));
        assert!(matches!(pull(status::INTERRUPTED), Ok(Pull::Interrupted)));
        assert!(
            matches!(pull(1000), Ok(Pull::Timeout)),
            "an unknown positive status means timeout"
        );
        assert_eq!(pull(status::AUTH).unwrap_err().name, "AUTH");
        assert_eq!(pull(-1000).unwrap_err().name, "UNKNOWN");
        assert_eq!(
            pull(status::OK).unwrap_err().name,
            "PROTOCOL",
            "OK without a batch"
        );
        assert!(source.commit(10).is_ok());
        assert_eq!(source.commit(11).unwrap_err().name, "INVALID_ARGUMENT");
        assert!(source.resume("a:7").is_ok());
        assert_eq!(source.resume("").unwrap_err().name, "INVALID_ARGUMENT");
        assert_eq!(source.token(7).unwrap(), "a:7");
        assert_eq!(
            source.token(8).unwrap_err().name,
            "PROTOCOL",
            "a token of two lines"
        );
        assert_eq!(source.stats().unwrap()["state"], "open");
        assert!(source.interrupt().is_ok());
        assert_eq!(source.drain(1).unwrap_err().name, "CLOSED");
        assert!(source.close(1).is_ok());
        assert_eq!(source.close(1).unwrap_err().name, "CLOSED");
        drop(source);
        assert_eq!(
            CLOSES.load(Ordering::SeqCst),
            2,
            "a closed source is not closed again by its drop"
        );
    }
}
