//! The scenario over notification channels: a contact centre, one channel that is replaced while it is read, one drop.
//!
//! Nothing is named in the subscription, so the plugin plans every queue. The old channel is told of maintenance
//! (`v2.system.socket_closing`) long before it closes; its successor's socket is dropped later, and takes a while to come
//! back.

use std::path::Path;

use simulator::{Fault, NotificationOptions, Options, Simulator};

use super::TRAFFIC_S;

/// Updates of conversations in a second. Most are heard on one queue's topic, some on two.
const UPDATES_PER_S: u64 = 120;
/// Conversations under way at a time.
const CONVERSATIONS: u32 = 60;
/// Queues, each with its topic.
pub(crate) const QUEUES: u32 = 6;
/// Notifications on the first channel before it is told of maintenance.
const CLOSING_AFTER: u64 = 600;
/// Time from that notice to the close, in milliseconds: the platform's minute, scaled.
const CLOSING_MS: u64 = 8_000;
/// Notifications on the second channel before its socket is dropped.
const DROP_AFTER: u64 = 1_000;
/// How long the server takes to accept the new connection, in milliseconds: the larger part of the gap.
const RECONNECT_MS: u64 = 800;
/// Time between two heartbeats, in milliseconds: ten times as fast as the platform's.
const HEARTBEAT_MS: u64 = 3_000;
/// Malformed frames: the channel, the notifications on it before, and the shape.
const MALFORMED: [(u64, u64, &str); 6] = [
    (1, 100, "cut"),
    (1, 250, "types"),
    (1, 400, "text"),
    (2, 700, "cut"),
    (2, 1_200, "types"),
    (2, 1_300, "text"),
];

/// What the simulator plays.
///
/// # Errors
/// A fault that the simulator does not know; not retryable.
pub(crate) fn options(truth: &Path) -> anyhow::Result<Options> {
    let mut faults = vec![
        format!("channel=1:{CLOSING_AFTER} closing {CLOSING_MS}"),
        format!("channel=2:{DROP_AFTER} drop"),
        // the first is the first channel's, the second that of its successor
        format!("connect=3 slow {RECONNECT_MS}"),
    ];
    faults.extend(
        MALFORMED.map(|(channel, after, shape)| format!("channel={channel}:{after} malformed {shape}")),
    );
    Ok(Options {
        seed: 20_26,
        faults: faults
            .iter()
            .map(|fault| fault.parse::<Fault>())
            .collect::<Result<_, _>>()?,
        notifications: NotificationOptions {
            queues: QUEUES,
            conversations: CONVERSATIONS,
            updates_per_s: UPDATES_PER_S,
            updates: Some(UPDATES_PER_S * TRAFFIC_S),
            heartbeat_ms: HEARTBEAT_MS,
            ..NotificationOptions::default()
        },
        truth: Some(truth.to_owned()),
        ..Options::default()
    })
}

/// The sections of the plugin's configuration that belong to this transport: no subscription, so every queue.
pub(super) fn config(simulator: &Simulator) -> String {
    format!(
        "\
[source.config.endpoints]
login = \"{login}\"
api = \"{api}\"
",
        login = simulator.login_url(),
        api = simulator.api_url(),
    )
}

/// What happens, in lines.
pub(super) fn described() -> [String; 4] {
    [
        format!(
            "  a contact centre of {QUEUES} queues: {UPDATES_PER_S} updates/s of {CONVERSATIONS} conversations at a time for \
             {TRAFFIC_S} s (calls, chats, messages, callbacks, e-mail)"
        ),
        "  nothing is named in the configuration, so every queue is planned".to_owned(),
        format!(
            "  the channel is to close for maintenance after {CLOSING_AFTER} notifications: it is replaced while it is read"
        ),
        format!(
            "  the next one's socket is dropped after {DROP_AFTER}, and events go on meanwhile; {} malformed frames",
            MALFORMED.len()
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulator_takes_the_scenario() {
        let options = options(Path::new("truth.jsonl")).unwrap();
        options.check().unwrap();
        assert_eq!(options.faults.len(), 3 + MALFORMED.len());
        // the hand-over is over before the drop, and both before the end of the traffic
        const { assert!(CLOSING_AFTER + DROP_AFTER < UPDATES_PER_S * TRAFFIC_S / 2) };
    }
}
