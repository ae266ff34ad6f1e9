//! Sessions with a spool: what a crash, a stop and a full spool leave behind.

use std::collections::BTreeMap;

use super::hostile::HOUR_US;
use super::*;
use crate::queue::Ending;
use crate::spool::sequence;
use crate::spool::storage::faulty::Trouble;

impl Rig {
    /// The process dies: what was written stays, nothing is said.
    fn die(&mut self) {
        self.store.as_ref().unwrap().shut();
    }

    fn sync(&mut self) {
        self.keeper.as_mut().unwrap().sync().unwrap();
    }

    /// Takes everything the spool has, as [`Rig::pull`] does.
    fn pull_all(&mut self) -> Vec<(Kind, String, Value)> {
        let mut all = Vec::new();
        loop {
            while self.keeper.as_mut().unwrap().refill() {}
            let pulled = self.pull();
            if pulled.is_empty() {
                return all;
            }
            all.extend(pulled);
        }
    }
}

fn options(storage: &FaultyStorage) -> Options {
    Options {
        storage: Some(storage.clone()),
        ..Options::default()
    }
}

/// Connects, admits `ids`, and lets the socket be asked in vain.
async fn listen(rig: &mut Rig, ids: &[&str]) -> Server {
    let connection = rig.connection();
    let mut server = rig.accept_and_acknowledge(connection).await;
    for id in ids {
        server.send(event(id)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    server
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_a_gap_from_the_last_sign_of_life_and_no_duplicate() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let session = rig.start();
        let _server = listen(&mut rig, &["e1", "e2"]).await;
        rig.sync();
        assert_eq!(names(&rig.pull_all()), ["e1", "e2"]);
        session.abort();
        rig.die();
    })
    .await;
    with(options(&storage), |mut rig| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let _session = rig.start();
        let mut server = listen(&mut rig, &["e2", "e3"]).await;
        server.send(event("e4")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let records = rig.pull_all();
        // e2 is a duplicate of what the last process had accepted
        assert_eq!(
            names(&records),
            ["e1", "e2", "gap_opened", "gap_closed", "e3", "e4"]
        );
        let (opened, closed) = (&records[2].2, &records[3].2);
        assert_eq!(
            (&opened["cause"], &opened["gapId"]),
            (&json!("crash"), &closed["gapId"])
        );
        assert_eq!(
            opened["detail"],
            json!({"kind": "local", "closeCode": null, "closeReason": "the process ended without a stop"})
        );
        // the paused clock began anew with this process: the mark lies 0.5 s after its beginning, less the allowance
        assert_eq!(opened["from"], "2026-01-02T03:04:05.300Z");
        assert_eq!(opened["detectedAt"], "2026-01-02T03:04:10.000Z");
        assert_eq!(rig.status.frames().counts.duplicates, 1);
        assert_eq!(rig.queue.counts().0.law(), 0);
        assert_eq!(rig.status.snapshot().gaps_open, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_by_an_hour_before_a_crash_or_after_it_forgets_no_id_of_the_window_and_keeps_none_for_ever()
 {
    let ids: Vec<String> = (1..=60).map(|number| format!("e{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (before_us, after_us) in [
        (HOUR_US, HOUR_US),
        (HOUR_US, 0),
        (0, HOUR_US),
        (-HOUR_US, -HOUR_US),
        (0, -HOUR_US),
    ] {
        let storage = FaultyStorage::default();
        let index_bytes = |rig: &Rig| rig.store.as_ref().unwrap().figures().unwrap().index_bytes;
        with(options(&storage), |mut rig| {
            let ids = &ids;
            async move {
                let session = rig.start();
                let _server = listen(&mut rig, ids).await;
                assert_eq!(rig.pull_all().len(), ids.len());
                let store = rig.store.as_ref().unwrap();
                store.commit(sequence(store.epoch(), ids.len() as u64)).unwrap();
                rig.sync();
                assert!(index_bytes(&rig) > 0, "no segment was deleted");
                rig.keeper.as_ref().unwrap().forget(&rig.clock);
                rig.clock.set_by_us(before_us);
                tokio::time::sleep(Duration::from_secs(30)).await;
                rig.keeper.as_ref().unwrap().forget(&rig.clock);
                session.abort();
                rig.die();
            }
        })
        .await;
        with(options(&storage), |mut rig| {
            let ids = &ids;
            async move {
                rig.clock.set_by_us(after_us);
                rig.keeper.as_ref().unwrap().forget(&rig.clock);
                let _session = rig.start();
                let _server = listen(&mut rig, ids).await;
                assert_eq!(
                    rig.status.frames().counts.duplicates,
                    ids.len() as u64,
                    "{before_us} {after_us}"
                );
                assert!(index_bytes(&rig) > 0);
                tokio::time::sleep(Duration::from_millis(WINDOW.window_ms)).await;
                rig.keeper.as_ref().unwrap().forget(&rig.clock);
                assert_eq!(index_bytes(&rig), 0, "{before_us} {after_us}");
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_dies_before_it_is_subscribed_leaves_no_gap() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let session = rig.start();
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.sync();
        session.abort();
        rig.die();
    })
    .await;
    with(options(&storage), |mut rig| async move {
        let _session = rig.start();
        let _server = listen(&mut rig, &["e1"]).await;
        assert_eq!(names(&rig.pull_all()), ["e1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_its_gap_open_and_the_next_start_closes_it() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let _session = rig.start();
        let _server = listen(&mut rig, &["e1"]).await;
        rig.commands.send_replace(Command::Drain);
        rig.until(|status| status.state == State::Ended).await;
        assert_eq!(names(&rig.pull_all()), ["e1", "gap_opened"]);
        assert_eq!(rig.end(), NoRecords::Ended(Ending::drained()));
        rig.sync();
        rig.die();
    })
    .await;
    with(options(&storage), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.gaps_open == 1).await;
        let _server = listen(&mut rig, &["e2"]).await;
        let records = rig.pull_all();
        assert_eq!(names(&records), ["e1", "gap_opened", "gap_closed", "e2"]);
        assert_eq!(records[1].2["cause"], "stopped");
        assert_eq!(records[2].2["gapId"], records[1].2["gapId"]);
        assert!(records[2].2["to"].is_string());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_nobody_listens_goes_on_with_the_open_gap() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let session = rig.start();
        let server = listen(&mut rig, &["e1"]).await;
        drop(server);
        rig.until(|status| status.gaps_open == 1).await;
        rig.sync();
        session.abort();
        rig.die();
    })
    .await;
    with(options(&storage), |mut rig| async move {
        let _session = rig.start();
        let _server = listen(&mut rig, &["e2"]).await;
        let records = rig.pull_all();
        assert_eq!(names(&records), ["e1", "gap_opened", "gap_closed", "e2"]);
        assert_eq!(records[2].2["cause"], "reconnect");
    })
    .await;
}

/// Where a gap begins and ends by its records.
fn edges(records: &[(Kind, String, Value)]) -> BTreeMap<String, Vec<&str>> {
    let mut edges: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (kind, name, body) in records {
        if *kind == Kind::Control {
            edges.entry(body["gapId"].to_string()).or_default().push(name);
        }
    }
    edges
}

#[tokio::test(start_paused = true)]
async fn wherever_a_start_dies_each_gap_has_one_opening_and_one_closing_record() {
    for calls in 1..=12 {
        let storage = FaultyStorage::default();
        with(options(&storage), |mut rig| async move {
            let session = rig.start();
            let _server = listen(&mut rig, &["e1"]).await;
            session.abort();
            rig.die();
        })
        .await;
        with(options(&storage), |mut rig| {
            storage.plan(calls, Trouble::PowerCut);
            async move {
                let session = rig.start();
                // where nothing is written any more, nobody may listen either
                let served = listen(&mut rig, &["e2"]);
                drop(tokio::time::timeout(Duration::from_secs(3), served).await);
                session.abort();
                rig.die();
            }
        })
        .await;
        storage.kill();
        with(options(&storage), |mut rig| async move {
            let _session = rig.start();
            let _server = listen(&mut rig, &["e3"]).await;
            let records = rig.pull_all();
            let edges = edges(&records);
            assert!(!edges.is_empty());
            for (gap, edges) in edges {
                assert_eq!(
                    edges,
                    ["gap_opened", "gap_closed"],
                    "{gap}, dead after {calls} calls"
                );
            }
            assert_eq!(rig.status.snapshot().gaps_open, 0);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_stops_the_reading_then_costs_the_connection_and_everything_resumes() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let (first, second) = (rig.connection(), rig.connection());
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(first).await;
        let filler = "x".repeat(2000);
        let mut sent = 0;
        while rig.status.snapshot().stalls_total == 0 {
            let body = json!({"type": "interaction", "id": format!("e{sent}"), "conversationId": "c1",
                "timestamp": "2026-01-02T03:04:05Z", "filler": filler});
            server.send(text(&body)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            sent += 1;
        }
        rig.until(|status| status.gaps_open == 1).await;
        let store = Arc::clone(rig.store.as_ref().unwrap());
        assert!(store.figures().unwrap().full);
        // everything that was read and fits is delivered meanwhile
        let before = rig.pull_all();
        assert!(before.len() < sent && before.iter().all(|(kind, ..)| *kind == Kind::Event));
        let last = rig.queue.last_handed_out();
        store.commit(last).unwrap();
        rig.sync();
        rig.sync();
        let mut server = rig.accept_and_acknowledge(second).await;
        server.send(event("after")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let after = rig.pull_all();
        let names: Vec<&str> = names(&after)
            .into_iter()
            .skip_while(|name| name.starts_with('e'))
            .collect();
        assert_eq!(names, ["gap_opened", "gap_closed", "after"]);
        let opened = after.iter().find(|(_, name, _)| name == "gap_opened").unwrap();
        assert_eq!(opened.2["cause"], "spool_full");
        let (counts, _) = rig.queue.counts();
        assert_eq!((counts.law(), counts.evicted), (0, 0));
        let events = before.len() + after.len() - 3;
        assert_eq!(rig.status.frames().counts.events as usize, events + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_holds_its_records_until_the_disk_takes_them() {
    let storage = FaultyStorage::default();
    with(options(&storage), |mut rig| async move {
        let connection = rig.connection();
        let _session = rig.start();
        let mut server = rig.accept_and_acknowledge(connection).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        storage.plan(0, Trouble::WriteFails);
        server.send(event("e1")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(rig.status.snapshot().state, State::Stalled);
        assert_eq!(rig.pull_all(), []);
        server.send(event("e2")).await.unwrap();
        rig.until(|status| status.state == State::Subscribed).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(names(&rig.pull_all()), ["e1", "e2"]);
    })
    .await;
}
