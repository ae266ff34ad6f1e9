//! The directory of an organisation, read over REST: all that a plan needs, and no more.
//!
//! Responsible for which list is asked for when. Refuses to plan, and to go on where a list is not whole. Invariant: what it
//! asks for is what [`plan::reads`] and [`plan::members`] say.

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

/// Reads what a plan for `wishes` needs to know. Where a name is unknown the members are not read: the plan says so.
///
/// # Errors
/// [`RestError`] of the first call that gave nothing; see [`RestError::is_retryable`].
pub(crate) async fn directory(rest: &Rest, wishes: &Wishes) -> Result<Directory, RestError> {
    let mut directory = Directory::default();
    for list in plan::reads(wishes).lists {
        let entities = match list {
            List::Divisions => rest.divisions().await,
            List::Queues => rest.queues().await,
            List::Groups => rest.groups().await,
            List::Users => rest.users().await,
        };
        let entities: Vec<Entity> = entities?.into_iter().map(entity).collect();
        match list {
            List::Divisions => directory.divisions = entities,
            List::Queues => directory.queues = entities,
            List::Groups => directory.groups = entities,
            List::Users => directory.users = entities,
        }
    }
    let Ok(members) = plan::members(wishes, &directory) else {
        return Ok(directory);
    };
    let ids = |members: Vec<rest::Entity>| members.into_iter().map(|member| member.id).collect();
    for queue in members.queues {
        let members = rest.queue_members(&queue).await?;
        directory.queue_members.insert(queue, ids(members));
    }
    for group in members.groups {
        let members = rest.group_members(&group).await?;
        directory.group_members.insert(group, ids(members));
    }
    Ok(directory)
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
