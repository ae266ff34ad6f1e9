//! The audit topic.

use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use support::{Broker, Mock, Rig, Topics, free_port, rig, wait_until};

use crate::{DEADLINE, EVENTS, Verdict, assert_whole, broken, burst, verify};

/// Delivers a burst to a cluster; the rig's folder holds the configuration.
fn delivered(servers: &str, topics: &Topics) -> Rig {
    let rig = Rig::new(burst()).with_kafka(servers, topics);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    rig
}

fn from_kafka(folder: &Path) -> Verdict {
    verify(folder, &["--from-kafka", "--config", "genesys-kafka.toml"], b"")
}

/// Writes a record into a partition of the audit topic, as someone could who may write there.
fn forge(servers: &str, topic: &str, partition: i32, value: &[u8]) {
    forge_all(servers, topic, &[(partition, value)]);
}

/// The same with any number of records.
fn forge_all(servers: &str, topic: &str, records: &[(i32, &[u8])]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .unwrap();
    for (partition, value) in records {
        let record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(*partition)
            .payload(*value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
}

#[test]
fn the_audit_topic_of_a_real_broker_verifies_over_its_partitions_and_a_forged_record_is_named() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 3);
    let servers = broker.bootstrap_servers();
    let rig = delivered(servers, &topics);
    assert_whole(from_kafka(rig.folder()));

    // a byte-identical repeat is no break, another record of the same number is
    let audits = topics.read_audits(servers);
    let fifth = &audits[4].record;
    let value = fifth.value.clone().unwrap();
    forge(servers, &topics.audit, fifth.partition, &value);
    let (code, out, _) = from_kafka(rig.folder());
    assert_eq!(code, 0, "{out:#?}");
    assert!(out[0].contains(", 1 repeated byte for byte"), "{out:#?}");

    let end = support::end_offsets(servers, &topics.audit)[usize::try_from(fifth.partition).unwrap()];
    let forged = String::from_utf8(value)
        .unwrap()
        .replace("data-governance", "data-gouvernance");
    forge(servers, &topics.audit, fifth.partition, forged.as_bytes());
    let place = format!("{}[{}]@{end}", topics.audit, fifth.partition);
    assert_eq!(
        broken(from_kafka(rig.folder())),
        format!("  BROKEN at {place}: record 5 was altered: its bytes do not give its hash")
    );
}

#[test]
fn a_run_cites_the_last_record_of_the_run_before_it_in_the_topic_also_after_a_kill() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 3);
    let servers = broker.bootstrap_servers();
    let rig = Rig::new(burst())
        .with_kafka(servers, &topics)
        .set("source.name", "main");
    let mut killed = rig.start();
    rig::wait_until_ingested(&mut killed, rig.simulator(), DEADLINE);
    wait_until(DEADLINE, "everything is audited", || {
        topics.read_audits(servers).len() as u64 > EVENTS
    });
    killed.signal(nix::sys::signal::Signal::SIGKILL);
    killed.wait(DEADLINE);
    let opened = || {
        let mut opened = topics.read_audits(servers);
        opened.retain(|audit| audit.status() == "run_opened");
        opened.sort_by_key(|audit| audit.body["processedAt"].to_string());
        opened
    };
    // another source writes to the same topics in between
    for (name, runs) in [("emea", 2), ("main", 3)] {
        let rig = Rig::new(burst())
            .with_kafka(servers, &topics)
            .set("source.name", name);
        let mut adapter = rig.start();
        wait_until(DEADLINE, "the run is opened", || opened().len() == runs);
        let ended = rig::stop(&mut adapter, DEADLINE);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    }
    let [killed, other, last] = &opened()[..] else {
        panic!("three runs")
    };
    let audits = topics.read_audits(servers);
    let head = audits
        .iter()
        .rfind(|audit| audit.body["runId"] == killed.body["runId"])
        .unwrap();
    assert_eq!(last.body["prevHash"], head.body["hash"]);
    assert!(other.body["prevHash"].is_null(), "{}", other.body);
    let (code, out, _) = from_kafka(rig.folder());
    assert_eq!(code, 0, "{out:#?}");
    let lines = |end: &str| out.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(
        (
            lines(", closed"),
            lines(", NOT CLOSED: it was killed; a later run cites its last record")
        ),
        (2, 1),
        "{out:#?}"
    );
}

#[test]
fn where_the_topic_does_not_show_the_run_before_that_is_said_once_and_the_run_goes_on() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 1)));
    let servers = mock.bootstrap_servers();
    // as many records of others as the end of a partition has that is read, and one before them
    forge_all(servers, &topics.audit, &[(0, &b"of another"[..]); 501]);
    let rig = Rig::new(burst()).with_kafka(servers, &topics);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(
        ended.lines_with(
            "the end of the audit topic does not show the source's last record, the run cites none before it"
        ),
        1,
        "{}",
        ended.stderr.join("\n")
    );
}

