//! The scenario: what the simulator plays and how the adapter is told to run.
//!
//! Responsible for every number of the demo and for the adapter's configuration file. Refuses addresses other than
//! loopback by having none. Invariant: what is sent stays far below the 5 MiB a partition that the mock cluster
//! keeps, so that nothing is evicted before it is read.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use simulator::{Credentials, Fault, Options, Replay, Simulator};
use support::Reply;

use crate::destination::Destination;
use crate::frames::{Prediction, Staged};
use crate::raw::Route;
use crate::sink::Sink;

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
pub(crate) const TOPICS: [(Route, &str, i32); 4] = [
    (Route::Event, EVENTS, 6),
    (Route::Audit, AUDIT, 6),
    (Route::DeadLetter, DEAD_LETTER, 1),
    (Route::Control, CONTROL, 1),
];

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

/// Requests of a webhook that may be unanswered at once: the adapter's default.
pub(crate) const MAX_IN_FLIGHT: usize = 5;
/// What the receiver answers where all is well.
pub(crate) const ACCEPTED: u16 = 200;
/// What it answers to an event that it will not have.
pub(crate) const REFUSAL: u16 = 422;
/// What it answers where the event is to come again, with the words that follow the status.
pub(crate) const AGAIN: [(u16, &str); 2] = [(503, ""), (429, " with Retry-After: 1")];
/// Requests of which one each is refused, answered 503, and answered 429: about 1 in 1,000, 1 in 40 and 1 in 400.
const EVERY: [usize; 3] = [997, 41, 397];

/// How long it takes to accept one: with five at once, three times as many as are needed.
const ANSWER: Duration = Duration::from_millis(5);

/// What the receiver answers to the request of this number: by number alone, so that an event meets another answer when
/// it comes again.
pub(crate) fn reply(number: usize) -> Reply {
    let [refused, unavailable, too_many] = EVERY.map(|every| number % every == every - 1);
    let [(unavailable_status, _), (too_many_status, _)] = AGAIN;
    if refused {
        Reply::Status(REFUSAL)
    } else if unavailable {
        Reply::Status(unavailable_status)
    } else if too_many {
        Reply::WithHeader(too_many_status, "retry-after", "1".to_owned())
    } else {
        Reply::After(ANSWER, ACCEPTED)
    }
}

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
    simulator: &Simulator,
    destination: &Destination,
) -> anyhow::Result<()> {
    let text = format!(
        "\
[source]
library = \"libgenesys_source.so\"   # looked for beside the executable
name = \"{SHARD}\"

[source.config]
transport = \"events\"

[source.config.spool]
dir = \"{spool}\"
max_bytes = 1073741824

[source.config.endpoints]
login = \"{login}\"
events = \"{events}\"

[source.config.subscription]
events = [\"interaction\", \"participant\"]
min_interval_ms = 500

[source.config.reconnect]
min_ms = 200
max_ms = 2000

{destination}
[operations]
metrics_ms = 1000
",
        spool = path.with_file_name("spool").display(),
        login = simulator.login_url(),
        events = simulator.events_url(),
        destination = destination.config(),
    );
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What is about to be shown, in lines.
pub(crate) fn introduction(staged: &Staged, simulator: &Simulator, destination: &Destination) -> Vec<String> {
    let predictions = staged.predictions.values();
    let events = predictions
        .filter(|prediction| matches!(prediction, Prediction::Event { .. }))
        .count();
    let frames = staged.predictions.len();
    let way_out = match destination.sink() {
        Sink::Kafka => "Kafka",
        Sink::Webhook => "webhook",
    };
    let mut lines = vec![
        format!(
            "genesys-kafka demo: simulator → libgenesys_source.so → genesys-kafka → {way_out}, all on loopback"
        ),
        format!("  simulator {}, {}", simulator.address(), destination.described()),
        format!(
            "  {RATE} events/s for {TRAFFIC_S} s over {CONVERSATIONS} conversations; {DUPLICATES_PERCENT} % sent twice, \
             {WITHOUT_ID_PERCENT} % without id, {MALFORMED_PERCENT} % malformed frames"
        ),
        format!("  the connection is reset after {RESET_S} s, and events go on meanwhile"),
    ];
    if destination.sink() == Sink::Webhook {
        let [refused, unavailable, too_many] = EVERY;
        let [(unavailable_status, _), (too_many_status, retry_after)] = AGAIN;
        lines.push(format!(
            "  requests are signed; the receiver takes {} ms and answers {unavailable_status} to one in \
             {unavailable}, {too_many_status}{retry_after} to one in {too_many}, {REFUSAL} to one in {refused}",
            ANSWER.as_millis()
        ));
    }
    lines.extend([
        format!(
            "  {frames} frames replayed from {}, {} left out",
            staged.origin, staged.left_out
        ),
        format!(
            "    (`genesys-source explain --transport events`: events {events}, dead letters {})",
            frames - events
        ),
    ]);
    lines
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

    #[test]
    fn the_receiver_gives_each_of_its_answers_during_the_traffic() {
        let requests = usize::try_from(RATE * TRAFFIC_S).unwrap();
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for number in 0..requests {
            *statuses.entry(reply(number).status().unwrap()).or_default() += 1;
        }
        let expected = [(ACCEPTED, 8_750), (REFUSAL, 9), (429, 22), (503, 219)];
        assert_eq!(statuses, expected.into());
    }
}
