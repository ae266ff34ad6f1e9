//! Who and what there is in an organisation: queues and their members, users, groups and theirs, divisions.
//!
//! Refuses to guess: a list is whole, or an error. Each is read page by page, behind what is urgent.

use super::{Rest, RestError};

/// Something with an id and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entity {
    pub(crate) id: String,
    /// Empty where the platform gives none.
    pub(crate) name: String,
    /// Division, where the platform tells it.
    pub(crate) division_id: Option<String>,
}

impl Rest {
    /// The queues that the client's role may see. Needs `routing:queue:view`.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`]. So do all lists here.
    pub(crate) async fn queues(&self) -> Result<Vec<Entity>, RestError> {
        self.list(&["routing", "queues"], &[]).await
    }

    /// The users that take interactions of a queue: its joined members. Needs `routing:queue:view` or
    /// `routing:queueMember:view`.
    pub(crate) async fn queue_members(&self, queue: &str) -> Result<Vec<Entity>, RestError> {
        self.list(&["routing", "queues", queue, "members"], &[("joined", "true")])
            .await
    }

    /// The active users. Needs `directory:user:view`.
    pub(crate) async fn users(&self) -> Result<Vec<Entity>, RestError> {
        self.list(&["users"], &[]).await
    }

    /// The groups. Needs `directory:group:view`.
    pub(crate) async fn groups(&self) -> Result<Vec<Entity>, RestError> {
        self.list(&["groups"], &[]).await
    }

    /// The users of a group. Needs `directory:group:view`.
    pub(crate) async fn group_members(&self, group: &str) -> Result<Vec<Entity>, RestError> {
        self.list(&["groups", group, "members"], &[]).await
    }

    /// The divisions.
    pub(crate) async fn divisions(&self) -> Result<Vec<Entity>, RestError> {
        self.list(&["authorization", "divisions"], &[]).await
    }
}
