//! A loaded plugin: what it says of itself, what it says of a configuration, and the sources that it opens.
//!
//! Responsible for the calls that need no open source. Refuses a plugin whose description is not JSON. Invariant:
//! the description is read once and does not change.

use std::ffi::CStr;
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::ptr;

use config_faults::Fault;
use plugin_abi::types::ESP_CHECK_ONLINE;
use plugin_abi::{EspError, EspOpenArgs, status};
use serde::Deserialize;
use serde_json::Value;

use super::call::{error_struct, failure, outcome, text, with_text};
use super::error::{Error, LoadError};
use super::load::{Functions, load};
use super::log::{LogLevel, forward, printable};
use super::source::Source;

/// A plugin that was loaded and speaks this host's contract; it stays loaded for the life of the process.
#[derive(Clone, Debug)]
pub struct Plugin {
    path: PathBuf,
    abi: (u32, u32),
    functions: Functions,
    description: Value,
}

/// The report of `esp_check`.
#[derive(Deserialize)]
struct Report {
    faults: Vec<Fault>,
    #[serde(default)]
    warnings: Vec<Fault>,
    #[serde(default)]
    login: Option<Verified>,
    #[serde(default)]
    api: Option<Api>,
    #[serde(default)]
    checks: Vec<Finding>,
}

/// What a plugin tells of the service behind the login.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Api {
    clock_skew_ms: Option<i64>,
}

/// What a plugin tells of a login that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// How far the service's clock is ahead of this machine's at the least, in milliseconds; negative if it is behind.
    pub clock_skew_ms: Option<i64>,
    /// How long a token lives, in seconds.
    pub token_lifetime_s: Option<u64>,
}

/// How a thing stands that a plugin examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As it should be.
    Ok,
    /// A source would fail, or lose what was asked for.
    Failed,
    /// Not examined.
    Skipped,
    /// It works and should be known; so is what this version does not know.
    #[serde(other)]
    Warning,
}

/// One thing that a plugin examined over the network; every text is one line without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// Stable name, such as `channels`.
    pub id: String,
    /// A few words for people.
    pub title: String,
    /// How it stands.
    pub outcome: Standing,
    /// The key of the plugin's configuration that it is about.
    #[serde(default)]
    pub key: Option<String>,
    /// What was found.
    pub detail: String,
    /// How to mend it.
    #[serde(default)]
    pub mend: Option<String>,
    /// Of a failure: the status with which a source would end.
    #[serde(default)]
    pub status: Option<i32>,
}

/// What a plugin found over the network once it was logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Online {
    /// The login.
    pub login: Verified,
    /// How far the clock of the API is ahead of this machine's at the least, in milliseconds, if it told.
    pub api_clock_skew_ms: Option<i64>,
    /// What else was examined, in order.
    pub findings: Vec<Finding>,
    /// Why the check failed although the login did not; one of the findings says it as well, as a rule.
    pub failure: Option<Error>,
}

