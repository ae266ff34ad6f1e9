//! The REST side as a client sees it: tokens, rate limit, lists and their pages, memberships, history.
//! Over 400 lines: one test for each path of the REST side, sharing the played centre.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::collections::{BTreeMap, BTreeSet};

use client::*;
use serde_json::{Value, json};
use simulator::{Options, Simulator};

#[test]
fn a_request_without_a_valid_token_is_refused_with_its_code() {
    let simulator = quiet(|_| {});
    for (token, code) in [("", "authentication.required"), ("sim-wrong", "bad.credentials")] {
        let answer = get(&simulator, token, "routing/queues");
        assert_eq!(
            (answer.status, &answer.body["code"], &answer.body["status"]),
            (401, &code.into(), &401.into())
        );
        assert_eq!(
            answer.header("inin-correlation-id"),
            answer.body["contextId"].as_str()
        );
        assert_eq!(answer.header("inin-ratelimit-count"), None);
    }
    let token = token(&simulator);
    assert_eq!(get(&simulator, &token, "no/such/thing").status, 404);
    // client credentials have no user
    assert_eq!(get(&simulator, &token, "users/me").status, 400);
}

#[test]
fn requests_over_the_rate_are_told_when_to_come_again_and_each_token_has_its_own() {
    let simulator = quiet(|settings| settings.requests_per_window = 3);
    let (first, second) = (token(&simulator), token(&simulator));
    for count in 1..=3 {
        let answer = get(&simulator, &first, "routing/queues");
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("inin-ratelimit-count"),
            Some(count.to_string().as_str())
        );
        assert_eq!(answer.header("inin-ratelimit-allowed"), Some("3"));
    }
    let refused = get(&simulator, &first, "routing/queues");
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (429, &"too.many.requests".into())
    );
    assert_eq!(refused.body["limit"]["value"], 3);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(
        refused.header("inin-ratelimit-reset"),
        refused.header("retry-after")
    );
    assert_eq!(get(&simulator, &second, "routing/queues").status, 200);
    assert_eq!(
        (simulator.counters().throttled, simulator.counters().requests),
        (1, 5)
    );
}

#[test]
fn a_window_that_is_over_lets_requests_pass_again() {
    let simulator = quiet(|settings| (settings.requests_per_window, settings.rate_window_ms) = (1, 400));
    let token = token(&simulator);
    let mut statuses = vec![get(&simulator, &token, "routing/queues").status];
    while statuses.last() != Some(&200) || statuses.len() == 1 {
        statuses.push(get(&simulator, &token, "routing/queues").status);
    }
    assert!(
        statuses[1..statuses.len() - 1]
            .iter()
            .all(|status| *status == 429),
        "{statuses:?}"
    );
}

#[test]
fn the_pages_of_a_list_hold_each_entity_once_and_name_one_another() {
    let simulator = quiet(|settings| (settings.queues, settings.users) = (23, 31));
    let token = token(&simulator);
    let mut path = "routing/queues?pageSize=10&pageNumber=1".to_owned();
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = get(&simulator, &token, &path).body;
        pages += 1;
        assert_eq!(
            (&page["total"], &page["pageCount"], &page["pageNumber"]),
            (&23.into(), &3.into(), &pages.into())
        );
        names.extend(
            page["entities"]
                .as_array()
                .unwrap()
                .iter()
                .map(|queue| queue["name"].clone()),
        );
        match page["nextUri"].as_str() {
            Some(next) => path = next.trim_start_matches("/api/v2/").to_owned(),
            None => break,
        }
    }
    let mut expected: Vec<String> = simulator.queues().into_iter().map(|queue| queue.name).collect();
    expected.sort();
    assert_eq!(
        (pages, names),
        (3, expected.into_iter().map(Value::from).collect())
    );
    assert_eq!(get(&simulator, &token, "routing/queues?pageSize=501").status, 400);
    assert_eq!(
        get(&simulator, &token, "users?pageNumber=9").ids(),
        Vec::<String>::new()
    );
}

#[test]
fn the_members_of_a_queue_come_by_name_and_without_totals() {
    let simulator = quiet(|settings| (settings.queues, settings.users) = (1, 120));
    let token = token(&simulator);
    let mut path = format!("routing/queues/{}/members?pageSize=50", simulator.queues()[0].id);
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = get(&simulator, &token, &path).body;
        pages += 1;
        assert_eq!(
            (page.get("total"), page.get("pageCount"), page.get("lastUri")),
            (None, None, None)
        );
        let members = page["entities"].as_array().unwrap();
        names.extend(
            members
                .iter()
                .map(|member| member["name"].as_str().unwrap().to_owned()),
        );
        match page["nextUri"].as_str() {
            Some(next) => path = next.trim_start_matches("/api/v2/").to_owned(),
            None => break,
        }
    }
    let mut expected: Vec<String> = simulator.users().into_iter().map(|user| user.name).collect();
    expected.sort();
    assert_eq!((pages, names), (3, expected));
    let large = format!("routing/queues/{}/members?pageSize=101", simulator.queues()[0].id);
    assert_eq!(get(&simulator, &token, &large).status, 400);
}

