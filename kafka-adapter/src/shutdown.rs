//! The request to stop: SIGINT or SIGTERM once drains, twice exits at once.
//!
//! Responsible for turning signals into one message on a channel that the pipeline waits on. Refuses to wait for a
//! drain that a second signal gives up on. Invariant: a request is never lost and never blocks who makes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::signal::SIGXFSZ;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use signal_hook::iterator::Signals;

/// What a shell reports for a process that a signal ended: 128 and the number of the signal.
const SIGNAL_EXIT_BASE: i32 = 128;

/// A request to stop, made once and seen by who waits for it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    request: Sender<()>,
    requested: Receiver<()>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::request`] asks for.
    #[must_use]
    pub fn new() -> Self {
        let (request, requested) = bounded(1);
        Self { request, requested }
    }

    /// A shutdown that the first SIGINT or SIGTERM asks for; the second ends the process at once. SIGXFSZ ends it no
    /// longer.
    ///
    /// # Errors
    /// If the operating system refuses the signal handlers or the thread that waits for them; not retryable.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Runs inside the signal handler itself, so that it works however busy or stuck the threads are.
            register_conditional_shutdown(signal, SIGNAL_EXIT_BASE + signal, Arc::clone(&armed))?;
        }
        // a limit on the size of files (ulimit -f, systemd's LimitFSIZE) is then an error of the write, as a full disk is
        register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let asked = shutdown.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                armed.store(true, Ordering::SeqCst);
                tracing::info!(signal, "stop requested, a second signal exits at once");
                asked.request();
            }
        })?;
        Ok(shutdown)
    }

    /// Asks to stop; does not block, and a second request changes nothing.
    pub fn request(&self) {
        // A full channel already holds a request; it cannot be closed while `self` lives.
        self.request.try_send(()).ok();
    }

    /// The channel that a request arrives on, once.
    #[must_use]
    pub fn requested(&self) -> &Receiver<()> {
        &self.requested
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[test]
    fn a_request_arrives_once_however_often_it_is_made() {
        let shutdown = Shutdown::new();
        assert!(shutdown.requested().is_empty());
        shutdown.request();
        shutdown.clone().request();
        assert!(shutdown.requested().try_recv().is_ok());
        assert!(shutdown.requested().try_recv().is_err());
    }
}
