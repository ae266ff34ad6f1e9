//! What was told, and the search through it.

use std::path::Path;

use support::read_back::ReadRecord;
use support::{Process, Stream};

use crate::planted::{DIGITS, secrets};

/// Texts, each with the name of the place where it was found.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Where neither a secret nor the phone number may be.
    clean: Vec<(String, String)>,
    /// Bodies of events and dead letters, where the phone number belongs.
    bodies: Vec<(String, String)>,
}

impl Told {
    /// A text that is not a body.
    pub(crate) fn add(&mut self, place: &str, text: impl Into<String>) {
        self.clean.push((place.to_owned(), text.into()));
    }

    /// Both outputs of a process; lines of standard output that are events or dead letters are bodies.
    pub(crate) fn add_process(&mut self, process: &Process) {
        self.add_lines("standard error", &process.lines(Stream::Stderr));
        self.add_lines("standard output", &process.lines(Stream::Stdout));
    }

    /// Lines, such as those of a process that has ended.
    pub(crate) fn add_lines(&mut self, place: &str, lines: &[String]) {
        for line in lines {
            let is_body = ["{\"kind\":\"event\",", "{\"kind\":\"dead_letter\","]
                .iter()
                .any(|start| line.starts_with(start));
            if is_body {
                self.bodies.push((place.to_owned(), line.clone()));
            } else {
                self.add(place, line.clone());
            }
        }
    }

    /// The files of a folder whose names end in `.jsonl`, a line each.
    pub(crate) fn add_files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.contains(".jsonl") {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                self.add_lines(&name, &lines);
            }
        }
    }

    /// Records of a topic: key and headers are never bodies, the value is one where the caller says so.
    pub(crate) fn add_records(&mut self, topic: &str, records: &[ReadRecord], are_bodies: bool) {
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        for record in records {
            self.add(&format!("a key of {topic}"), text(&record.key));
            for (name, value) in &record.headers {
                self.add(&format!("header {name} of {topic}"), text(value));
            }
            let value = (format!("a value of {topic}"), text(&record.value));
            if are_bodies {
                self.bodies.push(value);
            } else {
                self.clean.push(value);
            }
        }
    }

    /// Fails at the first place that holds what it must not, or if nothing was told that could have.
    pub(crate) fn assert_clean(&self, session_token: Option<&str>) {
        let mut secrets = secrets();
        secrets.extend(session_token.map(str::to_owned));
        for (place, text) in self.clean.iter().chain(&self.bodies) {
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "{place} holds {secret}: {text}");
            }
            // the access tokens are the simulator's: this and 64 digits
            for (at, _) in text.match_indices("sim-") {
                let digits = text.bytes().skip(at + 4).take_while(u8::is_ascii_hexdigit);
                assert!(digits.count() < 16, "{place} holds an access token: {text}");
            }
        }
        for (place, text) in &self.clean {
            assert!(!text.contains(DIGITS), "{place} holds the phone number: {text}");
        }
        assert!(!self.clean.is_empty());
    }

    /// Fails unless the phone number came through to the bodies: what was never there proves nothing.
    pub(crate) fn assert_phone_in_bodies(&self, place: &str) {
        let found = self
            .bodies
            .iter()
            .any(|(at, text)| at.contains(place) && text.contains(DIGITS));
        assert!(found, "no body of {place} holds the phone number");
    }

    /// Fails unless the text was told: a trouble that did not come proves nothing.
    pub(crate) fn assert_told(&self, text: &str) {
        let told = self.clean.iter().any(|(_, told)| told.contains(text));
        assert!(told, "nobody told {text:?}");
    }
}
