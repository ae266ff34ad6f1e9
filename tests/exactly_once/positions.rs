//! Positions in Kafka that are not of the spool as it is: of another one, and of a later life of this one.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use simulator::Options;
use support::{Broker, Rig, Stream, free_port, rig};

use crate::scene::{self, Places};
use crate::{DEADLINE, proofs};

/// What a token says: the spool, and the epoch of the position.
fn token(position: &Value) -> (String, u64) {
    let token = position["token"].as_str().unwrap();
    let ["2", spool, epoch, _, _] = token.split(':').collect::<Vec<_>>()[..] else {
        panic!("no token: {token}")
    };
    (spool.to_owned(), epoch.parse().unwrap())
}

fn spool(rig: &Rig) -> PathBuf {
    rig.folder().join("spool")
}

/// Copies a folder of files, as a snapshot of a volume would.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_position_of_another_spool_skips_nothing_of_this_one_and_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = Options {
        rate: 1_000,
        ..Options::default()
    };
    let nobody = format!("127.0.0.1:{}", free_port());
    let rig = places
        .shard(options)
        .set("kafka.start_timeout_ms", 500)
        .set("kafka.bootstrap_servers", nobody);
    // this spool hears something that cannot be delivered yet
    let mut adapter = rig.start();
    adapter.wait_for_line(
        Stream::Stderr,
        "destination unreachable, the source keeps what it hears",
        DEADLINE,
    );
    assert!(rig.simulator().wait_until_sent(500, DEADLINE));
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    let kept = rig.simulator().counters().events_sent;

    // meanwhile the shard runs on another directory, and further than that
    let other = rig.folder().join("other").display().to_string();
    let rig = rig
        .set("kafka.start_timeout_ms", 30_000)
        .set("kafka.bootstrap_servers", places.servers.as_str())
        .set("source.config.spool.dir", other);
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, i64::try_from(kept).unwrap() + 500);
    scene::stop(&mut adapter);
    let (of_other, _) = token(places.positions().last().unwrap());

    let dir = spool(&rig).display().to_string();
    let rig = rig.set("source.config.spool.dir", dir);
    let mut adapter = rig.start();
    adapter.wait_for_line(
        Stream::Stderr,
        "position is of another spool, nothing is skipped",
        DEADLINE,
    );
    scene::wait_until_resolved(&mut adapter, i64::try_from(kept).unwrap());
    scene::stop(&mut adapter);
    // in what order two spools hand out what each has kept, nobody has promised
    let told = places.assert_exactly_once_but_told(&rig);
    let said: Vec<(&Value, &Value)> = told
        .iter()
        .map(|record| (&record["type"], &record["notice"]))
        .collect();
    assert_eq!(
        said,
        [(
            &Value::from("position_foreign"),
            &serde_json::json!({ "positionOf": of_other })
        )]
    );
    let (of_this, _) = token(places.positions().last().unwrap());
    assert_ne!(of_this, of_other);
}

/// A shard whose first process was killed, its spool, and a copy of that from then.
fn snapshot(places: &Places) -> (Rig, PathBuf, PathBuf) {
    let options = Options {
        rate: 1_000,
        ..Options::default()
    };
    let rig = places.shard(options);
    let (dir, snapshot) = (spool(&rig), rig.folder().join("snapshot"));
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 500);
    // so that the snapshot holds what is not committed there
    adapter.signal(Signal::SIGKILL);
    rig::wait_for_end(&mut adapter, DEADLINE);
    copy(&dir, &snapshot);
    (rig, dir, snapshot)
}

#[test]
fn a_spool_from_a_snapshot_meets_a_position_of_its_later_life_and_delivers_nothing_of_it_again() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let (rig, dir, snapshot) = snapshot(&places);
    for _ in 0..2 {
        let mut adapter = rig.start();
        scene::wait_until_resolved(&mut adapter, 500);
        scene::stop(&mut adapter);
    }
    let (of_spool, epoch) = token(places.positions().last().unwrap());

    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&snapshot, &dir).unwrap();
    let mut adapter = rig.start();
    adapter.wait_for_line(
        Stream::Stderr,
        "position was given by another copy of this spool, what this one heard by itself is kept",
        DEADLINE,
    );
    scene::wait_until_resolved(&mut adapter, 500);
    scene::stop(&mut adapter);
    let told = places.assert_exactly_once_but_told(&rig);
    proofs::assert_order_per_key(&places.events());
    let said: Vec<(&Value, &Value)> = told
        .iter()
        .map(|record| (&record["type"], &record["notice"]))
        .collect();
    assert_eq!(
        said,
        [(
            &Value::from("spool_restored"),
            &serde_json::json!({ "spool": of_spool, "positionEpoch": epoch, "epoch": epoch + 1 })
        )]
    );
    assert_eq!(token(places.positions().last().unwrap()), (of_spool, epoch + 1));
}

#[test]
fn what_a_spool_from_a_snapshot_heard_while_the_brokers_were_away_outlives_its_process() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let (rig, dir, snapshot) = snapshot(&places);
    // further than the copy will come in the epoch of the same number; killed, since the gap of a stop would stay open
    // and excuse whatever the copy loses
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 1_500);
    adapter.signal(Signal::SIGKILL);
    rig::wait_for_end(&mut adapter, DEADLINE);
    let (of_spool, _) = token(places.positions().last().unwrap());

    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&snapshot, &dir).unwrap();
    let nobody = format!("127.0.0.1:{}", free_port());
    let rig = rig
        .set("kafka.start_timeout_ms", 500)
        .set("kafka.bootstrap_servers", nobody);
    let heard_before = rig.simulator().counters().events_sent;
    for deaths in 1..=2 {
        let mut adapter = rig.start();
        assert!(
            rig.simulator()
                .wait_until_sent(heard_before + deaths * 400, DEADLINE)
        );
        adapter.signal(Signal::SIGKILL);
        rig::wait_for_end(&mut adapter, DEADLINE);
    }

    let rig = rig
        .set("kafka.start_timeout_ms", 30_000)
        .set("kafka.bootstrap_servers", places.servers.as_str());
    let mut adapter = rig.start();
    adapter.wait_for_line(
        Stream::Stderr,
        "position was given by another copy of this spool, what this one heard by itself is kept",
        DEADLINE,
    );
    scene::wait_until_resolved(&mut adapter, 500);
    scene::stop(&mut adapter);
    let told = places.assert_exactly_once_but_told(&rig);
    proofs::assert_order_per_key(&places.events());
    let said: Vec<&Value> = told.iter().map(|record| &record["type"]).collect();
    assert_eq!(said, ["spool_restored"]);
    assert_eq!(token(places.positions().last().unwrap()).0, of_spool);
}
