//! The directory of an organisation, read over REST: all that a plan needs, and no more.
//!
//! Responsible for which list is asked for when. Refuses to plan, and to take half a list for a list: at a start
//! it is an error, while a source runs what was known stays. Invariant: what it asks for is what [`plan::reads`] and
//! [`plan::members`] say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::check;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Wishes};
use crate::network;
use crate::plan::{self, Directory, Entity, List};
use crate::queue::Ending;
use crate::rest::{self, Rest, RestError};
use crate::session::status::Status;

/// Failures of single reads in one refresh, from which on the rest is not tried: the service has other troubles then.
const MAX_FAILURES: usize = 5;

/// The lists of a platform, each read whole.
pub(crate) trait Lists {
    /// Reads a list.
    fn list(&self, list: List) -> impl Future<Output = Result<Vec<Entity>, RestError>>;

    /// Reads the ids of those who have joined a queue.
    fn joined(&self, queue: &str) -> impl Future<Output = Result<BTreeSet<String>, RestError>>;

    /// Reads the ids of a group's members.
    fn members(&self, group: &str) -> impl Future<Output = Result<BTreeSet<String>, RestError>>;
}

impl Lists for Rest {
    async fn list(&self, list: List) -> Result<Vec<Entity>, RestError> {
        let entities = match list {
            List::Divisions => self.divisions().await,
            List::Queues => self.queues().await,
            List::Groups => self.groups().await,
            List::Users => self.users().await,
        };
        Ok(entities?.into_iter().map(entity).collect())
    }

    async fn joined(&self, queue: &str) -> Result<BTreeSet<String>, RestError> {
        Ok(ids(self.queue_members(queue).await?))
    }

    async fn members(&self, group: &str) -> Result<BTreeSet<String>, RestError> {
        Ok(ids(self.group_members(group).await?))
    }
}

/// Reads what a plan for `wishes` needs to know. Where a name is unknown the members are not read: the plan says so.
///
/// # Errors
/// [`RestError`] of the first call that gave nothing; see [`RestError::is_retryable`].
pub(crate) async fn directory(lists: &impl Lists, wishes: &Wishes) -> Result<Directory, RestError> {
    let mut directory = Directory::default();
    for list in plan::reads(wishes).lists {
        *place(&mut directory, list) = lists.list(list).await?;
    }
    let Ok(whose) = plan::members(wishes, &directory) else {
        return Ok(directory);
    };
    for queue in whose.queues {
        let joined = lists.joined(&queue).await?;
        directory.queue_members.insert(queue, joined);
    }
    for group in whose.groups {
        let members = lists.members(&group).await?;
        directory.group_members.insert(group, members);
    }
    Ok(directory)
}

/// What a refresh has found.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) directory: Directory,
    /// What is wished for, with ids in place of names.
    pub(crate) wishes: Wishes,
    /// Reads that gave nothing, and those that were not tried after them: what was known is kept.
    pub(crate) kept: usize,
    /// The first failure.
    pub(crate) failure: Option<RestError>,
}

impl Refreshed {
    /// Takes what was read, else what is known of it.
    fn take<T: Clone>(&mut self, read: Option<Result<T, RestError>>, known: Option<&T>) -> Option<T> {
        let failure = match read {
            Some(Ok(read)) => return Some(read),
            Some(Err(failure)) => Some(failure),
            None => None,
        };
        self.kept += 1;
        self.failure = self.failure.take().or(failure);
        known.cloned()
    }
}

/// Reads again what a plan for `wishes` needs to know, for a source that runs: what cannot be read stays as `known` has it,
/// so that no topic is lost by a failure, and what has another name now stays as `before` has it.
pub(crate) async fn refresh(
    lists: &impl Lists,
    written: &Wishes,
    before: &Wishes,
    known: &Directory,
) -> Refreshed {
    let mut found = Refreshed {
        directory: Directory::default(),
        wishes: before.clone(),
        kept: 0,
        failure: None,
    };
    let mut patience = Patience::default();
    for list in plan::reads(written).lists {
        let read = patience.unless_lost(lists.list(list)).await;
        let entities = found.take(read, Some(&list.of(known).to_vec()));
        *place(&mut found.directory, list) = entities.unwrap_or_default();
    }
    found.wishes = plan::pinned(written, before, &found.directory);
    let whose = plan::members_of_found(&found.wishes, &found.directory);
    for queue in whose.queues {
        let read = patience.unless_lost(lists.joined(&queue)).await;
        if let Some(joined) = found.take(read, known.queue_members.get(&queue)) {
            found.directory.queue_members.insert(queue, joined);
        }
    }
    for group in whose.groups {
        let read = patience.unless_lost(lists.members(&group)).await;
        if let Some(members) = found.take(read, known.group_members.get(&group)) {
            found.directory.group_members.insert(group, members);
        }
    }
    found
}

