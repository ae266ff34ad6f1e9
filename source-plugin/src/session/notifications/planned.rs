//! What a source's plan has become: wishes, what they were planned from, and topics on their channels.
//!
//! Responsible for saying once what changes: names that are gone, topics without room, channels that are new. Refuses to look
//! anything up.

use std::collections::HashSet;
use std::rc::Rc;

use super::platform::Wanted;
use super::quota::Growth;
use crate::config::Wishes;
use crate::lookup::Refreshed;
use crate::plan::{self, Directory, Followed, Plan, Spread};

/// See the module documentation.
pub(super) struct Planned {
    pub(super) spread: Spread,
    plan: Plan,
    /// What it was planned for, with ids in place of names.
    pub(super) wishes: Wishes,
    /// What it was planned from.
    pub(super) directory: Rc<Directory>,
    /// Not all of that could be read the last time.
    is_kept: bool,
    pub(super) followed: Option<Followed>,
    /// What was said of it last, so that it is said once.
    faults: Vec<String>,
    left_out: usize,
    /// Channels that are needed and have not been counted against the limit.
    uncounted: usize,
}

impl Planned {
    /// Begins with a plan for `wishes`, with ids in place of names, that was made from `directory`.
    pub(super) fn new(wishes: Wishes, plan: Plan, directory: Directory, followed: Option<Followed>) -> Self {
        Self {
            spread: Spread::new(wishes.max_channels),
            plan,
            wishes,
            directory: Rc::new(directory),
            is_kept: false,
            followed,
            faults: Vec::new(),
            left_out: 0,
            uncounted: 0,
        }
    }

    /// Puts the topics on their channels.
    pub(super) fn spread(&mut self) -> Wanted {
        let followed = self.followed.as_ref().map(Followed::topics).unwrap_or_default();
        let before = self.spread.channels();
        let changes = self.spread.assign(self.plan.topics.iter().chain(&followed));
        let left_out = changes.left_out.len();
        if left_out != self.left_out {
            self.left_out = left_out;
            if left_out > 0 {
                tracing::warn!(left_out, "topics over the quota are not listened to");
            }
        }
        self.uncounted += self.spread.channels() - before;
        let channels = (0..).map_while(|number| self.spread.channel(number));
        let shares = channels.map(|topics| topics.iter().cloned().collect::<Vec<_>>().into());
        // What is followed comes behind what is planned, and is promised to nobody.
        let followed: HashSet<&String> = followed.iter().collect();
        let left_out = changes.left_out.iter().filter(|topic| !followed.contains(topic));
        Wanted {
            shares: shares.collect(),
            left_out: left_out.cloned().collect::<Vec<_>>().into(),
        }
    }

    /// Takes what was looked up again; what is wanted then is told by [`Self::spread`].
    pub(super) fn replan(&mut self, refreshed: Refreshed) {
        let directory = refreshed.directory;
        let (plan, faults) = plan::replan(&refreshed.wishes, &directory);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        if faults != self.faults {
            for fault in &faults {
                tracing::warn!(fault, "no longer as it was planned");
            }
            self.faults = faults;
        }
        if let Some(followed) = &mut self.followed {
            followed.bound(&plan);
        }
        let was_kept = std::mem::replace(&mut self.is_kept, refreshed.kept > 0);
        match refreshed.failure {
            Some(error) if !was_kept => tracing::warn!(
                %error,
                kept = refreshed.kept,
                "queues, users or members cannot be looked up again: those that are known stay"
            ),
            None if was_kept => tracing::info!("queues, users and members are looked up again"),
            _ => {}
        }
        (self.plan, self.directory) = (plan, Rc::new(directory));
        self.wishes = refreshed.wishes;
        // For the channels that it takes, which are counted before any of them is made.
        let _wanted = self.spread();
    }

    /// Tells once which channels have come to be needed since the last call.
    pub(super) fn take_growth(&mut self) -> Option<Growth> {
        let further = std::mem::take(&mut self.uncounted);
        let listened = self.spread.channels() - further;
        (further > 0).then_some(Growth { listened, further })
    }
}
