//! What the roles of the OAuth client permit.
//!
//! Refuses to take silence for a refusal: roles of which the platform tells no policies give no answer. Divisions and
//! conditions of a grant are left out, so that what is held here may still be refused for a single entity.
//!
//! # Source
//! `GET /api/v2/authorization/subjects/me`, which needs no permission: `AuthzSubject`, `AuthzGrantRole` and
//! `AuthzGrantPolicy` of the vendor's SDKs. That it answers a client without a user is seen in programs of others.

use serde::Deserialize;

use super::limit::Priority;
use super::{Request, Rest, RestError};

/// The permissions of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    policies: Vec<Policy>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    entity_name: String,
    #[serde(default)]
    actions: Vec<String>,
}

impl Policy {
    fn permits(&self, domain: &str, entity: &str, action: &str) -> bool {
        let fits = |held: &str, asked: &str| held == "*" || held.eq_ignore_ascii_case(asked);
        fits(&self.domain, domain)
            && fits(&self.entity_name, entity)
            && self.actions.iter().any(|held| fits(held, action))
    }
}

impl Permissions {
    /// Says whether a permission is held; `permission` is written as the platform does: `routing:queue:view`. The domain
    /// alone, or without an action, stands for any.
    pub(crate) fn has(&self, permission: &str) -> bool {
        let mut parts = permission.split(':');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (domain, entity, action) = (next().unwrap_or_default(), next(), next());
        self.policies.iter().any(|policy| {
            let entity = entity
                .filter(|entity| *entity != "*")
                .unwrap_or(&policy.entity_name);
            match action.filter(|action| *action != "*") {
                Some(action) => policy.permits(domain, entity, action),
                None => policy
                    .actions
                    .iter()
                    .any(|action| policy.permits(domain, entity, action)),
            }
        })
    }
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    grants: Vec<Grant>,
}

#[derive(Deserialize)]
struct Grant {
    role: Option<Role>,
}

#[derive(Deserialize)]
struct Role {
    policies: Option<Vec<Policy>>,
}

impl Subject {
    /// The permissions, unless there are roles and of none of them the policies are told.
    fn permissions(self) -> Option<Permissions> {
        let granted = self.grants.len();
        let roles = self.grants.into_iter().filter_map(|grant| grant.role);
        let policies: Vec<Policy> = roles.filter_map(|role| role.policies).flatten().collect();
        (granted == 0 || !policies.is_empty()).then_some(Permissions { policies })
    }
}

impl Rest {
    /// Asks what the client is permitted; `None` where the platform does not tell.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`].
    pub(crate) async fn permissions(&self) -> Result<Option<Permissions>, RestError> {
        let request = Request::get(&["authorization", "subjects", "me"], &[], Priority::Bulk);
        let subject: Subject = self.call(&request).await?.read()?;
        Ok(subject.permissions())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Permissions, Subject};

    fn told(subject: serde_json::Value) -> Option<Permissions> {
        serde_json::from_value::<Subject>(subject).unwrap().permissions()
    }

    fn of(policies: &serde_json::Value) -> Permissions {
        told(json!({"id": "c", "grants": [{"division": {"id": "d"}, "role": {"id": "r", "policies": policies}}]})).unwrap()
    }

    #[test]
    fn a_policy_permits_what_it_names_and_what_its_stars_stand_for() {
        let held = of(&json!([
            {"domain": "routing", "entityName": "queue", "actions": ["view", "edit"]},
            {"domain": "analytics", "entityName": "*", "actions": ["view"], "condition": null},
            {"domain": "directory", "entityName": "user", "actions": ["*"]},
        ]));
        let asked = [
            ("routing:queue:view", true),
            ("Routing:queue:View", true),
            ("routing:queue:delete", false),
            ("routing:queueMember:view", false),
            ("analytics:conversationDetail:view", true),
            ("analytics:conversationDetail:edit", false),
            ("directory:user:add", true),
            ("routing:queue:*", true),
            ("routing", true),
            ("oauth:client:view", false),
        ];
        for (permission, expected) in asked {
            assert_eq!(held.has(permission), expected, "{permission}");
        }
    }

    #[test]
    fn a_client_without_roles_has_nothing_and_one_whose_policies_are_not_told_may_have_anything() {
        assert_eq!(told(json!({"grants": []})), Some(Permissions::default()));
        let silent =
            json!({"grants": [{"role": {"id": "r", "name": "Employee"}}, {"division": {"id": "d"}}]});
        assert_eq!(told(silent), None);
    }
}