/// Whether further reads of a refresh are worth their calls.
#[derive(Default)]
struct Patience {
    failures: usize,
}

impl Patience {
    /// Reads, unless what came before says that it would be in vain.
    async fn unless_lost<T>(
        &mut self,
        read: impl Future<Output = Result<T, RestError>>,
    ) -> Option<Result<T, RestError>> {
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let read = read.await;
        match &read {
            Ok(_) => {}
            // Of this read alone: a permission, a division, something that was deleted.
            Err(RestError::Forbidden { .. } | RestError::NotFound { .. } | RestError::BadRequest { .. }) => {}
            Err(RestError::Answer { .. } | RestError::Unreadable { .. }) => self.failures += 1,
            // The way to the service, its rate limit or the token: the next read would fail, too.
            Err(
                RestError::Unreachable { .. }
                | RestError::Throttled { .. }
                | RestError::Unauthorized { .. }
                | RestError::Login(_),
            ) => {
                self.failures = MAX_FAILURES;
            }
        }
        Some(read)
    }
}

fn place(directory: &mut Directory, list: List) -> &mut Vec<Entity> {
    match list {
        List::Divisions => &mut directory.divisions,
        List::Queues => &mut directory.queues,
        List::Groups => &mut directory.groups,
        List::Users => &mut directory.users,
    }
}

fn ids(members: Vec<rest::Entity>) -> BTreeSet<String> {
    members.into_iter().map(|member| member.id).collect()
}

