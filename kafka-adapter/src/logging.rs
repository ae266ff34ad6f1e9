//! Log lines on standard error.
//!
//! Responsible for level, form and place of the log. Refuses a filter that cannot be read, and standard output, which
//! belongs to records. Invariant: it is set up once, before anything logs.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// The variable that sets the level: `info` by default, `debug`, or `info,source=debug`.
pub const VARIABLE: &str = "GENESYS_KAFKA_LOG";

/// Why logging could not be set up; not retryable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(
        "environment variable {VARIABLE}: {reason}; write a level such as `debug`, or `info,source=debug`"
    )]
    Filter {
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else has set logging up.
    #[error("logging is already set up in this process")]
    Installed,
}

impl Error {
    /// Says whether the same set-up may succeed later: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Sets logging up for the process; `filter` is the text of [`VARIABLE`], if it is set.
///
/// # Errors
/// [`Error`]; not retryable.
pub fn install(filter: Option<&str>) -> Result<(), Error> {
    tracing_subscriber::fmt()
        .with_env_filter(parse(filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init()
        .map_err(|_| Error::Installed)
}

fn parse(filter: Option<&str>) -> Result<EnvFilter, Error> {
    let text = filter
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .unwrap_or("info");
    EnvFilter::builder().parse(text).map_err(|error| Error::Filter {
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_filter_is_info_unless_it_says_otherwise() {
        for (given, filter) in [
            (None, "info"),
            (Some(" "), "info"),
            (Some("debug"), "debug"),
            (Some("info,source=trace"), "source=trace,info"),
        ] {
            assert_eq!(parse(given).unwrap().to_string(), filter);
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_one_line() {
        let error = parse(Some("source=loud")).unwrap_err();
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(
            text.starts_with("environment variable GENESYS_KAFKA_LOG: ") && text.lines().count() == 1,
            "{text}"
        );
    }
}
