//! The shared library as a host sees it: loaded at run time, called through the C functions of the contract.
//!
//! The only unsafe code of the package. Refuses a library of another contract version. Invariant: a [`Batch`] is
//! released exactly once, and the library is never unloaded.
#![expect(unsafe_code, reason = "loads the plugin and calls its C functions")]

use std::path::Path;
use std::ptr;

use anyhow::{Context, bail, ensure};
use libloading::Library;
use plugin_abi::functions::{AbiVersionFn, BatchReleaseFn, CloseFn, CommitFn, NextBatchFn, OpenFn, StatsFn};
use plugin_abi::types::ESP_ERROR_MESSAGE_BYTES;
use plugin_abi::{ESP_ABI_MAJOR, EspBatch, EspError, EspLimits, EspOpenArgs, EspStr, EspText, status};

/// Longest time that a close may take, in milliseconds.
const CLOSE_MS: u32 = 10_000;
/// Room for the statistics, in bytes.
const STATISTICS_BYTES: usize = 1 << 20;

/// The functions that a pull loop needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plugin {
    open: OpenFn,
    next_batch: NextBatchFn,
    batch_release: BatchReleaseFn,
    commit: CommitFn,
    stats: StatsFn,
    close: CloseFn,
}

impl Plugin {
    /// Loads the library, for good.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        // SAFETY: the library is the one that this build made; its initialisers are those of the Rust runtime.
        let library =
            unsafe { Library::new(path) }.with_context(|| format!("cannot load {}", path.display()))?;
        // leaked: the contract forbids to unload it
        let library: &'static Library = Box::leak(Box::new(library));
        let abi_version: AbiVersionFn = symbol(library, "esp_abi_version")?;
        // SAFETY: callable on any thread at any time; it cannot fail.
        let version = unsafe { abi_version() };
        ensure!(
            version >> 16 == ESP_ABI_MAJOR,
            "the plugin speaks another contract: {version:#x}"
        );
        Ok(Self {
            open: symbol(library, "esp_open")?,
            next_batch: symbol(library, "esp_next_batch")?,
            batch_release: symbol(library, "esp_batch_release")?,
            commit: symbol(library, "esp_commit")?,
            stats: symbol(library, "esp_stats")?,
            close: symbol(library, "esp_close")?,
        })
    }

    /// Opens a source, without a log.
    pub(crate) fn open(self, config: &str) -> anyhow::Result<Source> {
        let args = EspOpenArgs {
            struct_size: size_u32::<EspOpenArgs>(),
            flags: 0,
            config: EspStr {
                data: config.as_ptr(),
                length: config.len(),
            },
            log: None,
            log_user_data: ptr::null_mut(),
            log_level: 0,
            reserved: 0,
        };
        let (mut handle, mut error) = (0, empty_error());
        // SAFETY: the three pointers lead to live locals whose sizes are set; the library copies the configuration.
        let answer = unsafe { (self.open)(&raw const args, &raw mut handle, &raw mut error) };
        accept(answer, &error).context("the source does not open")?;
        Ok(Source {
            plugin: self,
            handle,
            is_open: true,
        })
    }
}

fn symbol<F: Copy>(library: &'static Library, name: &str) -> anyhow::Result<F> {
    // SAFETY: the callers name each function with the type that the contract gives it.
    let symbol = unsafe { library.get::<F>(name) };
    Ok(*symbol.with_context(|| format!("the plugin lacks {name}"))?)
}

/// What a pull gave.
#[derive(Debug)]
pub(crate) enum Pull {
    /// Records.
    Batch(Batch),
    /// Nothing in time.
    Timeout,
    /// Nothing any more.
    End,
}

/// An open source; closed when dropped.
#[derive(Debug)]
pub(crate) struct Source {
    plugin: Plugin,
    handle: u64,
    is_open: bool,
}

