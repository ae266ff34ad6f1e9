//! What a simulator plays: traffic, rates, limits, faults and where the ground truth goes.
//!
//! Refuses values outside their range before anything listens. The invariant: [`Options::check`] has passed for every
//! running simulator.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::error::Error;
use crate::fault::{Action, Fault};
use crate::notifications::NotificationOptions;

/// The client credentials that the login accepts. They are made up, yet `Debug` masks the secret all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The OAuth client id.
    pub client_id: String,
    /// The OAuth client secret.
    pub client_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            client_id: "sim-client".to_owned(),
            client_secret: "sim-secret".to_owned(),
        }
    }
}

/// A folder whose files are sent as frames, one each, in order of name.
///
/// Files whose name starts with `.` or `README` are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The folder.
    pub folder: PathBuf,
    /// Sends a file byte for byte; otherwise white space between JSON tokens is left out.
    pub verbatim: bool,
    /// Sends the next file after each so many events; 0: only by the fault action `replay`, all at once.
    pub every: u64,
}

/// Everything a simulator can be told. `Options::default()` is a plain, endless, faultless 100 events/s.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where to listen; loopback only. Default 127.0.0.1:0, a free port.
    pub listen: SocketAddr,
    /// What the login accepts.
    pub credentials: Credentials,
    /// Token lifetime told to clients, and kept, in seconds. Default 86,400, as a Genesys OAuth client without one.
    pub expires_in_s: u64,
    /// Status of `invalid_client` at the login, 400 or 401; which one the platform answers is not public. Default 401.
    pub invalid_client_status: u16,
    /// Logins in one window of `notifications.rate_window_ms`; more are answered with 400 `rate limit exceeded; …`. None: no
    /// such limit, since the platform's is not public. Default none.
    pub logins_per_window: Option<u64>,
    /// How far the clock of login and API (`Date`, and when a channel ends) is ahead of this machine's, in milliseconds; negative: behind.
    pub clock_ahead_ms: i64,
    /// Seed of everything random. Same seed and options: the same event bytes.
    pub seed: u64,
    /// Number of conversations, 1 to 100,000 (each holds about 500 bytes). Default 500.
    pub conversations: u32,
    /// Events per second; 0: as fast as the socket takes them.
    pub rate: u64,
    /// Events in all; none: endless.
    pub events: Option<u64>,
    /// Milliseconds of the own clock after which no more events happen; none: endless.
    pub duration_ms: Option<u64>,
    /// Time stamp of the first event, in milliseconds since 1970. Default 2026-01-01T00:00:00Z, so that runs repeat.
    pub epoch_ms: i64,
    /// Values of `type`, taken in turn by the generator. Default `interaction` and `participant`, as in the tutorial.
    pub event_types: Vec<String>,
    /// Percent of events without `id`.
    pub without_id_percent: f64,
    /// Percent of events after which an earlier event is sent again.
    pub duplicates_percent: f64,
    /// Percent of events after which a malformed frame is sent.
    pub malformed_percent: f64,
    /// Lets the clock stand still while nobody is subscribed, instead of recording due events as unsent.
    pub pause_when_alone: bool,
    /// Least milliseconds between two subscriptions of one session token; 0: no such rule. Default 0.
    pub min_interval_ms: u64,
    /// Largest subscription in bytes. Default 8192, the tutorial's limit.
    pub max_payload_bytes: usize,
    /// The notification channels and the contact centre behind them.
    pub notifications: NotificationOptions,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// Frames from files.
    pub replay: Option<Replay>,
    /// File for the ground truth, as JSON lines.
    pub truth: Option<PathBuf>,
    /// Keeps the raw text of each frame in the ground truth (memory and file). Default true.
    pub truth_frames: bool,
    /// Most lines of ground truth kept in memory; later ones go to the file and the counters only. Default 2,000,000
    /// (88 bytes each).
    pub truth_memory_lines: usize,
    /// Most bytes of frame text kept in memory. Default 256 MiB.
    pub truth_memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            credentials: Credentials::default(),
            expires_in_s: 86_400,
            invalid_client_status: 401,
            logins_per_window: None,
            clock_ahead_ms: 0,
            seed: 1,
            conversations: 500,
            rate: 100,
            events: None,
            duration_ms: None,
            epoch_ms: 1_767_225_600_000,
            event_types: vec!["interaction".to_owned(), "participant".to_owned()],
            without_id_percent: 0.0,
            duplicates_percent: 0.0,
            malformed_percent: 0.0,
            pause_when_alone: false,
            min_interval_ms: 0,
            max_payload_bytes: 8192,
            notifications: NotificationOptions::default(),
            faults: Vec::new(),
            replay: None,
            truth: None,
            truth_frames: true,
            truth_memory_lines: 2_000_000,
            truth_memory_bytes: 256 << 20,
        }
    }
}

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::Option`] or [`Error::Fault`], none retryable.
    pub fn check(&self) -> Result<(), Error> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::NotLoopback { address: self.listen });
        }
        let percents = [
            ("without_id", self.without_id_percent),
            ("duplicates", self.duplicates_percent),
            ("malformed", self.malformed_percent),
        ];
        for (name, value) in percents {
            if !(0.0..=100.0).contains(&value) {
                return Err(out_of_range(name, &value, "must be a percentage from 0 to 100"));
            }
        }
        if !(1..=100_000).contains(&self.conversations) {
            return Err(out_of_range(
                "conversations",
                &self.conversations,
                "must be 1 to 100000",
            ));
        }
        if self.rate > 10_000_000 {
            return Err(out_of_range(
                "rate",
                &self.rate,
                "must be at most 10000000 events/s, or 0 for no limit",
            ));
        }
        // years 1970 to 2200: leaves room for any number of events before the calendar ends
        if !(0..=7_258_118_400_000).contains(&self.epoch_ms) {
            return Err(out_of_range(
                "epoch_ms",
                &self.epoch_ms,
                "must lie in the years 1970 to 2200",
            ));
        }
        if self.expires_in_s == 0 {
            return Err(out_of_range("expires_in", &0, "must be at least 1 second"));
        }
        if !matches!(self.invalid_client_status, 400 | 401) {
            return Err(out_of_range(
                "invalid_client_status",
                &self.invalid_client_status,
                "must be 400 or 401",
            ));
        }
        // a text frame header that holds two length bytes is used for every subscription answer and event
        let types_fit = self
            .event_types
            .iter()
            .all(|name| (1..=256).contains(&name.len()));
        if !types_fit || !(1..=16).contains(&self.event_types.len()) {
            let rule = "must be 1 to 16 names of 1 to 256 bytes";
            return Err(out_of_range("event_types", &self.event_types.len(), rule));
        }
        self.notifications.check()?;
        self.faults.iter().try_for_each(|fault| self.check_fault(fault))
    }

    /// Checks a fault, and that there is a folder where it asks for one.
    pub(crate) fn check_fault(&self, fault: &Fault) -> Result<(), Error> {
        fault.check()?;
        if fault.action == Action::Replay && self.replay.is_none() {
            let reason = "there is no folder to replay; give one with --replay".to_owned();
            return Err(Error::Fault {
                text: format!("{fault:?}"),
                reason,
            });
        }
        Ok(())
    }
}

fn out_of_range(name: &'static str, value: &impl ToString, rule: &str) -> Error {
    Error::Option {
        name,
        value: value.to_string(),
        rule: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_listen_address_is_refused() {
        let options = Options {
            listen: "0.0.0.0:0".parse().unwrap(),
            ..Options::default()
        };
        assert!(matches!(options.check(), Err(Error::NotLoopback { .. })));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let percent = Options {
            duplicates_percent: f64::NAN,
            ..Options::default()
        };
        assert!(percent.check().unwrap_err().to_string().contains("duplicates"));
        let conversations = Options {
            conversations: 0,
            ..Options::default()
        };
        assert!(
            conversations
                .check()
                .unwrap_err()
                .to_string()
                .contains("conversations is 0")
        );
        let status = Options {
            invalid_client_status: 403,
            ..Options::default()
        };
        assert_eq!(
            status.check().unwrap_err().to_string(),
            "option invalid_client_status is 403, must be 400 or 401"
        );
        assert!(Options::default().check().is_ok());
    }

    #[test]
    fn a_replay_fault_needs_a_folder() {
        let options = Options {
            faults: vec!["now replay".parse().unwrap()],
            ..Options::default()
        };
        assert!(options.check().unwrap_err().to_string().contains("--replay"));
    }

    #[test]
    fn debug_output_masks_the_secret() {
        assert!(!format!("{:?}", Options::default()).contains("sim-secret"));
    }
}
