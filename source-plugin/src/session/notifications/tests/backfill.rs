//! Gaps that are filled from the history while the feed goes on, what is said when they are not, and deaths in between.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::rig::{Options, Records, Rig, Say, with};
use super::{SECOND, bodies};
use crate::record::Kind;
use crate::rest::RestError;
use crate::session::Command;
use crate::spool::storage::faulty::FaultyStorage;

const TOPIC: &str = "v2.routing.queues.q.conversations";

fn options() -> Options {
    Options {
        shares: vec![vec![TOPIC, "v2.users.u.presence"]],
        is_backfilling: true,
        ..Options::default()
    }
}

fn conversation(id: &str) -> Value {
    json!({"conversationId": id, "participants": [{"sessions": [{"segments": [{"queueId": "q"}]}]}]})
}

/// Loses the socket that was opened last, and waits until it is back.
async fn break_off(rig: &Rig) {
    let before = rig.snapshot().reconnects_total;
    rig.say(rig.connections().last().unwrap(), Say::Vanish);
    rig.until(|status| status.reconnects_total > before && status.subscribed)
        .await;
}

async fn filled(rig: &Rig) {
    rig.until(|status| status.gaps_waiting == 0).await;
}

/// What came, in order: conversations of the history, numbers of the feed, gap records.
fn told(records: &Records) -> Vec<String> {
    let tell = |(kind, name, body): &(Kind, String, Value)| match kind {
        Kind::Event if body["origin"]["backfill"] == true => {
            body["conversationId"].as_str().unwrap().to_owned()
        }
        Kind::Event => body["payload"]["extra"]["number"].to_string(),
        _ => name.clone(),
    };
    records.iter().map(tell).collect()
}

fn closing(records: &Records) -> Value {
    let found = records.iter().rfind(|(_, name, _)| name == "gap_closed");
    found.unwrap().2.clone()
}

fn forbidden() -> RestError {
    RestError::Forbidden {
        call: "POST query".to_owned(),
        missing_permissions: vec!["analytics:conversationDetail:view".to_owned()],
        message: String::new(),
    }
}

fn throttled(retry_after: Duration) -> RestError {
    let call = "POST query".to_owned();
    RestError::Throttled { call, retry_after }
}

