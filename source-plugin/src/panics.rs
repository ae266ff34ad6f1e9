//! Panics inside the library: caught where they would leave it, and told to nobody but who called.
//!
//! Responsible for catching, and for keeping the text of a panic, which may hold data, off the host's standard error.
//! Refuses to pass that text on. Invariant: a panic outside of [`contained`] is reported as if this were not here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Something panicked; what it said is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs something to its end or to its panic. What it shared and left half done is the caller's to give up.
///
/// # Errors
/// [`Panicked`]; not retryable.
pub(crate) fn contained<T>(body: impl FnOnce() -> T) -> Result<T, Panicked> {
    keep_quiet();
    let outer = IS_CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    IS_CONTAINED.set(outer);
    result.map_err(|text| {
        drop(text);
        Panicked
    })
}

/// The default hook prints a panic before it can be caught. The library has a standard library of its own, so that the
/// hooks of a host are not touched by this.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_CONTAINED.get() {
                report(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Panicked, contained};

    const NAME: &str = "panics::tests::a_panic_inside_prints_nothing_and_one_outside_is_reported";
    const VARIABLE: &str = "GENESYS_SOURCE_TEST_OF_PANICS";

    #[test]
    fn a_panic_inside_prints_nothing_and_one_outside_is_reported() {
        if std::env::var_os(VARIABLE).is_some() {
            assert_eq!(
                contained(|| contained(|| panic!("kept inside"))),
                Ok(Err(Panicked))
            );
            let told = std::panic::catch_unwind(|| panic!("told outside"));
            assert!(told.is_err());
            return;
        }
        // a process of its own: what is printed is the standard error of the whole process
        let output = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("told outside"), "{printed}");
        assert!(!printed.contains("kept inside"), "{printed}");
    }
}
