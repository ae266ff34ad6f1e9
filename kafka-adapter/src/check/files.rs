//! The rows about the files that records go to where they have no topic.
//!
//! Responsible for trying each once. Refuses to leave anything behind. Invariant: a file that passes here passes at the
//! start of a run as well, since both try it in the same way.

use std::path::Path;

use super::item::{Item, Subject};
use crate::exit::Exit;
use crate::sink::{Outlet, Route, Routing, try_file};

const AUDIT: Subject = Subject::new("file.audit", "audit file");
const CONTROL: Subject = Subject::new("file.control", "control file");
/// The dead-letter file, which every destination has.
pub(super) const DEAD_LETTER: Subject = Subject::new("file.dead_letter", "dead-letter file");

/// One row for each kind of record that has a file.
pub(super) fn items(routing: &Routing) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (route, outlet) in routing.table() {
        let Outlet::File(path) = outlet else { continue };
        let subject = subject(route);
        // dead letters and their last resort share one
        if items.iter().all(|item| item.id != subject.id) {
            items.push(tried(subject, path, route));
        }
    }
    items
}

fn subject(route: Route) -> Subject {
    match route {
        Route::Audit => AUDIT,
        Route::Control => CONTROL,
        Route::Event | Route::DeadLetter | Route::LastResort => DEAD_LETTER,
    }
}

fn tried(subject: Subject, path: &Path, route: Route) -> Item {
    match try_file(path, route) {
        Ok(file) => subject.holds(format!("{} can be written", file.shown())),
        Err(error) => subject.fails_as(Exit::Config, &error.to_string(), "let this user write there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_tried_once_and_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Outlet::File(folder.path().join(name));
        let routing = Routing {
            events: Outlet::Webhook,
            dead_letters: file("dead.jsonl"),
            control: file("missing/control.jsonl"),
            audit: Outlet::Lines,
            last_resort: file("dead.jsonl"),
        };
        let items = items(&routing);
        let rows: Vec<(&str, &str)> = items
            .iter()
            .map(|item| (&*item.id, item.outcome.word()))
            .collect();
        assert_eq!(rows, [("file.dead_letter", "ok"), ("file.control", "failed")]);
        assert_eq!(
            items[1].mend.as_deref(),
            Some("create its folder and let this user write there, or set control.path to another file")
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