#[tokio::test(start_paused = true)]
async fn what_the_history_tells_comes_beside_the_feed_and_before_the_gap_is_closed() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        let foreign = json!({"conversationId": "other", "participants": [{"sessions": [{"segments": [{"queueId": "r"}]}]}]});
        rig.remember(Ok(vec![conversation("a"), foreign, conversation("b")]));
        break_off(&rig).await;
        rig.say("c1", Say::event("t1", 1));
        sleep(SECOND).await;
        assert_eq!(told(&rig.pull()), ["gap_opened", "1"], "the feed does not wait");
        assert_eq!((rig.snapshot().gaps_open, rig.snapshot().gaps_waiting), (0, 1));
        filled(&rig).await;
        let records = rig.pull();
        assert_eq!(told(&records), ["a", "b", "gap_closed"]);
        let closed = closing(&records);
        assert_eq!(closed["backfilled"], true);
        assert_eq!(
            closed["backfill"],
            json!({"outcome": "complete", "reason": null, "conversations": 2, "uncovered": ["v2.users.{id}.presence"]})
        );
        assert_eq!((rig.counts().backfilled, rig.counts().events, rig.law()), (2, 1, 0));

        // the same states again are no news, another one is
        let mut later = conversation("a");
        later["conversationEnd"] = "2026-01-02T03:04:05Z".into();
        rig.remember(Ok(vec![conversation("b"), later]));
        break_off(&rig).await;
        filled(&rig).await;
        assert_eq!(told(&rig.pull()), ["gap_opened", "a", "gap_closed"]);
        assert_eq!(rig.counts().backfill_duplicates, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_refused_costs_nothing_but_itself_and_is_said() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        for (failure, words) in [
            (
                forbidden(),
                "missing permission analytics:conversationDetail:view",
            ),
            (throttled(Duration::from_secs(3600)), "the next one in 3600 s"),
        ] {
            rig.remember(Err(failure));
            break_off(&rig).await;
            filled(&rig).await;
            let closed = closing(&rig.pull());
            assert_eq!(
                (&closed["backfilled"], &closed["backfill"]["outcome"]),
                (&json!(false), &json!("failed"))
            );
            let reason = closed["backfill"]["reason"].as_str().unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        rig.say("c1", Say::event("t1", 1));
        sleep(SECOND).await;
        assert_eq!(bodies(&rig.pull()), [1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_fails_for_a_while_is_asked_again() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        rig.remember(Err(throttled(Duration::from_secs(120))));
        rig.remember(Err(throttled(Duration::from_secs(1))));
        rig.remember(Ok(vec![conversation("a")]));
        break_off(&rig).await;
        sleep(100 * SECOND).await;
        assert_eq!(told(&rig.pull()), ["gap_opened"]);
        filled(&rig).await;
        assert_eq!(told(&rig.pull()), ["a", "gap_closed"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_no_conversation_is_counted_as_missing() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        let mut large = conversation("large");
        large["filler"] = "x".repeat(70_000).into();
        let mut nameless = conversation("");
        nameless["conversationId"] = "".into();
        rig.remember(Ok(vec![large, nameless, conversation("a")]));
        break_off(&rig).await;
        filled(&rig).await;
        let records = rig.pull();
        assert_eq!(told(&records), ["gap_opened", "a", "gap_closed"]);
        let backfill = &closing(&records)["backfill"];
        assert_eq!(backfill["outcome"], "partial");
        assert_eq!(
            backfill["reason"],
            "1 conversations are over max_frame_bytes; 1 conversations are not usable"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gaps_beyond_those_that_may_wait_are_closed_without_their_history() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        rig.remember(Err(throttled(Duration::from_secs(500))));
        for _ in 0..18 {
            break_off(&rig).await;
        }
        assert_eq!(rig.snapshot().gaps_waiting, 16);
        let backfill = &closing(&rig.pull())["backfill"];
        assert_eq!(
            (&backfill["outcome"], &backfill["reason"]),
            (&json!("skipped"), &json!("too many gaps wait for the history"))
        );
        filled(&rig).await;
        assert_eq!(rig.snapshot().gaps_open, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_half_full_keeps_the_history_waiting_and_not_the_feed() {
    let options = Options {
        max_records: 8,
        ..options()
    };
    with(options, |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        let rows: Vec<Value> = (0..10)
            .map(|number| conversation(&format!("c{number}")))
            .collect();
        rig.remember(Ok(rows.clone()));
        break_off(&rig).await;
        sleep(10 * SECOND).await;
        rig.say("c1", Say::event("t1", 1));
        rig.say("c1", Say::event("t1", 2));
        sleep(SECOND).await;
        let first = told(&rig.pull());
        assert_eq!(first[0], "gap_opened");
        assert_eq!(first[first.len() - 2..], ["1", "2"], "{first:?}");
        assert!(first.len() <= 6, "{first:?}");
        assert_eq!(rig.snapshot().stalls_total, 0);
        let mut rest = Vec::new();
        while rest.last().is_none_or(|name| name != "gap_closed") {
            sleep(SECOND).await;
            rest.extend(told(&rig.pull()));
        }
        assert_eq!(first.len() + rest.len(), 3 + rows.len() + 1, "{first:?} {rest:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_it_each_gap_is_closed_at_once_and_says_so() {
    let options = Options {
        is_backfilling: false,
        ..options()
    };
    with(options, |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        rig.remember(Ok(vec![conversation("a")]));
        break_off(&rig).await;
        sleep(60 * SECOND).await;
        let records = rig.pull();
        assert_eq!(told(&records), ["gap_opened", "gap_closed"]);
        assert_eq!(
            closing(&records)["backfill"],
            json!({"outcome": "off", "reason": null, "conversations": 0, "uncovered": []})
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn topics_without_conversations_are_not_asked_for() {
    let options = Options {
        shares: vec![vec!["v2.users.u.presence"]],
        ..options()
    };
    with(options, |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        rig.remember(Err(forbidden()));
        break_off(&rig).await;
        filled(&rig).await;
        let backfill = &closing(&rig.pull())["backfill"];
        assert_eq!(
            (&backfill["outcome"], &backfill["uncovered"]),
            (&json!("skipped"), &json!(["v2.users.{id}.presence"]))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_what_waits_in_memory_and_leaves_it_to_the_next_start_on_disk() {
    with(options(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        break_off(&rig).await;
        rig.command(Command::Drain);
        rig.ending().await;
        let records = rig.taken();
        assert_eq!(told(&records), ["gap_opened", "gap_opened", "gap_closed"]);
        assert_eq!(closing(&records)["backfill"]["reason"], "the source ended before");
    })
    .await;
    let storage = FaultyStorage::default();
    let spooled = || Options {
        storage: Some(storage.clone()),
        ..options()
    };
    with(spooled(), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        break_off(&rig).await;
        rig.command(Command::Drain);
        rig.until(|status| status.state == crate::session::status::State::Ended)
            .await;
        assert_eq!(told(&rig.pull()), ["gap_opened", "gap_opened"]);
        rig.die();
    })
    .await;
    with(spooled(), |mut rig| async move {
        rig.remember(Ok(vec![conversation("a")]));
        rig.remember(Ok(vec![conversation("b")]));
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        filled(&rig).await;
        let records = rig.pull();
        assert_eq!(
            told(&records),
            ["gap_opened", "gap_opened", "a", "gap_closed", "b", "gap_closed"]
        );
        let causes: Vec<&Value> = records.iter().map(|record| &record.2["cause"]).collect();
        assert_eq!((causes[3], causes[5]), (&json!("reconnect"), &json!("stopped")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn wherever_a_process_dies_each_gap_is_closed_once_and_nothing_comes_twice() {
    // Milliseconds after the break, and events: the wait, both queries, the midst of a page, the closing record.
    for (life_ms, events) in [
        (200, 0),
        (3_010, 0),
        (0, 1),
        (0, 50),
        (0, 99),
        (3_045, 0),
        (0, 101),
        (6_000, 0),
    ] {
        let storage = FaultyStorage::default();
        let spooled = || Options {
            storage: Some(storage.clone()),
            ..options()
        };
        let rows: Vec<Value> = (0..100)
            .map(|number| conversation(&format!("c{number}")))
            .collect();
        with(spooled(), |mut rig| {
            let rows = rows.clone();
            async move {
                let session = rig.start();
                rig.until(|status| status.subscribed).await;
                // a page that is full, so that a second one is asked for
                rig.remember(Ok(rows));
                rig.remember(Ok(vec![conversation("last")]));
                break_off(&rig).await;
                sleep(Duration::from_millis(life_ms)).await;
                if events > 0 {
                    sleep(3 * SECOND - Duration::from_millis(100)).await;
                }
                let mut before = rig.counts().backfilled;
                while before < events {
                    // Time stands still while a page is admitted, and must pass before and behind it.
                    tokio::task::yield_now().await;
                    if rig.counts().backfilled == before {
                        sleep(Duration::from_millis(1)).await;
                    }
                    before = rig.counts().backfilled;
                }
                assert!(rig.counts().backfilled >= events);
                session.abort();
                rig.die();
            }
        })
        .await;
        with(spooled(), |mut rig| async move {
            for _ in 0..2 {
                rig.remember(Ok(rows.clone()));
                rig.remember(Ok(vec![conversation("last")]));
            }
            let _session = rig.start();
            rig.until(|status| status.subscribed).await;
            filled(&rig).await;
            let mut told = told(&rig.pull());
            told.sort_unstable();
            let count = |name: &str| told.iter().filter(|known| *known == name).count();
            assert_eq!(
                (count("gap_opened"), count("gap_closed"), count("last")),
                (2, 2, 1),
                "dead after {life_ms} ms, {events} events: {told:?}"
            );
            assert_eq!(told.len(), 101 + 4, "dead after {life_ms} ms, {events} events");
            assert_eq!(rig.law(), 0);
        })
        .await;
    }
}
