//! The numbers of the notification service and the size of the contact centre, all of them settable.
//!
//! Refuses values outside their range before anything listens. The invariant: [`NotificationOptions::check`] has passed for
//! every running simulator.

use crate::error::Error;

/// Milliseconds between two heartbeats of the platform.
const HEARTBEAT_MS: u64 = 30_000;

/// Least milliseconds between two heartbeats. A client takes some 35 s of silence for death: the more often heartbeats come
/// than in reality, the less a test says of how that client counts silence.
const MIN_HEARTBEAT_MS: u64 = HEARTBEAT_MS / 10;

/// What the notification service and the contact centre behind it play. The defaults are the platform's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationOptions {
    /// Channels of one OAuth client; one more ends the one used longest ago. Default 20.
    pub channel_limit: usize,
    /// Topics of one channel; more are answered with 400. Default 1,000.
    pub topics_per_channel: usize,
    /// Characters of one topic as asked for. Default 200.
    pub topic_characters: usize,
    /// Life of a channel in milliseconds, from its creation or its last PUT or POST of topics. Default 24 h.
    pub channel_life_ms: u64,
    /// Milliseconds between two heartbeats, at least 3,000: ten times as often as the platform's. Default 30,000.
    pub heartbeat_ms: u64,
    /// Milliseconds from `v2.system.socket_closing` to the close. Default 60,000.
    pub closing_ms: u64,
    /// REST requests of one token in one window. Default 300.
    pub requests_per_window: u64,
    /// Length of that window in milliseconds. Default 60,000.
    pub rate_window_ms: u64,
    /// Lets only the token that created a channel set its topics; others of the client get 404. What the platform does is
    /// not public. Default true.
    pub bound_to_token: bool,
    /// Ends a channel with its token: `token_revoked`, close, 404. What the platform does is not public. Default true.
    pub ends_with_token: bool,
    /// What `connectUri` begins with, where a proxy stands between; none: the simulator itself (`ws://ADDRESS`).
    pub streaming_url: Option<String>,
    /// Permissions that the client's role lacks, for instance `routing:queue:view`.
    pub missing_permissions: Vec<String>,
    /// Topics that are rejected though the role has their permission, as for a queue of another division.
    pub forbidden_topics: Vec<String>,
    /// Queues of the contact centre, 1 to 5,000. Default 6.
    pub queues: u32,
    /// Users, 1 to 5,000; each is a member of two queues. Default 24.
    pub users: u32,
    /// Groups, 0 to 100. Default 3.
    pub groups: u32,
    /// Divisions, 1 to 100. Default 2.
    pub divisions: u32,
    /// Updates of conversations in a second, from the first moment at which a channel has topics and a socket; 0: none
    /// but those that a test publishes. At most 100,000. Default 20.
    pub updates_per_s: u64,
    /// Updates in all; none: endless.
    pub updates: Option<u64>,
    /// Conversations under way at a time, 1 to 10,000. Default 50.
    pub conversations: u32,
    /// A user joins or leaves a queue after each so many updates; 0: never. Default 0.
    pub membership_every: u64,
    /// Stamps bodies with this machine's time; otherwise with `epoch_ms` and the rate, so that runs repeat. Default true.
    pub wall_clock: bool,
    /// Frames that wait for one socket's client; further ones are recorded as unheard. Default 100,000.
    pub max_waiting_frames: usize,
}

impl Default for NotificationOptions {
    fn default() -> Self {
        Self {
            channel_limit: 20,
            topics_per_channel: 1_000,
            topic_characters: 200,
            channel_life_ms: 86_400_000,
            heartbeat_ms: HEARTBEAT_MS,
            closing_ms: 60_000,
            requests_per_window: 300,
            rate_window_ms: 60_000,
            bound_to_token: true,
            ends_with_token: true,
            streaming_url: None,
            missing_permissions: Vec::new(),
            forbidden_topics: Vec::new(),
            queues: 6,
            users: 24,
            groups: 3,
            divisions: 2,
            updates_per_s: 20,
            updates: None,
            conversations: 50,
            membership_every: 0,
            wall_clock: true,
            max_waiting_frames: 100_000,
        }
    }
}

impl NotificationOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Option`], not retryable.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let ranges = [
            ("channel_limit", count(self.channel_limit), 1, 1_000),
            ("topics_per_channel", count(self.topics_per_channel), 1, 100_000),
            ("topic_characters", count(self.topic_characters), 16, 10_000),
            // a hundred years: far from the end of the clock
            ("channel_life_ms", self.channel_life_ms, 1, 3_155_760_000_000),
            ("heartbeat_ms", self.heartbeat_ms, MIN_HEARTBEAT_MS, 3_600_000),
            ("closing_ms", self.closing_ms, 0, 3_600_000),
            ("requests_per_window", self.requests_per_window, 1, 1_000_000_000),
            ("rate_window_ms", self.rate_window_ms, 1, 3_600_000),
            ("queues", u64::from(self.queues), 1, 5_000),
            ("users", u64::from(self.users), 1, 5_000),
            ("groups", u64::from(self.groups), 0, 100),
            ("divisions", u64::from(self.divisions), 1, 100),
            ("updates_per_s", self.updates_per_s, 0, 100_000),
            (
                "conversations of notifications",
                u64::from(self.conversations),
                1,
                10_000,
            ),
            ("max_waiting_frames", count(self.max_waiting_frames), 1, 1_000_000),
        ];
        let wrong = ranges
            .iter()
            .find(|(_, value, least, most)| value < least || value > most);
        wrong.map_or(Ok(()), |(name, value, least, most)| {
            Err(Error::Option {
                name,
                value: value.to_string(),
                rule: match *name {
                    "heartbeat_ms" if value < least => format!(
                        "must be {least} to {most}: heartbeats come at most ten times as often as the platform's, one each \
                         {HEARTBEAT_MS} ms"
                    ),
                    _ => format!("must be {least} to {most}"),
                },
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_out_of_range_is_named_with_its_range() {
        assert!(NotificationOptions::default().check().is_ok());
        let options = NotificationOptions {
            groups: 101,
            ..NotificationOptions::default()
        };
        assert_eq!(
            options.check().unwrap_err().to_string(),
            "option groups is 101, must be 0 to 100"
        );
    }

    #[test]
    fn heartbeats_come_at_most_ten_times_as_often_as_the_platforms() {
        let with = |heartbeat_ms| NotificationOptions {
            heartbeat_ms,
            ..NotificationOptions::default()
        };
        assert!(with(3_000).check().is_ok());
        assert_eq!(
            with(2_999).check().unwrap_err().to_string(),
            "option heartbeat_ms is 2999, must be 3000 to 3600000: heartbeats come at most ten times as often as the \
             platform's, one each 30000 ms"
        );
    }
}
