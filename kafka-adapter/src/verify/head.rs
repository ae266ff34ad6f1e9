//! The head of a source's last chain in the audit topic: what the first record of its next run cites.
//!
//! Responsible for finding it among the last records of every partition, between those of other sources. Refuses to
//! guess: where the end of a partition shows no record of this source, but has older ones, nothing is cited; and to keep a
//! start waiting for longer than `kafka.start_timeout_ms` and one answer. Invariant: no more than [`TAIL_OFFSETS`] of a
//! partition are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::link::{self, Text};
use super::topic::{Begin, partitions};
use super::{Error, Stream};
use crate::audit::{AuditKey, Hash, Subject};
use crate::sink::KafkaSettings;

/// How much of the end of a partition is read, in offsets: some 350 KB of audit records.
const TAIL_OFFSETS: i64 = 500;

/// What the ends of the partitions show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// The source's last audit record: the last one of the run whose last one is the latest, since a replay beside a run may
    /// begin after it and end before it.
    Is {
        /// The run that it is of.
        run_id: String,
        /// Its hash.
        hash: Hash,
    },
    /// The topic has no record of the source.
    Nothing,
    /// The last record may lie further back than is read.
    Unclear,
}

/// Finds the last audit record of a source in the topic. A record of another key than `key` is taken as it is: the run
/// before may have had another.
///
/// # Errors
/// [`Error::Topic`] if the topic is not there, or it cannot be read within `start_timeout_ms`.
pub fn head_of_topic(
    settings: &KafkaSettings,
    source_name: &str,
    key: Option<&AuditKey>,
) -> Result<Head, Error> {
    let deadline = Instant::now() + Duration::from_millis(settings.start_timeout_ms);
    let in_time = || {
        if Instant::now() < deadline {
            return Ok(());
        }
        Err(Error::Topic {
            topic: settings.topics.audit.clone(),
            servers: settings.bootstrap_servers.clone(),
            reason: format!("its end was not reached within {} ms", settings.start_timeout_ms),
        })
    };
    let partitions = partitions(settings, Begin::BeforeEnd(TAIL_OFFSETS))?;
    let tails = partitions.into_iter().map(|partition| {
        let is_whole = partition.begins_with_the_log;
        (partition, is_whole)
    });
    head(tails, source_name, key, &in_time)
}

/// The end of one partition, and whether that is all of it.
fn head<S: Stream>(
    tails: impl Iterator<Item = (S, bool)>,
    source_name: &str,
    key: Option<&AuditKey>,
    in_time: &dyn Fn() -> Result<(), Error>,
) -> Result<Head, Error> {
    let mut runs = BTreeMap::new();
    for (mut tail, is_whole) in tails {
        let shows_any = last_of_runs(&mut tail, source_name, key, in_time, &mut runs)?;
        if !shows_any && !is_whole {
            return Ok(Head::Unclear);
        }
    }
    // of two that end in one millisecond the one that began later: the order of run ids is that of the starts (UUIDv7)
    let latest = runs
        .into_iter()
        .max_by(|(id, last), (other_id, other)| (&last.at, id).cmp(&(&other.at, other_id)));
    Ok(latest.map_or(Head::Nothing, |(run_id, last)| Head::Is {
        run_id,
        hash: last.hash,
    }))
}

/// The last record of a run.
#[derive(Debug)]
struct Last {
    sequence: u64,
    /// `processedAt`, of which the order is that of times.
    at: String,
    hash: Hash,
}

