//! The rows about the plugin: that it loads, what it says of its configuration, whether it can log in, and what it finds then.
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
use crate::host::{self, Finding, Online, Plugin, Standing, Verified};

const PLUGIN: Subject = Subject::new("plugin", "plugin");
const CONFIG: Subject = Subject::new("plugin.config", "source configuration");
/// The login, which only a sound configuration can try.
pub(super) const LOGIN: Subject = Subject::new("plugin.login", "login");

/// What the plugin finds behind the login, where it does not say more.
const ONLINE: Subject = Subject::new("plugin.online", "source online");

/// How long the plugin may ask, in milliseconds: more than the 15 s that it gives itself for a login (`timeouts.login_ms`),
/// so that its words are heard and not ours, and enough for some hundred lists of the platform.
const ONLINE_MS: u32 = 60_000;
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
    Begun(Aside<Result<Online, host::Error>>),
}

/// The clocks that the plugin has seen: how far each is ahead, in milliseconds, if it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    pub(super) login: Option<i64>,
    pub(super) api: Option<i64>,
}

impl Login {
    /// Begins to log in.
    pub(super) fn begin(setup: &Setup, config: &Config, offline: bool) -> Self {
        let Some(Ok(plugin)) = setup.plugin.as_ref().filter(|_| !offline) else {
            return Self::Offline;
        };
        let (plugin, config) = (plugin.clone(), config.source.config.to_string());
        let within = Duration::from_millis(u64::from(ONLINE_MS) + GRACE_MS);
        Self::Begun(Aside::begin("check-login", within, move |answer| {
            // nobody waits any more if it took too long
            answer.send(plugin.check_online(&config, ONLINE_MS)).ok();
        }))
    }

    /// The rows, and the clocks of the service.
    pub(super) fn items(self) -> (Vec<Item>, Clocks) {
        let Self::Begun(login) = self else {
            return (vec![LOGIN.skipped(OFFLINE)], Clocks::default());
        };
        match login.wait() {
            Ok(Ok(online)) => {
                let clocks = Clocks {
                    login: online.login.clock_skew_ms,
                    api: online.api_clock_skew_ms,
                };
                (found(&online), clocks)
            }
            Ok(Err(error)) => (vec![failed(LOGIN, &error)], Clocks::default()),
            Err(missed) => {
                let mend = "check the network, and source.config.endpoints";
                let row = LOGIN.fails(Exit::Unavailable, missed.to_string(), mend);
                (vec![row], Clocks::default())
            }
        }
    }
}

/// The login, and what was found behind it.
fn found(online: &Online) -> Vec<Item> {
    let findings = online.findings.iter().map(finding);
    let mut items: Vec<Item> = std::iter::once(logged_in(&online.login))
        .chain(findings)
        .collect();
    if let Some(error) = &online.failure
        && items.iter().all(|item| item.failure().is_none())
    {
        items.push(failed(ONLINE, error));
    }
    items
}

/// The row of a finding; a plugin that says too little is given words.
fn finding(found: &Finding) -> Item {
    let detail = match (&found.key, found.detail.is_empty()) {
        (_, true) => "the plugin does not say more".to_owned(),
        (Some(key), _) => format!("source.config.{key}: {}", found.detail),
        (None, _) => found.detail.clone(),
    };
    let (exit, otherwise) = meaning(found.status.unwrap_or(status::FAILED));
    let mend = found.mend.clone().filter(|mend| !mend.is_empty());
    let mend = mend.unwrap_or_else(|| otherwise.to_owned());
    let item = match found.outcome {
        Standing::Ok => ONLINE.holds(detail),
        Standing::Skipped => ONLINE.skipped(detail),
        Standing::Warning => ONLINE.warns(detail, mend),
        Standing::Failed => ONLINE.fails(exit, detail, mend),
    };
    // what is no name would break the form of the report
    let is_name = |id: &str| {
        !id.is_empty()
            && id
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    if is_name(&found.id) {
        item.named(format!("plugin.{}", found.id), found.title.clone())
    } else {
        item
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
    let (exit, otherwise) = meaning(error.status);
    subject.fails_as(exit, &error.to_string(), otherwise)
}

/// The exit that a status of the contract asks for, and what to do where nobody says.
fn meaning(status: i32) -> (Exit, &'static str) {
    match status {
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
    }
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

    #[test]
    fn a_finding_is_a_row_whatever_the_plugin_leaves_out() {
        let found = |id: &str, outcome, detail: &str| Finding {
            id: id.to_owned(),
            title: "a title".to_owned(),
            outcome,
            key: None,
            detail: detail.to_owned(),
            mend: None,
            status: Some(status::AUTH),
        };
        let item = finding(&found("topic", Standing::Failed, "lacks it"));
        assert_eq!(
            (&*item.id, &*item.title, item.failure(), item.detail.as_str()),
            ("plugin.topic", "a title", Some(Exit::Credentials), "lacks it")
        );
        assert_eq!(item.mend.as_deref(), Some("check the credentials and their role"));
        let item = finding(&Finding {
            key: Some("subscription.queues[0]".to_owned()),
            ..found("No Name", Standing::Warning, "is odd")
        });
        assert_eq!(
            (&*item.id, &*item.title, item.detail.as_str()),
            (
                "plugin.online",
                "source online",
                "source.config.subscription.queues[0]: is odd"
            )
        );
        let item = finding(&found("a", Standing::Ok, ""));
        assert_eq!(
            (item.detail.as_str(), item.mend, item.outcome.word()),
            ("the plugin does not say more", None, "ok")
        );
    }

    #[test]
    fn a_failure_that_no_finding_tells_has_a_row_of_its_own() {
        let mut online = Online {
            failure: Some(error(status::IO, "away; wait")),
            ..Online::default()
        };
        let shown = |online: &Online| -> Vec<(String, Option<Exit>)> {
            let items = found(online);
            items
                .iter()
                .map(|item| (item.id.to_string(), item.failure()))
                .collect()
        };
        let login = ("plugin.login".to_owned(), None);
        let online_row = ("plugin.online".to_owned(), Some(Exit::Unavailable));
        assert_eq!(shown(&online), [login.clone(), online_row]);
        online.findings.push(Finding {
            id: "plan".to_owned(),
            title: "plan".to_owned(),
            outcome: Standing::Failed,
            key: None,
            detail: "away".to_owned(),
            mend: None,
            status: Some(status::IO),
        });
        assert_eq!(
            shown(&online),
            [login, ("plugin.plan".to_owned(), Some(Exit::Unavailable))]
        );
    }
}
