//! The set of outlets behind the table of routes, as one sink.
//!
//! Responsible for handing each parcel to its outlet and for adding up what the outlets say of themselves. Refuses a
//! route without an outlet. Invariant: a route has one outlet for the whole run.

use std::io::Write;
use std::path::PathBuf;

use crossbeam_channel::{Receiver, never};

use super::kafka::{self, KafkaSettings, KafkaSink};
use super::routing::{Outlet, Routing};
use super::trial::{FileError, try_file};
use super::{
    Failure, Ledger, LinesSink, Meaning, Outcome, Parcel, RecordFile, Rotation, Route, SendError, Sink,
    WebhookSink,
};
use crate::same_file::is_same;

/// Why the outlets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kafka cannot be used.
    #[error(transparent)]
    Kafka(#[from] kafka::StartError),
    /// A file cannot be written. Not retryable.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StartError {
    /// Says whether the same start may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_retryable(),
            Self::File(error) => error.is_retryable(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Kafka,
    Webhook,
    Lines,
    File(usize),
    Absent,
}

/// All outlets of a run, as one sink.
#[derive(Debug)]
pub struct Outlets {
    ways: [Way; 5],
    kafka: Option<KafkaSink>,
    webhook: Option<WebhookSink>,
    lines: Option<LinesSink>,
    files: Vec<RecordFile>,
    nothing: Receiver<Outcome>,
}

impl Outlets {
    /// Sets up the outlets that the table names: tries its files, and connects to Kafka if it names that.
    ///
    /// # Errors
    /// [`StartError`] if a file cannot be written, or if Kafka cannot be reached, lacks a topic, or is named without
    /// settings.
    pub fn start(
        routing: Routing,
        kafka: Option<KafkaSettings>,
        standard_output: Box<dyn Write + Send>,
    ) -> Result<Self, StartError> {
        let table = routing.into_table();
        let mut files: Vec<(PathBuf, RecordFile)> = Vec::new();
        let mut ways = [Way::Absent; 5];
        for ((way, outlet), route) in ways.iter_mut().zip(&table).zip(Route::ALL) {
            *way = match outlet {
                Outlet::Kafka => Way::Kafka,
                Outlet::Webhook => Way::Webhook,
                Outlet::Lines => Way::Lines,
                Outlet::Absent => Way::Absent,
                Outlet::File(path) => {
                    // routes may share a file: one descriptor then, or the lengths would disagree
                    let known = files.iter().position(|(other, _)| is_same(other, path));
                    Way::File(match known {
                        Some(known) => known,
                        None => {
                            files.push((path.clone(), try_file(path, route)?));
                            files.len() - 1
                        }
                    })
                }
            };
        }
        let used: Vec<Route> = Route::ALL
            .into_iter()
            .filter(|route| matches!(ways[route.index()], Way::Kafka))
            .collect();
        let kafka = match kafka {
            Some(settings) if !used.is_empty() => Some(KafkaSink::start(settings, &used)?),
            None if !used.is_empty() => {
                return Err(StartError::Kafka(kafka::StartError::Settings(
                    "a route goes to kafka, but there are no kafka settings".to_owned(),
                )));
            }
            _ => None,
        };
        let lines = ways
            .iter()
            .any(|way| matches!(way, Way::Lines))
            .then(|| LinesSink::new(standard_output));
        Ok(Self {
            ways,
            kafka,
            webhook: None,
            lines,
            files: files.into_iter().map(|(_, file)| file).collect(),
            nothing: never(),
        })
    }

    /// Adds the webhook that the table names.
    #[must_use]
    pub fn with_webhook(self, webhook: Option<WebhookSink>) -> Self {
        Self { webhook, ..self }
    }

    /// Sets the file of the audit records aside, if they go to one, whenever it has grown so far.
    #[must_use]
    pub fn with_audit_rotation(mut self, rotation: Option<Rotation>) -> Self {
        if let Way::File(file) = self.ways[Route::Audit.index()] {
            self.files[file].rotate(rotation);
        }
        self
    }

    /// Why standard output failed, if it did. That its reader went away is a failure only where events go elsewhere:
    /// nobody has asked for them to stop then, and they cannot be resolved without what goes to standard output.
    #[must_use]
    pub fn output_error(&self) -> Option<String> {
        let lines = self.lines.as_ref().filter(|lines| lines.closed())?;
        let to_lines = |route: Route| matches!(self.ways[route.index()], Way::Lines);
        let (what, key) = match (to_lines(Route::Event), to_lines(Route::Audit)) {
            (true, _) => {
                let error = lines.error()?;
                return Some(format!(
                    "{error}; make room where it goes, or let it go elsewhere"
                ));
            }
            (false, true) => ("audit", "audit.to = \"file\" and audit.path"),
            (false, false) => ("control", "control.path"),
        };
        if let Some(error) = lines.error() {
            return Some(format!(
                "{error}, and {what} records go there; make room where it goes, or set {key} to a file"
            ));
        }
        Some(format!(
            "the reader of standard output went away, and {what} records go there: what it did not read is not \
             committed; keep it open, or set {key} to a file"
        ))
    }
}

impl Sink for Outlets {
    fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let way = self.ways[parcel.route.index()];
        match (way, &mut self.kafka, &mut self.webhook, &mut self.lines) {
            (Way::Kafka, Some(kafka), _, _) => return kafka.send(token, parcel),
            (Way::Webhook, _, Some(webhook), _) => return webhook.send(token, parcel),
            (Way::Lines, _, _, Some(lines)) => lines.push(token, parcel),
            (Way::File(file), ..) => self.files[file].push(token, parcel),
            _ => {
                return Err(SendError::Failed(Failure {
                    meaning: Meaning::Blocked,
                    reason: format!(
                        "there is no destination for {} records: set dead_letter.path",
                        parcel.route.kind()
                    ),
                }));
            }
        }
        Ok(())
    }

    fn end_turn(&mut self, outcomes: &mut Vec<Outcome>) {
        if let Some(lines) = &mut self.lines {
            lines.flush(outcomes);
        }
        for file in &mut self.files {
            file.flush(outcomes);
        }
        // one channel wakes the pipeline; audits in Kafka beside a webhook can wait for its next turn
        if let (Some(kafka), Some(_)) = (&self.kafka, &self.webhook) {
            outcomes.extend(kafka.arrivals().try_iter());
        }
    }

    fn arrivals(&self) -> &Receiver<Outcome> {
        match (&self.webhook, &self.kafka) {
            (Some(webhook), _) => webhook.arrivals(),
            (None, Some(kafka)) => kafka.arrivals(),
            (None, None) => &self.nothing,
        }
    }

    fn replace(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        self.end_turn(outcomes);
        if let Some(webhook) = &mut self.webhook {
            webhook.replace(outcomes)?;
        }
        self.kafka
            .as_mut()
            .map_or(Ok(()), |kafka| kafka.replace(outcomes))
    }

    fn fatal(&self) -> Option<String> {
        self.kafka.as_ref().and_then(KafkaSink::fatal)
    }

    fn serial_per_key(&self) -> bool {
        self.webhook.is_some() || self.kafka.as_ref().is_some_and(KafkaSink::serial_per_key)
    }

    fn max_attempts(&self) -> u32 {
        self.webhook.as_ref().map_or(u32::MAX, WebhookSink::max_attempts)
    }

    fn unreachable(&self) -> Option<String> {
        self.kafka.as_ref().and_then(KafkaSink::unreachable)
    }

    fn silent(&self) -> Option<String> {
        let goes_to_kafka = matches!(self.ways[Route::Event.index()], Way::Kafka);
        let kafka = self.kafka.as_ref().filter(|_| goes_to_kafka)?;
        Some(kafka.silent())
    }

    fn closed(&self) -> bool {
        self.lines.as_ref().is_some_and(LinesSink::closed)
    }

    fn is_open(&self, route: Route) -> bool {
        !(matches!(self.ways[route.index()], Way::Lines) && self.closed())
    }

    fn ledger(&mut self) -> Option<&mut dyn Ledger> {
        let kafka = self.kafka.as_mut().filter(|kafka| kafka.is_transactional());
        kafka.map(|kafka| kafka as &mut dyn Ledger)
    }

    fn place(&self, route: Route) -> &str {
        match (self.ways[route.index()], &self.kafka, &self.webhook) {
            (Way::Kafka, Some(kafka), _) => kafka.topic(route),
            (Way::Webhook, _, Some(webhook)) => webhook.endpoint(),
            (Way::File(file), ..) => self.files[file].shown(),
            _ => "lines",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(route: Route) -> Parcel<'static> {
        Parcel {
            route,
            sequence: Some(1),
            key: "k",
            body: b"{}",
            time_us: 0,
            record: None,
            refusal: None,
        }
    }

    #[test]
    fn routes_go_where_the_table_says_and_may_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("side.jsonl");
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        let routing = Routing {
            events: Outlet::Lines,
            dead_letters: Outlet::File(path.clone()),
            control: Outlet::File(folder.path().join("inner/../side.jsonl")),
            audit: Outlet::Lines,
            last_resort: Outlet::Absent,
        };
        let mut outlets = Outlets::start(routing, None, Box::new(std::io::sink())).unwrap();
        assert_eq!(outlets.files.len(), 1, "one descriptor under both spellings");
        let mut outcomes = Vec::new();
        for (token, route) in [Route::Event, Route::DeadLetter, Route::Control, Route::Audit]
            .into_iter()
            .enumerate()
        {
            outlets.send(token as u64, &parcel(route)).unwrap();
        }
        outlets.end_turn(&mut outcomes);
        assert_eq!(outcomes.len(), 4);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert!(outlets.place(Route::Control).ends_with("side.jsonl"));
        assert!(matches!(
            outlets.send(9, &parcel(Route::LastResort)),
            Err(SendError::Failed(_))
        ));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_at_start_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let routing = |audit, control, last_resort| Routing {
            events: Outlet::Lines,
            dead_letters: Outlet::Lines,
            control,
            audit,
            last_resort,
        };
        let start = |routing| Outlets::start(routing, None, Box::new(std::io::sink()));
        let missing = || Outlet::File(folder.path().join("missing").join("records.jsonl"));
        for (routing, key) in [
            (routing(missing(), Outlet::Lines, Outlet::Absent), "audit.path"),
            (routing(Outlet::Lines, missing(), Outlet::Absent), "control.path"),
            (
                routing(Outlet::Lines, Outlet::Lines, missing()),
                "dead_letter.path",
            ),
        ] {
            let error = start(routing).unwrap_err();
            assert!(!error.is_retryable());
            let shown = folder.path().join("missing").join("records.jsonl");
            assert_eq!(
                error.to_string(),
                format!(
                    "{key}: {} cannot be written: No such file or directory (os error 2); create its folder and let this \
                     user write there, or set {key} to another file",
                    shown.display()
                )
            );
        }
        let sound = Outlet::File(folder.path().join("records.jsonl"));
        start(routing(Outlet::Lines, Outlet::Lines, sound)).unwrap();
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "no empty file is left"
        );
    }

    #[test]
    fn a_route_to_kafka_without_settings_is_refused_at_start() {
        let routing = Routing {
            events: Outlet::Kafka,
            dead_letters: Outlet::Kafka,
            control: Outlet::Kafka,
            audit: Outlet::Kafka,
            last_resort: Outlet::Absent,
        };
        assert!(matches!(
            Outlets::start(routing, None, Box::new(std::io::sink())),
            Err(StartError::Kafka(kafka::StartError::Settings(_)))
        ));
    }
}
