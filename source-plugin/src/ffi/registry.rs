//! Handles: 64-bit generational keys, so that a stale or doubled close is a status and never undefined behaviour.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_abi::EspError;
use plugin_abi::status::{self, Status};
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use super::boundary::{Failure, guard};
use crate::queue::Slice;
use crate::source::Source;

/// A source as the host sees it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: Source,
    /// What `esp_next_event` lent out; replaced by the next pull.
    pub(super) lent: Mutex<Option<Lent>>,
    poisoned: AtomicBool,
    process_id: u32,
    #[cfg(test)]
    pub(super) panic_at_pull: AtomicBool,
}

/// The record that `esp_next_event` lent out: its chunk, and the attribute table that the record points to.
#[derive(Debug)]
#[expect(dead_code, reason = "kept alive for the host, which reads through pointers")]
pub(super) struct Lent {
    pub(super) slice: Slice,
    pub(super) attributes: super::batch::Attributes,
}

static SOURCES: Mutex<Option<SlotMap<DefaultKey, Arc<Entry>>>> = Mutex::new(None);

/// The process that opened a source last; 0 before the first. Asked before the lock is taken: in a child that was forked
/// while another thread held it, nobody will ever give it back.
static OPENED_IN: AtomicU32 = AtomicU32::new(0);

fn sources() -> MutexGuard<'static, Option<SlotMap<DefaultKey, Arc<Entry>>>> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a handle; `None` for a number that `insert` cannot have given.
fn key(handle: u64) -> Option<DefaultKey> {
    let key = DefaultKey::from(KeyData::from_ffi(handle));
    // `from_ffi` mends numbers that never were a key, and a mended one could be somebody else's.
    (key.data().as_ffi() == handle).then_some(key)
}

/// Registers an open source and returns its handle, never 0.
pub(super) fn insert(source: Source) -> u64 {
    let entry = Arc::new(Entry {
        source,
        lent: Mutex::new(None),
        poisoned: AtomicBool::new(false),
        process_id: std::process::id(),
        #[cfg(test)]
        panic_at_pull: AtomicBool::new(false),
    });
    OPENED_IN.store(std::process::id(), Ordering::Release);
    sources()
        .get_or_insert_with(SlotMap::new)
        .insert(entry)
        .data()
        .as_ffi()
}

fn find(handle: u64) -> Result<Arc<Entry>, Failure> {
    let forked = || {
        Failure::new(
            status::FORKED,
            "the process forked after esp_open; open the source in the child",
        )
    };
    if ![0, std::process::id()].contains(&OPENED_IN.load(Ordering::Acquire)) {
        return Err(forked());
    }
    let found = key(handle).and_then(|key| sources().as_ref()?.get(key).cloned());
    let entry =
        found.ok_or_else(|| Failure::new(status::CLOSED, "the source is closed or was never open"))?;
    if entry.process_id != std::process::id() {
        // the child has opened a source of its own since
        return Err(forked());
    }
    Ok(entry)
}

/// Runs `body` on the source behind a handle, inside the guard; the registry's lock is not held meanwhile.
pub(super) fn with_source(
    handle: u64,
    error: *mut EspError,
    body: impl FnOnce(&Entry) -> Result<Status, Failure>,
) -> Status {
    let entry = find(handle);
    let poisoned = entry.as_ref().ok().cloned();
    guard(
        error,
        || {
            if let Some(entry) = poisoned {
                entry.poisoned.store(true, Ordering::Release);
            }
        },
        || {
            let entry = entry?;
            if entry.poisoned.load(Ordering::Acquire) {
                return Err(Failure::new(
                    status::PANIC,
                    "the library panicked earlier; close this source",
                ));
            }
            body(&entry)
        },
    )
}

/// Takes the source out, so that the handle is stale from now on; works on a poisoned source too.
pub(super) fn remove(handle: u64) -> Result<Arc<Entry>, Failure> {
    let entry = find(handle)?;
    let removed = key(handle).and_then(|key| sources().as_mut()?.remove(key));
    match removed {
        Some(_) => Ok(entry),
        // Another close was faster.
        None => Err(Failure::new(
            status::CLOSED,
            "the source is closed or was never open",
        )),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    #[test]
    fn a_child_that_was_forked_while_the_lock_was_held_is_told_so() {
        OPENED_IN.store(std::process::id(), Ordering::Release);
        let held = sources();
        // SAFETY: the child calls nothing but `find`, which takes no lock here, and `_exit`.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                // a number that `insert` could have given, so that it is looked for
                let told = matches!(find((1 << 32) | 1), Err(failure) if failure.status == status::FORKED);
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { nix::libc::_exit(i32::from(!told)) };
            }
        };
        drop(held);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let ended = loop {
            match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive if std::time::Instant::now() < deadline => std::thread::yield_now(),
                other => break other,
            }
        };
        if ended == WaitStatus::StillAlive {
            nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
            waitpid(child, None).unwrap();
        }
        assert_eq!(ended, WaitStatus::Exited(child, 0));
    }
}
