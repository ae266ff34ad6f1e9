//! The scenario: what the simulator plays and how the adapter is told to run.
//!
//! Responsible for every number of the demo and for the adapter's configuration file; what one transport alone has is in
//! the module of its name. Refuses addresses other than
//! loopback by having none. Invariant: what is sent stays far below the 5 MiB a partition that the mock cluster
//! keeps, so that nothing is evicted before it is read.

pub(crate) mod events;
pub(crate) mod notifications;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use simulator::{Credentials, Options, Simulator};
use support::Reply;

use crate::destination::Destination;
use crate::frames::Staged;
use crate::raw::Route;
use crate::sink::Sink;
use crate::transport::Transport;

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

/// The topics with their partitions. At 7 KiB a snapshot of a conversation, twelve partitions hold
/// 8,000 in what the mock keeps.
pub(crate) const TOPICS: [(Route, &str, i32); 4] = [
    (Route::Event, EVENTS, 12),
    (Route::Audit, AUDIT, 6),
    (Route::DeadLetter, DEAD_LETTER, 1),
    (Route::Control, CONTROL, 1),
];

/// Length of the traffic, in seconds.
pub(crate) const TRAFFIC_S: u64 = 30;
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

/// What the simulator plays; `staged` are the frames to replay, which only the tutorial's events have.
///
/// # Errors
/// A fault that the simulator does not know; not retryable.
pub(crate) fn options(staged: Option<&Staged>, truth: &Path) -> anyhow::Result<Options> {
    staged.map_or_else(
        || notifications::options(truth),
        |staged| events::options(staged, truth),
    )
}

/// Writes the adapter's configuration.
///
/// # Errors
/// A file that cannot be written; retryable.
pub(crate) fn write_config(
    path: &Path,
    transport: Transport,
    simulator: &Simulator,
    destination: &Destination,
) -> anyhow::Result<()> {
    let text = format!(
        "\
[source]
library = \"libgenesys_source.so\"   # looked for beside the executable
name = \"{SHARD}\"

[source.config]
transport = \"{transport}\"

[source.config.spool]
dir = \"{spool}\"
max_bytes = 1073741824

{source}
[source.config.reconnect]
min_ms = 200
max_ms = 2000

{destination}
[operations]
metrics_ms = 1000
",
        spool = path.with_file_name("spool").display(),
        transport = transport.name(),
        source = match transport {
            Transport::Notifications => notifications::config(simulator),
            Transport::Events => events::config(simulator),
        },
        destination = destination.config(),
    );
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What is about to be shown, in lines.
pub(crate) fn introduction(
    staged: Option<&Staged>,
    simulator: &Simulator,
    destination: &Destination,
) -> Vec<String> {
    let way_out = match destination.sink() {
        Sink::Kafka => "Kafka",
        Sink::Webhook => "webhook",
    };
    let mut lines = vec![
        format!(
            "genesys-kafka demo: simulator → libgenesys_source.so → genesys-kafka → {way_out}, all on loopback"
        ),
        format!("  simulator {}, {}", simulator.address(), destination.described()),
    ];
    match staged {
        None => lines.extend(notifications::described()),
        Some(_) => lines.extend(events::described()),
    }
    if destination.sink() == Sink::Webhook {
        let [refused, unavailable, too_many] = EVERY;
        let [(unavailable_status, _), (too_many_status, retry_after)] = AGAIN;
        lines.push(format!(
            "  requests are signed; the receiver takes {} ms and answers {unavailable_status} to one in \
             {unavailable}, {too_many_status}{retry_after} to one in {too_many}, {REFUSAL} to one in {refused}",
            ANSWER.as_millis()
        ));
    }
    lines.extend(staged.into_iter().flat_map(events::replayed));
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
    fn the_receiver_gives_each_of_its_answers_during_the_traffic() {
        // as many as the tutorial's events
        let requests = 9_000;
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for number in 0..requests {
            *statuses.entry(reply(number).status().unwrap()).or_default() += 1;
        }
        let expected = [(ACCEPTED, 8_750), (REFUSAL, 9), (429, 22), (503, 219)];
        assert_eq!(statuses, expected.into());
    }
}
