//! A descriptor that polls readable while the queue has something to say.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Level-triggered readiness over an `eventfd`; callers serialise [`Readiness::set`] under the queue's lock.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) descriptor: OwnedFd,
    is_set: AtomicBool,
}

impl Readiness {
    pub(super) fn try_new() -> std::io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            descriptor,
            is_set: AtomicBool::new(false),
        })
    }

    /// Makes the descriptor readable or not; costs a system call only when that changes.
    pub(super) fn set(&self, readable: bool) {
        if self.is_set.swap(readable, Ordering::Relaxed) == readable {
            return;
        }
        // Neither call can block or fail on an eventfd whose counter is 0 or 1; both move all eight bytes or none.
        if readable {
            rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes()).ok();
        } else {
            rustix::io::read(&self.descriptor, &mut [0_u8; 8]).ok();
        }
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }
}
