//! Log lines on standard error.
//!
//! Responsible for level, form and place of the log. Refuses a filter that cannot be read, and standard output, which
//! belongs to records. Invariant: it is set up once, before anything logs.

use std::io::{self, IsTerminal};

use config_faults::{Fault, nearest};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that sets the level: `info` by default, `debug`, or `info,source=debug`.
pub const VARIABLE: &str = "GENESYS_KAFKA_LOG";

/// The words for a level; numbers from 0 to 5 are levels as well.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why logging could not be set up; not retryable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("environment variable {VARIABLE}: {0}")]
    Filter(Fault),
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
    if let Some(word) = lone_words(text).find(|word| !is_level(word)) {
        let message = format!("`{}` is no level", word.escape_debug());
        return Err(refused(message, nearest(word, LEVELS)));
    }
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| refused(error.to_string(), None))
}

/// The directives that are words alone. [`EnvFilter`] takes one that is no level for a target, and logs nothing else.
fn lone_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty() && !directive.contains(['=', '[', ']', '{', '}']))
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

fn refused(message: String, nearest: Option<String>) -> Error {
    let mend = "write a level such as `debug`, or `info,source=debug`";
    Error::Filter(Fault::new("", message).with_nearest(nearest).with_mend(mend))
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
            (Some("OFF"), "off"),
        ] {
            assert_eq!(parse(given).unwrap().to_string(), filter);
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_nearest() {
        let mend = "write a level such as `debug`, or `info,source=debug`";
        for (given, said) in [
            ("debg", "`debg` is no level; did you mean `debug`?"),
            ("source=debug,inf", "`inf` is no level; did you mean `info`?"),
            ("everything", "`everything` is no level;"),
        ] {
            assert_eq!(
                parse(Some(given)).unwrap_err().to_string(),
                format!("environment variable GENESYS_KAFKA_LOG: {said} {mend}")
            );
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
