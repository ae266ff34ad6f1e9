//! The organisation: divisions, groups, users, queues and who is a member of which.
//!
//! Refuses nothing. The invariant: ids and names depend on the seed and the numbers asked for only; memberships change by
//! [`Org::set_member`] alone.

use std::collections::BTreeSet;

use crate::options::Options;
use crate::traffic::uuid_text;

const DIVISION_ID: u64 = 11;
const GROUP_ID: u64 = 12;
const USER_ID: u64 = 13;
const QUEUE_ID: u64 = 14;
/// Presence definitions, wrap-up codes and what else has an id.
pub(super) const OTHER_ID: u64 = 15;

const QUEUE_NAMES: [&str; 6] = ["Support", "Billing", "Sales", "Complaints", "Returns", "Premium"];
const FIRST_NAMES: [&str; 8] = ["Ada", "Bram", "Chidi", "Dilek", "Elif", "Femke", "Goran", "Hana"];
const LAST_NAMES: [&str; 7] = ["Abara", "Brandt", "Costa", "Demir", "Eriksen", "Fujita", "Garcia"];

/// Something with an id and a name, as lists show it and people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The id.
    pub id: String,
    /// The name; unique in its list.
    pub name: String,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) named: Named,
    pub(super) members: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) named: Named,
    pub(super) division: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) named: Named,
    pub(super) division: usize,
    pub(super) members: BTreeSet<usize>,
}

#[derive(Debug)]
pub(super) struct Org {
    seed: u64,
    pub(super) divisions: Vec<Named>,
    pub(super) groups: Vec<Group>,
    pub(super) users: Vec<User>,
    pub(super) queues: Vec<Queue>,
}

pub(super) fn id(seed: u64, space: u64, number: usize) -> String {
    String::from_utf8_lossy(&uuid_text(seed, space, number as u64)).into_owned()
}

// the first of each kind have names as people give them, further ones a number behind
fn name(base: &str, round: usize) -> String {
    if round == 0 {
        base.to_owned()
    } else {
        format!("{base} {:03}", round + 1)
    }
}

impl Org {
    pub(super) fn new(options: &Options) -> Self {
        let (seed, sizes) = (options.seed, &options.notifications);
        let named = |space, number, name| Named {
            id: id(seed, space, number),
            name,
        };
        let divisions = (0..sizes.divisions as usize).map(|n| match n {
            0 => named(DIVISION_ID, n, "Home".to_owned()),
            _ => named(DIVISION_ID, n, name("Branch", n - 1)),
        });
        let divisions: Vec<Named> = divisions.collect();
        let users = (0..sizes.users as usize).map(|n| User {
            named: named(
                USER_ID,
                n,
                name(&format!("{} {}", FIRST_NAMES[n % 8], LAST_NAMES[n % 7]), n / 56),
            ),
            division: n % divisions.len(),
        });
        let users: Vec<User> = users.collect();
        let count = sizes.queues as usize;
        let mut queues: Vec<Queue> = (0..count)
            .map(|n| Queue {
                named: named(QUEUE_ID, n, name(QUEUE_NAMES[n % 6], n / 6)),
                division: n % divisions.len(),
                members: BTreeSet::new(),
            })
            .collect();
        for user in 0..users.len() {
            queues[user % count].members.insert(user);
            queues[(user + 1) % count].members.insert(user);
        }
        let groups = (0..sizes.groups as usize).map(|n| Group {
            named: named(GROUP_ID, n, name("Team", n)),
            members: (n..users.len()).step_by(sizes.groups as usize).collect(),
        });
        Self {
            seed,
            groups: groups.collect(),
            divisions,
            users,
            queues,
        }
    }

    /// The organisation's own id.
    pub(super) fn id(&self) -> String {
        id(self.seed, OTHER_ID, 0)
    }

    /// The wrap-up code of every conversation.
    pub(super) fn wrapup_code(&self) -> String {
        id(self.seed, OTHER_ID, 1)
    }

    /// The flow that every call passes.
    pub(super) fn flow_id(&self) -> String {
        id(self.seed, OTHER_ID, 2)
    }

    /// What that flow comes to.
    pub(super) fn flow_outcome_id(&self) -> String {
        id(self.seed, OTHER_ID, 3)
    }

    /// The script that agents see with a callback.
    pub(super) fn script_id(&self) -> String {
        id(self.seed, OTHER_ID, 4)
    }

    pub(super) fn queue(&self, id: &str) -> Option<(usize, &Queue)> {
        self.queues
            .iter()
            .enumerate()
            .find(|(_, queue)| queue.named.id == id)
    }

    pub(super) fn user(&self, id: &str) -> Option<(usize, &User)> {
        self.users
            .iter()
            .enumerate()
            .find(|(_, user)| user.named.id == id)
    }

    /// Lets a user join or leave a queue; says whether that changes anything.
    pub(super) fn set_member(&mut self, queue: usize, user: usize, joined: bool) -> bool {
        let Some(queue) = self.queues.get_mut(queue) else {
            return false;
        };
        match joined {
            true => queue.members.insert(user),
            false => queue.members.remove(&user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_ids_are_unique_and_every_user_is_in_two_queues() {
        let mut options = Options::default();
        (options.notifications.users, options.notifications.queues) = (300, 40);
        let org = Org::new(&options);
        let names: HashSet<&str> = org.users.iter().map(|user| user.named.name.as_str()).collect();
        let ids: HashSet<&str> = org.users.iter().map(|user| user.named.id.as_str()).collect();
        assert_eq!((names.len(), ids.len()), (300, 300));
        assert_eq!(
            org.queues.iter().map(|queue| queue.members.len()).sum::<usize>(),
            600
        );
        assert_eq!(org.queue(&org.queues[7].named.id).unwrap().0, 7);
    }

    #[test]
    fn a_membership_changes_once() {
        let mut org = Org::new(&Options::default());
        assert!(org.set_member(3, 0, true));
        assert!(!org.set_member(3, 0, true));
        assert!(org.set_member(3, 0, false));
        assert!(!org.set_member(99, 0, true));
    }
}
