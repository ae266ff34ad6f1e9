//! The scenario: what the simulator plays and how the adapter is told to run.
//!
//! Responsible for every number of the demo and for the adapter's configuration file. Refuses addresses other than
//! loopback by having none. Invariant: what is sent stays far below the 5 MiB a partition that the mock cluster
//! keeps, so that nothing is evicted before it is read.

use std::path::Path;

use anyhow::Context as _;
use simulator::{Credentials, Fault, Options, Replay, Simulator};

use crate::frames::{Prediction, Staged};

/// Name of the shard.
pub(crate) const SHARD: &str = "demo";
/// Topic of the events.
pub(crate) const EVENTS: &str = "genesys.events";
/// Topic of the audit records.
pub(crate) const AUDIT: &str = "genesys.audit";
/// Topic of the dead letters.
pub(crate) const DEAD_LETTER: &str = "genesys.dead-letter";
/// Topic of the control records.
pub(crate) const CONTROL: &str = "genesys.control";

/// The topics with their partitions. At 1.2 KiB an event, six partitions hold 25,000 events in what the mock keeps.
pub(crate) const TOPICS: [(&str, i32); 4] = [(EVENTS, 6), (AUDIT, 6), (DEAD_LETTER, 1), (CONTROL, 1)];

/// Events per second; the mock cluster is made for at most 400.
pub(crate) const RATE: u64 = 300;
/// Length of the traffic, in seconds.
pub(crate) const TRAFFIC_S: u64 = 30;
/// Conversations that the events belong to.
pub(crate) const CONVERSATIONS: u32 = 200;
/// Percent of events that are sent again.
pub(crate) const DUPLICATES_PERCENT: f64 = 5.0;
/// Percent of events after which a malformed frame is sent.
pub(crate) const MALFORMED_PERCENT: f64 = 1.0;
/// Percent of events without an id, which are known by type, conversation and time.
pub(crate) const WITHOUT_ID_PERCENT: f64 = 5.0;
/// Second at which the connection is reset.
pub(crate) const RESET_S: u64 = 12;
/// How long the server takes to accept the new connection, in milliseconds: the larger part of the gap.
const RECONNECT_MS: u64 = 800;
/// Events between two replayed frames: the 53 of the corpus are through after 5,300 of 9,000.
const REPLAY_EVERY: u64 = 100;

/// What the simulator plays.
///
/// # Errors
/// A fault that the simulator does not know; not retryable.
pub(crate) fn options(staged: &Staged, truth: &Path) -> anyhow::Result<Options> {
    let faults = [
        format!("at={} reset", RESET_S * 1_000),
        format!("connect=2 slow {RECONNECT_MS}"),
    ];
    Ok(Options {
        seed: 20_26,
        conversations: CONVERSATIONS,
        rate: RATE,
        events: Some(RATE * TRAFFIC_S),
        without_id_percent: WITHOUT_ID_PERCENT,
        duplicates_percent: DUPLICATES_PERCENT,
        malformed_percent: MALFORMED_PERCENT,
        faults: faults
            .iter()
            .map(|fault| fault.parse::<Fault>())
            .collect::<Result<_, _>>()?,
        replay: Some(Replay {
            folder: staged.folder.clone(),
            verbatim: false,
            every: REPLAY_EVERY,
        }),
        truth: Some(truth.to_owned()),
        ..Options::default()
    })
}

/// Writes the adapter's configuration.
///
/// # Errors
/// A file that cannot be written; retryable.
pub(crate) fn write_config(
    path: &Path,
    bootstrap_servers: &str,
    simulator: &Simulator,
    last_resort: &Path,
) -> anyhow::Result<()> {
    let text = format!(
        "\
[source]
library = \"libgenesys_source.so\"   # looked for beside the executable
name = \"{SHARD}\"

[source.config]
transport = \"events\"

[source.config.endpoints]
login = \"{login}\"
events = \"{events}\"

[source.config.subscription]
events = [\"interaction\", \"participant\"]
min_interval_ms = 500

[source.config.reconnect]
min_ms = 200
max_ms = 2000

[delivery]
to = \"kafka\"
guarantee = \"at_least_once\"

[kafka]
bootstrap_servers = \"{bootstrap_servers}\"

[dead_letter]
path = '{last_resort}'

[operations]
metrics_ms = 1000
",
        login = simulator.login_url(),
        events = simulator.events_url(),
        last_resort = last_resort.display(),
    );
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What is about to be shown, in lines.
pub(crate) fn introduction(staged: &Staged, simulator: &Simulator, bootstrap_servers: &str) -> Vec<String> {
    let predictions = staged.predictions.values();
    let events = predictions
        .filter(|prediction| matches!(prediction, Prediction::Event { .. }))
        .count();
    let frames = staged.predictions.len();
    vec![
        "genesys-kafka demo: simulator → libgenesys_source.so → genesys-kafka → Kafka, all on loopback"
            .to_owned(),
        format!(
            "  simulator {}, librdkafka's mock cluster {bootstrap_servers}",
            simulator.address()
        ),
        format!(
            "  {RATE} events/s for {TRAFFIC_S} s over {CONVERSATIONS} conversations; {DUPLICATES_PERCENT} % sent twice, \
             {WITHOUT_ID_PERCENT} % without id, {MALFORMED_PERCENT} % malformed frames"
        ),
        format!("  the connection is reset after {RESET_S} s, and events go on meanwhile"),
        format!(
            "  {frames} frames replayed from {}, {} left out",
            staged.origin, staged.left_out
        ),
        format!(
            "    (`genesys-source explain --transport events`: events {events}, dead letters {})",
            frames - events
        ),
    ]
}

/// The environment variables that the adapter's plugin reads its credentials from.
pub(crate) fn credentials() -> [(&'static str, String); 2] {
    let credentials = Credentials::default();
    [
        ("OAUTH_CLIENT_ID", credentials.client_id),
        ("OAUTH_CLIENT_SECRET", credentials.client_secret),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_simulator_takes_the_scenario() {
        let staged = Staged {
            folder: "replay".into(),
            predictions: BTreeMap::new(),
            origin: "",
            left_out: 0,
        };
        let options = options(&staged, Path::new("truth.jsonl")).unwrap();
        options.check().unwrap();
        assert_eq!(options.faults.len(), 2);
        const { assert!(RATE <= 400 && RESET_S < TRAFFIC_S) };
    }
}
