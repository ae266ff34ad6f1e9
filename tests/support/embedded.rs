//! The smallest host in Rust. `docs/embedding.md` quotes it; a test holds the quotes against this file and runs it.
//!
//! Refuses nothing that the plugin allows. Invariant: what `take` has seen is committed, every batch is released,
//! the source is closed.
#![expect(unsafe_code, reason = "a host calls C functions through pointers")]

use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use plugin_abi::functions::{AbiVersionFn, BatchReleaseFn, CloseFn, CommitFn, DrainFn, NextBatchFn, OpenFn};
use plugin_abi::{ESP_ABI_MAJOR, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, status};

/// Copies a symbol out of a library that is never unloaded.
///
/// # Safety
/// `F` is the type that the contract gives to `name`.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> anyhow::Result<F> {
    // SAFETY: the caller vouches for the type.
    let symbol: Symbol<F> = unsafe { library.get(name.as_bytes()) }?;
    Ok(*symbol)
}

/// Pulls until `take`, which sees each record's kind and body, says that it has enough; then drains.
///
/// # Errors
/// A library that is no plugin of this major version, or a failure of the source with its status.
pub fn pull(path: &Path, config: &str, mut take: impl FnMut(u32, &[u8]) -> bool) -> anyhow::Result<()> {
    // SAFETY: loading runs the library's initialisers; the operator chose it.
    let opened = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
    let library: &'static Library = Box::leak(Box::new(opened)); // a dropped Library would be unloaded
    // SAFETY: this type never changes, in any version.
    let abi_version = unsafe { symbol::<AbiVersionFn>(library, "esp_abi_version") }?;
    // SAFETY: any thread, any time.
    let version = unsafe { abi_version() };
    anyhow::ensure!(version >> 16 == ESP_ABI_MAJOR, "ABI major {}", version >> 16);
    // SAFETY: here and below: the types of this major version, checked above.
    let open = unsafe { symbol::<OpenFn>(library, "esp_open") }?;
    // SAFETY: as above.
    let next_batch = unsafe { symbol::<NextBatchFn>(library, "esp_next_batch") }?;
    // SAFETY: as above.
    let release = unsafe { symbol::<BatchReleaseFn>(library, "esp_batch_release") }?;
    // SAFETY: as above.
    let commit = unsafe { symbol::<CommitFn>(library, "esp_commit") }?;
    // SAFETY: as above.
    let drain = unsafe { symbol::<DrainFn>(library, "esp_drain") }?;
    // SAFETY: as above.
    let close = unsafe { symbol::<CloseFn>(library, "esp_close") }?;

    // SAFETY: zero is a valid value of every field.
    let mut error: EspError = unsafe { std::mem::zeroed() };
    error.struct_size = size_of::<EspError>() as u32;
    // SAFETY: zero is a valid value of every field; no callback means silence.
    let mut args: EspOpenArgs = unsafe { std::mem::zeroed() };
    args.struct_size = size_of::<EspOpenArgs>() as u32;
    args.config = EspStr {
        data: config.as_ptr(),
        length: config.len(),
    };
    let mut source = 0;
    // SAFETY: all three live through the call, with their sizes set; the text is copied.
    let opened = unsafe { open(&raw const args, &raw mut source, &raw mut error) };
    anyhow::ensure!(opened == status::OK, "{}", said(&error));

    let limits = EspLimits {
        struct_size: size_of::<EspLimits>() as u32,
        max_records: 0,
        max_bytes: 0,
        wait_ms: 200,
        linger_ms: 0,
    };
    let mut enough = false;
    let outcome = loop {
        let mut batch = std::ptr::null_mut();
        // SAFETY: all three live through the call, with their sizes set.
        match unsafe { next_batch(source, &raw const limits, &raw mut batch, &raw mut error) } {
            status::OK => {}
            status::END => break Ok(()),
            failure if failure < 0 => break Err(anyhow::anyhow!("{}", said(&error))),
            _ => continue, // TIMEOUT, INTERRUPTED, or newer than this host
        }
        // SAFETY: after OK it is valid and unchanged until its release below.
        let given = unsafe { &*batch };
        let (first, last) = (given.records.cast::<u8>(), given.last_sequence);
        let before = enough;
        for at in 0..given.record_count as usize {
            // SAFETY: by the stride, never by the size of `EspRecord`, which a newer plugin's may exceed.
            let record = unsafe { first.add(at * given.record_stride as usize) }.cast::<EspRecord>();
            // SAFETY: a record of the batch, which is released below.
            let record = unsafe { &*record };
            enough |= take(record.kind, bytes(record, record.body));
        }
        // SAFETY: any thread; the error's size is set.
        let committed = unsafe { commit(source, last, &raw mut error) };
        // SAFETY: handed out above, released once, and nothing borrows from it any more.
        unsafe { release(batch) };
        if committed != status::OK {
            break Err(anyhow::anyhow!("{}", said(&error)));
        }
        if enough && !before {
            // SAFETY: any thread; a stale handle is a status.
            unsafe { drain(source, 5_000) };
        }
    };
    // SAFETY: any thread but the log callback's.
    let closed = unsafe { close(source, 5_000) };
    outcome?;
    anyhow::ensure!(closed == status::OK, "the source did not close in time");
    Ok(())
}

/// The bytes of a record's text; the pointer may be NULL where the length is 0.
fn bytes(_owner: &EspRecord, text: EspStr) -> &[u8] {
    if text.length == 0 {
        return &[];
    }
    // SAFETY: `length` bytes live there as long as the record.
    unsafe { std::slice::from_raw_parts(text.data, text.length) }
}

fn said(error: &EspError) -> String {
    let text = std::ffi::CStr::from_bytes_until_nul(&error.message).unwrap_or_default();
    format!("{}: {}", status::name(error.status), text.to_string_lossy())
}