/// Takes what a stream shows of this source into the last record of each run; says whether it shows any.
fn last_of_runs(
    stream: &mut dyn Stream,
    source_name: &str,
    key: Option<&AuditKey>,
    in_time: &dyn Fn() -> Result<(), Error>,
    runs: &mut BTreeMap<String, Last>,
) -> Result<bool, Error> {
    let (mut shows_any, mut name) = (false, Vec::new());
    while let Some((_, text)) = stream.next()? {
        in_time()?;
        match link::read(&text, key.map_or(&[], std::slice::from_ref)) {
            Text::Audit(link) if !link.is_altered() && is_of(&text, source_name, &mut name) => {
                shows_any = true;
                if runs
                    .get(&link.run_id)
                    .is_none_or(|last| last.sequence < link.sequence)
                {
                    let last = Last {
                        sequence: link.sequence,
                        at: link.at,
                        hash: link.hash,
                    };
                    runs.insert(link.run_id, last);
                }
            }
            _ => {}
        }
    }
    Ok(shows_any)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    audit_id: Cow<'a, str>,
    #[serde(borrow)]
    run_id: Cow<'a, str>,
    sequence: u64,
    source_sequence: Option<u64>,
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// Says whether a record is this source's: its `auditId` is made of the source's name, which only the first record
/// of a run holds in words.
pub(super) fn is_of(text: &[u8], source_name: &str, name: &mut Vec<u8>) -> bool {
    serde_json::from_slice::<Members<'_>>(text).is_ok_and(|members| {
        let subject = Subject {
            source_name,
            place: (&members.run_id, members.sequence),
            source_sequence: members.source_sequence,
            event_id: members.event_id.as_deref(),
            status: &members.status,
        };
        *members.audit_id == *subject.audit_id(name).to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::place::StreamName;
    use super::*;
    use crate::audit::{Chain, Destination, Facts, Status};

    struct Texts(VecDeque<Vec<u8>>);

    impl Stream for Texts {
        fn name(&self) -> StreamName {
            StreamName::Partition("audit".to_owned(), 0)
        }

        fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
            Ok(self.0.pop_front().map(|text| (0, text)))
        }
    }

    /// The records of a run: opened, and two events.
    fn run(run_id: &str, source_name: &str) -> Vec<Vec<u8>> {
        run_at(run_id, source_name, 0)
    }

    fn run_at(run_id: &str, source_name: &str, at_us: i64) -> Vec<Vec<u8>> {
        let mut chain = Chain::new(run_id.to_owned(), source_name.to_owned(), "tag".to_owned());
        let event = |number: u64| Facts {
            status: Status::Processed,
            analytics_id: Some("conversation"),
            event_id: Some("event"),
            destination: Some(Destination::Lines),
            reason: None,
            source_sequence: Some(number),
            counts: None,
        };
        [Facts::of_run(Status::RunOpened, None), event(1), event(2)]
            .iter()
            .map(|facts| {
                let mut bytes = Vec::new();
                chain.append(facts, at_us, &mut bytes);
                bytes
            })
            .collect()
    }

    fn hash_of(record: &[u8]) -> Hash {
        match link::read(record, &[]) {
            Text::Audit(link) => link.hash,
            other => panic!("{other:?}"),
        }
    }

    fn is(run_id: &str, record: &[u8]) -> Head {
        Head::Is {
            run_id: run_id.to_owned(),
            hash: hash_of(record),
        }
    }

    fn of_main(tails: &[(&[&Vec<u8>], bool)]) -> Head {
        let tails = tails.iter().map(|(records, is_whole)| {
            let texts = records.iter().map(|record| (*record).clone()).collect();
            (Texts(texts), *is_whole)
        });
        head(tails, "main", None, &|| Ok(())).unwrap()
    }

    #[test]
    fn the_last_record_of_the_last_run_is_found_in_any_partition_between_those_of_other_sources() {
        let (first, second, other) = (run("run-1", "main"), run("run-2", "main"), run("run-3", "emea"));
        let tails: [(&[&Vec<u8>], bool); 3] = [
            (&[&first[0], &first[2], &second[2], &other[0], &second[0]], false),
            (&[&first[1], &second[1]], false),
            (&[&other[1], &other[2]], true),
        ];
        assert_eq!(of_main(&tails), is("run-2", &second[2]));
        assert_eq!(of_main(&tails[1..]), is("run-2", &second[1]));
    }

    #[test]
    fn a_run_that_goes_on_after_a_replay_beside_it_is_the_last_one() {
        let (longer, replay) = (run_at("run-1", "main", 2_000), run_at("run-2", "main", 1_000));
        let records: Vec<&Vec<u8>> = longer.iter().chain(&replay).collect();
        assert_eq!(of_main(&[(&records, true)]), is("run-1", &longer[2]));
        let later = run_at("run-2", "main", 3_000);
        let records: Vec<&Vec<u8>> = longer.iter().chain(&later).collect();
        assert_eq!(of_main(&[(&records, true)]), is("run-2", &later[2]));
    }

    #[test]
    fn where_the_last_record_cannot_be_told_none_is_cited() {
        let (run, other) = (run("run-1", "main"), run("run-2", "emea"));
        assert_eq!(of_main(&[]), Head::Nothing);
        assert_eq!(of_main(&[(&[&other[0]], true)]), Head::Nothing);
        // what lies before the end of the second partition may be later than all of the first
        assert_eq!(
            of_main(&[(&[&run[0], &run[1]], true), (&[&other[0]], false)]),
            Head::Unclear
        );
        let mut altered = run[2].clone();
        altered[10] ^= 1;
        assert_eq!(
            of_main(&[(&[&run[1], &altered, &b"no record".to_vec()], true)]),
            is("run-1", &run[1])
        );
    }

    #[test]
    fn an_end_that_is_not_reached_in_time_is_an_error_and_no_guess() {
        let run = run("run-1", "main");
        let tail = Texts(run.into_iter().collect());
        let late = || {
            Err(Error::Topic {
                topic: "audit".to_owned(),
                servers: "localhost:9092".to_owned(),
                reason: "late".to_owned(),
            })
        };
        assert_eq!(
            head([(tail, true)].into_iter(), "main", None, &late)
                .unwrap_err()
                .to_string(),
            late().unwrap_err().to_string()
        );
    }
}