impl Source {
    /// Takes what is queued, waiting up to `wait_ms` for the first record.
    pub(crate) fn next_batch(&mut self, wait_ms: u32) -> anyhow::Result<Pull> {
        let limits = EspLimits {
            struct_size: size_u32::<EspLimits>(),
            max_records: 0,
            max_bytes: 0,
            wait_ms,
            linger_ms: 0,
        };
        let (mut batch, mut error) = (ptr::null_mut(), empty_error());
        let next_batch = self.plugin.next_batch;
        // SAFETY: the pointers lead to live locals whose sizes are set; `&mut self` keeps a second pull away.
        let answer = unsafe { next_batch(self.handle, &raw const limits, &raw mut batch, &raw mut error) };
        match answer {
            status::OK => Ok(Pull::Batch(Batch {
                batch,
                release: self.plugin.batch_release,
            })),
            status::TIMEOUT => Ok(Pull::Timeout),
            status::END => Ok(Pull::End),
            failure => accept(failure, &error).map(|()| Pull::Timeout),
        }
    }

    /// Says that everything up to this record is done with.
    pub(crate) fn commit(&self, sequence: u64) -> anyhow::Result<()> {
        let mut error = empty_error();
        // SAFETY: the pointer leads to a live local whose size is set.
        let answer = unsafe { (self.plugin.commit)(self.handle, sequence, &raw mut error) };
        accept(answer, &error).context("the commit fails")
    }

    /// The source's statistics.
    pub(crate) fn statistics(&self) -> anyhow::Result<serde_json::Value> {
        let mut buffer = vec![0_u8; STATISTICS_BYTES];
        let mut text = EspText {
            struct_size: size_u32::<EspText>(),
            reserved: 0,
            data: buffer.as_mut_ptr(),
            capacity: buffer.len(),
            length: 0,
        };
        let mut error = empty_error();
        // SAFETY: both pointers lead to live locals, and the text to a live buffer of the capacity it names.
        let answer = unsafe { (self.plugin.stats)(self.handle, &raw mut text, &raw mut error) };
        accept(answer, &error).context("no statistics")?;
        buffer.truncate(text.length);
        Ok(serde_json::from_slice(&buffer)?)
    }

    /// Closes the source.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        match self.close_once() {
            status::OK => Ok(()),
            answer => bail!("the source does not close: {}", status::name(answer)),
        }
    }

    fn close_once(&mut self) -> status::Status {
        if !std::mem::take(&mut self.is_open) {
            return status::OK;
        }
        // SAFETY: takes no pointer; a handle is a number, and a stale one answers a status.
        unsafe { (self.plugin.close)(self.handle, CLOSE_MS) }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.close_once();
    }
}

/// What is in a batch, by a look at each record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Records that are events.
    pub(crate) events: u64,
    /// Other records.
    pub(crate) others: u64,
    /// Bytes of keys and bodies.
    pub(crate) bytes: u64,
}

/// Records handed out together; given back when dropped.
#[derive(Debug)]
pub(crate) struct Batch {
    batch: *mut EspBatch,
    release: BatchReleaseFn,
}

impl Batch {
    fn head(&self) -> &EspBatch {
        // SAFETY: the library gave the pointer with OK and keeps the batch until it is released in `drop`.
        unsafe { &*self.batch }
    }

    /// Sequence of the last record.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.head().last_sequence
    }

    /// Looks at each record as a sink would: kind, key and body.
    pub(crate) fn tally(&self) -> Tally {
        let head = self.head();
        let stride = usize::try_from(head.record_stride).expect("a stride of 32 bits fits");
        let mut tally = Tally::default();
        let mut record = head.records;
        for _ in 0..head.record_count {
            // SAFETY: `record_count` records lie at this stride and live as long as the batch.
            let current = unsafe { &*record };
            if current.kind == plugin_abi::types::ESP_KIND_EVENT {
                tally.events += 1;
            } else {
                tally.others += 1;
            }
            tally.bytes += (current.key.length + current.body.length) as u64;
            record = record.wrapping_byte_add(stride);
        }
        tally
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: released here alone, once, and nothing borrows from the batch any more.
        unsafe { (self.release)(self.batch) }
    }
}

fn size_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("the contract's structs are small")
}

fn empty_error() -> EspError {
    EspError {
        struct_size: size_u32::<EspError>(),
        status: status::OK,
        retryable: 0,
        code: 0,
        message: [0; ESP_ERROR_MESSAGE_BYTES],
    }
}

fn accept(answer: status::Status, error: &EspError) -> anyhow::Result<()> {
    if answer == status::OK {
        return Ok(());
    }
    let length = error
        .message
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(error.message.len());
    let message = String::from_utf8_lossy(&error.message[..length]);
    bail!("{}: {message}", status::name(answer))
}
