//! Which lists of the platform a plan needs, and what was chosen from them.
//!
//! Responsible for asking for no more than is needed: each list takes calls of a limit that all share, and a permission.
//! Refuses to take members that were not read for none. Invariant: [`reads`] depends on the wishes alone, so that it can
//! be printed before anything is asked.

use std::collections::{BTreeMap, BTreeSet};

use config_faults::Fault;

use super::directory::{Directory, Entity, find};
use crate::config::{Scope, Wishes};

/// A list that is read whole, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Divisions, by name or id.
    Divisions,
    /// Queues that the OAuth client may read.
    Queues,
    /// Groups.
    Groups,
    /// Users.
    Users,
}

impl List {
    /// Path of the call.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Divisions => "/api/v2/authorization/divisions",
            Self::Queues => "/api/v2/routing/queues",
            Self::Groups => "/api/v2/groups",
            Self::Users => "/api/v2/users",
        }
    }

    /// The entities of the list, once they are read.
    #[must_use]
    pub fn of(self, directory: &Directory) -> &[Entity] {
        match self {
            Self::Divisions => &directory.divisions,
            Self::Queues => &directory.queues,
            Self::Groups => &directory.groups,
            Self::Users => &directory.users,
        }
    }
}

/// What has to be read before there can be a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Lists, first.
    pub lists: BTreeSet<List>,
    /// Then the members of the queues that were chosen from them: [`members`] says which.
    pub queue_members: bool,
    /// And those of the groups.
    pub group_members: bool,
}

/// Ids of those whose members have to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Queues.
    pub queues: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
}

/// Says what has to be read for a set of wishes, before anything is.
#[must_use]
pub fn reads(wishes: &Wishes) -> Reads {
    let needed = [
        (List::Divisions, !wishes.divisions.is_empty()),
        (List::Queues, wishes.wants_queues()),
        (List::Groups, !wishes.groups.is_empty()),
        (List::Users, !wishes.users.is_empty()),
    ];
    Reads {
        lists: needed
            .into_iter()
            .filter(|list| list.1)
            .map(|list| list.0)
            .collect(),
        queue_members: wishes.wants_queues() && wishes.has(Scope::User),
        group_members: !wishes.groups.is_empty(),
    }
}

/// Says whose members have to be read, once the lists are.
///
/// # Errors
/// Names that are unknown or ambiguous, at least one; not retryable with the same lists.
pub fn members(wishes: &Wishes, directory: &Directory) -> Result<Members, Vec<Fault>> {
    let mut faults = Vec::new();
    let chosen = choose(wishes, directory, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(chosen.whose(wishes))
}

/// Says whose members have to be read of what is still there, for a source that runs: a name that nobody has any more must
/// not cost the others their members.
#[must_use]
pub fn members_of_found(wishes: &Wishes, directory: &Directory) -> Members {
    choose(wishes, directory, &mut Vec::new()).whose(wishes)
}

/// What was written, found.
#[derive(Debug, Default)]
pub(super) struct Chosen<'a> {
    queues: BTreeMap<&'a str, &'a Entity>,
    groups: BTreeMap<&'a str, &'a Entity>,
    named_users: BTreeSet<&'a str>,
}

/// Finds what was written.
pub(super) fn choose<'a>(wishes: &Wishes, directory: &'a Directory, faults: &mut Vec<Fault>) -> Chosen<'a> {
    let by_id = |entities: Vec<&'a Entity>| entities.into_iter().map(|entity| (entity.id.as_str(), entity));
    let mut chosen = Chosen::default();
    if wishes.every_queue() {
        chosen.queues.extend(by_id(directory.queues.iter().collect()));
    }
    let (queues, divisions) = (&directory.queues, &directory.divisions);
    let path = "subscription.queues";
    chosen
        .queues
        .extend(by_id(find(path, "queue", &wishes.queues, queues, faults)));
    for (number, written) in wishes.divisions.iter().enumerate() {
        let path = "subscription.divisions";
        let mut absent = Vec::new();
        let found = find(
            path,
            "division",
            std::slice::from_ref(written),
            divisions,
            &mut absent,
        );
        // each is looked for alone, so the number in the path is always 0
        faults.extend(absent.into_iter().map(|mut fault| {
            fault.path = config_faults::entry(path, number);
            fault
        }));
        for division in found {
            let inside = queues
                .iter()
                .filter(|queue| queue.division_id.as_ref() == Some(&division.id));
            let inside: Vec<&Entity> = inside.collect();
            if inside.is_empty() {
                let said = format!("no queue that the OAuth client may read is in division {written:?}");
                let fault = Fault::new(config_faults::entry(path, number), said);
                faults.push(fault.with_mend("leave it out, or give the client's role that division"));
            }
            chosen.queues.extend(by_id(inside));
        }
    }
    let path = "subscription.groups";
    chosen.groups.extend(by_id(find(
        path,
        "group",
        &wishes.groups,
        &directory.groups,
        faults,
    )));
    let users = find(
        "subscription.users",
        "user",
        &wishes.users,
        &directory.users,
        faults,
    );
    chosen
        .named_users
        .extend(users.into_iter().map(|user| user.id.as_str()));
    chosen
}

impl<'a> Chosen<'a> {
    fn whose(&self, wishes: &Wishes) -> Members {
        let reads = reads(wishes);
        let ids = |entities: &BTreeMap<&str, &Entity>, needed: bool| {
            let ids = entities.keys().filter(|_| needed);
            ids.map(|id| (*id).to_owned()).collect()
        };
        Members {
            queues: ids(&self.queues, reads.queue_members),
            groups: ids(&self.groups, reads.group_members),
        }
    }

    /// Ids of the queues, sorted.
    pub(super) fn queue_ids(&self) -> Vec<&'a str> {
        self.queues.keys().copied().collect()
    }

    /// Ids of the users that are named, and of the members of groups that are.
    pub(super) fn users(&self, directory: &'a Directory, faults: &mut Vec<Fault>) -> BTreeSet<&'a str> {
        let mut users = self.named_users.clone();
        users.extend(joined("group", &self.groups, &directory.group_members, faults));
        users
    }

    /// Ids of the members of the queues.
    pub(super) fn members(&self, directory: &'a Directory, faults: &mut Vec<Fault>) -> BTreeSet<&'a str> {
        joined("queue", &self.queues, &directory.queue_members, faults)
    }
}

fn joined<'a>(
    noun: &str,
    entities: &BTreeMap<&'a str, &'a Entity>,
    members: &'a BTreeMap<String, BTreeSet<String>>,
    faults: &mut Vec<Fault>,
) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    for (id, entity) in entities {
        match members.get(*id) {
            Some(members) => all.extend(members.iter().map(String::as_str)),
            None => {
                let said = format!("the members of {noun} {:?} ({id}) were not read", entity.name);
                let fault = Fault::new("subscription", said);
                faults.push(fault.with_mend("read the directory again, with the permission to view them"));
            }
        }
    }
    all
}