#[test]
fn names_lead_to_ids_and_ids_to_entities() {
    let simulator = quiet(|settings| settings.queues = 8);
    let token = token(&simulator);
    let queue = &simulator.queues()[6];
    assert_eq!(queue.name, "Support 002");
    assert_eq!(
        get(&simulator, &token, "routing/queues?name=support%20002").ids(),
        std::slice::from_ref(&queue.id)
    );
    assert_eq!(
        get(&simulator, &token, "routing/queues?name=Support*")
            .ids()
            .len(),
        2
    );
    assert_eq!(
        get(&simulator, &token, &format!("routing/queues/{}", queue.id)).body["name"],
        "Support 002"
    );
    assert_eq!(get(&simulator, &token, "routing/queues/none").status, 404);
    let divisions = get(&simulator, &token, "authorization/divisions");
    assert_eq!(divisions.body["entities"][0]["name"], "Home");
    let of_division = get(
        &simulator,
        &token,
        &format!("routing/queues?divisionId={}", divisions.ids()[1]),
    );
    assert_eq!(of_division.ids().len(), 4);
    let group = &get(&simulator, &token, "groups").ids()[0];
    assert_eq!(
        get(&simulator, &token, &format!("groups/{group}/members"))
            .ids()
            .len(),
        8
    );
    let user = &simulator.users()[5];
    assert_eq!(
        get(&simulator, &token, &format!("users/{}", user.id)).body["name"],
        user.name
    );
    assert_eq!(
        get(&simulator, &token, &format!("users?id={}", user.id)).ids(),
        std::slice::from_ref(&user.id)
    );
}

#[test]
fn a_missing_permission_is_named() {
    let simulator = quiet(|settings| settings.missing_permissions = vec!["routing:queue:view".to_owned()]);
    let token = token(&simulator);
    let refused = get(&simulator, &token, "routing/queues");
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (403, &"missing.permissions".into())
    );
    assert!(
        refused.body["message"]
            .as_str()
            .unwrap()
            .ends_with("routing:queue:view")
    );
    assert_eq!(get(&simulator, &token, "users").status, 200);
}

#[tokio::test]
async fn members_join_and_leave_in_the_list_and_on_the_topic() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let (queue, user) = (simulator.queues()[3].clone(), simulator.users()[0].clone());
    let path = format!("routing/queues/{}/members", queue.id);
    let topic = format!("v2.routing.queues.{}.users", queue.id);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[&topic]);
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    assert!(!get(&simulator, &token, &path).ids().contains(&user.id));
    for joined in [true, false] {
        assert!(simulator.set_member(3, 0, joined));
        let frame = next_json(&mut socket).await;
        assert_eq!(frame["topicName"], topic);
        assert_eq!(
            frame["eventBody"],
            json!({ "id": user.id, "user": { "id": user.id }, "queueId": queue.id, "joined": joined })
        );
        assert_eq!(get(&simulator, &token, &path).ids().contains(&user.id), joined);
    }
    assert!(!simulator.set_member(3, 0, false));
}

#[test]
fn available_topics_tell_the_permissions_only_when_asked() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let find = |query: &str| {
        let answer = get(
            &simulator,
            &token,
            &format!("notifications/availabletopics{query}"),
        );
        let entities = answer.body["entities"].as_array().unwrap().clone();
        entities
            .into_iter()
            .find(|entity| entity["id"] == "v2.routing.queues.{id}.conversations.calls")
            .unwrap()
    };
    assert_eq!(find("").get("requiresPermissions"), None);
    assert_eq!(
        find("?expand=requiresPermissions&expand=transports")["requiresPermissions"],
        json!(["conversation:communication:view"])
    );
}

/// Plays a contact centre to its end with a listener on every queue.
async fn played(updates: u64) -> (Simulator, String, Vec<Value>) {
    let mut options = Options::default();
    let settings = &mut options.notifications;
    (settings.updates, settings.updates_per_s, settings.conversations) = (Some(updates), 2_000, 10);
    let simulator = start(options);
    let token = token(&simulator);
    let topics: Vec<String> = simulator
        .queues()
        .iter()
        .map(|queue| format!("v2.routing.queues.{}.conversations", queue.id))
        .collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &topics);
    let mut sockets = [listen(&channel).await];
    let texts = read_all(&simulator, &mut sockets).await.remove(0);
    let frames = texts
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    (simulator, token, frames)
}

