//! Lists of who and what there is: queues and their members, users, groups and theirs, divisions, the organisation.
//!
//! Refuses, with 403, a role without the permission of the list, and `users/me`, since client credentials have no user.
//! The invariant: each list has an order of its own (queues and members by name, others by number), so that its pages fit together. The
//! permission of a list is the one that the SDKs document, its shape the one that their models have.

use serde_json::{Value, json};

use crate::notifications::Notifications;
use crate::notifications::org::{Named, Queue, User};
use crate::notifications::rest::{Answered, Call, Refusal, page};

impl Notifications {
    pub(super) fn answer_directory(&self, call: &Call<'_>) -> Answered {
        if call.method != "GET" {
            return Err(Refusal::not_found("resource"));
        }
        let org = &self.org;
        let list = |entities: Vec<Value>| page::page(entities, call).map(Some);
        match call.path[..] {
            ["routing", "queues"] => {
                self.demand("routing:queue:view")?;
                let queues = org
                    .queues
                    .iter()
                    .filter(|queue| fits(call, &queue.named, &self.division(queue.division).id));
                let mut queues: Vec<&Queue> = queues.collect();
                by_name(&mut queues, call, |queue| &queue.named);
                list(queues.into_iter().map(|queue| self.queue(queue)).collect())
            }
            ["routing", "queues", id] => {
                self.demand("routing:queue:view")?;
                org.queue(id)
                    .map(|(_, queue)| Some(self.queue(queue)))
                    .ok_or_else(|| Refusal::not_found("queue"))
            }
            ["routing", "queues", id, "members" | "users"] => {
                self.demand("routing:queue:view")?;
                let (_, queue) = org.queue(id).ok_or_else(|| Refusal::not_found("queue"))?;
                // membership here is always joined
                let asked = call
                    .parameter("joined")
                    .is_none_or(|joined| joined.eq_ignore_ascii_case("true"));
                let members = queue
                    .members
                    .iter()
                    .filter(|_| asked)
                    .filter_map(|user| org.users.get(*user));
                let mut members: Vec<&User> = members.collect();
                by_name(&mut members, call, |user| &user.named);
                let member = |user: &User| {
                    json!({
                        "id": user.named.id, "name": user.named.name, "joined": true, "memberBy": "user",
                        "user": { "id": user.named.id, "name": user.named.name },
                    })
                };
                page::page_without_totals(members.into_iter().map(member).collect(), call).map(Some)
            }
            ["users", "me"] => {
                let message = "This request requires a user context. Client credentials cannot be used for requests to this resource.";
                Err(Refusal::new(400, "bad.request", message))
            }
            ["users"] => {
                self.demand("directory:user:view")?;
                let users = org
                    .users
                    .iter()
                    .filter(|user| fits(call, &user.named, &self.division(user.division).id));
                list(users.map(|user| self.user(user)).collect())
            }
            ["users", id] => {
                self.demand("directory:user:view")?;
                org.user(id)
                    .map(|(_, user)| Some(self.user(user)))
                    .ok_or_else(|| Refusal::not_found("user"))
            }
            ["groups"] => {
                self.demand("directory:group:view")?;
                let groups = org.groups.iter().filter(|group| fits(call, &group.named, ""));
                list(
                    groups
                        .map(|group| {
                            json!({
                                "id": group.named.id, "name": group.named.name, "memberCount": group.members.len(),
                                "type": "official", "state": "active",
                            })
                        })
                        .collect(),
                )
            }
            ["groups", id, "members"] => {
                self.demand("directory:group:view")?;
                let group = org.groups.iter().find(|group| group.named.id == id);
                let group = group.ok_or_else(|| Refusal::not_found("group"))?;
                let members = group.members.iter().filter_map(|user| org.users.get(*user));
                list(members.map(|user| self.user(user)).collect())
            }
            ["authorization", "divisions"] => {
                let divisions = org
                    .divisions
                    .iter()
                    .filter(|division| fits(call, division, &division.id));
                let home = |division: &Named| division.id == org.divisions[0].id;
                list(
                    divisions
                        .map(|division| json!({ "id": division.id, "name": division.name, "homeDivision": home(division) }))
                        .collect(),
                )
            }
            ["organizations", "me"] => Ok(Some(
                json!({ "id": org.id(), "name": "Simulated contact centre" }),
            )),
            _ => Err(Refusal::not_found("resource")),
        }
    }

    fn division(&self, number: usize) -> &Named {
        &self.org.divisions[number]
    }

    fn queue(&self, queue: &Queue) -> Value {
        let division = self.division(queue.division);
        json!({
            "id": queue.named.id, "name": queue.named.name, "memberCount": queue.members.len(),
            "division": { "id": division.id, "name": division.name },
            "selfUri": format!("/api/v2/routing/queues/{}", queue.named.id),
        })
    }

    fn user(&self, user: &User) -> Value {
        let division = self.division(user.division);
        json!({
            "id": user.named.id, "name": user.named.name, "state": "active",
            "email": format!("{}@example.org", user.named.name.to_lowercase().replace(' ', ".")),
            "division": { "id": division.id, "name": division.name },
            "selfUri": format!("/api/v2/users/{}", user.named.id),
        })
    }
}

// the SDKs document of queues and of their members: "results are sorted by name"; `sortOrder` turns that round
fn by_name<T>(entities: &mut [&T], call: &Call<'_>, named: impl Fn(&T) -> &Named) {
    entities.sort_by(|a, b| named(a).name.cmp(&named(b).name));
    if call
        .parameter("sortOrder")
        .is_some_and(|order| order.eq_ignore_ascii_case("desc"))
    {
        entities.reverse();
    }
}

// the filters that lists have in common: id, name (with * at either end), division
fn fits(call: &Call<'_>, named: &Named, division: &str) -> bool {
    let ids = call.parameters("id");
    let divisions = call.parameters("divisionId");
    let name = call.parameter("name").is_none_or(|wanted| {
        let (wanted, name) = (wanted.to_lowercase(), named.name.to_lowercase());
        match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
            (Some(_), Some(_)) => name.contains(wanted.trim_matches('*')),
            (Some(end), None) => name.ends_with(end),
            (None, Some(begin)) => name.starts_with(begin),
            (None, None) => name == wanted,
        }
    });
    (ids.is_empty() || ids.contains(&named.id.as_str()))
        && (divisions.is_empty() || divisions.contains(&division))
        && name
}
