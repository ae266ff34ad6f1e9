//! Tests that need the inside of the library; what a host can see is tested by C programs in the tests package.

use std::sync::atomic::Ordering;

use plugin_abi::types::ESP_ERROR_MESSAGE_BYTES;
use plugin_abi::{EspBatch, EspError, EspLimits, EspOpenArgs, EspStr, status};

use super::registry::with_source;
use super::{esp_close, esp_commit, esp_next_batch, esp_open, esp_poll_fd};

fn error() -> EspError {
    EspError {
        struct_size: u32::try_from(size_of::<EspError>()).unwrap(),
        status: 0,
        retryable: 0,
        code: 0,
        message: [0; ESP_ERROR_MESSAGE_BYTES],
    }
}

/// Opens a source that can reach nothing: port 9 of loopback (discard, RFC 863) is not listened to.
fn open() -> u64 {
    let config = r#"{"transport": "events", "region": "us-east-1",
        "client_id": {"file": "/dev/null"}, "client_secret": {"file": "/dev/null"},
        "spool": {"mode": "memory"}, "endpoints": {"login": "http://127.0.0.1:9", "events": "ws://127.0.0.1:9/ws"}}"#;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "not-a-secret-just-text").unwrap();
    let config = config.replace("/dev/null", secret.to_str().unwrap());
    let args = EspOpenArgs {
        struct_size: u32::try_from(size_of::<EspOpenArgs>()).unwrap(),
        flags: 0,
        config: EspStr {
            data: config.as_ptr(),
            length: config.len(),
        },
        log: None,
        log_user_data: std::ptr::null_mut(),
        log_level: 0,
        reserved: 0,
    };
    let (mut handle, mut error) = (0, error());
    // SAFETY: every pointer leads to a live local with its size set.
    let answer = unsafe { esp_open(&raw const args, &raw mut handle, &raw mut error) };
    let message = String::from_utf8_lossy(&error.message).into_owned();
    assert_eq!(answer, status::OK, "{message}");
    handle
}

fn pull(handle: u64, error: &mut EspError) -> status::Status {
    let limits = EspLimits {
        struct_size: u32::try_from(size_of::<EspLimits>()).unwrap(),
        max_records: 0,
        max_bytes: 0,
        wait_ms: 0,
        linger_ms: 0,
    };
    let mut batch: *mut EspBatch = std::ptr::null_mut();
    // SAFETY: every pointer leads to a live local with its size set.
    unsafe { esp_next_batch(handle, &raw const limits, &raw mut batch, error) }
}

#[test]
fn a_panic_becomes_a_status_and_poisons_that_source_alone() {
    let (broken, sound) = (open(), open());
    with_source(broken, std::ptr::null_mut(), |entry| {
        entry.panic_at_pull.store(true, Ordering::Relaxed);
        Ok(status::OK)
    });
    let mut error = error();
    assert_eq!(pull(broken, &mut error), status::PANIC);
    let message = String::from_utf8_lossy(&error.message).into_owned();
    assert!(message.starts_with("the library panicked"), "{message}");
    assert!(
        !message.contains("asked to panic"),
        "a panic's text may hold data"
    );
    // SAFETY: a NULL error is allowed.
    let answer = unsafe { esp_commit(broken, 0, std::ptr::null_mut()) };
    assert_eq!(answer, status::PANIC);
    assert_eq!(esp_poll_fd(broken), -1);
    assert_eq!(pull(sound, &mut error), status::TIMEOUT);
    assert_eq!(esp_close(broken, 5000), status::OK, "close still works");
    assert_eq!(pull(broken, &mut error), status::CLOSED);
    assert_eq!(esp_close(sound, 5000), status::OK);
}
