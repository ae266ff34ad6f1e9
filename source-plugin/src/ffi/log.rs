//! Log lines of the source's thread, handed to the host's callback.
//!
//! Only this library's own targets pass: the network crates log frames and headers at finer levels, and those may
//! hold tokens. Text is `message field=value …`, with control characters escaped.

use std::cell::Cell;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use plugin_abi::types::{ESP_LOG_DEBUG, ESP_LOG_ERROR, ESP_LOG_INFO, ESP_LOG_TRACE, ESP_LOG_WARN};
use plugin_abi::{EspLogFn, EspStr};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const OWN_TARGET: &str = "genesys_source";

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Says whether this thread is inside the host's log callback.
pub(super) fn is_in_callback() -> bool {
    IN_CALLBACK.get()
}

/// The host's callback and what it wants to see.
struct HostLog {
    callback: unsafe extern "C" fn(*mut c_void, u32, EspStr, EspStr),
    user_data: UserData,
    level: u32,
    one_at_a_time: Mutex<()>,
}

struct UserData(*mut c_void);

// SAFETY: the contract of `esp_open_args` says that the callback may run on any thread with this pointer.
unsafe impl Send for UserData {}
// SAFETY: as above; calls are serialised by `one_at_a_time`.
unsafe impl Sync for UserData {}

/// Makes the subscriber for the source's thread; without a callback nothing is formatted.
pub(super) fn dispatch(callback: EspLogFn, user_data: *mut c_void, level: u32) -> Dispatch {
    let Some(callback) = callback else {
        return Dispatch::none();
    };
    let level = if level == 0 { ESP_LOG_INFO } else { level };
    let layer = HostLog {
        callback,
        user_data: UserData(user_data),
        level,
        one_at_a_time: Mutex::new(()),
    };
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => ESP_LOG_ERROR,
        Level::WARN => ESP_LOG_WARN,
        Level::INFO => ESP_LOG_INFO,
        Level::DEBUG => ESP_LOG_DEBUG,
        Level::TRACE => ESP_LOG_TRACE,
    }
}

impl<S: Subscriber> Layer<S> for HostLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with(OWN_TARGET) && number(*metadata.level()) <= self.level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let message = format!("{}{}", line.message, line.fields);
        let target = event.metadata().target();
        let level = number(*event.metadata().level());
        let turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        IN_CALLBACK.set(true);
        // SAFETY: the host owes a callback that does not unwind; both texts live until it returns, and the user data
        // is valid until `esp_close` has returned, which joins the thread that logs.
        unsafe { (self.callback)(self.user_data.0, level, borrow(target), borrow(&message)) };
        IN_CALLBACK.set(false);
        drop(turn);
    }
}

fn borrow(text: &str) -> EspStr {
    EspStr {
        data: text.as_ptr(),
        length: text.len(),
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn write(&mut self, field: &Field, value: std::fmt::Arguments<'_>) {
        let text = value.to_string();
        let mut target = &mut self.fields;
        if field.name() == "message" {
            target = &mut self.message;
        } else {
            // Writing to a `String` cannot fail.
            write!(target, " {}=", field.name()).ok();
        }
        for character in text.chars() {
            if character.is_control() {
                write!(target, "\\u{:04x}", u32::from(character)).ok();
            } else {
                target.push(character);
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}
