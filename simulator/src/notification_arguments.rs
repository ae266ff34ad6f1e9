//! The command line's part on notification channels.
//!
//! Refuses nothing: the options check their ranges. The invariant: a flag that is not given leaves the platform's number.

use clap::Args;
use simulator::NotificationOptions;

/// Flags on notification channels and the contact centre.
#[derive(Debug, Args)]
#[command(next_help_heading = "Notification channels")]
pub(crate) struct NotificationArguments {
    /// Updates of conversations in a second, once a channel has topics and a socket; 0 for none
    #[arg(long, default_value_t = 20, value_name = "PER_SECOND")]
    updates_per_second: u64,
    /// Updates in all [default: endless]
    #[arg(long, value_name = "COUNT")]
    updates: Option<u64>,
    /// Conversations under way at a time
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    centre_conversations: u32,
    /// Queues of the contact centre
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    queues: u32,
    /// Users; each is a member of two queues
    #[arg(long, default_value_t = 24, value_name = "COUNT")]
    users: u32,
    /// Groups
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    groups: u32,
    /// Divisions
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    divisions: u32,
    /// A user joins or leaves a queue after each so many updates; 0 never
    #[arg(long, default_value_t = 0, value_name = "UPDATES")]
    membership_every: u64,
    /// Stamp bodies with the start time and the rate instead of this machine's time, so that runs repeat
    #[arg(long)]
    own_time: bool,
    /// Channels of one client; one more ends the one used longest ago
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    channel_limit: usize,
    /// Topics of one channel
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    topics_per_channel: usize,
    /// Characters of one topic
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    topic_characters: usize,
    /// Life of a channel, from its creation or its last topics
    #[arg(long, default_value_t = 86_400_000, value_name = "MS")]
    channel_life_ms: u64,
    /// Time between two heartbeats, at least 3000
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    heartbeat_ms: u64,
    /// Time from v2.system.socket_closing to the close
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    closing_ms: u64,
    /// REST requests of one token in one window
    #[arg(long, default_value_t = 300, value_name = "COUNT")]
    requests_per_window: u64,
    /// Length of that window
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    rate_window_ms: u64,
    /// Let any token of the client set a channel's topics, not only the one that created it
    #[arg(long)]
    channels_of_any_token: bool,
    /// Let channels outlive their token
    #[arg(long)]
    channels_outlive_token: bool,
    /// What connectUri begins with, where a proxy stands between [default: ws://ADDRESS]
    #[arg(long, value_name = "URL")]
    streaming_url: Option<String>,
    /// A permission that the role lacks, for instance routing:queue:view; may be given more than once
    #[arg(long, value_name = "PERMISSION")]
    missing_permission: Vec<String>,
    /// A topic that is rejected; may be given more than once
    #[arg(long, value_name = "TOPIC")]
    forbidden_topic: Vec<String>,
}

impl NotificationArguments {
    pub(crate) fn into_options(self) -> NotificationOptions {
        NotificationOptions {
            channel_limit: self.channel_limit,
            topics_per_channel: self.topics_per_channel,
            topic_characters: self.topic_characters,
            channel_life_ms: self.channel_life_ms,
            heartbeat_ms: self.heartbeat_ms,
            closing_ms: self.closing_ms,
            requests_per_window: self.requests_per_window,
            rate_window_ms: self.rate_window_ms,
            bound_to_token: !self.channels_of_any_token,
            ends_with_token: !self.channels_outlive_token,
            streaming_url: self.streaming_url,
            missing_permissions: self.missing_permission,
            forbidden_topics: self.forbidden_topic,
            queues: self.queues,
            users: self.users,
            groups: self.groups,
            divisions: self.divisions,
            updates_per_s: self.updates_per_second,
            updates: self.updates,
            conversations: self.centre_conversations,
            membership_every: self.membership_every,
            wall_clock: !self.own_time,
            ..NotificationOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        notifications: NotificationArguments,
    }

    #[test]
    fn no_flag_gives_the_platforms_numbers_and_each_flag_its_own() {
        let read = |flags: &[&str]| {
            let line = Line::try_parse_from([&["simulator"], flags].concat()).unwrap();
            line.notifications.into_options()
        };
        assert_eq!(read(&[]), NotificationOptions::default());
        let changed = read(&[
            "--heartbeat-ms=3000",
            "--channel-life-ms=60000",
            "--own-time",
            "--channels-outlive-token",
            "--missing-permission=routing:queue:view",
            "--updates=7",
        ]);
        let expected = NotificationOptions {
            heartbeat_ms: 3_000,
            channel_life_ms: 60_000,
            wall_clock: false,
            ends_with_token: false,
            missing_permissions: vec!["routing:queue:view".to_owned()],
            updates: Some(7),
            ..NotificationOptions::default()
        };
        assert_eq!(changed, expected);
    }
}
