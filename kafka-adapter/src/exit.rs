//! Exit codes of `genesys-kafka`: one meaning each, from `sysexits.h`.
//!
//! Responsible for the table. Refuses nothing. Invariant: a script may tell "mend the configuration" from "mend the
//! credentials" from "start it again" by the code alone.

use plugin_abi::status;

/// How the program ends.
///
/// # Source
/// BSD `sysexits.h`: `EX_USAGE`, `EX_DATAERR`, `EX_UNAVAILABLE`, `EX_SOFTWARE`, `EX_NOPERM`, `EX_CONFIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All went well, also a drain after a signal and a reader of stdout that went away.
    Success = 0,
    /// Any other failure.
    Failure = 1,
    /// The command line is wrong.
    Usage = 64,
    /// Audit records do not fit their hash chains, or are not as authentic as was demanded, or dead letters could not be
    /// replayed.
    Broken = 65,
    /// Another process took over, or the source gave up for good.
    Unavailable = 69,
    /// A law of conservation is broken: this program or its plugin lost a record, or counted it twice.
    Software = 70,
    /// The service refused the credentials or the role.
    Credentials = 77,
    /// The configuration, or the plugin that it names, is wrong.
    Config = 78,
}

impl Exit {
    /// What a failure of the source means for the program.
    #[must_use]
    pub fn of_source(status: i32) -> Self {
        match status {
            status::AUTH => Self::Credentials,
            status::CONFIG => Self::Config,
            status::FAILED => Self::Unavailable,
            _ => Self::Failure,
        }
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use plugin_abi::status;

    use super::Exit;

    #[test]
    fn the_codes_are_those_of_the_documentation() {
        let codes = [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Unavailable,
            Exit::Software,
            Exit::Credentials,
            Exit::Config,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 64, 69, 70, 77, 78]);
    }

    #[test]
    fn each_failure_of_a_source_has_its_exit() {
        for (code, _, _) in status::ALL {
            let expected = match code {
                status::AUTH => Exit::Credentials,
                status::CONFIG => Exit::Config,
                status::FAILED => Exit::Unavailable,
                _ => Exit::Failure,
            };
            assert_eq!(Exit::of_source(code), expected, "{code}");
        }
        assert_eq!(Exit::of_source(-999), Exit::Failure);
    }
}
