//! What users do besides conversations: presences that change, queues that are joined and left.
//!
//! Refuses nothing. The invariant: a change of membership is told on its topic and seen in the lists at once.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::notifications::centre::{Centre, Publication, iso};
use crate::notifications::org::{OTHER_ID, Org, id};

/// What the topic of a queue's members says of a change.
pub(in crate::notifications) fn membership(
    org: &Org,
    queue: usize,
    user: usize,
    joined: bool,
) -> (String, Value) {
    let (queue, user) = (&org.queues[queue].named.id, &org.users[user].named.id);
    let body = json!({ "id": user, "user": { "id": user }, "queueId": queue, "joined": joined });
    (format!("v2.routing.queues.{queue}.users"), body)
}

impl Centre {
    pub(super) fn change_presence(&mut self, org: &Org, correlation: &Arc<str>, now_ms: i64) {
        const PRESENCES: [&str; 4] = ["AVAILABLE", "BUSY", "MEAL", "MEETING"];
        let user = &org.users[self.pick(org.users.len())].named.id;
        let number = self.pick(PRESENCES.len());
        let definition = json!({ "id": id(self.options.seed, OTHER_ID, 10 + number), "systemPresence": PRESENCES[number] });
        let presence = json!({
            "source": "PURECLOUD", "presenceDefinition": definition, "primary": true, "message": "",
            "modifiedDate": iso(now_ms),
        });
        let activity = json!({
            "id": user, "presence": { "presenceDefinition": definition, "modifiedDate": iso(now_ms) },
            "outOfOffice": { "active": false }, "activeQueueIds": [],
        });
        for (name, body) in [("presence", presence), ("activity", activity)] {
            self.publications.push(Publication {
                topic: format!("v2.users.{user}.{name}"),
                conversation: None,
                correlation: Arc::clone(correlation),
                body: Arc::new(body),
            });
        }
    }

    pub(super) fn change_membership(&mut self, org: &mut Org, correlation: &Arc<str>) {
        let (queue, user) = (self.pick(org.queues.len()), self.pick(org.users.len()));
        let joined = !org.queues[queue].members.contains(&user);
        org.set_member(queue, user, joined);
        let (topic, body) = membership(org, queue, user, joined);
        self.publications.push(Publication {
            topic,
            conversation: None,
            correlation: Arc::clone(correlation),
            body: Arc::new(body),
        });
    }
}