impl Plugin {
    /// Loads a plugin: a path, or a bare name that is looked for beside the executable (see [`super::search`]).
    ///
    /// # Errors
    /// [`LoadError`], none of which is retryable.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let (path, abi, functions) = load(path)?;
        // SAFETY: callable on any thread at any time; does not fail.
        let described = unsafe { (functions.describe)() };
        let damaged = |reason: String| LoadError::Description {
            path: path.clone(),
            reason,
        };
        if described.is_null() {
            return Err(damaged("the description is NULL".to_owned()));
        }
        // SAFETY: not NULL; the contract promises a terminating NUL and a life as long as the process.
        let described = unsafe { CStr::from_ptr(described) };
        let described = described.to_str().map_err(|error| damaged(error.to_string()))?;
        let description = serde_json::from_str(described).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            path,
            abi,
            functions,
            description,
        })
    }

    /// The file that was loaded.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The contract that the plugin speaks: major and minor version.
    #[must_use]
    pub fn abi_version(&self) -> (u32, u32) {
        self.abi
    }

    /// What the plugin says of itself: `name`, `version`, `abi`, `capabilities`, `kinds`, `config_schema`.
    #[must_use]
    pub fn describe(&self) -> &Value {
        &self.description
    }

    /// Holds a configuration against the plugin and returns every fault that it reports; does not block.
    ///
    /// # Errors
    /// [`Error`] where the check itself failed and gave no report; retryable as the plugin says.
    pub fn check(&self, config_json: &str) -> Result<Vec<Fault>, Error> {
        let (answer, error, report) = self.ask(config_json, 0, 0)?;
        let Some(report) = report else {
            outcome(answer, &error)?;
            return Ok(Vec::new());
        };
        if answer < status::OK && report.faults.is_empty() {
            return Err(failure(answer, &error));
        }
        Ok(report.faults.iter().map(one_line).collect())
    }

    /// What the plugin would rather see changed in a configuration that it takes; does not block. Nothing where it cannot
    /// tell, which [`Plugin::check`] says.
    #[must_use]
    pub fn warnings(&self, config_json: &str) -> Vec<Fault> {
        let report = self.ask(config_json, 0, 0).ok().and_then(|(_, _, report)| report);
        let warnings = report.map(|report| report.warnings).unwrap_or_default();
        warnings.iter().map(one_line).collect()
    }

    /// Has the plugin log in and examine what its configuration needs of the service; blocks for at most about `timeout_ms`.
    ///
    /// # Units
    /// `timeout_ms`: milliseconds.
    /// # Errors
    /// [`Error`] where the plugin could not log in: `AUTH`, `OVERLOAD`, `TIMEOUT` (which is a failure here), `IO` and others.
    pub fn check_online(&self, config_json: &str, timeout_ms: u32) -> Result<Online, Error> {
        let (answer, error, report) = self.ask(config_json, ESP_CHECK_ONLINE, timeout_ms)?;
        let failure = (answer != status::OK).then(|| failure(answer, &error));
        let Some(report) = report else {
            return failure.map_or_else(|| Ok(Online::default()), Err);
        };
        match (report.login, failure) {
            (None, Some(failure)) => Err(failure),
            (login, failure) => Ok(Online {
                login: login.unwrap_or_default(),
                api_clock_skew_ms: report.api.and_then(|api| api.clock_skew_ms),
                findings: report.checks.into_iter().map(Finding::printable).collect(),
                failure,
            }),
        }
    }

    /// Calls `esp_check`; there is no report where the plugin wrote none.
    fn ask(
        &self,
        config_json: &str,
        flags: u32,
        timeout_ms: u32,
    ) -> Result<(i32, EspError, Option<Report>), Error> {
        let (answer, error, report) = with_text(|into, error| {
            // SAFETY: the text, the buffer and the error struct live through the call and have their sizes set.
            unsafe { (self.functions.check)(text(config_json), flags, timeout_ms, into, error) }
        })?;
        if report.is_empty() {
            return Ok((answer, error, None));
        }
        let report = serde_json::from_slice(&report).map_err(|fault| {
            Error::broken_contract(format!("a fault report that cannot be read: {fault}"))
        })?;
        Ok((answer, error, Some(report)))
    }

    /// Opens a source; it listens from now on.
    ///
    /// # Errors
    /// [`Error`] as the plugin answered: `CONFIG`, `BUSY`, `IO` and others.
    pub fn open(&self, config_json: &str, log_level: LogLevel) -> Result<Source, Error> {
        let arguments = EspOpenArgs {
            struct_size: size_of::<EspOpenArgs>() as u32,
            flags: 0,
            config: text(config_json),
            log: Some(forward),
            log_user_data: ptr::null_mut(),
            log_level: log_level.code(),
            reserved: 0,
        };
        let mut handle = 0;
        let mut error = error_struct();
        // SAFETY: arguments, handle and error struct live through the call; the plugin copies what it keeps, and the
        // callback takes no user data.
        let answer = unsafe { (self.functions.open)(&arguments, &mut handle, &mut error) };
        if answer != status::OK {
            return Err(failure(answer, &error));
        }
        Ok(Source::new(self.functions, handle))
    }
}

impl Finding {
    fn printable(self) -> Self {
        Self {
            id: printable(&self.id),
            title: printable(&self.title),
            outcome: self.outcome,
            key: self.key.as_deref().map(printable),
            detail: printable(&self.detail),
            mend: self.mend.as_deref().map(printable),
            status: self.status,
        }
    }
}

/// A fault of the plugin without control characters, which could forge a line of the report.
fn one_line(fault: &Fault) -> Fault {
    Fault {
        path: printable(&fault.path),
        message: printable(&fault.message),
        mend: fault.mend.as_deref().map(printable),
        nearest: fault.nearest.as_deref().map(printable),
    }
}

#[cfg(test)]
mod tests {
    use config_faults::Fault;

    use super::one_line;

    #[test]
    fn a_fault_of_the_plugin_stays_on_its_line() {
        let fault = Fault::new("a\nb", "c\u{1b}[0m")
            .with_mend("d\r")
            .with_nearest(Some("e\n".into()));
        assert_eq!(
            one_line(&fault).to_string(),
            "a\\nb: c\\u{1b}[0m; did you mean `e\\n`? d\\r"
        );
    }
}