fn query(simulator: &Simulator, token: &str, body: &Value) -> Answer {
    rest(
        simulator,
        token,
        "POST",
        "analytics/conversations/details/query",
        body,
    )
}

#[tokio::test]
async fn the_history_has_the_conversations_of_the_topics_and_its_pages_hold_each_once() {
    let (simulator, token, frames) = played(1_200).await;
    let interval = "2000-01-01T00:00:00.000Z/2199-01-01T00:00:00.000Z";
    let mut found = BTreeMap::new();
    let mut hits = 0;
    for number in 1.. {
        let page = query(
            &simulator,
            &token,
            &json!({ "interval": interval, "paging": { "pageSize": 30, "pageNumber": number } }),
        );
        assert_eq!(page.status, 200);
        hits = page.body["totalHits"].as_u64().unwrap();
        // past the end the list is left out
        let Some(conversations) = page.body["conversations"].as_array() else {
            break;
        };
        for conversation in conversations {
            let id = conversation["conversationId"].as_str().unwrap().to_owned();
            assert_eq!(found.insert(id, conversation.clone()), None);
        }
    }
    assert_eq!(found.len() as u64, hits);
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for frame in &frames {
        last.insert(frame["eventBody"]["id"].as_str().unwrap(), &frame["eventBody"]);
    }
    assert!(last.len() > 50, "{}", last.len());
    for (id, body) in last {
        let record = &found[id];
        let ids = |value: &Value, name: &str| -> Vec<Value> {
            value["participants"]
                .as_array()
                .unwrap()
                .iter()
                .map(|leg| leg[name].clone())
                .collect()
        };
        assert_eq!(ids(record, "participantId"), ids(body, "id"));
        let whole = get(&simulator, &token, &format!("conversations/{id}"));
        assert_eq!(whole.body["id"], id);
    }
}

#[tokio::test]
async fn a_query_is_filtered_and_refused_where_it_cannot_be_answered() {
    let (simulator, token, _) = played(600).await;
    let interval = "2000-01-01T00:00:00Z/2199-01-01T00:00:00Z";
    let queue = simulator.queues()[2].id.clone();
    let filter = |dimension: &str, value: &str| json!([{ "type": "or", "predicates": [{ "type": "dimension", "dimension": dimension, "operator": "matches", "value": value }] }]);
    let of_queue = query(
        &simulator,
        &token,
        &json!({ "interval": interval, "paging": { "pageSize": 100, "pageNumber": 1 }, "segmentFilters": filter("queueId", &queue) }),
    );
    let queues: Vec<BTreeSet<&str>> = of_queue.body["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|conversation| {
            let legs = conversation["participants"].as_array().unwrap().iter();
            legs.filter_map(|leg| leg["sessions"][0]["segments"][0]["queueId"].as_str())
                .collect()
        })
        .collect();
    // what was passed on has been in another one, too
    assert!(
        queues.len() > 5 && queues.iter().all(|queues| queues.contains(queue.as_str())),
        "{queues:?}"
    );
    let nothing = query(
        &simulator,
        &token,
        &json!({ "interval": "2000-01-01T00:00:00Z/2000-01-02T00:00:00Z" }),
    );
    assert_eq!(nothing.body, json!({ "totalHits": 0 }));
    for body in [
        json!({}),
        json!({ "interval": "yesterday/today" }),
        json!({ "interval": interval, "paging": { "pageSize": 101, "pageNumber": 1 } }),
        json!({ "interval": interval, "segmentFilters": filter("skillId", "s") }),
    ] {
        assert_eq!(query(&simulator, &token, &body).status, 400, "{body}");
    }
    assert_eq!(
        get(&simulator, &token, "conversations").ids(),
        Vec::<String>::new()
    );
}

#[test]
fn the_role_lists_every_permission_but_those_that_it_lacks() {
    let held = |missing: &[&str]| {
        let simulator = quiet(|options| {
            options.missing_permissions = missing.iter().map(|&missing| missing.to_owned()).collect();
        });
        let answer = get(&simulator, &token(&simulator), "authorization/subjects/me");
        let policies = answer.body["grants"][0]["role"]["policies"]
            .as_array()
            .unwrap()
            .clone();
        policies.contains(&json!({ "domain": "routing", "entityName": "queue", "actions": ["view"] }))
    };
    assert!(held(&[]));
    assert!(held(&["routing:queueMember:view"]));
    assert!(!held(&["routing:queue:view"]));
}