/// Logs in and reads the directory for a configuration of the notifications transport, an empty one for another transport;
/// blocks the calling thread, which must not be inside a runtime, for at most `timeout`.
///
/// # Errors
/// An [`Ending`] with a status as [`check::ask`] gives them.
pub fn read(config: &Config, timeout: Duration) -> Result<Directory, Ending> {
    let Some(wishes) = &config.wishes else {
        return Ok(Directory::default());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = network::runtime()?;
    let outcome = network::rest_client(config, &clock, &Arc::new(Status::new())).and_then(|rest| {
        let reading = async { tokio::time::timeout(timeout, directory(&rest, wishes)).await };
        match runtime.block_on(reading) {
            Ok(Ok(directory)) => Ok(directory),
            Ok(Err(error)) => Err(check::ending(&error)),
            Err(_) => Err(check::late("queues, users and their members", timeout)),
        }
    });
    // A resolver call that hangs in the system cannot be cancelled; waiting for it would break the deadline.
    runtime.shutdown_background();
    outcome
}

fn entity(entity: rest::Entity) -> Entity {
    Entity {
        id: entity.id,
        name: entity.name,
        division_id: entity.division_id,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use serde_json::json;

    use super::{Lists, directory, refresh};
    use crate::config::{Config, Wishes};
    use crate::oauth::Obstacle;
    use crate::plan::{self, Directory, Entity, List};
    use crate::rest::RestError;

    /// An organisation of three queues, in which some reads fail.
    #[derive(Default)]
    struct Organisation {
        failures: RefCell<BTreeMap<String, fn() -> RestError>>,
        gone: RefCell<BTreeSet<&'static str>>,
        asked: RefCell<Vec<String>>,
    }

    impl Organisation {
        fn answer<T>(&self, path: &str, answer: T) -> Result<T, RestError> {
            self.asked.borrow_mut().push(path.to_owned());
            match self.failures.borrow().get(path) {
                Some(failure) => Err(failure()),
                None => Ok(answer),
            }
        }

        fn fail(&self, path: &str, failure: fn() -> RestError) {
            self.failures.borrow_mut().insert(path.to_owned(), failure);
        }
    }

    impl Lists for Organisation {
        async fn list(&self, list: List) -> Result<Vec<Entity>, RestError> {
            let entity = |name: &str| Entity {
                id: name.to_owned(),
                name: name.to_owned(),
                division_id: None,
            };
            let gone = self.gone.borrow();
            let names = ["q1", "q2", "q3"].into_iter().filter(|name| !gone.contains(name));
            self.answer(list.path(), names.map(entity).collect())
        }

        async fn joined(&self, queue: &str) -> Result<BTreeSet<String>, RestError> {
            self.answer(queue, BTreeSet::from([format!("user-of-{queue}")]))
        }

        async fn members(&self, group: &str) -> Result<BTreeSet<String>, RestError> {
            self.answer(group, BTreeSet::new())
        }
    }

    fn wishes() -> Wishes {
        let config = json!({"transport": "notifications",
            "subscription": {"queues": ["q1", "q2", "q3"], "events": ["conversations", "presence"]}});
        Config::wishes(&config.to_string()).unwrap()
    }

    fn forbidden() -> RestError {
        RestError::Forbidden {
            call: "GET".to_owned(),
            missing_permissions: vec!["routing:queue:view".to_owned()],
            message: String::new(),
        }
    }

    fn failed() -> RestError {
        RestError::Answer {
            call: "GET".to_owned(),
            status: 500,
            code: None,
            retry_after: None,
        }
    }

    fn late() -> RestError {
        RestError::Unreachable {
            call: "GET".to_owned(),
            reason: "operation timed out".to_owned(),
            obstacle: Obstacle::Deadline,
        }
    }

    fn throttled() -> RestError {
        RestError::Throttled {
            call: "GET".to_owned(),
            retry_after: Duration::from_secs(300),
        }
    }

    fn topics(directory: &Directory) -> Vec<String> {
        plan::replan(&wishes(), directory).0.topics
    }

    #[tokio::test]
    async fn a_read_that_fails_keeps_what_was_known_and_costs_no_topic() {
        for failure in [forbidden, failed, late, throttled] {
            for path in ["q2", "/api/v2/routing/queues"] {
                let organisation = Organisation::default();
                let known = directory(&organisation, &wishes()).await.unwrap();
                organisation.fail(path, failure);
                let refreshed = refresh(&organisation, &wishes(), &wishes(), &known).await;
                assert_eq!(
                    topics(&refreshed.directory),
                    topics(&known),
                    "{path} {:?}",
                    failure()
                );
                assert!(refreshed.kept >= 1);
                let told = refreshed.failure.unwrap().to_string();
                assert_eq!(told, failure().to_string());
            }
        }
    }

    #[tokio::test]
    async fn a_read_that_fails_costs_the_others_nothing() {
        let organisation = Organisation::default();
        let mut known = directory(&organisation, &wishes()).await.unwrap();
        // q3 had nobody yet
        known.queue_members.insert("q3".to_owned(), BTreeSet::new());
        organisation.fail("q1", forbidden);
        let refreshed = refresh(&organisation, &wishes(), &wishes(), &known).await;
        assert_eq!((refreshed.kept, refreshed.directory.queue_members.len()), (1, 3));
        assert_eq!(
            refreshed.directory.queue_members["q3"],
            BTreeSet::from(["user-of-q3".to_owned()])
        );
        assert!(
            directory(&organisation, &wishes()).await.is_err(),
            "a start needs all"
        );
    }

    #[tokio::test]
    async fn a_service_that_is_away_is_not_asked_for_the_rest() {
        let organisation = Organisation::default();
        let known = directory(&organisation, &wishes()).await.unwrap();
        organisation.asked.borrow_mut().clear();
        organisation.fail("q1", throttled);
        let refreshed = refresh(&organisation, &wishes(), &wishes(), &known).await;
        assert_eq!(*organisation.asked.borrow(), ["/api/v2/routing/queues", "q1"]);
        assert_eq!((refreshed.kept, refreshed.directory), (3, known));
    }

    #[tokio::test]
    async fn a_queue_that_is_gone_costs_the_others_no_member() {
        let organisation = Organisation::default();
        let known = directory(&organisation, &wishes()).await.unwrap();
        organisation.gone.borrow_mut().insert("q2");
        let refreshed = refresh(&organisation, &wishes(), &wishes(), &known).await;
        assert_eq!(refreshed.kept, 0);
        let left = topics(&refreshed.directory);
        for topic in topics(&known) {
            assert_eq!(left.contains(&topic), !topic.contains("q2"), "{topic}");
        }
    }
}
