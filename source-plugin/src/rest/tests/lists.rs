//! Lists and history to their last page, and what stands in the way of one.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use simulator::{Options, Simulator};

use super::{Client, quiet};
use crate::rest::Entity;
use crate::rest::history::{DetailsPages, DetailsQuery};

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let simulator = quiet(&[], |settings| {
        (
            settings.queues,
            settings.users,
            settings.groups,
            settings.divisions,
        ) = (2, 230, 1, 100);
    });
    let client = Client::of(&simulator);
    let rest = &client.rest;
    let named = |entities: &[Entity]| -> BTreeSet<(String, String)> {
        let pairs = entities
            .iter()
            .map(|entity| (entity.id.clone(), entity.name.clone()));
        pairs.collect()
    };
    let expected = |names: Vec<simulator::Named>| -> BTreeSet<(String, String)> {
        names.into_iter().map(|named| (named.id, named.name)).collect()
    };
    let users = rest.users().await.unwrap();
    assert_eq!((users.len(), named(&users)), (230, expected(simulator.users())));
    let queues = rest.queues().await.unwrap();
    assert_eq!(named(&queues), expected(simulator.queues()));
    let divisions = rest.divisions().await.unwrap();
    let ids: BTreeSet<&str> = divisions.iter().map(|division| division.id.as_str()).collect();
    assert_eq!((divisions.len(), ids.len()), (100, 100));
    assert!(users.iter().chain(&queues).all(|entity| {
        entity
            .division_id
            .as_deref()
            .is_some_and(|division| ids.contains(division))
    }));
    // both queues have every user, and their list has no totals
    let members = rest.queue_members(&queues[0].id).await.unwrap();
    assert_eq!(named(&members), named(&users));
    let groups = rest.groups().await.unwrap();
    let members = rest.group_members(&groups[0].id).await.unwrap();
    assert_eq!((groups.len(), named(&members)), (1, named(&users)));
    assert_eq!(client.logins(), 1);
}

#[tokio::test]
async fn an_id_from_outside_is_one_segment_of_the_path_and_nothing_else() {
    let simulator = quiet(&[], |_| {});
    let client = Client::of(&simulator);
    let refused = client.rest.queue_members("../users?x#y").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "GET /api/v2/routing/queues/..%2Fusers%3Fx%23y/members at {}: not found; it has ended or was deleted, or the id \
             is wrong",
            simulator.address()
        )
    );
    let sent = simulator.counters().requests;
    for id in ["", ".", ".."] {
        let refused = client.rest.queue_members(id).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "GET at {}: refused as invalid id: {id:?} is no id; check the configured ids and topics",
                simulator.address()
            )
        );
    }
    assert_eq!(simulator.counters().requests, sent);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let simulator = quiet(&[], |settings| {
        settings.missing_permissions = vec!["routing:queue:view".to_owned()]
    });
    let refused = Client::of(&simulator).rest.queues().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "GET /api/v2/routing/queues at {}: missing permission routing:queue:view; add it to a role of the OAuth client, \
             in the divisions concerned",
            simulator.address()
        )
    );
}

#[tokio::test]
async fn past_conversations_come_page_by_page_each_once() {
    let mut options = Options::default();
    options.notifications.updates_per_s = 20_000;
    options.notifications.updates = Some(6_000);
    // so that the reader below looks again
    options.notifications.heartbeat_ms = 3_000;
    let simulator = Simulator::start(options).unwrap();
    let client = Client::of(&simulator);
    let rest = &client.rest;
    // the contact centre plays while a channel with topics is listened to
    let channel = rest.create_channel().await.unwrap();
    let asked: Vec<String> = simulator
        .queues()
        .iter()
        .map(|queue| format!("v2.routing.queues.{}.conversations", queue.id))
        .collect();
    rest.replace_subscriptions(&channel.id, &asked).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::connect_async(channel.connect_uri.expose_secret())
        .await
        .unwrap();
    let listening = async {
        while !simulator.counters().updates_done {
            socket.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), listening)
        .await
        .unwrap();
    let now_us = i64::try_from(simulator::wall_us()).unwrap();
    let (from_us, to_us) = (now_us - 3_600_000_000, now_us + 60_000_000);
    let mut pages = DetailsPages::new(from_us, to_us, Vec::new());
    let (mut ids, mut rows, mut sizes) = (BTreeSet::new(), 0, Vec::new());
    while let Some(page) = pages.next(rest).await.unwrap() {
        rows += page.len();
        sizes.push(page.len());
        ids.extend(
            page.iter()
                .map(|row| serde_json::from_str::<serde_json::Value>(row.get()).unwrap())
                .map(|row| row["conversationId"].as_str().unwrap().to_owned()),
        );
    }
    assert!(sizes.len() > 1 && rows == ids.len(), "{sizes:?}");
    let mut query = DetailsQuery {
        from_us,
        to_us,
        conditions: Vec::new(),
        page: u32::try_from(sizes.len()).unwrap(),
    };
    let last = rest.conversation_details(&query).await.unwrap();
    assert_eq!(Some(&last.len()), sizes.last());
    query.page += 1;
    assert!(rest.conversation_details(&query).await.unwrap().is_empty());
    query = DetailsQuery {
        from_us: 0,
        to_us: 1_000_000,
        conditions: Vec::new(),
        page: 1,
    };
    assert!(rest.conversation_details(&query).await.unwrap().is_empty());
}
