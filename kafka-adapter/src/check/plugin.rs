//! The rows about the plugin: that it loads, what it says of its configuration, and whether it can log in.
//!
//! Responsible for what a failed check of the plugin means for the exit. Refuses to open a source: nothing is heard, so
//! nothing can be lost. Invariant: the plugin is asked to log in only where the whole configuration is sound.

use std::time::Duration;

use plugin_abi::status;

use super::aside::Aside;
use super::item::{Item, Subject};
use super::{FAULTY, OFFLINE, Setup, configuration};
use crate::config::Config;
use crate::exit::Exit;
use crate::host::{self, Plugin, Verified};

const PLUGIN: Subject = Subject::new("plugin", "plugin");
const CONFIG: Subject = Subject::new("plugin.config", "source configuration");
/// The login, which only a sound configuration can try.
pub(super) const LOGIN: Subject = Subject::new("plugin.login", "login");

/// How long a login may take, in milliseconds: more than the 15 s that the plugin gives itself (`timeouts.login_ms`), so
/// that its words are heard and not ours.
const LOGIN_MS: u32 = 20_000;
/// How much longer the plugin's own deadline may be overrun, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// The rows that need no network.
pub(super) fn items(setup: &Setup) -> Vec<Item> {
    let plugin = match &setup.plugin {
        None => return vec![PLUGIN.skipped(FAULTY), CONFIG.skipped(FAULTY)],
        Some(Err(error)) => {
            let otherwise = "set source.library to a plugin for this program";
            let row = PLUGIN.fails_as(Exit::Config, &error.to_string(), otherwise);
            return vec![row, CONFIG.skipped("the plugin is not loaded")];
        }
        Some(Ok(plugin)) => plugin,
    };
    let mut items = vec![PLUGIN.holds(described(plugin))];
    match &setup.verdict {
        Ok(faults) if faults.is_empty() => items.push(CONFIG.holds("the plugin takes it")),
        Ok(faults) => items.extend(faults.iter().map(|located| configuration::fault(CONFIG, located))),
        Err(error) => items.push(failed(CONFIG, error)),
    }
    items
}

/// File, version and contract of a plugin.
fn described(plugin: &Plugin) -> String {
    let version = plugin
        .describe()
        .get("version")
        .and_then(serde_json::Value::as_str);
    let (major, minor) = plugin.abi_version();
    format!(
        "{}, version {}, ABI {major}.{minor}",
        plugin.path().display(),
        version.unwrap_or("unknown")
    )
}

/// A login under way, or why there is none.
#[derive(Debug)]
pub(super) enum Login {
    Offline,
    Begun(Aside<Result<Verified, host::Error>>),
}

impl Login {
    /// Begins to log in.
    pub(super) fn begin(setup: &Setup, config: &Config, offline: bool) -> Self {
        let Some(Ok(plugin)) = setup.plugin.as_ref().filter(|_| !offline) else {
            return Self::Offline;
        };
        let (plugin, config) = (plugin.clone(), config.source.config.to_string());
        let within = Duration::from_millis(u64::from(LOGIN_MS) + GRACE_MS);
        Self::Begun(Aside::begin("check-login", within, move |answer| {
            // nobody waits any more if it took too long
            answer.send(plugin.check_online(&config, LOGIN_MS)).ok();
        }))
    }

    /// The row, and how far the service's clock is ahead, in milliseconds.
    pub(super) fn item(self) -> (Item, Option<i64>) {
        let Self::Begun(login) = self else {
            return (LOGIN.skipped(OFFLINE), None);
        };
        match login.wait() {
            Ok(Ok(verified)) => (logged_in(&verified), verified.clock_skew_ms),
            Ok(Err(error)) => (failed(LOGIN, &error), None),
            Err(missed) => {
                let mend = "check the network, and source.config.endpoints";
                (LOGIN.fails(Exit::Unavailable, missed.to_string(), mend), None)
            }
        }
    }
}

fn logged_in(verified: &Verified) -> Item {
    LOGIN.holds(match verified.token_lifetime_s {
        Some(lifetime_s) => format!("credentials accepted, a token lives {lifetime_s} s"),
        None => "credentials accepted".to_owned(),
    })
}

/// A check that the plugin answered with a failure.
fn failed(subject: Subject, error: &host::Error) -> Item {
    let (exit, otherwise) = match error.status {
        status::AUTH => (Exit::Credentials, "check the credentials and their role"),
        status::OVERLOAD => (Exit::Unavailable, "wait a few minutes, then check again"),
        status::IO
        | status::TIMEOUT
        | status::PROTOCOL
        | status::FAILED
        | status::BUSY
        | status::NO_MEMORY => (Exit::Unavailable, "wait a moment, then check again"),
        status::TLS => (
            Exit::Config,
            "check source.config.ca_file and this machine's certificates",
        ),
        status::CONFIG => (Exit::Config, "check source.config, its region and endpoints"),
        _ => (
            Exit::Config,
            "the plugin is at fault; report it, or set source.library to another version",
        ),
    };
    subject.fails_as(exit, &error.to_string(), otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: i32, message: &str) -> host::Error {
        host::Error {
            status,
            name: status::name(status),
            retryable: status::is_retryable(status),
            code: 0,
            message: message.to_owned(),
        }
    }

    #[test]
    fn each_failure_of_a_login_has_its_exit() {
        for (code, _, _) in status::ALL {
            let expected = match code {
                status::AUTH => Exit::Credentials,
                status::IO | status::TIMEOUT | status::OVERLOAD | status::PROTOCOL => Exit::Unavailable,
                status::FAILED | status::BUSY | status::NO_MEMORY => Exit::Unavailable,
                _ => Exit::Config,
            };
            let item = failed(LOGIN, &error(code, "said so"));
            assert_eq!(item.failure(), Some(expected), "{code}");
            assert!(item.mend.is_some());
        }
    }

    #[test]
    fn the_plugins_mend_goes_before_ours() {
        let item = failed(LOGIN, &error(status::AUTH, "refused; mend it so"));
        assert_eq!(
            (item.detail.as_str(), item.mend.as_deref()),
            ("AUTH: refused", Some("mend it so"))
        );
    }
}
