//! Names that stay with the ids that they once had, for a source that runs.
//!
//! Responsible for what was named and goes on under another name, or beside a namesake. Refuses to hold on to an id where
//! somebody alone has the name now. Invariant: each entry of the lists stays at its place.

use super::directory::{Directory, Entity, find};
use crate::config::Wishes;

/// Returns the wishes with an id in place of each name: of the one who has it now, or, where nobody or several have it, what
/// stood there `before`.
#[must_use]
pub fn pinned(written: &Wishes, before: &Wishes, directory: &Directory) -> Wishes {
    let pin = |written: &[String], before: &[String], entities: &[Entity]| {
        let pairs = written.iter().zip(before);
        let ids = pairs.map(|(name, before)| {
            let found = find("", "", std::slice::from_ref(name), entities, &mut Vec::new());
            found.first().map_or(before, |entity| &entity.id).clone()
        });
        ids.collect::<Vec<String>>()
    };
    Wishes {
        queues: pin(&written.queues, &before.queues, &directory.queues),
        users: pin(&written.users, &before.users, &directory.users),
        groups: pin(&written.groups, &before.groups, &directory.groups),
        divisions: pin(&written.divisions, &before.divisions, &directory.divisions),
        ..written.clone()
    }
}
