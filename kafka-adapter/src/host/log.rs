//! Log lines of a plugin, passed on to `tracing` under the target `source`.
//!
//! Responsible for the callback. Refuses control characters, which could forge a line, and never unwinds into the
//! plugin. Invariant: it calls nothing of the plugin.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plugin_abi::EspStr;
use plugin_abi::types::{ESP_LOG_DEBUG, ESP_LOG_ERROR, ESP_LOG_INFO, ESP_LOG_TRACE, ESP_LOG_WARN};
use tracing::level_filters::LevelFilter;

use super::read::borrowed;

/// The most verbose lines that a plugin hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults that need an operator.
    Error,
    /// Faults that were recovered from.
    Warn,
    /// Life-cycle steps.
    Info,
    /// For developers.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level that this process logs at, so that the plugin does not write lines that nobody reads.
    #[must_use]
    pub fn current() -> Self {
        match LevelFilter::current() {
            level if level >= LevelFilter::TRACE => Self::Trace,
            LevelFilter::DEBUG => Self::Debug,
            LevelFilter::INFO => Self::Info,
            LevelFilter::WARN => Self::Warn,
            _ => Self::Error,
        }
    }

    /// The number of the contract.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Error => ESP_LOG_ERROR,
            Self::Warn => ESP_LOG_WARN,
            Self::Info => ESP_LOG_INFO,
            Self::Debug => ESP_LOG_DEBUG,
            Self::Trace => ESP_LOG_TRACE,
        }
    }
}

/// The callback of the contract.
pub(super) unsafe extern "C" fn forward(
    _user_data: *mut c_void,
    level: u32,
    target: EspStr,
    message: EspStr,
) {
    // A panic of a subscriber must not unwind into C, and there is nobody to tell it to.
    let written = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the contract keeps `target` readable during the call.
        let module = unsafe { borrowed(target) };
        // SAFETY: the contract keeps `message` readable during the call.
        let message = unsafe { borrowed(message) };
        let (module, message) = (printable(&module), printable(&message));
        match level {
            0 | ESP_LOG_ERROR => tracing::error!(target: "source", %module, "{message}"),
            ESP_LOG_WARN => tracing::warn!(target: "source", %module, "{message}"),
            ESP_LOG_INFO => tracing::info!(target: "source", %module, "{message}"),
            ESP_LOG_DEBUG => tracing::debug!(target: "source", %module, "{message}"),
            _ => tracing::trace!(target: "source", %module, "{message}"),
        }
    }));
    drop(written);
}

/// `text` with every control character escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default())
        } else {
            out.push(character)
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::ptr;
    use std::sync::{Arc, Mutex};

    use plugin_abi::EspStr;

    use super::{LogLevel, forward, printable};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn text(text: &str) -> EspStr {
        EspStr {
            data: text.as_ptr(),
            length: text.len(),
        }
    }

    #[test]
    fn a_line_of_the_plugin_reaches_tracing_without_control_characters() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_max_level(tracing::Level::INFO)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let null = EspStr {
                data: ptr::null(),
                length: 3,
            };
            // SAFETY: the texts live through the calls; NULL must be taken as empty.
            unsafe {
                forward(
                    ptr::null_mut(),
                    2,
                    text("oauth"),
                    text("token\n refused\u{1b}[0m"),
                )
            };
            // SAFETY: as above.
            unsafe { forward(ptr::null_mut(), 4, null, text("below the level")) };
            // SAFETY: as above.
            unsafe { forward(ptr::null_mut(), 1, null, text("fatal")) };
        });
        let lines = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            lines,
            " WARN source: token\\n refused\\u{1b}[0m module=oauth\nERROR source: fatal module=\n"
        );
    }

    #[test]
    fn levels_carry_the_numbers_of_the_contract() {
        let codes = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ]
        .map(LogLevel::code);
        assert_eq!(codes, [1, 2, 3, 4, 5]);
        assert_eq!(printable("a\u{7}ü"), "a\\u{7}ü");
    }
}