/// Delivers a burst with little in flight, and writes what `keeps` says of its audit records, each with its number and
/// partition, to another topic as if the run had been killed before the rest was there; verifies that.
fn verdict_of(keeps: impl Fn(u64, i32, &[(u64, i32)]) -> bool) -> (Verdict, Vec<(u64, i32)>) {
    let (topics, left) = (Topics::unique(), Topics::unique());
    let places = topics.names().into_iter().chain([left.audit.as_str()]);
    let places: Vec<_> = places.map(|name| (name, 2)).collect();
    let mock = Mock::start(&places);
    let servers = mock.bootstrap_servers();
    let rig = Rig::new(burst())
        .with_kafka(servers, &topics)
        .set("delivery.max_in_flight_records", IN_FLIGHT);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    let mut audits = topics.read_audits(servers);
    assert_eq!(audits.pop().unwrap().status(), "run_closed");
    let all: Vec<(u64, i32)> = audits
        .iter()
        .map(|audit| (audit.sequence(), audit.record.partition))
        .collect();
    audits.retain(|audit| keeps(audit.sequence(), audit.record.partition, &all));
    let there: Vec<(i32, &[u8])> = audits
        .iter()
        .map(|audit| (audit.record.partition, audit.record.value.as_deref().unwrap()))
        .collect();
    forge_all(servers, &left.audit, &there);
    let rig = rig.set("kafka.topics.audit", left.audit.as_str());
    rig.write_config();
    (from_kafka(rig.folder()), all)
}

/// Records that the run of these tests may have in flight.
const IN_FLIGHT: u64 = 50;
/// How far before the end a kill may leave a hole with that.
const REACH: u64 = 2 * (IN_FLIGHT + 1);

/// Number of the last record in the partition that ends first.
fn end_of_the_shorter(all: &[(u64, i32)]) -> (u64, i32) {
    let end = |partition| {
        let of_it = all.iter().rev();
        *of_it.into_iter().find(|place| place.1 == partition).unwrap()
    };
    end(0).min(end(1))
}

#[test]
fn what_a_kill_left_on_its_way_to_one_partition_is_told_and_a_hole_before_that_is_a_break() {
    let ((code, out, complaints), all) = verdict_of(|number, _, all| number != end_of_the_shorter(all).0);
    assert_eq!((code, &complaints[..]), (0, &[][..]), "{out:#?}");
    let (lost, _) = end_of_the_shorter(&all);
    let told = format!(
        ", NOT CLOSED: it was killed, its end is not here, or it still runs; 1 after number {} are not here, and {} later \
         ones are not linked to what came before: a kill leaves that of what was in flight, and so does whoever takes \
         records out so near the end, which cannot be told apart",
        lost - 1,
        all.last().unwrap().0 - lost
    );
    assert!(out[0].ends_with(&told), "{out:#?}");

    // the partition ends further back than anything was in flight
    let (verdict, _) = verdict_of(|number, partition, all| {
        partition != end_of_the_shorter(all).1 || number < EVENTS - REACH - 100
    });
    assert!(broken(verdict).contains(" missing: this is the next one that is there"));
    let (verdict, all) = verdict_of(|number, _, all| number != end_of_the_shorter(all).0 - 1);
    let number = end_of_the_shorter(&all).0 - 1;
    let line = broken(verdict);
    assert!(
        line.ends_with(&format!(
            ": record {number} is missing: this is the next one that is there"
        )),
        "{line}"
    );
}

#[test]
fn what_retention_deletes_of_each_partition_is_partial_and_no_break() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 3);
    let servers = broker.bootstrap_servers();
    let rig = delivered(servers, &topics);
    for (partition, end) in (0..).zip(support::end_offsets(servers, &topics.audit)) {
        broker.delete_records(&topics.audit, partition, end / (i64::from(partition) + 2));
    }
    let line = broken(from_kafka(rig.folder()));
    assert!(
        line.contains(" missing: this is the next one that is there"),
        "{line}"
    );
    let arguments = ["--from-kafka", "--partial", "--config", "genesys-kafka.toml"];
    let (code, out, _) = verify(rig.folder(), &arguments, b"");
    assert_eq!(code, 0, "{out:#?}");
    let told = " records between others are not here: retention has deleted that part of another partition";
    assert!(out[0].contains(told), "{out:#?}");
}

#[test]
fn the_audit_topic_verifies_without_plugin_and_credentials() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    delivered(mock.bootstrap_servers(), &topics);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[source]\nlibrary = \"/nonexistent/plugin.so\"\n[kafka.topics]\naudit = \"{}\"\n",
        topics.audit
    );
    std::fs::write(folder.path().join("genesys-kafka.toml"), config).unwrap();
    assert_whole(verify(
        folder.path(),
        &["--from-kafka", "--bootstrap-servers", mock.bootstrap_servers()],
        b"",
    ));
}

#[test]
fn a_topic_that_cannot_be_read_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let says = |servers: &str, topic: &str| {
        let config = format!("[kafka]\nstart_timeout_ms = 1000\n[kafka.topics]\naudit = \"{topic}\"\n");
        std::fs::write(folder.path().join("genesys-kafka.toml"), config).unwrap();
        verify(
            folder.path(),
            &["--from-kafka", "--bootstrap-servers", servers],
            b"",
        )
    };
    let check = "check kafka.bootstrap_servers, kafka.topics.audit and the right to read it";
    let nobody = format!("127.0.0.1:{}", free_port());
    assert_eq!(
        says(&nobody, "audit"),
        (
            69,
            vec![],
            vec![format!(
                "genesys-kafka: topic audit at \"{nobody}\" cannot be read: BrokerTransportFailure (Local: Broker transport \
                 failure); {check}"
            )]
        )
    );
    if let Some(broker) = Broker::shared() {
        let servers = broker.bootstrap_servers();
        assert_eq!(
            says(servers, "no-such-topic"),
            (
                69,
                vec![],
                vec![format!(
                    "genesys-kafka: topic no-such-topic at \"{servers}\" cannot be read: it does not exist; {check}"
                )]
            )
        );
    }
    let (code, _, complaints) = verify(folder.path(), &["--from-kafka"], b"");
    assert_eq!(code, 78);
    assert!(
        complaints[0].contains("kafka.bootstrap_servers: is required, but missing"),
        "{complaints:?}"
    );
}
