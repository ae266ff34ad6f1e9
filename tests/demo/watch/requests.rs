//! A webhook's receiver, and the files that stand in for topics beside it.
//!
//! Responsible for the requests that were answered with success, in the order in which they came, and for the lines of
//! the files. Refuses to take a request that was answered otherwise for a delivery.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use support::Receiver;
use support::receiver::Request;

use super::Reader;
use super::lines::GrowingFile;
use crate::destination::Files;
use crate::evidence::key_of;
use crate::raw::{Place, Raw, Route, Wrapping};

/// A reader of requests and files.
pub(crate) struct RequestReader {
    receiver: Rc<Receiver>,
    seen: usize,
    attempts: HashMap<String, u32>,
    files: [(Route, Wrapping, String, GrowingFile); 3],
}

impl RequestReader {
    /// Begins to read.
    pub(crate) fn new(receiver: Rc<Receiver>, files: &Files) -> Self {
        let file = |route, wrapping, path: &std::path::Path| {
            (
                route,
                wrapping,
                path.display().to_string(),
                GrowingFile::new(path),
            )
        };
        Self {
            receiver,
            seen: 0,
            attempts: HashMap::new(),
            files: [
                file(Route::Audit, Wrapping::Bare, &files.audit),
                file(
                    Route::DeadLetter,
                    Wrapping::Line("dead_letter"),
                    &files.dead_letters,
                ),
                file(Route::Control, Wrapping::Line("control"), &files.control),
            ],
        }
    }

    fn accepted(&mut self, request: Request) -> Option<Raw> {
        let id = request.header("webhook-id").unwrap_or_default().to_owned();
        let attempt = self.attempts.entry(id).or_default();
        *attempt += 1;
        if !request.is_accepted() {
            return None;
        }
        let mut raw = Raw {
            place: Place::Webhook {
                status: request.reply.status().unwrap_or_default(),
                attempt: *attempt,
            },
            key: None,
            headers: request.headers,
            bytes: request.body,
            wrapping: Wrapping::CloudEvent,
        };
        raw.key = raw.record().as_ref().and_then(key_of);
        Some(raw)
    }
}

impl Reader for RequestReader {
    fn read(&mut self, wait: Duration) -> Vec<(Route, Raw)> {
        let mut read = Vec::new();
        let requests = self.receiver.received_since(self.seen);
        self.seen += requests.len();
        for request in requests {
            read.extend(self.accepted(request).map(|raw| (Route::Event, raw)));
        }
        for (route, wrapping, path, file) in &mut self.files {
            // a file that cannot be read now is tried again; what is never read is missing from the proof
            for bytes in file.lines().unwrap_or_default() {
                let raw = Raw {
                    place: Place::File { path: path.clone() },
                    key: None,
                    headers: Vec::new(),
                    bytes,
                    wrapping: *wrapping,
                };
                read.push((*route, raw));
            }
        }
        if read.is_empty() {
            std::thread::sleep(wait);
        }
        read
    }

    fn ends(&mut self) -> anyhow::Result<BTreeMap<Route, u64>> {
        let mut ends = BTreeMap::from([(Route::Event, self.receiver.accepted() as u64)]);
        for (route, .., file) in &self.files {
            ends.insert(*route, file.count()?);
        }
        Ok(ends)
    }

    /// Requests are kept in the order in which they came, lines in that of their file.
    fn arrange(&self, _: &mut [Raw]) -> anyhow::Result<()> {
        Ok(())
    }
}
