//! The scenario over the tutorial's events: a steady feed with repeats, malformed frames, a corpus, and one reset.

use std::path::Path;

use simulator::{Fault, Options, Replay, Simulator};

use super::TRAFFIC_S;
use crate::frames::{Prediction, Staged};

/// Events per second; the mock cluster is made for at most 400.
const RATE: u64 = 300;
/// Conversations that the events belong to.
const CONVERSATIONS: u32 = 200;
/// Percent of events that are sent again.
const DUPLICATES_PERCENT: f64 = 5.0;
/// Percent of events after which a malformed frame is sent.
const MALFORMED_PERCENT: f64 = 1.0;
/// Percent of events without an id, which are known by type, conversation and time.
const WITHOUT_ID_PERCENT: f64 = 5.0;
/// Second at which the connection is reset.
const RESET_S: u64 = 12;
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

/// The sections of the plugin's configuration that belong to this transport.
pub(super) fn config(simulator: &Simulator) -> String {
    format!(
        "\
[source.config.endpoints]
login = \"{login}\"
events = \"{events}\"

[source.config.subscription]
events = [\"interaction\", \"participant\"]
min_interval_ms = 500
",
        login = simulator.login_url(),
        events = simulator.events_url(),
    )
}

/// What happens, in lines.
pub(super) fn described() -> [String; 2] {
    [
        format!(
            "  {RATE} events/s for {TRAFFIC_S} s over {CONVERSATIONS} conversations; {DUPLICATES_PERCENT} % sent twice, \
             {WITHOUT_ID_PERCENT} % without id, {MALFORMED_PERCENT} % malformed frames"
        ),
        format!("  the connection is reset after {RESET_S} s, and events go on meanwhile"),
    ]
}

/// What is replayed, in lines.
pub(super) fn replayed(staged: &Staged) -> [String; 2] {
    let predictions = staged.predictions.values();
    let events = predictions
        .filter(|prediction| matches!(prediction, Prediction::Event { .. }))
        .count();
    let frames = staged.predictions.len();
    [
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
