//! Planned topics against what the platform offers and what the roles of the OAuth client permit.
//!
//! Responsible for the verdict on each kind of topic, of which there are few whatever the number of topics. Refuses to call a
//! permission missing that the platform does not tell of. Pure: answers in, rows out.

use std::collections::{BTreeMap, HashMap};

use plugin_abi::status;

use super::row::{Row, Subject};
use crate::rest::{AvailableTopic, Permissions};

const TOPIC: Subject = Subject {
    id: "topic",
    title: "topic",
};

/// Most topics that are named where the platform knows none of them.
const MAX_NAMED: usize = 3;

/// What stands for any id in the topics of the platform, and for a conversation that is not seen yet.
pub(super) const SOME_ID: &str = "{id}";

/// Rows for the topics of a plan, single names; one for each kind, and one for each that is not known.
pub(super) fn rows<'a>(
    names: impl IntoIterator<Item = &'a str>,
    available: &[AvailableTopic],
    permissions: Option<&Permissions>,
) -> Vec<Row> {
    let offered = Offered::new(available);
    let mut kinds: BTreeMap<&str, (&AvailableTopic, Vec<&str>)> = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in names {
        match offered.find(name) {
            Some(topic) => kinds.entry(&topic.id).or_insert((topic, Vec::new())).1.push(name),
            None => unknown.push(name),
        }
    }
    let mut rows: Vec<Row> = kinds
        .into_values()
        .map(|(topic, names)| judge(topic, &names, permissions))
        .collect();
    if let Some(shown) = unknown
        .get(..unknown.len().min(MAX_NAMED))
        .filter(|shown| !shown.is_empty())
    {
        let more = match unknown.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        rows.push(TOPIC.fails(
            status::CONFIG,
            format!("the platform offers no topic {}{more}", shown.join(", ")),
            "leave it out, or correct it: subscription.topics, subscription.events and subscription.media",
        ));
    }
    rows
}

fn judge(topic: &AvailableTopic, names: &[&str], permissions: Option<&Permissions>) -> Row {
    let planned = match names.iter().filter(|name| !name.contains(SOME_ID)).count() {
        0 => "for each conversation that is followed".to_owned(),
        1 => "1 topic".to_owned(),
        count => format!("{count} topics"),
    };
    let what = format!("{}: {planned}", topic.id);
    let reachable = |transport: &String| ["all", "websocket"].contains(&transport.to_lowercase().as_str());
    if !topic.transports.is_empty() && !topic.transports.iter().any(reachable) {
        return TOPIC.fails(
            status::CONFIG,
            format!(
                "{what}, which no WebSocket brings, but {}",
                topic.transports.join(" and ")
            ),
            "leave it out of subscription",
        );
    }
    if topic.requires_current_user {
        return TOPIC.fails(
            status::CONFIG,
            format!("{what}, which a user alone may ask for, and an OAuth client is none"),
            "leave it out of subscription",
        );
    }
    let needed = needed(topic);
    if needed.is_empty() {
        return TOPIC.holds(format!("{what}, which needs no permission"));
    }
    let said = |groups: &[&[String]]| {
        let groups: Vec<String> = groups.iter().map(|group| group.join(" or ")).collect();
        groups.join(" and ")
    };
    let Some(permissions) = permissions else {
        let all: Vec<&[String]> = needed.iter().map(Vec::as_slice).collect();
        return TOPIC.warns(
            format!(
                "{what}, which needs {}; the platform does not tell whether the OAuth client has it",
                said(&all)
            ),
            "look at the roles of the OAuth client; a run tells each topic that is refused",
        );
    };
    let lacking = |group: &&Vec<String>| !group.iter().any(|permission| permissions.has(permission));
    let missing: Vec<&[String]> = needed.iter().filter(lacking).map(Vec::as_slice).collect();
    if missing.is_empty() {
        let all: Vec<&[String]> = needed.iter().map(Vec::as_slice).collect();
        return TOPIC.holds(format!("{what}, and the OAuth client has {}", said(&all)));
    }
    let missing = said(&missing);
    TOPIC.fails(
        status::AUTH,
        format!("{what}, and the OAuth client lacks {missing}"),
        format!("add {missing} to a role of the OAuth client, in the divisions concerned"),
    )
}

/// The permissions that a topic needs: of each group one, and each group once.
fn needed(topic: &AvailableTopic) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut add = |group: Vec<String>| {
        if !group.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    };
    for permission in &topic.requires_permissions {
        add(vec![permission.clone()]);
    }
    let enforced = topic
        .permission_details
        .iter()
        .filter(|detail| detail.enforced != Some(false));
    for detail in enforced {
        if detail.kind.to_lowercase().contains("any") {
            add(detail.permissions.clone());
        } else {
            detail
                .permissions
                .iter()
                .for_each(|permission| add(vec![permission.clone()]));
        }
    }
    groups
}

