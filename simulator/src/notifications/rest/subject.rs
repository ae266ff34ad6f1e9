//! What the client's role permits: everything that this simulator asks for, but what it was told to lack.
//!
//! Refuses nothing: the call needs no permission. The invariant: a permission is listed exactly if no request fails for it.

use serde_json::{Value, json};

use crate::notifications::Notifications;
use crate::notifications::rest::{Answered, Call, Refusal};
use crate::notifications::topic;

/// Permissions of the lists.
const LISTS: [&str; 4] = [
    "routing:queue:view",
    "directory:user:view",
    "directory:group:view",
    "analytics:conversationDetail:view",
];

impl Notifications {
    pub(super) fn answer_subject(&self, call: &Call<'_>) -> Answered {
        if call.method != "GET" || call.path[..] != ["authorization", "subjects", "me"] {
            return Err(Refusal::not_found("resource"));
        }
        let missing = &self.options.notifications.missing_permissions;
        let mut held = topic::permissions();
        held.extend(LISTS);
        held.retain(|permission| missing.iter().all(|missing| missing != permission));
        let policies: Vec<Value> = held.into_iter().filter_map(policy).collect();
        Ok(Some(json!({
            "id": "sim-client", "name": "Simulated client", "version": 1,
            "grants": [{
                "subjectId": "sim-client", "division": { "id": "*", "name": "" },
                "role": { "id": "sim-role", "name": "Simulated role", "policies": policies },
            }],
        })))
    }
}

fn policy(permission: &str) -> Option<Value> {
    let (domain, rest) = permission.split_once(':')?;
    let (entity, action) = rest.split_once(':')?;
    Some(json!({ "domain": domain, "entityName": entity, "actions": [action] }))
}
