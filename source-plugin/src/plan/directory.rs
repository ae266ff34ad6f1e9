//! What the platform told of queues, users, groups and divisions: all that a plan is made from.
//!
//! Responsible for the shape, also as a file (`schemas/directory.schema.json`), and for finding what a person wrote in it.
//! Refuses to guess: a name that is not there and one that two have are faults. Invariant: an id wins over a name.

use std::collections::{BTreeMap, BTreeSet};

use config_faults::{Fault, nearest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most names that a fault shows as near to what was written.
const MAX_NEAR: usize = 3;

/// Something that has an id and a name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// Its id, as topics carry it.
    #[schemars(length(min = 1))]
    pub id: String,
    /// Its name, as people write it.
    pub name: String,
    /// The id of the division that it is in, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub division_id: Option<String>,
}

/// What the platform told. Only what a plan needs has to be there; see [`super::Reads`].
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Directory {
    /// Queues that the OAuth client may read: `GET /api/v2/routing/queues`.
    pub queues: Vec<Entity>,
    /// Users: `GET /api/v2/users`.
    pub users: Vec<Entity>,
    /// Groups: `GET /api/v2/groups`.
    pub groups: Vec<Entity>,
    /// Divisions: `GET /api/v2/authorization/divisions`.
    pub divisions: Vec<Entity>,
    /// Ids of the users that have joined a queue, by the queue's id: `GET /api/v2/routing/queues/{id}/members?joined=true`.
    pub queue_members: BTreeMap<String, BTreeSet<String>>,
    /// Ids of a group's members, by the group's id: `GET /api/v2/groups/{id}/members`.
    pub group_members: BTreeMap<String, BTreeSet<String>>,
}

impl Directory {
    /// Returns the JSON Schema of a saved directory, generated from the types that read it.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads a saved directory.
    ///
    /// # Errors
    /// Every fault against the schema, at least one; not retryable.
    pub fn parse(json: &str) -> Result<Self, Vec<Fault>> {
        let value: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| vec![Fault::new("", format!("is not JSON: {error}"))])?;
        let faults = config_faults::check(&Self::schema(), &value);
        if !faults.is_empty() {
            return Err(faults);
        }
        Self::deserialize(value).map_err(|error| vec![Fault::new("", error.to_string())])
    }
}

/// Finds what was written under `path` (`subscription.queues`) among the entities of one kind; `noun` is its singular.
/// What is not found is added to `faults`.
pub(super) fn find<'a>(
    path: &str,
    noun: &str,
    written: &[String],
    entities: &'a [Entity],
    faults: &mut Vec<Fault>,
) -> Vec<&'a Entity> {
    let mut found = Vec::new();
    for (number, text) in written.iter().enumerate() {
        let by_id = entities
            .iter()
            .find(|entity| entity.id.eq_ignore_ascii_case(text));
        let mut by_name = entities.iter().filter(|entity| entity.name == *text);
        match (by_id, by_name.next(), by_name.next()) {
            (Some(entity), _, _) | (None, Some(entity), None) => found.push(entity),
            (None, Some(first), Some(second)) => {
                let ids = [first, second].into_iter().chain(by_name);
                let ids: Vec<&str> = ids.map(|entity| entity.id.as_str()).take(MAX_NEAR + 1).collect();
                let several = format!("{text:?} is the name of more than one {noun}: {}", ids.join(", "));
                let fault = Fault::new(config_faults::entry(path, number), several);
                faults.push(fault.with_mend("write the id of the one that is meant"));
            }
            (None, None, _) => faults.push(absent(&config_faults::entry(path, number), noun, text, entities)),
        }
    }
    found
}

/// A name that nobody has, with those that are near to it.
fn absent(path: &str, noun: &str, text: &str, entities: &[Entity]) -> Fault {
    let fault = Fault::new(
        path,
        format!("no {noun} that the OAuth client may read is called {text:?}"),
    );
    if entities.is_empty() {
        return fault.with_mend(format!(
            "it may read no {noun} at all: grant its role the permission to view them"
        ));
    }
    let mut near: Vec<String> = Vec::new();
    while near.len() < MAX_NEAR {
        let further = entities
            .iter()
            .map(|entity| entity.name.as_str())
            .filter(|name| !near.iter().any(|known| known == name));
        let Some(name) = nearest(text, further) else { break };
        near.push(name);
    }
    let mut near = near.into_iter();
    let fault = fault.with_nearest(near.next());
    let others: Vec<String> = near.map(|name| format!("`{name}`")).collect();
    if others.is_empty() {
        fault.with_mend("write its name as Genesys Cloud shows it, or its id")
    } else {
        fault.with_mend(format!("also near: {}", others.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, Entity, find};

    fn entity(id: &str, name: &str) -> Entity {
        Entity {
            id: id.to_owned(),
            name: name.to_owned(),
            division_id: None,
        }
    }

    fn said(written: &str, entities: &[Entity]) -> (Vec<String>, Vec<String>) {
        let mut faults = Vec::new();
        let found = find(
            "subscription.queues",
            "queue",
            &[written.to_owned()],
            entities,
            &mut faults,
        );
        let ids = found.iter().map(|entity| entity.id.clone()).collect();
        (ids, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_id_wins_over_a_name_and_a_name_must_be_written_as_it_is() {
        let entities = [
            entity("q1", "Support"),
            entity("q2", "q1"),
            entity("q3", "support"),
        ];
        assert_eq!(said("q1", &entities), (vec!["q1".to_owned()], vec![]));
        assert_eq!(said("Q2", &entities), (vec!["q2".to_owned()], vec![]));
        assert_eq!(said("support", &entities), (vec!["q3".to_owned()], vec![]));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_ones() {
        let entities = [
            entity("q1", "Support"),
            entity("q2", "Support E"),
            entity("q3", "Suport"),
            entity("q4", "Billing"),
        ];
        let fault = "subscription.queues[0]: no queue that the OAuth client may read is called";
        assert_eq!(
            said("Supporr", &entities).1,
            [format!(
                "{fault} \"Supporr\"; did you mean `Support`? also near: `Suport`, `Support E`"
            )]
        );
        let mend = "write its name as Genesys Cloud shows it, or its id";
        assert_eq!(said("Xyz", &entities).1, [format!("{fault} \"Xyz\"; {mend}")]);
        assert_eq!(
            said("Support", &[]).1,
            [format!(
                "{fault} \"Support\"; it may read no queue at all: grant its role the permission to view them"
            )]
        );
    }

    #[test]
    fn a_name_that_two_have_is_refused_with_both_ids() {
        let entities = [entity("q1", "Support"), entity("q2", "Support")];
        assert_eq!(
            said("Support", &entities),
            (
                vec![],
                vec![
                    "subscription.queues[0]: \"Support\" is the name of more than one queue: q1, q2; write the id of the one \
                     that is meant"
                        .to_owned()
                ]
            )
        );
    }

    #[test]
    fn a_saved_directory_is_held_against_its_schema() {
        let text = r#"{"queues":[{"id":"q","name":"Q","division_id":"d"}],"queue_members":{"q":["u"]}}"#;
        let directory = Directory::parse(text).unwrap();
        let written = serde_json::to_string(&directory).unwrap();
        assert_eq!(Directory::parse(&written).unwrap(), directory);
        let faults = Directory::parse(r#"{"queue":[],"users":[{"id":""}]}"#).unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["queue", "users[0].id", "users[0].name"]);
    }
}