/// The topics on offer, by the number of their parts.
struct Offered<'a> {
    by_length: HashMap<usize, Vec<(Vec<&'a str>, &'a AvailableTopic)>>,
}

impl<'a> Offered<'a> {
    fn new(available: &'a [AvailableTopic]) -> Self {
        let mut by_length: HashMap<usize, Vec<(Vec<&str>, &AvailableTopic)>> = HashMap::new();
        for topic in available {
            let parts: Vec<&str> = topic.id.split('.').collect();
            by_length.entry(parts.len()).or_default().push((parts, topic));
        }
        Self { by_length }
    }

    fn find(&self, name: &str) -> Option<&'a AvailableTopic> {
        let parts: Vec<&str> = name.split('.').collect();
        let fits = |pattern: &[&str]| {
            let pairs = pattern.iter().zip(&parts);
            let mut pairs =
                pairs.map(|(asked, part)| asked.starts_with('{') || asked.eq_ignore_ascii_case(part));
            pairs.all(|fits| fits)
        };
        let of_length = self.by_length.get(&parts.len())?;
        let found = of_length.iter().find(|(pattern, _)| fits(pattern));
        found.map(|(_, topic)| *topic)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::rows;
    use crate::rest::AvailableTopic;

    fn offered(topics: Value) -> Vec<AvailableTopic> {
        serde_json::from_value(topics).unwrap()
    }

    fn told(names: &[&str], available: &[AvailableTopic]) -> Vec<(String, String)> {
        let told = rows(names.iter().copied(), available, None)
            .into_iter()
            .map(|row| {
                let row = serde_json::to_value(row).unwrap();
                let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
                (text("outcome"), text("detail"))
            });
        told.collect()
    }

    #[test]
    fn a_topic_that_no_socket_brings_and_one_for_users_alone_are_failures() {
        let available = offered(json!([
            {"id": "v2.users.{id}.presence", "transports": ["EventBridge", "ProcessAutomation"]},
            {"id": "v2.users.{id}.station", "transports": ["Websocket"], "requiresCurrentUser": true},
            {"id": "v2.users.{id}.activity", "transports": ["All"], "requiresPermissions": null},
        ]));
        let names = [
            "v2.users.u1.presence",
            "v2.users.u1.station",
            "v2.users.u1.activity",
            "v2.users.u2.Activity",
        ];
        let is = |outcome: &str, detail: &str| (outcome.to_owned(), detail.to_owned());
        assert_eq!(
            told(&names, &available),
            [
                is(
                    "ok",
                    "v2.users.{id}.activity: 2 topics, which needs no permission"
                ),
                is(
                    "failed",
                    "v2.users.{id}.presence: 1 topic, which no WebSocket brings, but EventBridge and ProcessAutomation"
                ),
                is(
                    "failed",
                    "v2.users.{id}.station: 1 topic, which a user alone may ask for, and an OAuth client is none"
                ),
            ]
        );
    }

    #[test]
    fn topics_that_are_not_on_offer_are_named_up_to_a_bound() {
        let names = ["v2.a.1", "v2.a.2", "v2.a.3", "v2.a.4", "v2.a.5"];
        let one = "the platform offers no topic v2.a.1".to_owned();
        assert_eq!(told(&names[..1], &[]), [("failed".to_owned(), one)]);
        let many = "the platform offers no topic v2.a.1, v2.a.2, v2.a.3 and 2 more".to_owned();
        assert_eq!(told(&names, &[]), [("failed".to_owned(), many)]);
        assert_eq!(told(&[], &[]), []);
    }

    #[test]
    fn permissions_are_said_with_and_and_or_and_those_that_are_not_enforced_are_left_out() {
        let available = offered(json!([{
            "id": "v2.detail.events.conversation.{id}.acw",
            "requiresPermissions": ["a:b:view"],
            "permissionDetails": [
                {"type": "requiresPermissions", "permissions": ["a:b:view"], "enforced": true},
                {"type": "requiresAnyPermissions", "permissions": ["c:d:view", "e:f:view"]},
                {"type": "requiresPermissions", "permissions": ["g:h:view"], "enforced": false},
            ],
        }]));
        let detail = "v2.detail.events.conversation.{id}.acw: for each conversation that is followed, which needs a:b:view \
                      and c:d:view or e:f:view; the platform does not tell whether the OAuth client has it";
        assert_eq!(
            told(&["v2.detail.events.conversation.{id}.acw"], &available),
            [("warning".to_owned(), detail.to_owned())]
        );
    }
}
